from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.build import a_row
from tokenomics_core.counters.question import Claim, Limit, Question, Settlement, Used, Window
from tokenomics_core.counters.sqlite import SqliteCounters
from tokenomics_core.ledger.database import insert_rows, open_for_writing
from tokenomics_core.ledger.repair import Difference, compare, repair, scope_of, verify, verify_and_repair
from tokenomics_core.ledger.resets import read_resets, record_reset
from tokenomics_core.ledger.row import Row, pack
from tokenomics_core.ledger.sums import Sums
from tokenomics_core.meter.limits import Limits
from tokenomics_core.meter.periods import milliseconds
from tokenomics_core.policy import compile, parse

NOW = datetime(2026, 3, 15, 12, 34, 56, 789000, tzinfo=UTC)
HOUR = datetime(2026, 3, 15, 12, tzinfo=UTC)
DAY = datetime(2026, 3, 15, tzinfo=UTC)
BERLIN_MONTH = datetime(2026, 2, 28, 23, tzinfo=UTC)
ROLLING = timedelta(hours=24)
ROLLING_KEY = "tokens:rolling:86400000"
POLICY = """{"base_key_env": "K", "max_tokens": 100, "budgets": [
    {"limit": 5, "period": "day"},
    {"limit": 5, "period": "month", "timezone": "Europe/Berlin", "scope": "provider"},
    {"limit": 5, "unit": "tokens", "period": "24h"},
    {"limit": 5, "unit": "tokens", "period": "hour", "scope": "session"}
]}"""


def limits_of(text: str = POLICY) -> Limits:
    return Limits(compile(parse(text)).resolve_global())


LIMITS = {"a": limits_of(), "b": limits_of()}


