"""Budgets: what is left of each, for a gauge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tokenomics_core.counters.question import Used
from tokenomics_core.meter.lease import usd
from tokenomics_core.meter.overview import overview
from tokenomics_core.policy import PolicyError
from tokenomics_core.tokens import TokenRecord

MOST_TOKENS = 500
"""Tokens whose budgets are shown."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """amount: US dollars or tokens, by unit. scope: ``token``, or ``provider:`` and its name."""

    token: str
    unit: str
    period: str
    scope: str
    amount: Decimal | int


def remaining(
    records: Iterable[TokenRecord], used: Iterable[Used], now: datetime, *, most: int = MOST_TOKENS
) -> list[Remaining]:
    """What is left of the budgets of tokens that have used something, of the first so many by their hash.

    used: the counters of all tokens. Of budgets with the same unit, period and scope, the one with the least
    left. Sessions have none here: there is no end of them. Policies that are not valid any more are left out.
    """
    of_token: dict[str, list[Used]] = {}
    for each in used:
        of_token.setdefault(each.token, []).append(each)
    known = sorted((record for record in records if record.hash in of_token), key=lambda record: record.hash)
    found: dict[tuple[str, str, str, str], Decimal | int] = {}
    for record in known[:most]:
        try:
            lines = overview(record.policy, of_token[record.hash], now)
        except (PolicyError, ValueError):
            continue
        for line in lines:
            # The token rules of a rate limit are no budgets.
            if line.remaining is None or line.limit.unit not in ("tokens", "usd") or line.limit.crossing:
                continue
            scope = f"provider:{line.of}" if line.scope == "provider" else line.scope
            key = (record.hash, line.limit.unit, line.period, scope)
            amount = usd(line.remaining) if line.limit.unit == "usd" else line.remaining
            found[key] = min(amount, found.get(key, amount))
    return [Remaining(*key, amount) for key, amount in found.items()]
