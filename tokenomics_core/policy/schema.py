"""The shape of a policy: its fields, their types and their defaults.

A new feature adds its model here; unknown-field warnings, patches and serialising follow from the models.
Every default is the JSON zero value, except where ALWAYS_WRITTEN says otherwise.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from tokenomics_core.policy.document import PolicyError, json_type, step

Int64 = Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)]

_MOST_DIGITS = 40
_DECIMAL = re.compile(rf"-?[0-9]{{1,{_MOST_DIGITS}}}(\.[0-9]{{1,{_MOST_DIGITS}}})?")


def _decimal(value: Any) -> Decimal:
    """A JSON number, or a decimal number in a string, as people would write it: without an exponent."""
    text = isinstance(value, str) and _DECIMAL.fullmatch(value)
    if not (text or isinstance(value, int | Decimal)) or isinstance(value, bool):
        raise PydanticCustomError("amount_type", "must be a number or a decimal number in a string")
    number = Decimal(value)
    if abs(number.adjusted()) > _MOST_DIGITS or len(number.as_tuple().digits) > 2 * _MOST_DIGITS:
        raise PydanticCustomError("amount_size", "has too many digits")
    return Decimal(f"{number.normalize(Context(prec=2 * _MOST_DIGITS)):f}")


Amount = Annotated[Decimal, BeforeValidator(_decimal)]


class _Part(BaseModel):
    """Anything in a policy. Unknown fields are ignored, null is the same as absent."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ALWAYS_WRITTEN: ClassVar[frozenset[str]] = frozenset()
    """Fields that are written out also when they have their default."""

    DEFAULT_WHEN_EMPTY: ClassVar[frozenset[str]] = frozenset()
    """Fields for which the empty string is the same as absent."""

    @model_validator(mode="before")
    @classmethod
    def _drop_absent(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        empty = cls.DEFAULT_WHEN_EMPTY
        return {k: v for k, v in data.items() if v is not None and not (v == "" and k in empty)}


class PromptMessage(_Part):
    """A message that is put in front of the client's own."""

    role: StrictStr = ""
    content: StrictStr = ""


class Rule(_Part):
    """A content rule. Which of pattern, keywords, detect and threshold counts depends on type.

    min_score, threshold: 0 to 1, None is the built-in measure. style: of a mask: redacted, typed or partial.
    strict: only the patterns of the Go original. restore: the answer gets the masked values back; secrets
    only with restore_secrets. on_error: what happens when the rule itself fails.
    """

    ALWAYS_WRITTEN = frozenset({"type", "action", "scope"})
    DEFAULT_WHEN_EMPTY = ALWAYS_WRITTEN | {"style", "on_error"}

    name: StrictStr = ""
    type: StrictStr = "regex"
    pattern: StrictStr = ""
    keywords: tuple[StrictStr, ...] = ()
    detect: tuple[StrictStr, ...] = ()
    action: StrictStr = "fail"
    scope: StrictStr = "input"
    style: StrictStr = "redacted"
    min_score: Amount | None = None
    threshold: Amount | None = None
    strict: StrictBool = False
    restore: StrictBool = False
    restore_secrets: StrictBool = False
    on_error: StrictStr = "fail"


def _rule_objects(value: Any) -> Any:
    """Turns the legacy array of strings into rule objects."""
    if not isinstance(value, list):
        raise _rules_shape(f"it is {json_type(value)}")
    if all(isinstance(item, str) for item in value):
        return [{"pattern": item} for item in value]
    for index, item in enumerate(value):
        if isinstance(item, str):
            raise _rules_shape("strings and objects are mixed")
        if not isinstance(item, dict):
            raise _rules_shape(f"item {index} is {json_type(item)}")
    return value


def _rules_shape(detail: str) -> PydanticCustomError:
    return PydanticCustomError(
        "rules_shape", "rules must be an array of rule objects or regex strings: {detail}", {"detail": detail}
    )


Rules = Annotated[tuple[Rule, ...], BeforeValidator(_rule_objects)]


class ProviderPolicy(_Part):
    """What is different for some models of one provider."""

    base_key_env: StrictStr = ""
    upstream_url: StrictStr = ""
    max_tokens: Int64 = 0
    model: StrictStr = ""
    model_regex: StrictStr = ""
    timeout: Int64 = 0
    prompts: tuple[PromptMessage, ...] = ()
    rules: Rules = ()


class RateRule(_Part):
    """A limit per window. window is a Go duration, the empty string means one minute."""

    requests: Int64 = 0
    tokens: Int64 = 0
    window: StrictStr = ""
    strategy: StrictStr = ""


class RateLimit(_Part):
    """Limits of one wrapper token, shared by all its models and providers."""

    rules: tuple[RateRule, ...] = ()
    max_parallel: Int64 = 0


class Budget(_Part):
    """What may be used of one unit in a period. limit: USD or tokens. warn_at: percent, None is what the
    configuration says.

    period: total, hour, day or month, or a Go duration; timezone: of the calendar periods.
    """

    DEFAULT_WHEN_EMPTY = frozenset({"unit", "period", "scope", "timezone", "action"})

    limit: Amount | None = None
    unit: StrictStr = "usd"
    period: StrictStr = "total"
    scope: StrictStr = "token"
    timezone: StrictStr = "UTC"
    action: StrictStr = "refuse"
    name: StrictStr = ""
    warn_at: Int64 | None = None


class Anomaly(_Part):
    """When a session ran wild. None is what the configuration says, a threshold of 0 is off.

    window, memory and freeze are in seconds.
    """

    enabled: StrictBool | None = None
    max_requests: Int64 | None = None
    max_identical: Int64 | None = None
    max_usd: Amount | None = None
    window: Int64 | None = None
    memory: Int64 | None = None
    freeze: Int64 | None = None


class SessionPart(_Part):
    """What holds for each session of the token. None is what the configuration says.

    id: the session of the token's requests, where they name none with X-Session-ID.
    directory: the one they are made in, where they name none with X-Tokenomics-Repo.
    """

    DEFAULT_WHEN_EMPTY = frozenset({"id", "directory"})

    id: StrictStr = ""
    directory: StrictStr = ""
    budget_usd: Amount | None = None
    strict: StrictBool | None = None
    anomaly: Anomaly = Anomaly()


class Retry(_Part):
    """Further attempts. An empty retry_on means the default statuses."""

    max_retries: Int64 = 0
    fallbacks: tuple[StrictStr, ...] = ()
    retry_on: tuple[Int64, ...] = ()


class Memory(_Part):
    """Recording of conversations. enabled: None is what the configuration says."""

    enabled: StrictBool | None = None
    file_path: StrictStr = ""
    file_name: StrictStr = ""
    redis: StrictBool = False
    max_size_mb: Int64 = 0
    compress_old: StrictBool = False


def _without_null(value: Any) -> Any:
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


def _null_is_empty(value: Any) -> Any:
    return {k: [] if v is None else v for k, v in value.items()} if isinstance(value, dict) else value


class Policy(_Part):
    """One policy. Numbers are as written: a negative one means "not set" to whoever reads it.

    timeout is in seconds. providers keep the order of the document.
    """

    ALWAYS_WRITTEN = frozenset({"memory"})
    DEFAULT_WHEN_EMPTY = frozenset({"credentials", "unknown_paths", "unknown_price", "uninspected"})

    base_key_env: StrictStr = ""
    upstream_url: StrictStr = ""
    max_tokens: Int64 = 0
    model: StrictStr = ""
    model_regex: StrictStr = ""
    prompts: tuple[PromptMessage, ...] = ()
    rules: Rules = ()
    providers: Annotated[dict[str, tuple[ProviderPolicy, ...]], BeforeValidator(_null_is_empty)] = Field(
        default_factory=dict
    )
    default_provider: StrictStr = ""
    memory: Memory = Memory()
    rate_limit: RateLimit | None = None
    budgets: tuple[Budget, ...] = ()
    unknown_price: StrictStr = "refuse"
    session: SessionPart = SessionPart()
    retry: Retry | None = None
    timeout: Int64 = 0
    metadata: Annotated[dict[str, StrictStr], BeforeValidator(_without_null)] = Field(default_factory=dict)
    credentials: StrictStr = "wrapper"
    unknown_paths: StrictStr = "allow"
    uninspected: StrictStr = "refuse"


def read(document: dict[str, Any]) -> Policy:
    """The document as a Policy with the right types; whether its values make sense is not looked at.

    Raises PolicyError for the first field, in the order of the document's types, that has a wrong JSON type.
    """
    try:
        return Policy.model_validate(document)
    except ValidationError as error:
        raise _policy_error(error.errors(include_url=False)[0]) from None


def plain(part: _Part) -> dict[str, Any]:
    """The part as JSON values, without the fields that have their default."""
    out: dict[str, Any] = {}
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if name in part.ALWAYS_WRITTEN or value != field.get_default(call_default_factory=True):
            out[name] = _plain_value(value)
    return out


def _plain_value(value: Any) -> Any:
    if isinstance(value, _Part):
        return plain(value)
    if isinstance(value, tuple):
        return [_plain_value(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain_value(item) for key, item in value.items()}
    return value


_EXPECTED = {
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "bool_type": "must be true or false",
    "tuple_type": "must be an array",
    "dict_type": "must be an object",
    "model_type": "must be an object",
}
_OUT_OF_RANGE = ("greater_than_equal", "less_than_equal", "int_parsing_size")


def _policy_error(error: ErrorDetails) -> PolicyError:
    path = "$"
    for key in error["loc"]:
        path = step(path, key)
    if error["type"] == "rules_shape":
        return PolicyError(f"invalid policy JSON: {error['msg']}", path)
    if error["type"] == "amount_size":
        return PolicyError(f"invalid policy JSON: {path} {error['msg']}", path)
    if error["type"] in _OUT_OF_RANGE:
        return PolicyError(f"invalid policy JSON: {path} does not fit into 64 bits", path)
    expected = _EXPECTED.get(error["type"], error["msg"])
    return PolicyError(f"invalid policy JSON: {path} {expected}, not {json_type(error['input'])}", path)
