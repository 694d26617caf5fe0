"""Repair: the ledger is the truth, and counters that say something else are made anew from it.

It may be done while requests are served. A settlement is in the counters and in the journal before its row
is in the ledger, so both are read between two looks at the counters: what came meanwhile is no difference.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenomics_core.counters.question import Unit, Used, Window
from tokenomics_core.counters.store import Counters
from tokenomics_core.ledger.row import unpack
from tokenomics_core.ledger.sums import Expected, Sums, used
from tokenomics_core.meter.periods import milliseconds

ROUNDS = 20
"""How often a repair looks again: what was settled in the moment of a repair is put right in the next."""

# Names may hold colons. None ends in something that could be the rest: a period and a zone hold none.
_SCOPED = re.compile(
    r"(session|provider):(.*):((?:tokens|usd):(?:total|rolling:[0-9]+|(?:hour|day|month)(?::[^:]+)?))",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One counter that is not what the ledger says. Amounts as in `counters.question`."""

    token: str
    key: str
    ledger: int
    counter: int
    reserved: int
    unit: Unit
    window: Window


@dataclass(frozen=True, slots=True)
class Verified:
    """checked: how many counters were compared. open: tokens with requests under way."""

    differences: tuple[Difference, ...]
    checked: int
    open: tuple[str, ...]


def scope_of(key: str) -> tuple[str, str, str]:
    """``session``, ``provider`` or the empty string; the name of that; the key without both."""
    found = _SCOPED.fullmatch(key)
    return (found[1], found[2], found[3]) if found else ("", "", key)


def compare(
    expected: Mapping[tuple[str, str], Expected],
    before: Iterable[Used],
    after: Iterable[Used],
    *,
    partial: bool = False,
) -> list[Difference]:
    """The counters that differ, by token and key.

    before, after: the counters, looked at before and after the ledger was read. partial: the ledger does not
    have all rows, so that a counter may say more.
    """
    first = {(each.token, each.key): each for each in before}
    last = {(each.token, each.key): each for each in after}
    differences = []
    for (token, key), each in sorted(expected.items()):
        then, now = first.get((token, key)), last.get((token, key))
        if now is not None and now.window.start > each.window.start:
            # A new period has begun since.
            continue
        low, high = then.used if then else 0, now.used if now else 0
        if high < each.least or (min(low, high) > each.most and not partial):
            reserved = now.reserved if now else 0
            differences.append(Difference(token, key, each.ledger, high, reserved, each.unit, each.window))
    return differences


async def repair(counters: Counters, differences: Iterable[Difference], now: int) -> None:
    """Sets the counters to what the ledger says. Raises CountersUnavailable."""
    for each in differences:
        await counters.put(each.token, each.key, each.ledger, unit=each.unit, window=each.window, now=now)


async def verify(
    counters: Counters, sums: Sums, ledgers: Sequence[Path], *, partial: bool = False
) -> Verified:
    """Compares the counters with the ledgers. Called again, it only reads the rows that are new.

    Raises CountersUnavailable and LedgerError.
    """
    now, tokens = milliseconds(sums.now), set(sums.limits)
    only = next(iter(tokens)) if len(tokens) == 1 else ""
    before = await counters.usage(only, now=now)
    # Every entry: of those that run too.
    journal = await counters.unsettled(lambda owner: False)
    known: set[str] = set()
    for path in ledgers:
        known |= await asyncio.to_thread(sums.read, path, [entry.id for entry in journal])
    after = await counters.usage(only, now=now)
    for each in after:
        scope, name, _ = scope_of(each.key)
        if scope and each.used and each.token in tokens:
            sums.know(each.token, **{scope: name})
    expected = sums.expected(
        [used(unpack(entry.row)) for entry in journal if entry.row and entry.id not in known],
        [entry for entry in journal if not entry.row and entry.id not in known],
    )
    return Verified(
        tuple(compare(expected, before, after, partial=partial)),
        len(expected),
        tuple(sorted({each.token for each in after if each.reserved} & tokens)),
    )


async def verify_and_repair(
    counters: Counters,
    sums: Sums,
    ledgers: Sequence[Path],
    *,
    partial: bool = False,
    only: Callable[[str], bool] = lambda key: True,
) -> tuple[Verified, Verified]:
    """Repairs until nothing differs: what was found first, and what is left. only: of which keys.

    Raises CountersUnavailable and LedgerError.
    """
    # The first look takes as long as the ledger is big. What it finds is looked at once more, quickly.
    await verify(counters, sums, ledgers, partial=partial)
    first = left = await verify(counters, sums, ledgers, partial=partial)
    for _ in range(ROUNDS):
        wrong = [each for each in left.differences if only(each.key)]
        if not wrong:
            break
        await repair(counters, wrong, milliseconds(sums.now))
        left = await verify(counters, sums, ledgers, partial=partial)
    return first, left
