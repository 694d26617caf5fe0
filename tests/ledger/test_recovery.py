"""What a process left in its journal becomes rows, each once, and is settled with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.ledger.build import START, TOKEN_HASH, a_row
from tests.support.memory_counters import MemoryCounters
from tokenomics_core.counters.question import Claim, Extension, Granted, Limit, Question, Settlement, Window
from tokenomics_core.ledger import Ledger, Row
from tokenomics_core.ledger.recovery import ENDED, Intent, recover
from tokenomics_core.ledger.row import pack
from tokenomics_core.meter.lease import amounts, nano
from tokenomics_core.meter.prices import Price, assumed

NOW = int(START.timestamp() * 1000)
EXPIRES = NOW + 60_000
DAY = Limit("tokens:day", "tokens", Window("calendar", 0, NOW - 1000, NOW + 10**8))
LIMITS = (
    Limit("tokens:total", "tokens", limit=100_000),
    Limit("usd:total", "usd"),
    DAY,
    Limit("parallel", "parallel", limit=100),
)
INPUT = 20
RATE = 10_000
"""Billionths of a US dollar for one token of output; PRICE says the same."""

PRICE = replace(assumed("1", "10"), id="config:gpt-4o", source="config")
ASSUMED = assumed("30", "60")


def price_of(row: Row, assume: bool) -> Price | None:
    return PRICE if row.model == "gpt-4o" else ASSUMED if assume else None


def gone(owner: str) -> bool:
    return False


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "data" / "ledger.db")
    yield ledger
    ledger.close()


@pytest.fixture
def counters() -> MemoryCounters:
    return MemoryCounters()


def an_intent(number: int, **changes: Any) -> Row:
    """The row as it is known before the request is sent."""
    unknown: dict[str, Any] = {
        "ended_at": a_row(number).started_at,
        "duration_ms": 0,
        "status": 0,
        "upstream_status": 0,
        "input_tokens": INPUT,
        "output_tokens": 0,
        "estimated": True,
        "cached_input_tokens": None,
        "reasoning_tokens": None,
        "actual_model": "",
        "finish_reason": "",
        "upstream_id": "",
        "upstream_request_id": "",
        "attempts": [],
        "response_bytes": 0,
        "run": "gone",
    }
    return a_row(number, **unknown | changes)


async def reserve(
    counters: MemoryCounters,
    number: int = 1,
    *,
    tokens: int = 100,
    rate: int = RATE,
    assume: bool = False,
    record: bytes | None = None,
    **changes: Any,
) -> Row:
    """Opens an entry for an exchange with so many tokens of output. Its row, as the intent has it."""
    row = an_intent(number, **changes)
    claims = (
        Claim(LIMITS[0], INPUT, 1),
        Claim(LIMITS[1], INPUT * rate // 10, rate),
        Claim(LIMITS[2], INPUT, 1),
        Claim(LIMITS[3], 1),
    )
    answer = await counters.ask(
        Question(
            row.id,
            TOKEN_HASH,
            NOW,
            EXPIRES,
            claims,
            want=tokens,
            record=Intent(row, LIMITS, assume).pack() if record is None else record,
        )
    )
    assert isinstance(answer, Granted)
    return row


async def settle(counters: MemoryCounters, row: Row) -> None:
    """As a gateway does that is killed before its ledger has written the row."""
    used = amounts(LIMITS, row.input_tokens + row.output_tokens, row.cost_usd)
    await counters.settle(Settlement(row.id, TOKEN_HASH, NOW, used, pack(row)))
    counters.journal[row.id] = replace(counters.journal[row.id], row=pack(row))


def counted(counters: MemoryCounters) -> dict[str, tuple[int, int]]:
    """Used and reserved, by key."""
    return {key: (each.settled, each.reserved) for key, each in counters.state(TOKEN_HASH).counters.items()}


def booked(rows: list[Row]) -> dict[str, tuple[int, int]]:
    """What the counters have to say of these rows when nothing is under way."""
    tokens = sum(row.input_tokens + row.output_tokens for row in rows)
    spent = sum(nano(row.cost_usd) for row in rows if row.cost_usd is not None)
    return {
        "tokens:total": (tokens, 0),
        "tokens:day": (tokens, 0),
        "usd:total": (spent, 0),
        "parallel": (0, 0),
    }


def in_ledger(ledger: Ledger) -> list[Row]:
    assert ledger.flush()
    return list(ledger.rows())


def assert_settled(counters: MemoryCounters, ledger: Ledger) -> None:
    assert counters.journal == {}
    assert counters.state(TOKEN_HASH).leases == {}
    assert counted(counters) == booked(in_ledger(ledger))


async def test_nothing_was_left(counters: MemoryCounters, ledger: Ledger) -> None:
    assert await recover(counters, ledger, gone, price_of, NOW) == []
    assert in_ledger(ledger) == []


async def test_only_the_intent_is_known(counters: MemoryCounters, ledger: Ledger) -> None:
    intent = await reserve(counters)
    (row,) = await recover(counters, ledger, gone, price_of, NOW + 5000)
    assert row == replace(
        intent,
        output_tokens=100,
        estimated=True,
        error=ENDED,
        recovered=True,
        cost_usd=Decimal("0.00102"),
        cost_by_class={"input": "0.000020", "output": "0.001000"},
        price_id="config:gpt-4o",
        price_source="config",
        reserved_tokens=120,
        reserved_usd=Decimal("0.00102"),
    )
    assert in_ledger(ledger) == [replace(row, run="gone")]
    assert_settled(counters, ledger)


async def test_a_stream_is_billed_at_all_that_was_reserved_for_it(
    counters: MemoryCounters, ledger: Ledger
) -> None:
    intent = await reserve(counters)
    claims = (Claim(LIMITS[0], 0, 1), Claim(LIMITS[1], 0, RATE), Claim(LIMITS[2], 0, 1))
    progress = (("tokens:total", INPUT + 90), ("usd:total", 920_000), ("tokens:day", INPUT + 90))
    await counters.extend(Extension(intent.id, TOKEN_HASH, NOW, EXPIRES, claims, 200, progress=progress))
    held = counters.state(TOKEN_HASH).leases[intent.id].holds
    counters.journal[intent.id] = replace(
        counters.journal[intent.id],
        granted=300,
        reserved=tuple((hold.key, hold.amount) for hold in held),
        progress=progress,
    )
    (row,) = await recover(counters, ledger, gone, price_of, NOW)
    # What came after the extension is not known; it may have been all of it.
    assert (row.input_tokens, row.output_tokens, row.reserved_tokens) == (INPUT, 300, 320)
    assert row.cost_usd == row.reserved_usd == Decimal("0.00302")
    assert_settled(counters, ledger)


async def test_what_was_seen_beyond_the_reserve_counts(counters: MemoryCounters, ledger: Ledger) -> None:
    intent = await reserve(counters)
    counters.journal[intent.id] = replace(
        counters.journal[intent.id], progress=(("tokens:total", INPUT + 103), ("usd:total", 1_050_000))
    )
    (row,) = await recover(counters, ledger, gone, price_of, NOW)
    assert (row.output_tokens, row.reserved_tokens) == (103, 120)
    assert (row.cost_usd, row.reserved_usd) == (Decimal("0.00105"), Decimal("0.00102"))
    assert_settled(counters, ledger)


async def test_the_row_of_a_settled_exchange_is_written_as_it_was(
    counters: MemoryCounters, ledger: Ledger
) -> None:
    await reserve(counters)
    row = a_row(1, cost_usd=Decimal("0.0072"), price_id="config:gpt-4o")
    await settle(counters, row)
    assert await recover(counters, ledger, gone, price_of, NOW) == [replace(row, run="gone")]
    assert in_ledger(ledger) == [replace(row, run="gone")]
    assert_settled(counters, ledger)


async def test_a_row_whose_settlement_never_was(counters: MemoryCounters, ledger: Ledger) -> None:
    """With Redis the row is in the journal before the counters are told."""
    await reserve(counters)
    row = a_row(1, cost_usd=Decimal("0.0072"))
    counters.journal[row.id] = replace(counters.journal[row.id], row=pack(row))
    assert await recover(counters, ledger, gone, price_of, NOW) == [replace(row, run="gone")]
    assert_settled(counters, ledger)


@pytest.mark.parametrize("settled", [True, False])
async def test_a_row_that_the_ledger_has_stays_the_only_one(
    counters: MemoryCounters, ledger: Ledger, settled: bool
) -> None:
    await reserve(counters)
    row = a_row(1, cost_usd=Decimal("0.0072"))
    ledger.record(row)
    assert ledger.flush()
    if settled:
        await settle(counters, row)
    assert await recover(counters, ledger, gone, price_of, NOW) == [row]
    assert in_ledger(ledger) == [row]
    assert_settled(counters, ledger)


async def test_what_was_recovered_is_not_recovered_again(counters: MemoryCounters, ledger: Ledger) -> None:
    for number in range(5):
        await reserve(counters, number)
    assert len(await recover(counters, ledger, gone, price_of, NOW)) == 5
    assert await recover(counters, ledger, gone, price_of, NOW) == []
    assert len(in_ledger(ledger)) == 5
    assert_settled(counters, ledger)


async def test_two_recover_at_once(counters: MemoryCounters, ledger: Ledger, tmp_path: Path) -> None:
    for number in range(10):
        await reserve(counters, number)
        if number % 3 == 0:
            await settle(counters, a_row(number, cost_usd=Decimal("0.0072")))
    other = Ledger(tmp_path / "data" / "ledger.db")
    try:
        both = await asyncio.gather(
            recover(counters, ledger, gone, price_of, NOW), recover(counters, other, gone, price_of, NOW)
        )
    finally:
        other.close()
    assert [len(rows) for rows in both] == [10, 10]
    assert len(in_ledger(ledger)) == 10
    assert_settled(counters, ledger)


async def test_a_recovery_that_is_broken_off_is_gone_on_with(
    counters: MemoryCounters, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        await reserve(counters, number)
    settle, left = counters.settle, [2]

    async def breaking(settlement: Settlement) -> Any:
        if not left[0]:
            raise RuntimeError("the process ends here")
        left[0] -= 1
        return await settle(settlement)

    monkeypatch.setattr(counters, "settle", breaking)
    with pytest.raises(RuntimeError):
        await recover(counters, ledger, gone, price_of, NOW)
    assert len(counters.journal) == 4
    left[0] = 100
    assert len(await recover(counters, ledger, gone, price_of, NOW)) == 4
    assert len(in_ledger(ledger)) == 4
    assert_settled(counters, ledger)


async def test_who_is_alive_is_left_alone(counters: MemoryCounters, ledger: Ledger) -> None:
    here, there = await reserve(counters, 1), await reserve(counters, 2)
    counters.journal[here.id] = replace(counters.journal[here.id], owner="alive")
    (row,) = await recover(counters, ledger, lambda owner: owner == "alive", price_of, NOW)
    assert row.id == there.id
    assert list(counters.journal) == list(counters.state(TOKEN_HASH).leases) == [here.id]
    assert counted(counters)["tokens:total"] == (120, 120)


async def test_a_lease_that_was_charged_meanwhile_is_counted_once(
    counters: MemoryCounters, ledger: Ledger
) -> None:
    intent = await reserve(counters)
    await reserve_and_settle_later(counters)
    assert counters.state(TOKEN_HASH).leases[intent.id].charged
    await recover(counters, ledger, gone, price_of, EXPIRES + 2000)
    assert_settled(counters, ledger)


async def reserve_and_settle_later(counters: MemoryCounters) -> None:
    """Another request, after all leases have expired; it is settled with nothing and leaves no entry."""
    asked = Question("later", TOKEN_HASH, EXPIRES + 1000, EXPIRES + 9000, (Claim(LIMITS[0], 1),))
    await counters.ask(asked)
    await counters.settle(Settlement("later", TOKEN_HASH, EXPIRES + 1000, ()))
    await counters.written(["later"])


@pytest.mark.parametrize(
    ("model", "assume", "rate", "cost", "id"),
    [
        ("gpt-4o", False, 10_000, "0.00102", "config:gpt-4o"),
        ("gpt-4o", True, 10_000, "0.00102", "config:gpt-4o"),
        # The dearest of the models that may answer is what was reserved.
        ("gpt-4o", False, 50_000, "0.0051", "config:gpt-4o"),
        ("unheard-of", True, 60_000, "0.00612", "assumed:30/60"),
        # It had a price when it was sent.
        ("unheard-of", False, 10_000, "0.00102", ""),
        ("unheard-of", False, 0, None, ""),
        # What no provider bills, such as counting tokens, is reserved at nothing.
        ("gpt-4o", False, 0, "0", "config:gpt-4o"),
    ],
)
async def test_what_it_cost(
    counters: MemoryCounters,
    ledger: Ledger,
    model: str,
    assume: bool,
    rate: int,
    cost: str | None,
    id: str,
) -> None:
    await reserve(counters, rate=rate, assume=assume, model=model)
    (row,) = await recover(counters, ledger, gone, price_of, NOW)
    assert row.cost_usd == (None if cost is None else Decimal(cost))
    assert row.price_id == id
    classes = sum(map(Decimal, row.cost_by_class.values()))
    assert classes in (0, row.cost_usd)
    assert_settled(counters, ledger)


BROKEN = {
    "empty JSON": b"{}",
    "cut": b'{"assume":false,"limits":[["tokens:total","tok',
    "not JSON": b"\x00\xff",
    "another shape": b'{"assume":false,"limits":[[1]],"row":{}}',
    "a row without times": b'{"assume":false,"limits":[],"row":{"id":"req_1"}}',
}


@pytest.mark.parametrize("record", BROKEN.values(), ids=BROKEN)
async def test_an_intent_that_cannot_be_read_holds_up_nobody(
    counters: MemoryCounters, ledger: Ledger, record: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    first = await reserve(counters, 1)
    broken = await reserve(counters, 2, record=record)
    last = await reserve(counters, 3)
    with caplog.at_level(logging.WARNING, "tokenomics"):
        rows = await recover(counters, ledger, gone, price_of, NOW)
    assert [row.id for row in rows] == [first.id, broken.id, last.id]
    assert f"the journal's entry of {broken.id} cannot be read" in caplog.text
    row = in_ledger(ledger)[1]
    assert row == Row(
        broken.id,
        started_at=datetime.fromtimestamp(NOW / 1000, UTC),
        ended_at=datetime.fromtimestamp(NOW / 1000, UTC),
        token_hash=TOKEN_HASH,
        error=ENDED,
        output_tokens=120,
        estimated=True,
        cost_usd=Decimal("0.00102"),
        reserved_tokens=120,
        reserved_usd=Decimal("0.00102"),
        recovered=True,
        run="gone",
    )
    # It is said once. The lease expires, and is charged the same.
    assert counters.journal == {}
    await reserve_and_settle_later(counters)
    assert counted(counters) == booked(in_ledger(ledger))


async def test_a_settled_row_that_cannot_be_read_is_made_from_the_intent(
    counters: MemoryCounters, ledger: Ledger
) -> None:
    intent = await reserve(counters)
    counters.journal[intent.id] = replace(counters.journal[intent.id], row=b'{"id":')
    (row,) = await recover(counters, ledger, gone, price_of, NOW)
    assert (row.id, row.recovered, row.output_tokens) == (intent.id, True, 100)
    assert_settled(counters, ledger)


async def test_the_row_is_enough_where_the_intent_cannot_be_read(
    counters: MemoryCounters, ledger: Ledger
) -> None:
    await reserve(counters, record=b"{")
    row = a_row(1, cost_usd=Decimal("0.0072"))
    await settle(counters, row)
    assert await recover(counters, ledger, gone, price_of, NOW) == [replace(row, run="gone")]
    assert_settled(counters, ledger)


async def test_entries_stay_until_the_ledger_can_write(
    counters: MemoryCounters, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = await reserve(counters)
    monkeypatch.setattr(ledger, "flush", lambda: False)
    await recover(counters, ledger, gone, price_of, NOW)
    assert list(counters.journal) == [intent.id]
    monkeypatch.undo()
    await recover(counters, ledger, gone, price_of, NOW)
    assert len(in_ledger(ledger)) == 1
    assert_settled(counters, ledger)


def test_an_intent_is_unpacked_as_it_was_packed() -> None:
    intent = Intent(an_intent(1), LIMITS, assume=True)
    again = Intent.unpack(intent.pack())
    assert (again.row, again.assume) == (intent.row, True)
    # Only what is counted in tokens and money is settled; what the limit is does not matter then.
    assert [(limit.key, limit.unit, limit.window.kind) for limit in again.limits] == [
        ("tokens:total", "tokens", "total"),
        ("usd:total", "usd", "total"),
        ("tokens:day", "tokens", "calendar"),
    ]
