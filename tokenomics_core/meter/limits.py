"""What a policy limits, as questions to the counters name it, and what is said when a limit refuses.

`Limits` is made once for a resolved policy; `at` gives the limits of one moment in a few microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from tokenomics_core.counters.question import HIGHEST, Denied, Limit, Unit, Window
from tokenomics_core.duration import parse_duration
from tokenomics_core.meter.periods import PERIODS, Periods, milliseconds, zone_of
from tokenomics_core.policy.document import quoted
from tokenomics_core.policy.resolution import ResolvedPolicy
from tokenomics_core.policy.schema import Budget, RateRule

_EXACT = Context(prec=80)
_TOTAL = Window()
_MINUTE = 60_000


class Limits:
    """The limits of one resolved policy.

    Order: requests in flight; the rules of the rate limit, requests before tokens; max_tokens; the budgets as
    written; then what is always counted.
    """

    def __init__(self, policy: ResolvedPolicy) -> None:
        """Raises ValueError when a time zone of the policy is not known on this machine."""
        self._first = tuple(_rate_limits(policy))
        if policy.max_tokens > 0:
            self._first += (Limit("tokens:total", "tokens", limit=min(policy.max_tokens, HIGHEST)),)
        self._budgets = tuple(_compiled(budget) for budget in policy.budgets)
        there = {limit.key for limit in self._first} | {
            budget.counter for budget in self._budgets if budget.scope == "token"
        }
        always: tuple[Limit, ...] = (Limit("tokens:total", "tokens"), Limit("usd:total", "usd"))
        self._always = tuple(limit for limit in always if limit.key not in there)
        self._session_budget = policy.session.budget_usd

    def at(
        self, *, provider: str, session: str, now: datetime, session_budget: Decimal | None = None
    ) -> tuple[Limit, ...]:
        """The limits that hold now, in the order in which they are checked.

        provider: the one the request goes to. session: its id, the empty string for none; budgets per session
        are left out then. session_budget: USD, of a session for which the policy names none.
        """
        moment = milliseconds(now)
        found = list(self._first)
        for budget in self._budgets:
            if budget.scope == "token":
                prefix = ""
            elif budget.scope == "provider":
                prefix = f"provider:{provider.lower()}:"
            elif session:
                prefix = f"session:{session}:"
            else:
                continue
            found.append(budget.at(prefix, moment))
        found += self._always
        if session:
            most = session_budget if self._session_budget is None else self._session_budget
            key = f"session:{session}:usd:total"
            if most is not None:
                found.append(Limit(key, "usd", limit=_nano(most)))
            elif not any(limit.key == key for limit in found):
                found.append(Limit(key, "usd"))
        return tuple(found)

    def warn_at(self, limit: Limit) -> int | None:
        """Percent of a limit at which its budget gives a warning; None for what the configuration says."""
        for budget in self._budgets:
            if (budget.limit, budget.name) == (limit.limit, limit.name) and limit.key.endswith(
                budget.counter
            ):
                return budget.warn_at
        return None


@dataclass(frozen=True, slots=True)
class _Budget:
    """A budget ready for requests. counter: its key without what stands before it for a session or provider.

    always: the limit itself where it is the same for every request. periods: None but for calendar periods.
    """

    scope: str
    counter: str
    unit: Unit
    window: Window
    periods: Periods | None
    limit: int
    name: str
    refuse: bool
    warn_at: int | None
    always: Limit | None

    def at(self, prefix: str, now: int) -> Limit:
        if self.always is not None:
            return self.always
        window = self.window
        if self.periods is not None:
            start, end = self.periods.at(now)
            window = Window("calendar", start=start, end=end)
        return Limit(prefix + self.counter, self.unit, window, self.limit, self.name, self.refuse)


def _compiled(budget: Budget) -> _Budget:
    assert budget.limit is not None
    unit: Unit = "tokens" if budget.unit == "tokens" else "usd"
    window, periods = _TOTAL, None
    counter = f"{unit}:{budget.period}"
    if budget.period in PERIODS:
        periods = Periods(budget.period, zone_of(budget.timezone))
        if budget.timezone != "UTC":
            counter += f":{budget.timezone}"
    elif budget.period != "total":
        window = Window("sliding", _length(budget.period))
        counter = f"{unit}:rolling:{window.length}"
    limit = min(int(budget.limit), HIGHEST) if unit == "tokens" else _nano(budget.limit)
    refuse = budget.action == "refuse"
    always = None
    if budget.scope == "token" and periods is None:
        always = Limit(counter, unit, window, limit, budget.name, refuse)
    return _Budget(
        budget.scope, counter, unit, window, periods, limit, budget.name, refuse, budget.warn_at, always
    )


def _rate_limits(policy: ResolvedPolicy) -> Iterator[Limit]:
    rate_limit = policy.rate_limit
    if rate_limit is None:
        return
    if rate_limit.max_parallel > 0:
        yield Limit("parallel", "parallel", limit=min(rate_limit.max_parallel, HIGHEST))
    for rule in rate_limit.rules:
        if rule.requests > 0:
            yield _rate(rule, "requests", rule.requests)
        if rule.tokens > 0:
            yield _rate(rule, "tokens", rule.tokens)


def _rate(rule: RateRule, unit: Unit, limit: int) -> Limit:
    """name: the window as it is written. Whoever crosses a limit of tokens is admitted, the next is not."""
    length = _length(rule.window) if rule.window else _MINUTE
    window = Window("fixed" if rule.strategy == "fixed" else "sliding", length)
    return Limit(
        f"rate:{unit}:{window.kind}:{length}",
        unit,
        window,
        min(limit, HIGHEST),
        rule.window,
        crossing=unit == "tokens",
    )


def _length(duration: str) -> int:
    return max(1, round(parse_duration(duration) * 1000))


def _nano(usd: Decimal) -> int:
    """Billionths of a US dollar. A limit is rounded down: what is above it is above what was allowed."""
    return min(int(_EXACT.scaleb(usd, 9)), HIGHEST)


def refusal_message(denied: Denied) -> tuple[str, str]:
    """Code and message of a denial by a limit.

    The words are those of rickcrawford/tokenomics, and TokenGate's for the budget of a session.
    """
    limit = denied.limit
    assert limit is not None
    most = applied_limit(denied, limit)
    used = denied.used + denied.reserved
    if limit.unit == "parallel":
        return "rate_limited", f"rate limit exceeded: {used} concurrent requests (max {most})"
    if limit.key.startswith("rate:"):
        return "rate_limited", (
            f"rate limit exceeded: {used} {limit.unit} in {limit.name} window (max {most})"
        )
    head = f"budget {quoted(limit.name)} exceeded" if limit.name else "budget exceeded"
    if limit.unit == "tokens":
        return "budget_exceeded", f"{head}: used {used} + input {denied.asked} > limit {most}"
    remaining, required = _dollars(max(0, most - used), ROUND_FLOOR), _dollars(denied.asked, ROUND_CEILING)
    if limit.key.startswith("session:") and not limit.name:
        return "budget_exceeded", f"Budget exceeded. Remaining: {remaining}, Required: {required}"
    return "budget_exceeded", (
        f"{head}: remaining {remaining}, required {required} of {_dollars(most, ROUND_FLOOR)}"
        f" ({_period(limit)})"
    )


def applied_limit(denied: Denied, limit: Limit) -> int:
    """The limit that was applied: that of the policy, unless the store has another one."""
    applied = [each.limit for each in denied.standings if each.key == limit.key]
    if limit.limit in applied or not applied or applied[0] is None:
        return limit.limit or 0
    return applied[0]


def _period(limit: Limit) -> str:
    """How long the budget is for: ``day, UTC``."""
    if limit.window.kind == "sliding":
        return _duration(limit.window.length)
    found = re.search(rf"(?:^|:){limit.unit}:({'|'.join(PERIODS)})(?::([^:]+))?$", limit.key)
    return f"{found[1]}, {found[2] or 'UTC'}" if found else "total"


def _dollars(nano: int, rounding: str) -> str:
    return f"${Decimal(nano).scaleb(-9).quantize(Decimal('0.0001'), rounding)}"


def _duration(milliseconds: int) -> str:
    """In the largest unit that needs no fraction: ``36h``."""
    for unit, length in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds % length == 0:
            return f"{milliseconds // length}{unit}"
    return f"{milliseconds}ms"
