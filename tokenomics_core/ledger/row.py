"""Row: what is kept of one exchange. The request log, the statistics and the ledger all read the same row.

The fields are the columns of the table ``requests``, by the same names and in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

import orjson

from tokenomics_core.exchange import Failure
from tokenomics_core.ledger import clean

if TYPE_CHECKING:
    from tokenomics_core.exchange import Attempt, Exchange
    from tokenomics_core.meter.prices import Cost, Price

Kind = Literal["request", "upgrade", "frame"]
"""An HTTP request, the upgrade to a WebSocket, or one response asked for in its frames."""

# The same fact has a name per provider; the first header that is there counts.
_REQUEST_ID = ("x-request-id", "request-id", "apim-request-id", "mistral-correlation-id")
_REMAINING_REQUESTS = ("x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-remaining")
_REMAINING_TOKENS = ("x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-remaining")
_RESET = (
    "x-ratelimit-reset-requests",
    "anthropic-ratelimit-tokens-reset",
    "x-ratelimit-reset-tokens",
)
UPSTREAM_HEADERS = frozenset((*_REQUEST_ID, *_REMAINING_REQUESTS, *_REMAINING_TOKENS, *_RESET))
"""The headers of the provider's answer that a row is made from, lower-case."""


# Not frozen: that would make a row four times as slow to build, and every request waits for its own.
@dataclass(slots=True)
class Row:
    """One exchange, after its end. Empty text and None mean not known, or not applicable (NULL in the table).

    Several threads read a row; nobody changes it.
    Times are UTC. Token counts follow `tokenomics_core.dialects.base`: the input includes cached tokens, the
    output includes reasoning. Counts that are None were not given by the provider; 0 was given as zero.
    No field holds a wrapper token, a key or a query.
    """

    id: str
    started_at: datetime
    ended_at: datetime
    duration_ms: int = 0
    kind: Kind = "request"
    parent_id: str = ""
    """Of a frame: the id of the upgrade whose connection carried it."""

    token_hash: str = ""
    ingress: str = ""
    method: str = ""
    path: str = ""
    dialect: str = ""
    operation: str = ""
    stream: bool = False

    requested_model: str = ""
    model: str = ""
    """The model that answered, or was asked last; the requested one when nothing was sent."""

    fallback_model: str = ""
    """Equal to model when that is not the requested one."""

    provider: str = ""
    base_key_env: str = ""
    """Name of the environment variable that holds the key."""

    upstream_host: str = ""
    upstream_url: str = ""

    status: int = 0
    """What the client got; 0 when it got nothing."""

    upstream_status: int = 0
    """What the provider answered; 0 when it did not answer, or was not asked."""

    refusal: str = ""
    """Our reason as a stable word, when the answer is our own."""

    error: str = ""

    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    """Tokenomics counted at least one of the two itself, for want of the provider's number."""

    cached_input_tokens: int | None = None
    cache_creation_tokens: int | None = None
    reasoning_tokens: int | None = None
    actual_model: str = ""
    """The model as the provider's answer names it."""

    finish_reason: str = ""
    rate_limit_remaining_requests: int | None = None
    rate_limit_remaining_tokens: int | None = None
    rate_limit_reset: str = ""
    upstream_id: str = ""
    upstream_request_id: str = ""

    retry_count: int = 0
    """Attempts that failed."""

    attempts: list[dict[str, Any]] = field(default_factory=list)
    """Every attempt that was sent: ``{model, provider, status, reason, began_ms, ended_ms}``; status 0 is a
    network error. The times are milliseconds since the start, and left out where nobody measured."""

    rule_matches: list[dict[str, Any]] = field(default_factory=list)
    """``{name, action, message}`` of each rule that matched; name may be missing."""

    metadata: dict[str, str] = field(default_factory=dict)
    request_bytes: int = 0
    response_bytes: int = 0
    remote_addr: str = ""
    user_agent: str = ""
    session_id: str = ""

    cost_usd: Decimal | None = None
    """What the tokens cost, exactly; None where no price is known, 0 where the price is zero."""

    cost_by_class: dict[str, str] = field(default_factory=dict)
    """USD by class of `tokenomics_core.meter.prices.CLASSES`, those that are not zero."""

    price_id: str = ""
    """The price row that was used, such as ``genai-prices:openai/o3@2025-06-10``."""

    price_source: str = ""
    price_as_of: date | None = None
    reserved_tokens: int = 0
    """Tokens, input and output, that were reserved at most."""

    reserved_usd: Decimal | None = None
    recovered: bool = False
    """The process ended before the exchange did. Its tokens and its cost are those that were reserved."""

    repo: str = ""
    """Top directory of the git repository that the request belongs to."""

    branch: str = ""
    """``HEAD`` when no branch was checked out."""

    commit_hash: str = ""
    """The commit that was checked out, in full."""

    dirty: bool | None = None
    """Tracked files differed from the commit; None where nobody could tell."""

    first_byte_ms: int | None = None
    """From the start to the first byte of the provider's answer; None where it did not answer."""

    timings: dict[str, float] = field(default_factory=dict)
    """Milliseconds spent in each layer, those that were measured."""

    run: str = ""
    """The process that served the exchange: the id of its session file, 8 hex characters."""

    @classmethod
    def of(
        cls,
        exchange: Exchange,
        *,
        input_tokens: int,
        output_tokens: int,
        estimated: bool,
        now: float,
        kind: Kind = "request",
        parent_id: str = "",
        price: Price | None = None,
        cost: Cost | None = None,
        run: str = "",
    ) -> Row:
        """The row of a finished exchange. now: seconds of the clock that `exchange.clock` was read from.

        run: `tokenomics_core.ledger.session_file.session_id` of this process.
        """
        attempt, answer, headers = exchange.attempt, exchange.answer, exchange.upstream_headers
        elapsed = max(0.0, now - exchange.clock)
        started = exchange.started.astimezone(UTC)
        refusal, git = exchange.refusal, exchange.git

        requested = clean.name(exchange.model)
        model = clean.name(attempt.model) if attempt and exchange.sent else ""
        actual_model = clean.name(answer.model) if answer else ""
        usage = answer.usage if answer else None
        return cls(
            id=exchange.id,
            started_at=started,
            ended_at=started + timedelta(seconds=elapsed),
            duration_ms=int(elapsed * 1000),
            kind=kind,
            parent_id=parent_id,
            token_hash=exchange.token.hash if exchange.token else "",
            ingress=exchange.ingress.value,
            method=clean.name(exchange.method),
            path=clean.path(exchange.path),
            dialect=exchange.dialect.name,
            operation=exchange.dialect.operation,
            stream=exchange.stream,
            requested_model=requested,
            model=model or requested or actual_model,
            fallback_model=model if requested and model != requested else "",
            provider=_provider(attempt) if attempt else "",
            base_key_env=clean.name(attempt.key_env) if attempt else "",
            upstream_host=clean.name(attempt.target.host) if attempt else "",
            upstream_url=clean.path(attempt.target.origin + attempt.target.path) if attempt else "",
            status=clean.count(exchange.status),
            upstream_status=clean.count(exchange.upstream_status),
            refusal=refusal.code if refusal else "",
            error=clean.sentence(exchange.error or (refusal.message if refusal else "")),
            input_tokens=clean.count(input_tokens),
            output_tokens=clean.count(output_tokens),
            estimated=estimated,
            cached_input_tokens=_count(usage.cached_input_tokens) if usage else None,
            cache_creation_tokens=_count(usage.cache_creation_tokens) if usage else None,
            reasoning_tokens=_count(usage.reasoning_tokens) if usage else None,
            actual_model=actual_model,
            finish_reason=clean.name(answer.finish_reason) if answer else "",
            rate_limit_remaining_requests=_number(_first(headers, _REMAINING_REQUESTS)),
            rate_limit_remaining_tokens=_number(_first(headers, _REMAINING_TOKENS)),
            rate_limit_reset=clean.name(_first(headers, _RESET)),
            upstream_id=clean.name(answer.id) if answer else "",
            upstream_request_id=clean.name(_first(headers, _REQUEST_ID)),
            retry_count=len(exchange.failures),
            attempts=_attempts(exchange, now),
            rule_matches=[_clean(match) for match in exchange.rule_matches],
            metadata={clean.name(k): clean.name(v, 1024) for k, v in exchange.metadata.items()},
            request_bytes=clean.count(exchange.request_bytes),
            response_bytes=clean.count(exchange.response_bytes),
            remote_addr=clean.name(exchange.remote_addr),
            user_agent=clean.name(exchange.user_agent, 512),
            session_id=clean.name(exchange.session),
            **priced(price, cost),
            reserved_tokens=exchange.lease.reserved_tokens if exchange.lease else 0,
            reserved_usd=exchange.lease.reserved_usd if exchange.lease else None,
            repo=clean.name(git.repo, 2048) if git else "",
            branch=clean.name(git.branch) if git else "",
            commit_hash=clean.name(git.commit) if git else "",
            dirty=git.dirty if git else None,
            first_byte_ms=_since(exchange.clock, exchange.first_byte),
            timings={clean.name(name): round(spent, 3) for name, spent in exchange.timings.items()},
            run=run,
        )

    @property
    def failed(self) -> bool:
        """The client got an error, or an answer that broke off."""
        return self.status >= 400 or self.error != ""

    @classmethod
    def from_record(cls, record: Sequence[Any]) -> Row:
        """The row that a record of the table, in the order of COLUMNS, was made from."""
        return cls(*(read(value) if read else value for read, value in zip(_READ, record, strict=True)))


