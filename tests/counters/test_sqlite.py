"""The SQLite store: the common suite, and what is its own: many processes, one file."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.counters.build import NOW, TOTAL, parallel, question, settlement
from tests.counters.machine import CountersMachine
from tests.counters.suite import StoreSuite
from tokenomics_core.counters import sqlite as sqlite_counters
from tokenomics_core.counters.checkpoint import QUIET, sweep
from tokenomics_core.counters.owners import Owners
from tokenomics_core.counters.question import (
    Claim,
    CountersUnavailable,
    Granted,
    Limit,
    Settlement,
    Watch,
)
from tokenomics_core.counters.sqlite import SqliteCounters
from tokenomics_core.counters.store import Counters

SPAWN = multiprocessing.get_context("spawn")


class TestSuite(StoreSuite):
    @pytest.fixture
    async def counters(self, tmp_path: Path) -> AsyncIterator[Counters]:
        store = SqliteCounters(tmp_path / "counters.db", "me")
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    async def neighbour(self, tmp_path: Path, counters: Counters) -> AsyncIterator[Counters]:
        store = SqliteCounters(tmp_path / "counters.db", "neighbour")
        await store.open()
        yield store
        await store.close()


class TestSuiteInThread(TestSuite):
    """The same where every call is left to the thread, as on a slow disk."""

    @pytest.fixture(autouse=True)
    def slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite_counters, "SLOW", -1.0)


class SqliteMachine(CountersMachine):
    def make(self) -> Counters:
        self.folder = Path(tempfile.mkdtemp())
        return SqliteCounters(self.folder / "counters.db", "me")

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


class SqliteThreadMachine(SqliteMachine):
    def make(self) -> Counters:
        store = super().make()
        assert isinstance(store, SqliteCounters)
        store._rests_until = math.inf
        return store


TestMachineInThread = SqliteThreadMachine.TestCase
TestMachineInThread.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)

TestMachine = SqliteMachine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_the_file_is_private(tmp_path: Path) -> None:
    async def run() -> None:
        store = SqliteCounters(tmp_path / "data" / "counters.db", "me")
        await store.open()
        await store.ask(question("a", Claim(TOTAL, 1)))
        for path in (tmp_path / "data").iterdir():
            assert path.stat().st_mode & 0o077 == 0
        assert len(list((tmp_path / "data").iterdir())) == 3
        await store.close()

    asyncio.run(run())


async def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "counters.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(CountersUnavailable, match="newer Tokenomics"):
        await SqliteCounters(path, "me").open()


async def test_a_busy_neighbour_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    path = tmp_path / "counters.db"
    store = SqliteCounters(path, "me", busy_timeout=0.2)
    await store.open()
    assert isinstance(await store.ask(question("a", Claim(TOTAL, 10))), Granted)
    neighbour = sqlite3.connect(path, isolation_level=None)
    neighbour.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(CountersUnavailable):
        await store.ask(question("b", Claim(TOTAL, 10)))
    assert time.monotonic() - started >= 0.2
    # A settlement that could not be done is not lost.
    with pytest.raises(CountersUnavailable):
        await store.settle(settlement("a", (TOTAL, 7)))
    neighbour.execute("ROLLBACK")
    await store.ask(question("c", Claim(parallel(), 1)))
    (total,) = await store.usage("t", now=NOW, prefix="tokens:")
    assert (total.used, total.reserved) == (7, 0)
    await store.close()
    neighbour.close()


async def test_a_settlement_that_waits_is_done_at_the_close(tmp_path: Path) -> None:
    path = tmp_path / "counters.db"
    store = SqliteCounters(path, "me", busy_timeout=0.05)
    await store.open()
    await store.ask(question("a", Claim(TOTAL, 10)))
    neighbour = sqlite3.connect(path, isolation_level=None)
    neighbour.execute("BEGIN IMMEDIATE")
    with pytest.raises(CountersUnavailable):
        await store.settle(settlement("a", (TOTAL, 7)))
    neighbour.execute("ROLLBACK")
    await store.close()
    assert neighbour.execute("SELECT settled, reserved FROM counters").fetchall() == [(7, 0)]
    neighbour.close()


async def test_one_question_that_cannot_be_stored_fails_alone(tmp_path: Path) -> None:
    store = SqliteCounters(tmp_path / "counters.db", "me")
    await store.open()
    endless = Limit("usd:total", "usd")
    answers = await asyncio.gather(
        *(store.ask(question(f"a{n}", Claim(TOTAL, 10))) for n in range(8)),
        store.ask(question("bad", Claim(endless, 2**64))),
        *(store.ask(question(f"b{n}", Claim(TOTAL, 10))) for n in range(8)),
        return_exceptions=True,
    )
    assert [isinstance(answer, Granted) for answer in answers] == [True] * 8 + [False] + [True] * 8
    (total,) = await store.usage("t", now=NOW)
    assert (total.used, total.reserved) == (0, 160)
    await store.close()


async def test_who_stops_waiting_leaves_nothing_reserved(tmp_path: Path) -> None:
    store = SqliteCounters(tmp_path / "counters.db", "me")
    store._rests_until = math.inf
    await store.open()
    asking = asyncio.create_task(store.ask(question("a", Claim(TOTAL, 10), record=b"intent")))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await store.ask(question("b", Claim(parallel(), 1)))
    held = {each.key: each.reserved for each in await store.usage("t", now=NOW) if each.reserved}
    assert held == {"parallel": 1}
    neighbour = SqliteCounters(store.path, "neighbour")
    await neighbour.open()
    assert await neighbour.unsettled(lambda owner: False) == []
    await neighbour.close()
    await store.close()


def _work(path: Path, name: str, seconds: float, results: multiprocessing.Queue[tuple[int, str]]) -> None:
    async def client(store: SqliteCounters, number: int, until: float) -> int:
        spent = count = 0
        while time.monotonic() < until:
            count += 1
            id = f"{name}-{number}-{count}"
            answer = await store.ask(
                question(id, Claim(Limit("tokens:total", "tokens", limit=20_000), 3, 1), want=20, need=1)
            )
            if isinstance(answer, Granted):
                used = 3 + answer.tokens // 2
                await store.settle(settlement(id, (Limit("tokens:total", "tokens"), used)))
                spent += used
        return spent

    async def run() -> int:
        store = SqliteCounters(path, name)
        await store.open()
        until = time.monotonic() + seconds
        spent = sum(await asyncio.gather(*(client(store, number, until) for number in range(4))))
        await store.close()
        return spent

    try:
        results.put((asyncio.run(run()), ""))
    except Exception as error:
        results.put((0, repr(error)))


def test_four_processes_keep_one_budget(tmp_path: Path) -> None:
    path = tmp_path / "counters.db"
    results: multiprocessing.Queue[tuple[int, str]] = SPAWN.Queue()
    workers = [SPAWN.Process(target=_work, args=(path, f"w{n}", 1.5, results)) for n in range(4)]
    for worker in workers:
        worker.start()
    answers = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert [error for _, error in answers] == [""] * 4
    spent = sum(each for each, _ in answers)
    db = sqlite3.connect(path)
    assert db.execute("SELECT settled, reserved FROM counters").fetchall() == [(spent, 0)]
    db.close()
    assert 19_000 <= spent <= 20_000


def _hang(path: Path, ready: multiprocessing.Queue[str]) -> None:
    async def run() -> None:
        Owners(path.parent / "owners").claim("victim")
        store = SqliteCounters(path, "victim")
        await store.open()
        for number in range(3):
            asked = question(f"v{number}", Claim(TOTAL, 100), lease=5000, record=b"intent")
            assert isinstance(await store.ask(asked), Granted)
        await store.settle(Settlement("v2", "t", NOW, ((TOTAL, 40),), b"row"))
        ready.put("ready")
        for number in range(1000_000):
            await store.ask(question(f"x{number}", Claim(parallel(None), 1)))

    asyncio.run(run())


async def test_what_a_killed_process_left_is_found_and_its_leases_expire(tmp_path: Path) -> None:
    path = tmp_path / "counters.db"
    ready: multiprocessing.Queue[str] = SPAWN.Queue()
    victim = SPAWN.Process(target=_hang, args=(path, ready))
    victim.start()
    ready.get(timeout=60)
    owners = Owners(path.parent / "owners")
    store = SqliteCounters(path, "me")
    await store.open()
    assert owners.alive("victim")
    assert await store.unsettled(owners.alive) == []
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    left = await store.unsettled(owners.alive)
    assert [(each.id, each.owner, each.record, each.row) for each in left] == [
        ("v0", "victim", b"intent", b""),
        ("v1", "victim", b"intent", b""),
        ("v2", "victim", b"intent", b"row"),
    ]
    assert left[0].reserved == (("tokens:total", 100),)
    answer = await store.ask(question("mine", Claim(TOTAL, 700), now=NOW + 5001))
    assert isinstance(answer, Granted)
    assert (answer.standings[0].used, answer.standings[0].reserved) == (240, 700)
    await store.close()


async def test_a_slow_call_leaves_the_next_ones_to_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteCounters(tmp_path / "counters.db", "me")
    await store.open()
    done: list[str] = []
    transact = store._transact

    def slowly(db: sqlite3.Connection, batch: list[object]) -> None:
        done.append(threading.current_thread().name)
        time.sleep(0.002)
        transact(db, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "_transact", slowly)
    for id in "abc":
        assert isinstance(await store.ask(question(id, Claim(TOTAL, 10))), Granted)
    assert done == [threading.current_thread().name, "counters", "counters"]
    await store.close()


async def test_what_was_watched_of_a_quiet_session_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "counters.db"
    store = SqliteCounters(path, "me")
    await store.open()
    watch = Watch("session:s", "print", "gpt", 5)
    await store.ask(question("a", watch=watch, now=NOW))
    assert sweep(path, NOW + QUIET) == 0
    assert sweep(path, NOW + QUIET + 1) == 1
    assert await store.history("t", "session:s", now=NOW + 1) == []
    await store.close()
