"""What happens to the counters of a token when its record changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tokenomics_cli.command import Invocation
from tokenomics_cli.counting import have_counters, with_counters

if TYPE_CHECKING:
    from tokenomics_core.counters import Counters
    from tokenomics_core.tokens import TokenRecord


def reset(invocation: Invocation, record: TokenRecord) -> int:
    """Sets what a token used to zero, and writes it down in the ledger. The number of counters it changed.

    Raises CountersUnavailable and LedgerError.
    """
    from tokenomics_core.ledger.resets import record_reset
    from tokenomics_core.meter.periods import milliseconds

    path = invocation.config.dir / "ledger.db"
    if not have_counters(invocation) and not path.exists():
        return 0

    async def work(counters: Counters) -> int:
        at = datetime.now(UTC)
        count = await counters.reset(record.hash, now=milliseconds(at))
        await asyncio.to_thread(record_reset, path, record.hash, "", at)
        # What was used in between is in one of the two only.
        await _repair(invocation, counters, record, lambda key: True)
        return count

    return with_counters(invocation, work)


def fill(invocation: Invocation, before: TokenRecord, record: TokenRecord) -> None:
    """Counters that only the new policy has begin with what the ledger knows of their period.

    Raises CountersUnavailable and LedgerError.
    """
    now = datetime.now(UTC)
    new = _shapes(record, now) - _shapes(before, now)
    if not new or not (invocation.config.dir / "ledger.db").exists():
        return

    async def work(counters: Counters) -> None:
        await _repair(invocation, counters, record, lambda key: _shape(key) in new)

    with_counters(invocation, work)


async def _repair(
    invocation: Invocation, counters: Counters, record: TokenRecord, only: Callable[[str], bool]
) -> None:
    from tokenomics_core.ledger.repair import verify_and_repair
    from tokenomics_core.ledger.resets import read_resets
    from tokenomics_core.ledger.sums import Sums, limits_of

    path = invocation.config.dir / "ledger.db"
    # With Redis other machines may have used what this ledger does not know of.
    partial = invocation.config.session.backend == "redis"
    if limits := limits_of([record]):
        sums = Sums(limits, await asyncio.to_thread(read_resets, path), datetime.now(UTC))
        await verify_and_repair(counters, sums, [path], partial=partial, only=only)


def forget(invocation: Invocation, hashes: Iterable[str]) -> None:
    """The counters of tokens that are no more. Raises CountersUnavailable."""
    gone = list(hashes)
    if not gone or not have_counters(invocation):
        return

    async def work(counters: Counters) -> None:
        for hash in gone:
            await counters.forget(hash)

    with_counters(invocation, work)


def _shapes(record: TokenRecord, now: datetime) -> set[tuple[str, str]]:
    """What counters the policy has that a ledger can tell of, whatever the provider and the session."""
    from tokenomics_core.ledger.sums import in_ledger, limits_of

    limits = limits_of([record])
    if record.hash not in limits:
        return set()
    found = limits[record.hash].at(provider="p", session="s", now=now)
    return {_shape(limit.key) for limit in found if in_ledger(limit)}


def _shape(key: str) -> tuple[str, str]:
    from tokenomics_core.ledger.repair import scope_of

    scope, _, rest = scope_of(key)
    return scope, rest