def priced(price: Price | None, cost: Cost | None) -> dict[str, Any]:
    """The fields of a row that say what it cost, and by which price."""
    if price is None or cost is None:
        return {}
    return {
        "cost_usd": cost.usd,
        "cost_by_class": {name: f"{usd:f}" for name, usd in cost.by_class.items() if usd},
        "price_id": clean.name(price.id),
        "price_source": clean.name(price.source),
        "price_as_of": price.as_of,
    }


def stored(row: Row) -> list[str | int | None]:
    """The row's values as the table holds them, in the order of COLUMNS."""
    values: list[Any] = [None if value == "" else value for value in _FIELDS(row)]
    for place, write in _WRITE:
        if values[place] is not None:
            values[place] = write(values[place])
    return values


def pack(row: Row) -> bytes:
    """The row as a JSON object that `unpack` reads, also in a later version."""
    return orjson.dumps(row, default=_as_text)


def unpack(data: bytes) -> Row:
    """The row that was packed; fields that are not known any more are left out."""
    packed: dict[str, Any] = orjson.loads(data)
    return Row(
        **{
            name: read(packed[name]) if read and not isinstance(packed[name], list | dict) else packed[name]
            for name, read in zip(COLUMNS, _READ, strict=True)
            if name in packed
        }
    )


