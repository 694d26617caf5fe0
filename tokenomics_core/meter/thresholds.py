"""Thresholds: telling when so much of a limit is used, once for each window of it."""

from __future__ import annotations

from tokenomics_core.counters.question import Limit, Settled


def crossed(limit: Limit, settled: Settled, percent: int) -> bool:
    """Whether this settlement is the one that brought the use of a limit to so many percent of it."""
    if not limit.limit:
        return False
    line = limit.limit * percent
    return settled.before * 100 < line <= settled.after * 100


def warning(limit: Limit, settled: Settled, percent: int) -> str:
    """One line for people."""
    name = f'budget "{limit.name}"' if limit.name else f"the budget {limit.key}"
    amounts = (settled.after, limit.limit or 0)
    if limit.unit == "usd":
        used, most = (f"${amount / 1e9:.4f}" for amount in amounts)
    else:
        used, most = (f"{amount:,} tokens" for amount in amounts)
    return f"{percent} % of {name} is used: {used} of {most}"
