"""Overview: each limit of a token as it stands now, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tokenomics_core.counters.question import Limit, Used
from tokenomics_core.ledger.repair import scope_of
from tokenomics_core.meter.limits import Limits
from tokenomics_core.policy import CompiledPolicy


@dataclass(frozen=True, slots=True)
class Line:
    """One limit and its counter. Amounts as in `counters.question`; what waits for its end is in flight.

    scope: ``token``, ``provider`` or ``session``, and `of` the name of the latter two.
    period: as a policy writes it; timezone: of a calendar period, else empty.
    budget: None for what is counted without a limit. set_by_hand: the store's own limit, not the policy's.
    resets_at: milliseconds, when nothing of what is used counts any more; None for never, or not known.
    """

    limit: Limit
    scope: str
    of: str
    period: str
    timezone: str
    budget: int | None
    used: int
    reserved: int
    set_by_hand: bool
    resets_at: int | None

    @property
    def remaining(self) -> int | None:
        return None if self.budget is None else max(0, self.budget - self.used - self.reserved)

    @property
    def percent(self) -> float | None:
        """Of the budget, used and reserved; None without one."""
        if self.budget is None:
            return None
        taken = self.used + self.reserved
        return round(100 * taken / self.budget, 1) if self.budget else (100.0 if taken else 0.0)


def overview(
    policy: CompiledPolicy,
    used: Iterable[Used],
    now: datetime,
    *,
    session_budget: Decimal | None = None,
    sessions: bool = False,
) -> list[Line]:
    """The limits of one token: its own, then those of each provider and, if asked for, each session.

    used: its counters, which also say which providers and sessions there are. session_budget: USD, where the
    policy names none. Raises ValueError when a time zone of the policy is not known on this machine.
    """
    counters = {each.key: each for each in used}
    scopes = {scope_of(key)[:2] for key in counters}
    providers = {name for scope, name in scopes if scope == "provider"}
    providers |= {name.lower() for name in policy.policy.providers}
    places = [("", ""), *(("provider", name) for name in sorted(providers))]
    if sessions:
        places += [("session", name) for name in sorted(name for scope, name in scopes if scope == "session")]
    whole = policy.resolve_global()
    general = Limits(whole).at(provider="", session="", now=now)
    lines: list[Line] = []
    for scope, name in places:
        # An entry of a provider may have a max_tokens of its own, which looks at the same counter.
        resolved = policy.resolve_provider(name) if scope == "provider" else whole
        limits = Limits(resolved).at(
            provider=name if scope == "provider" else "",
            session=name if scope == "session" else "",
            now=now,
            session_budget=session_budget,
        )
        for limit in limits:
            capped = limit.key == "tokens:total" and limit.limit is not None and limit not in general
            if scope_of(limit.key)[:2] == (scope, name) or (scope == "provider" and capped):
                lines.append(_line(limit, scope, name, counters))
    return lines


def _line(limit: Limit, scope: str, name: str, counters: Mapping[str, Used]) -> Line:
    counter = counters.get(limit.key)
    same = counter is not None and (
        limit.window.kind != "calendar" or counter.window.start >= limit.window.start
    )
    override = counter.override if counter else None
    rest = scope_of(limit.key)[2].split(":")
    if limit.window.kind == "calendar":
        period, timezone = rest[1], rest[2] if len(rest) > 2 else "UTC"
    elif limit.unit == "parallel":
        period, timezone = "in flight", ""
    else:
        period = "total" if limit.window.kind == "total" else _duration(limit.window.length)
        timezone = ""
    return Line(
        limit,
        scope or "token",
        name,
        period,
        timezone,
        limit.limit if override is None else override,
        counter.used if counter and same else 0,
        counter.reserved if counter else 0,
        override is not None,
        limit.window.end if limit.window.kind == "calendar" else None,
    )


def _duration(milliseconds: int) -> str:
    """In the largest unit that needs no fraction: ``36h``."""
    for unit, length in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds % length == 0:
            return f"{milliseconds // length}{unit}"
    return f"{milliseconds}ms"