def _as_text(value: Any) -> str:
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"a row holds no {type(value).__name__}")


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, always 27 characters: sorts as text. The moment is in UTC."""
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


def _attempts(exchange: Exchange, now: float) -> list[dict[str, Any]]:
    tried, last = exchange.failures, exchange.attempt
    if last and exchange.sent and not (tried and tried[-1].attempt is last):
        # Of an answer that broke off, the attempt lasted until now.
        ended = exchange.attempt_ended or now
        final = Failure(last, exchange.upstream_status, exchange.error, exchange.attempt_began, ended)
        tried = [*tried, final]
    return [
        {
            "model": clean.name(each.attempt.model),
            "provider": _provider(each.attempt),
            "status": each.status,
            "reason": clean.sentence(each.reason),
            **_times(exchange.clock, each.began, each.ended),
        }
        for each in tried
    ]


def _times(start: float, began: float | None, ended: float | None) -> dict[str, float]:
    if began is None or ended is None:
        return {}
    begin = max(0.0, round((began - start) * 1000, 3))
    return {"began_ms": begin, "ended_ms": max(begin, round((ended - start) * 1000, 3))}


def _clean(match: Mapping[str, Any]) -> dict[str, Any]:
    return {name: clean.name(said, 1024) if isinstance(said, str) else said for name, said in match.items()}


def _provider(attempt: Attempt) -> str:
    return clean.name(attempt.provider_name or (attempt.provider.name if attempt.provider else ""))


def _first(headers: Mapping[str, str], names: Sequence[str]) -> str:
    for name in names:
        if value := headers.get(name):
            return value
    return ""


def _number(text: str) -> int | None:
    # Azure says -1 for "no limit".
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None


def _count(value: int | None) -> int | None:
    return None if value is None else clean.count(value)


def _since(start: float, moment: float | None) -> int | None:
    return None if moment is None else max(0, int((moment - start) * 1000))


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _text(value: str | None) -> str:
    return value or ""


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _date(value: str | None) -> date | None:
    return date.fromisoformat(value) if value else None


def _decimal(value: str | None) -> Decimal | None:
    return Decimal(value) if value else None


# By the field's type: how it is read from a column. Other types are there as they are.
_READERS: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "bool": bool,
    "bool | None": _flag,
    "datetime": datetime.fromisoformat,
    "date | None": _date,
    "Decimal | None": _decimal,
    "list[dict[str, Any]]": orjson.loads,
    "dict[str, str]": orjson.loads,
    "dict[str, float]": orjson.loads,
}
# The other way: how it is written into a column.
_WRITERS: dict[str, Callable[[Any], str | int]] = {
    "bool": int,
    "bool | None": int,
    "datetime": timestamp,
    "date | None": date.isoformat,
    "Decimal | None": "{:f}".format,
    "list[dict[str, Any]]": _json,
    "dict[str, str]": _json,
    "dict[str, float]": _json,
}
COLUMNS = tuple(column.name for column in fields(Row))
_FIELDS = attrgetter(*COLUMNS)
_READ = [_READERS.get(str(column.type)) for column in fields(Row)]
_WRITE = [
    (place, _WRITERS[str(column.type)])
    for place, column in enumerate(fields(Row))
    if str(column.type) in _WRITERS
]