def nano(cost: Decimal | None) -> int:
    return 0 if cost is None else -(-int(cost * 10**15) // 10**6)


@dataclass
class Range:
    least: int = 0
    ledger: int = 0
    most: int = 0

    def count(self, amount: int, in_least: bool, in_ledger: bool, in_most: bool) -> None:
        self.least += amount * in_least
        self.ledger += amount * in_ledger
        self.most += amount * in_most


def by_hand(rows: Iterable[Row], resets: dict[tuple[str, str], datetime]) -> dict[tuple[str, str], Range]:
    found: dict[tuple[str, str], Range] = {}
    never = datetime.min.replace(tzinfo=UTC)
    for row in rows:
        token, end = row.token_hash, row.ended_at
        if token not in LIMITS or end < resets.get((token, ""), never):
            continue

        def count(key: str, amount: int, since: datetime, row: Row = row) -> None:
            inside = row.ended_at >= since
            whole = row.started_at >= since
            once = key != ROLLING_KEY
            later = inside if once else row.ended_at >= since - ROLLING
            each = found.setdefault((row.token_hash, key), Range())
            each.count(amount, (whole if once else True) and inside, inside, later)

        tokens, cost = row.input_tokens + row.output_tokens, nano(row.cost_usd)
        for key, amount in (("tokens:total", tokens), ("usd:total", cost)):
            found.setdefault((token, key), Range()).count(amount, True, True, True)
        count("usd:day", cost, DAY)
        count(ROLLING_KEY, tokens, NOW - ROLLING)
        count(f"provider:{row.provider.lower()}:usd:month:Europe/Berlin", cost, BERLIN_MONTH)
        if row.session_id and end >= resets.get((token, row.session_id), never):
            key = (token, f"session:{row.session_id}:usd:total")
            found.setdefault(key, Range()).count(cost, True, True, True)
            count(f"session:{row.session_id}:tokens:hour", tokens, HOUR)
    return found


def write(path: Path, rows: list[Row]) -> None:
    with closing(open_for_writing(path, busy_timeout=5)) as db:
        db.execute("BEGIN IMMEDIATE")
        insert_rows(db, rows)
        db.execute("COMMIT")


moments = st.one_of(
    st.sampled_from([HOUR, DAY, BERLIN_MONTH, NOW - ROLLING, NOW - 2 * ROLLING]),
    st.integers(0, 40 * 24 * 3600 * 1000).map(lambda ms: NOW - timedelta(milliseconds=ms)),
    st.integers(0, 3600 * 1000).map(lambda ms: NOW - timedelta(milliseconds=ms)),
).flatmap(lambda at: st.sampled_from([at, at - timedelta(microseconds=1), min(NOW, at + timedelta(0, 1))]))
costs = st.none() | st.decimals(0, 3, places=12, allow_nan=False) | st.just(Decimal("0.0000000001"))
sessions = st.sampled_from(["", "s", "s:t", "s:tokens:hour"])


@st.composite
def all_rows(draw: st.DrawFn) -> list[Row]:
    rows = []
    for number in range(draw(st.integers(0, 12))):
        ended = draw(moments)
        rows.append(
            a_row(
                number,
                started_at=ended - timedelta(seconds=draw(st.sampled_from([0, 0, 1, 4000]))),
                ended_at=ended,
                token_hash=draw(st.sampled_from(["a", "b", "gone", ""])),
                session_id=draw(sessions),
                provider=draw(st.sampled_from(["", "openai", "OpenAI", "my:own"])),
                input_tokens=draw(st.integers(0, 1000)),
                output_tokens=draw(st.integers(0, 1000)),
                cost_usd=draw(costs),
            )
        )
    return rows


some_resets = st.dictionaries(st.tuples(st.sampled_from(["a", "b"]), sessions), moments, max_size=3)


@pytest.mark.long
@settings(max_examples=120, deadline=None)
@given(all_rows(), some_resets, st.sampled_from([0, 1, 10**13]))
def test_repaired_counters_are_the_sums_of_the_rows(
    rows: list[Row], resets: dict[tuple[str, str], datetime], before: int
) -> None:
    wanted = by_hand(rows, resets)

    async def run(folder: Path) -> None:
        ledger = folder / "ledger.db"
        write(ledger, rows)
        for (token, session), at in resets.items():
            record_reset(ledger, token, session, at)
        counters = SqliteCounters(folder / "counters.db", "cli")
        await counters.open()
        try:
            sums = Sums(LIMITS, read_resets(ledger), NOW)
            expected = {(each.token, each.key): each for each in await _all(counters, sums, ledger)}
            for (token, key), difference in expected.items():
                await counters.put(
                    token, key, before, unit=difference.unit, window=difference.window, now=_ms()
                )
            _, left = await verify_and_repair(counters, sums, [ledger])
            assert left.differences == ()
            used = {(each.token, each.key): each.used for each in await counters.usage(now=_ms())}
        finally:
            await counters.close()
        for key, each in wanted.items():
            at_first = before if key in expected else 0
            kept = each.least <= at_first <= each.most
            assert used.get(key, 0) == (at_first if kept else each.ledger), key
        assert {key for key, amount in used.items() if amount} <= set(wanted)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


async def _all(counters: SqliteCounters, sums: Sums, ledger: Path) -> tuple[Difference, ...]:
    return (await verify(counters, sums, [ledger])).differences


def _ms() -> int:
    return milliseconds(NOW)


@pytest.fixture
async def counters(tmp_path: Path) -> Any:
    counters = SqliteCounters(tmp_path / "counters.db", "cli")
    await counters.open()
    yield counters
    await counters.close()


@pytest.fixture
async def gateway(tmp_path: Path) -> Any:
    counters = SqliteCounters(tmp_path / "counters.db", "gateway")
    await counters.open()
    yield counters
    await counters.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


TOKENS, USD = Limit("tokens:total", "tokens"), Limit("usd:total", "usd")


def a_spent_row(number: int, tokens: int, now: datetime = NOW) -> Row:
    row = a_row(number, token_hash="a", provider="openai", session_id="", cost_usd=Decimal("0.5"))
    return replace(row, started_at=now, ended_at=now, input_tokens=tokens, output_tokens=0)


async def admit(gateway: SqliteCounters, row: Row, base: int, lease: int = 60_000) -> None:
    claims = (Claim(TOKENS, base), Claim(USD, 10**9))
    answer = await gateway.ask(Question(row.id, "a", _ms(), _ms() + lease, claims, record=b"{}"))
    assert hasattr(answer, "tokens")


async def settle(gateway: SqliteCounters, row: Row) -> None:
    amounts = ((TOKENS, row.input_tokens), (USD, nano(row.cost_usd)))
    await gateway.settle(Settlement(row.id, "a", _ms(), amounts, pack(row)))


async def test_what_the_journal_explains_is_no_difference(
    counters: SqliteCounters, gateway: SqliteCounters, ledger: Path
) -> None:
    limits = {"a": limits_of('{"base_key_env":"K"}')}
    settled, running, lost = (a_spent_row(number, 100 * number) for number in (1, 2, 3))
    await admit(gateway, settled, 1000)
    await settle(gateway, settled)
    await admit(gateway, running, 1000)
    found = await verify(counters, Sums(limits, {}, NOW), [ledger])
    assert (found.differences, found.open) == ((), ("a",))

    # It expired long before the hour is over, and was charged at what it held.
    await admit(gateway, lost, 1000, lease=1)
    late = NOW + timedelta(minutes=30)
    found = await verify(counters, Sums(limits, {}, late), [ledger])
    assert found.differences == ()

    # A repair of something else keeps what is on its way.
    await counters.put("a", "tokens:total", 9_999_999, unit="tokens", window=Window(), now=_ms())
    sums = Sums(limits, {}, NOW)
    first, left = await verify_and_repair(counters, sums, [ledger])
    assert [(each.key, each.ledger, each.counter) for each in first.differences] == [
        ("tokens:total", 100, 9_999_999)
    ]
    assert left.differences == ()
    write(ledger, [settled])
    await gateway.written([settled.id])
    found = await verify(counters, sums, [ledger])
    assert found.differences == ()


async def test_repair_while_requests_are_settled(
    counters: SqliteCounters, gateway: SqliteCounters, ledger: Path
) -> None:
    limits = {"a": limits_of('{"base_key_env":"K"}')}
    before = [a_spent_row(number, 7) for number in range(50)]
    write(ledger, before)
    rows = [a_spent_row(number, 13) for number in range(1000, 1120)]

    async def serve() -> None:
        for start in range(0, len(rows), 4):
            some = rows[start : start + 4]
            await asyncio.gather(*(admit(gateway, row, 13) for row in some))
            await asyncio.gather(*(settle(gateway, row) for row in some))
            await asyncio.to_thread(write, ledger, some)
            await gateway.written([row.id for row in some])

    serving = asyncio.create_task(serve())
    sums = Sums(limits, {}, NOW)
    while not serving.done():
        # Somebody keeps spoiling the counters.
        await counters.put("a", "usd:total", 1, unit="usd", window=Window(), now=_ms())
        await verify_and_repair(counters, sums, [ledger])
    await serving
    await verify_and_repair(counters, sums, [ledger])
    used = {each.key: (each.used, each.reserved) for each in await counters.usage("a", now=_ms())}
    assert used == {
        "tokens:total": (50 * 7 + 120 * 13, 0),
        "usd:total": (170 * 500_000_000, 0),
    }


async def test_ledgers_of_several_machines(counters: SqliteCounters, tmp_path: Path) -> None:
    limits = {"a": limits_of('{"base_key_env":"K"}')}
    here, there = tmp_path / "here.db", tmp_path / "there.db"
    write(here, [a_spent_row(1, 10)])
    write(there, [a_spent_row(2, 20)])
    _, left = await verify_and_repair(counters, Sums(limits, {}, NOW), [here, there])
    assert left.differences == ()
    # One of them alone knows less, and does not take away what it does not know.
    sums = Sums(limits, {}, NOW)
    assert (await verify(counters, sums, [here], partial=True)).differences == ()
    assert len((await verify(counters, sums, [here])).differences) == 2
    await counters.reset("a", now=_ms())
    assert Counter(
        each.key for each in (await verify(counters, sums, [here], partial=True)).differences
    ) == Counter(["tokens:total", "usd:total"])


async def test_a_counter_without_any_row(counters: SqliteCounters, ledger: Path) -> None:
    for key in ("session:lost:one:usd:total", "provider:gone:usd:month:Europe/Berlin", "usd:hour"):
        kind = Window() if key.endswith("total") else Window("calendar", start=milliseconds(BERLIN_MONTH))
        window = replace(kind, end=0 if kind.kind == "total" else _ms() + 10**9)
        await counters.put("a", key, 5, unit="usd", window=window, now=_ms())
    found = await verify(counters, Sums({"a": limits_of()}, {}, NOW), [ledger])
    # The policy has no budget by the hour: nobody asks for that counter.
    assert [(each.key, each.ledger, each.counter) for each in found.differences] == [
        ("provider:gone:usd:month:Europe/Berlin", 0, 5),
        ("session:lost:one:usd:total", 0, 5),
    ]
    await repair(counters, found.differences, _ms())
    assert not (await verify(counters, Sums({"a": limits_of()}, {}, NOW), [ledger])).differences


def test_a_period_that_begins_meanwhile_is_not_compared() -> None:
    sums = Sums({"a": limits_of('{"base_key_env":"K","budgets":[{"limit":1,"period":"hour"}]}')}, {}, NOW)
    newer = Window("calendar", start=milliseconds(HOUR) + 3_600_000, end=milliseconds(HOUR) + 7_200_000)
    used = Used("a", "usd:hour", "usd", newer, 7, 0)
    assert compare(sums.expected(), [], [used]) == []
    same = replace(newer, start=milliseconds(HOUR))
    assert [
        each.counter
        for each in compare(
            sums.expected(), [replace(used, window=same)], [replace(used, window=same, reserved=2)]
        )
    ] == [7]


def test_resets(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    assert read_resets(path) == {}
    assert not path.exists()
    record_reset(path, "a", "", NOW)
    record_reset(path, "a", "s", NOW - timedelta(hours=1))
    record_reset(path, "a", "", NOW - timedelta(days=1))
    other = tmp_path / "other.db"
    record_reset(other, "a", "s", NOW)
    assert read_resets(path) == {
        ("a", ""): "2026-03-15T12:34:56.789000Z",
        ("a", "s"): "2026-03-15T11:34:56.789000Z",
    }
    assert read_resets(path, other)["a", "s"] == "2026-03-15T12:34:56.789000Z"


@pytest.mark.parametrize(
    ("key", "scope"),
    [
        ("usd:total", ("", "", "usd:total")),
        ("session:a:b:usd:total", ("session", "a:b", "usd:total")),
        ("session:x:usd:month:Europe/Berlin", ("session", "x", "usd:month:Europe/Berlin")),
        ("provider:my:own:tokens:rolling:60000", ("provider", "my:own", "tokens:rolling:60000")),
        ("provider::usd:day", ("provider", "", "usd:day")),
        ("rate:tokens:sliding:60000", ("", "", "rate:tokens:sliding:60000")),
    ],
)
def test_whose_a_counter_is(key: str, scope: tuple[str, str, str]) -> None:
    assert scope_of(key) == scope


async def test_a_session_and_its_token_are_reset_apart(counters: SqliteCounters, ledger: Path) -> None:
    limits = {"a": limits_of('{"base_key_env":"K"}')}
    hours = [NOW - timedelta(hours=number) for number in (5, 3, 1)]
    rows = [
        replace(a_spent_row(number, 1, now=at), session_id="s", cost_usd=Decimal(10**number))
        for number, at in enumerate(hours)
    ]
    write(ledger, [*rows, replace(a_spent_row(9, 1), session_id="other", cost_usd=Decimal(1000))])

    async def found() -> dict[str, int]:
        await verify_and_repair(counters, Sums(limits, read_resets(ledger), NOW), [ledger])
        return {
            each.key: each.used // 10**9 for each in await counters.usage(now=_ms()) if each.unit == "usd"
        }

    whole = {"session:other:usd:total": 1000, "session:s:usd:total": 111, "usd:total": 1111}
    assert await found() == whole
    record_reset(ledger, "a", "s", NOW - timedelta(hours=2))
    assert await found() == {**whole, "session:s:usd:total": 100}
    record_reset(ledger, "a", "", NOW - timedelta(hours=4))
    assert await found() == {**whole, "session:s:usd:total": 100, "usd:total": 1110}
