"""Recovery: what a process left behind that ended before its exchanges did becomes rows, and is settled.

An intent is on disk before the provider sees the request. It holds the row as it is known by then, and the
limits that the request counts against. Nobody knows what came after the last extension of a stream, and its
provider may have billed all that was reserved: so that is what the row says. Less would let a token use more
than its limits with every crash.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from tokenomics_core.counters.question import Limit, Settlement, Unsettled, Window
from tokenomics_core.counters.store import Counters
from tokenomics_core.dialects.base import Usage
from tokenomics_core.ledger.ledger import Ledger
from tokenomics_core.ledger.row import Row, pack, priced, unpack
from tokenomics_core.ledger.session_file import session_id
from tokenomics_core.meter.lease import amounts, usd
from tokenomics_core.meter.prices import Price, cost

log = logging.getLogger("tokenomics")

ENDED = "the gateway ended before the exchange did"

PriceOf = Callable[[Row, bool], Price | None]
"""The price of a row's model; the second argument: whether an unknown one is assumed."""


@dataclass(frozen=True, slots=True)
class Intent:
    """row: as it is known before the request is sent. assume: whether an unknown price is the assumed one."""

    row: Row
    limits: tuple[Limit, ...]
    assume: bool = False

    def pack(self) -> bytes:
        limits = [
            [limit.key, limit.unit, limit.window.kind, limit.window.length]
            for limit in self.limits
            if limit.unit in ("tokens", "usd")
        ]
        return b'{"assume":%s,"limits":%s,"row":%s}' % (
            b"true" if self.assume else b"false",
            orjson.dumps(limits),
            pack(self.row),
        )

    @classmethod
    def unpack(cls, data: bytes) -> Intent:
        packed: dict[str, Any] = orjson.loads(data)
        limits = (Limit(key, unit, Window(kind, length)) for key, unit, kind, length in packed["limits"])
        return cls(unpack(orjson.dumps(packed["row"])), tuple(limits), packed["assume"])


async def recover(
    counters: Counters, ledger: Ledger, alive: Callable[[str], bool], price_of: PriceOf, now: int
) -> list[Row]:
    """Writes the rows of exchanges whose process is gone, and settles them. Those rows.

    May run while others serve, and in several processes at once: a row is written once, a lease settled once.
    """
    left = await counters.unsettled(alive)
    rows: list[Row] = []
    for entry in left:
        intent = _read(entry, Intent.unpack, entry.record)
        row = await asyncio.to_thread(ledger.find, entry.id)
        if row is None:
            row = _read(entry, unpack, entry.row) if entry.row else None
            row = row or recovered(entry, intent, price_of, now)
            row.run = row.run or session_id(entry.owner)
            ledger.record(row)
        rows.append(row)
        # Without its limits a lease is left alone: it expires, and is charged what its row says.
        if intent is not None:
            used = amounts(intent.limits, row.input_tokens + row.output_tokens, row.cost_usd)
            await counters.settle(Settlement(entry.id, entry.token, now, used, pack(row)))
    if not rows:
        return rows
    if await asyncio.to_thread(ledger.flush):
        await counters.written([row.id for row in rows])
        log.warning("%d exchanges that a crash had left open were written down and settled", len(rows))
    return rows


def recovered(entry: Unsettled, intent: Intent | None, price_of: PriceOf, now: int) -> Row:
    """The row of an exchange of which only the intent is known, or not even that.

    now: milliseconds, the time of a row whose intent cannot be read.
    """
    row = intent.row if intent is not None else _bare(entry, now)
    total, money = _most(entry, "tokens:total"), _most(entry, "usd:total")
    row.recovered, row.estimated = True, True
    row.error = ENDED
    row.output_tokens = max(0, total - row.input_tokens)
    row.reserved_tokens = max(row.reserved_tokens, _amount(entry.reserved, "tokens:total"))
    price = price_of(row, intent.assume) if intent is not None else None
    if price is not None:
        bill = cost(price, Usage(row.input_tokens, row.output_tokens))
        for name, value in priced(price, bill).items():
            setattr(row, name, value)
    if usd(money) != (row.cost_usd or 0):
        # Another model may have answered, or tokens of a dearer class; or its price is known no more.
        row.cost_usd, row.cost_by_class = usd(money), {}
    for key, amount in entry.reserved:
        if key == "usd:total":
            row.reserved_usd = usd(amount)
    row.ended_at = row.started_at + timedelta(milliseconds=row.duration_ms)
    return row


def _read[T](entry: Unsettled, unpack: Callable[[bytes], T], data: bytes) -> T | None:
    """What an entry holds; None for what cannot be read. The other entries must not wait for it."""
    try:
        return unpack(data)
    except Exception as error:
        # A warning: mitmproxy ends what logs an error while it starts.
        log.warning(
            "the journal's entry of %s cannot be read (%s): what it reserved is taken as used",
            entry.id,
            type(error).__name__,
        )
        return None


def _bare(entry: Unsettled, now: int) -> Row:
    moment = datetime.fromtimestamp(now / 1000, UTC)
    return Row(entry.id, moment, moment, token_hash=entry.token)


def _most(entry: Unsettled, key: str) -> int:
    return max(_amount(entry.progress, key), _amount(entry.reserved, key))


def _amount(held: Sequence[tuple[str, int]], wanted: str) -> int:
    return next((amount for key, amount in held if key == wanted), 0)
