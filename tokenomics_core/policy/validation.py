"""Whether a policy makes sense: everything that is refused when a policy is written.

Messages keep the wording of rickcrawford/tokenomics, which scripts and people know.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from decimal import Decimal
from typing import NoReturn

from tokenomics_core.duration import parse_duration
from tokenomics_core.guard import detectors
from tokenomics_core.meter.periods import PERIODS, zone_of
from tokenomics_core.meter.session_id import problem as id_problem
from tokenomics_core.policy.document import PolicyError, quoted, step
from tokenomics_core.policy.regex import compile_pattern
from tokenomics_core.policy.schema import Budget, Policy, ProviderPolicy, RateLimit, Rule, SessionPart

PII_TYPES = (
    "ssn",
    "credit_card",
    "email",
    "phone",
    "ip_address",
    "aws_key",
    "api_key",
    "jwt",
    "private_key",
    "connection_string",
    "github_token",
)

_ACTIONS = ("fail", "warn", "log", "mask")
_SCOPES = ("input", "output", "both")
_TYPES = ("regex", "keyword", "pii", "jailbreak")
_STYLES = ("redacted", "typed", "partial")
_ON_ERROR = ("fail", "warn")

# Each retry is planned for before the first is made.
MOST_RETRIES = 100

MOST_AMOUNT = 10**15
"""Of a limit, in tokens or USD. What the counters cannot count is far below; it is warned of."""

LONGEST_ANOMALY = 365 * 24 * 3600
"""Seconds."""


def validate(policy: Policy) -> None:
    """Raises PolicyError for the first thing that is wrong: the global part first, then each provider."""
    own_key = policy.credentials != "client"
    if own_key and not policy.base_key_env and not policy.providers:
        raise PolicyError("base_key_env is required (or at least one provider)", "$.base_key_env")
    _one_of("credentials", policy.credentials, ("wrapper", "client"), "$")
    _one_of("unknown_paths", policy.unknown_paths, ("allow", "deny"), "$")
    _one_of("uninspected", policy.uninspected, ("refuse", "allow"), "$")
    _check_model_regex(policy.model_regex, "", "$")
    for index, rule in enumerate(policy.rules):
        _check_rule(rule, f"global rule {index}: ", f"$.rules[{index}]")
    if policy.rate_limit is not None:
        _check_windows(policy.rate_limit)
    for index, budget in enumerate(policy.budgets):
        _check_budget(budget, f"budget {index}: ", f"$.budgets[{index}]")
    _one_of("unknown_price", policy.unknown_price, ("refuse", "assume", "allow"), "$")
    _check_session(policy.session)
    if policy.retry is not None and policy.retry.max_retries > MOST_RETRIES:
        raise PolicyError(
            f"invalid max_retries {policy.retry.max_retries}; must be at most {MOST_RETRIES}",
            "$.retry.max_retries",
        )
    names: set[str] = set()
    for name, entries in policy.providers.items():
        _check_name(name, names)
        for index, entry in enumerate(entries):
            path = step(step("$.providers", name), index)
            _check_entry(entry, own_key, f"provider {quoted(name)} policy {index}: ", path)


def _check_name(name: str, seen: set[str]) -> None:
    path = step("$.providers", name)
    if not name:
        raise PolicyError("a provider in providers has no name", path)
    if name.casefold() in seen:
        raise PolicyError(
            f"provider {quoted(name)} stands twice in providers; upper and lower case make no difference",
            path,
        )
    seen.add(name.casefold())


def _check_entry(entry: ProviderPolicy, own_key: bool, prefix: str, path: str) -> None:
    if own_key and not entry.base_key_env:
        raise PolicyError(f"{prefix}base_key_env is required", f"{path}.base_key_env")
    _check_model_regex(entry.model_regex, prefix, path)
    for index, rule in enumerate(entry.rules):
        _check_rule(rule, f"{prefix}rule {index}: ", f"{path}.rules[{index}]")


def _check_model_regex(pattern: str, prefix: str, path: str) -> None:
    try:
        compile_pattern(pattern)
    except ValueError as error:
        raise PolicyError(
            f"{prefix}invalid model_regex {quoted(pattern)}: {error}", f"{path}.model_regex"
        ) from None


def _check_rule(rule: Rule, prefix: str, path: str) -> None:
    """Action, scope, type, then what the type needs, in this order."""

    def refuse(field: str, message: str) -> NoReturn:
        raise PolicyError(prefix + message, step(path, field))

    for field, value, allowed in (
        ("action", rule.action, _ACTIONS),
        ("scope", rule.scope, _SCOPES),
        ("type", rule.type, _TYPES),
    ):
        if value not in allowed:
            refuse(field, f"invalid rule {field} {quoted(value)}; must be {_listed(allowed)}")
    if rule.type == "regex":
        if not rule.pattern:
            refuse("pattern", "regex rule requires a pattern")
        try:
            compile_pattern(rule.pattern)
        except ValueError as error:
            refuse("pattern", f"invalid rule regex {quoted(rule.pattern)}: {error}")
    elif rule.type == "keyword":
        if not rule.keywords:
            refuse("keywords", "keyword rule requires at least one keyword")
        if not all(keyword.strip() for keyword in rule.keywords):
            refuse("keywords", "keyword rule has an empty keyword, which would match everywhere")
    elif rule.type == "pii":
        if not rule.detect:
            refuse(
                "detect",
                f"pii rule requires at least one detect type ({', '.join(PII_TYPES[:7])})",
            )
        known = detectors.names()
        for name in rule.detect:
            if name.lower() not in known:
                refuse(
                    "detect",
                    f"unknown PII type {quoted(name)}; available: {', '.join(PII_TYPES)}"
                    f"{_near(name.lower(), known)}",
                )
    elif rule.pattern or rule.keywords or rule.detect:
        refuse("type", "jailbreak rule should not have pattern, keywords, or detect fields")
    _check_measure(rule, prefix, path)


def _check_measure(rule: Rule, prefix: str, path: str) -> None:
    """How sure a rule wants to be, how it masks, and what it does when it fails."""
    for field, value, allowed in (("style", rule.style, _STYLES), ("on_error", rule.on_error, _ON_ERROR)):
        if value not in allowed:
            raise PolicyError(
                f"{prefix}invalid rule {field} {quoted(value)}; must be {_listed(allowed)}", step(path, field)
            )
    for field, measure in (("min_score", rule.min_score), ("threshold", rule.threshold)):
        if measure is not None and not 0 <= measure <= 1:
            raise PolicyError(
                f"{prefix}invalid rule {field} {measure:f}; must be from 0 to 1", step(path, field)
            )
    if rule.restore and (rule.action != "mask" or rule.scope == "output" or rule.type == "jailbreak"):
        raise PolicyError(
            f"{prefix}restore needs action mask, scope input or both, and a type other than jailbreak",
            f"{path}.restore",
        )


def _near(name: str, known: Sequence[str]) -> str:
    """Where more can be detected than the eleven that the Go original knows."""
    near = difflib.get_close_matches(name, known, n=3)
    more = f"; {len(known) - len(PII_TYPES)} more are in docs/GUARDRAILS.md"
    return f"; did you mean {' or '.join(map(quoted, near))}?" if near else more


def _check_windows(rate_limit: RateLimit) -> None:
    for index, rule in enumerate(rate_limit.rules):
        prefix, path = f"rate_limit rule {index}: ", f"$.rate_limit.rules[{index}].window"
        if not rule.window:
            continue
        try:
            seconds = parse_duration(rule.window)
        except ValueError:
            raise PolicyError(
                f"{prefix}invalid window {quoted(rule.window)}; must be a duration such as 60s, 1h30m or 24h "
                "(units ns, us, ms, s, m, h; a day is 24h)",
                path,
            ) from None
        if seconds <= 0:
            raise PolicyError(f"{prefix}invalid window {quoted(rule.window)}; must be longer than zero", path)


def _check_budget(budget: Budget, prefix: str, path: str) -> None:
    """Unit and limit, then when it counts and for whom, then what happens."""

    def refuse(field: str, message: str) -> NoReturn:
        raise PolicyError(prefix + message, step(path, field))

    def one_of(field: str, value: str, allowed: Sequence[str]) -> None:
        if value not in allowed:
            refuse(field, f"invalid {field} {quoted(value)}; must be {_listed(allowed)}")

    one_of("unit", budget.unit, ("tokens", "usd"))
    if budget.limit is None:
        refuse("limit", f"limit is required; write a number of {budget.unit} above 0")
    if problem := _amount_problem(budget.limit, whole=budget.unit == "tokens"):
        refuse("limit", f"invalid limit {budget.limit:f}; {problem}")
    if budget.period not in ("total", *PERIODS):
        try:
            seconds = parse_duration(budget.period)
        except ValueError:
            refuse(
                "period",
                f"invalid period {quoted(budget.period)}; must be total, hour, day, month, or a duration such"
                " as 36h (units ns, us, ms, s, m, h; a week is 168h)",
            )
        if seconds < 1:
            refuse("period", f"invalid period {quoted(budget.period)}; must be at least one second")
    one_of("scope", budget.scope, ("token", "session", "provider"))
    try:
        zone_of(budget.timezone)
    except ValueError:
        refuse(
            "timezone",
            f"invalid timezone {quoted(budget.timezone)}; must be UTC or a name such as Europe/Berlin",
        )
    one_of("action", budget.action, ("refuse", "warn"))
    if budget.warn_at is not None and not 1 <= budget.warn_at <= 100:
        refuse("warn_at", f"invalid warn_at {budget.warn_at}; must be a percentage from 1 to 100")


def _check_session(session: SessionPart) -> None:
    if session.id and (why := id_problem(session.id)):
        raise PolicyError(f"session: id {why}", "$.session.id")
    if session.directory and not (session.directory.startswith("/") and session.directory.isprintable()):
        raise PolicyError("session: invalid directory; write an absolute path", "$.session.directory")
    if session.budget_usd is not None and (problem := _amount_problem(session.budget_usd)):
        raise PolicyError(
            f"session: invalid budget_usd {session.budget_usd:f}; {problem}", "$.session.budget_usd"
        )
    for field in ("window", "memory", "freeze"):
        seconds = getattr(session.anomaly, field)
        if seconds is not None and not 1 <= seconds <= LONGEST_ANOMALY:
            raise PolicyError(
                f"session anomaly: invalid {field} {seconds}; must be from 1 to {LONGEST_ANOMALY} seconds",
                f"$.session.anomaly.{field}",
            )


def _amount_problem(amount: Decimal, *, whole: bool = False) -> str:
    """What a limit has to be instead, the empty string when it is fine. whole: it is of tokens."""
    if amount <= 0:
        return "must be more than 0"
    if amount > MOST_AMOUNT:
        return f"must be at most {MOST_AMOUNT}"
    exponent = amount.as_tuple().exponent
    decimals = -exponent if isinstance(exponent, int) else 0
    if whole and decimals > 0:
        return "must be a whole number of tokens"
    return "must have at most 9 decimals" if decimals > 9 else ""


def _one_of(field: str, value: str, allowed: Sequence[str], path: str) -> None:
    if value not in allowed:
        raise PolicyError(f"invalid {field} {quoted(value)}; must be {_listed(allowed)}", step(path, field))


def _listed(words: Sequence[str]) -> str:
    """``a or b``; ``a, b, or c``."""
    if len(words) == 2:
        return f"{words[0]} or {words[1]}"
    return f"{', '.join(words[:-1])}, or {words[-1]}"
