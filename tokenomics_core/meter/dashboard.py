"""Sessions as people see them: what each may spend, has spent, and whether it is frozen.

A session belongs to its token. A token of which no session is known is shown as one itself, with all that it
spent, under the word that TokenGate has for requests without a session. It has no budget of that kind: the
token's own are for that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from tokenomics_core.counters.question import Freeze, Seen, Used, Window
from tokenomics_core.counters.store import Counters
from tokenomics_core.meter.lease import nano, usd
from tokenomics_core.policy import PolicyError, parse
from tokenomics_core.tokens import TokenRecord

UNNAMED = "default"
"""How the session without a name, which is the token itself, is called for people."""

SPENT_WINDOW = Window()
"""Of the counter of all that a session spent. Its unit is usd."""

_TOKEN_GATE = "token"
_TOKEN_SPENT = "usd:total"
_MINUTE = 60_000
_LIKE_A_SESSION_BUDGET = ("session", "usd", "total", "refuse")

# Ids may hold colons. No id ends in something that could be the rest: a period and a zone hold none.
_COUNTER = re.compile(
    r"session:(.+):(?:tokens|usd):(?:total|rolling:[0-9]+|(?:hour|day|month)(?::[^:]+)?)", re.DOTALL
)

type BudgetOf = Callable[[str], int | None]
"""The budget of each session of a token, where none was set by hand; None for no limit."""


@dataclass(frozen=True, slots=True)
class SessionView:
    """One session of one token; id is empty for the token itself. Amounts are billionths of a US dollar.

    budget: None for no limit. requests: in the last minute, as far as the session is watched.
    """

    token: str
    id: str
    budget: int | None = None
    spent: int = 0
    reserved: int = 0
    freeze: Freeze | None = None
    requests: int = 0

    @property
    def name(self) -> str:
        return self.id or UNNAMED

    @property
    def gate(self) -> str:
        return gate_key(self.id)

    @property
    def remaining(self) -> int | None:
        """What is reserved still counts as there: some of it comes back."""
        return None if self.budget is None else max(0, self.budget - self.spent)

    @property
    def percentage_used(self) -> float:
        return round(100 * self.spent / self.budget, 4) if self.budget else 0.0


def gate_key(id: str) -> str:
    """The key of the freeze that closes a session."""
    return f"session:{id}" if id else _TOKEN_GATE


def spent_key(id: str) -> str:
    """The key of the counter of all that a session spent; its override is the budget set by hand."""
    return f"session:{id}:usd:total"


def session_of(key: str) -> str:
    """The session to which a counter belongs; the empty string where it belongs to none."""
    found = _COUNTER.fullmatch(key)
    return found[1] if found else ""


def budgets_of(records: Iterable[TokenRecord], default: Decimal | None) -> BudgetOf:
    """The lowest of what each policy says. default: of the configuration, where no policy says anything."""
    budgets: dict[str, int] = {}
    for record in records:
        try:
            policy = parse(record.policy_text)
        except PolicyError:
            continue
        said = default if policy.session.budget_usd is None else policy.session.budget_usd
        amounts = [said] + [
            budget.limit
            for budget in policy.budgets
            if (budget.scope, budget.unit, budget.period, budget.action) == _LIKE_A_SESSION_BUDGET
        ]
        known = [nano(amount) for amount in amounts if amount is not None]
        if known:
            budgets[record.hash] = min(known)
    otherwise = None if default is None else nano(default)
    return lambda token: budgets.get(token, otherwise)


def views_of(used: Iterable[Used], frozen: Iterable[Freeze], budget_of: BudgetOf) -> list[SessionView]:
    """All sessions that have spent or reserved something, have a budget set by hand, or are frozen; by name.

    A token itself is there as long as no session of it is, and while it is frozen.
    """
    views: dict[tuple[str, str], SessionView] = {}
    whole: list[Used] = []
    for each in used:
        known = bool(each.used or each.reserved or each.override is not None)
        if each.key == _TOKEN_SPENT and known:
            whole.append(each)
        id = session_of(each.key)
        if id and known and each.key == spent_key(id):
            budget = budget_of(each.token) if each.override is None else each.override
            views[each.token, id] = SessionView(each.token, id, budget, each.used, each.reserved)
    named = {token for token, _ in views}
    for each in whole:
        # Beside its sessions, which are in its sum, it would count twice.
        if each.token not in named:
            views[each.token, ""] = SessionView(each.token, "", None, each.used, each.reserved)
    for freeze in frozen:
        kind, _, id = freeze.key.partition(":")
        if freeze.key != _TOKEN_GATE and kind != "session":
            continue
        view = views.get((freeze.token, id))
        if view is None:
            view = SessionView(freeze.token, id, budget_of(freeze.token) if id else None)
        views[freeze.token, id] = replace(view, freeze=freeze)
    return sorted(views.values(), key=lambda view: (view.name, view.token))


async def read_sessions(counters: Counters, now: int, budget_of: BudgetOf) -> list[SessionView]:
    """All sessions, from the store. now: milliseconds. Raises CountersUnavailable."""
    return views_of(await counters.usage(now=now), await counters.frozen(now=now), budget_of)


async def with_requests(counters: Counters, view: SessionView, now: int) -> SessionView:
    """The session, and its requests in the last minute. Raises CountersUnavailable."""
    seen = await counters.history(view.token, view.gate, now=now)
    return replace(view, requests=requests_in_last_minute(seen, now))


def requests_in_last_minute(seen: Sequence[Seen], now: int) -> int:
    return sum(each.at > now - _MINUTE for each in seen)


async def reset(counters: Counters, token: str, id: str, now: int, *, keep_budget: bool = False) -> None:
    """Nothing was spent in the session, and nothing is set by hand. What is reserved stays reserved.

    Counter by counter: ids hold colons, and what begins like one session may belong to another.
    Raises CountersUnavailable.
    """
    for each in await counters.usage(token, now=now, prefix=f"session:{id}:"):
        if session_of(each.key) == id:
            await counters.put(token, each.key, 0, unit=each.unit, window=each.window, now=now)
            if each.override is not None and not keep_budget:
                await counters.set_limit(token, each.key, None, unit=each.unit, window=each.window)


def session_json(view: SessionView) -> dict[str, Any]:
    """One session as TokenGate words it, and whose it is. Amounts are dollars; null is no limit."""
    return {
        "session_id": view.name,
        "token": view.token,
        "budget": dollars(view.budget),
        "spent": dollars(view.spent),
        "remaining": dollars(view.remaining),
        "percentage_used": view.percentage_used,
        "is_frozen": view.freeze is not None,
        "freeze_reason": view.freeze.reason if view.freeze else None,
        "requests_last_minute": view.requests,
    }


def sessions_json(views: Sequence[SessionView]) -> dict[str, Any]:
    return {"sessions": [session_json(view) for view in views], "total_sessions": len(views)}


def stats_json(views: Sequence[SessionView]) -> dict[str, Any]:
    """Budgets, and what remains of them, are sums over the sessions that have one."""
    frozen = sum(view.freeze is not None for view in views)
    return {
        "total_sessions": len(views),
        "frozen_sessions": frozen,
        "active_sessions": len(views) - frozen,
        "total_budget": dollars(sum(view.budget or 0 for view in views)),
        "total_spent": dollars(sum(view.spent for view in views)),
        "total_remaining": dollars(sum(view.remaining or 0 for view in views)),
    }


def dollars(amount: int | None) -> float | None:
    return None if amount is None else float(usd(amount))
