"""What an answer says of its limits and of its cost, in header fields."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from tokenomics_core.counters.question import Standing
from tokenomics_core.exchange import Exchange
from tokenomics_core.meter.lease import Lease, usd

COST = "x-tokenomics-cost-usd"
REMAINING = "x-tokenomics-budget-remaining"
UNIT = "x-tokenomics-budget-unit"
CAP = "x-tokenomics-output-cap"


def standing_headers(exchange: Exchange, now: int) -> dict[str, str]:
    """As known when the answer begins: the rate limits by OpenAI's names, the budget, a lowered output cap.

    now: milliseconds. Where the policy limits no rates, the provider's own fields stay what they are.
    """
    lease = exchange.lease
    if lease is None:
        return {}
    headers: dict[str, str] = {}
    for unit in ("requests", "tokens"):
        tightest = _tightest(each for each in lease.standings if each.key.startswith(f"rate:{unit}:"))
        if tightest is not None and tightest.limit is not None:
            headers[f"x-ratelimit-limit-{unit}"] = str(tightest.limit)
            headers[f"x-ratelimit-remaining-{unit}"] = str(tightest.remaining)
            headers[f"x-ratelimit-reset-{unit}"] = _duration(max(0, (tightest.resets_at or now) - now))
    headers |= _remaining(lease)
    if exchange.output_cap is not None:
        headers[CAP] = str(exchange.output_cap)
    return headers


def settled_headers(exchange: Exchange) -> dict[str, str]:
    """As known when the answer is whole: what it cost, and what is left."""
    headers: dict[str, str] = {}
    if exchange.cost is not None:
        headers[COST] = f"{exchange.cost:f}"
    if exchange.lease is not None:
        headers |= _remaining(exchange.lease)
    return headers


def _remaining(lease: Lease) -> dict[str, str]:
    """Of the budgets that refuse, the one of which the smallest part is left."""
    units = {claim.limit.key: claim.limit.unit for claim in lease.claims if claim.limit.refuse}
    budgets = (
        each
        for each in lease.standings
        if units.get(each.key) in ("tokens", "usd") and not each.key.startswith("rate:")
    )
    tightest = _tightest(budgets)
    if tightest is None or tightest.remaining is None:
        return {}
    if units[tightest.key] == "usd":
        return {REMAINING: f"{usd(tightest.remaining):f}", UNIT: "usd"}
    return {REMAINING: str(tightest.remaining), UNIT: "tokens"}


def _tightest(standings: Iterable[Standing]) -> Standing | None:
    limited = [each for each in standings if each.limit is not None]
    return min(limited, key=lambda each: Fraction(each.remaining or 0, each.limit or 1), default=None)


def _duration(milliseconds: int) -> str:
    """As OpenAI writes it: ``12ms``, ``6m0s``, ``1.5s``."""
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    seconds = milliseconds / 1000
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
