"""What a call to Redis costs, what it keeps there, and that nobody's answer counts twice."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.counters.build import NOW, TOTAL, fixed, hourly, question, requests, rolling, settlement
from tests.counters.redis_servers import RedisNodes, RedisServer, make_store
from tokenomics_core.config.schema import Redis as Settings
from tokenomics_core.counters import state as decide
from tokenomics_core.counters.question import (
    HIGHEST,
    Claim,
    CountersUnavailable,
    Denied,
    Extension,
    Granted,
    Limit,
    Settled,
    Settlement,
    Watch,
)
from tokenomics_core.counters.redis import RedisCounters
from tokenomics_core.counters.state import TokenState

SPAWN = multiprocessing.get_context("spawn")
DAY = 24 * 3600 * 1000


@pytest.fixture
async def store(redis_alone: RedisServer, tmp_path: Path) -> AsyncIterator[RedisCounters]:
    with redis_alone.client() as client:
        client.flushall()
    store = make_store(redis_alone.settings(), tmp_path)
    await store.open()
    yield store
    await store.close()


async def sums(store: RedisCounters, now: int = NOW) -> dict[str, tuple[int, int]]:
    return {each.key: (each.used, each.reserved) for each in await store.usage("t", now=now)}


def commands(stream: socket.socket, marker: str) -> list[str]:
    """What MONITOR tells up to the marker, without what scripts do inside."""
    text = b""
    while marker.encode() not in text:
        text += stream.recv(65536)
    lines = [line for line in text.decode().splitlines() if '"' in line and " lua]" not in line]
    return [line.split('"')[1].upper() for line in lines if marker not in line]


async def test_one_round_trip_per_question(store: RedisCounters, redis_alone: RedisServer) -> None:
    claims = (Claim(TOTAL, 10, 1), Claim(hourly(NOW), 10, 1), Claim(requests(), 1))
    watch = Watch("session:s", "print", "gpt", 5)
    await store.ask(question("first", *claims))
    with socket.create_connection(("127.0.0.1", redis_alone.port)) as stream:
        stream.sendall(b"MONITOR\r\n")
        assert await asyncio.to_thread(stream.recv, 5) == b"+OK\r\n"
        asked = question("a", *claims, want=5, watch=watch, gates=("token", "session:s"), record=b"intent")
        assert isinstance(await store.ask(asked), Granted)
        await store.extend(Extension("a", "t", NOW, NOW + 5000, claims, 5))
        await store.renew({"a": "t"}, NOW + 9000)
        await store.settle(settlement("a", (TOTAL, 12)))
        await store.usage("t", now=NOW)
        with redis_alone.client() as client:
            client.echo("end-of-questions")
        seen = await asyncio.to_thread(commands, stream, "end-of-questions")
    assert [each for each in seen if each not in ("CLIENT", "HELLO")] == ["EVALSHA"] * 5


async def test_the_script_is_loaded_again_after_a_flush(
    store: RedisCounters, redis_alone: RedisServer
) -> None:
    await store.ask(question("a", Claim(TOTAL, 10)))
    with redis_alone.client() as client:
        client.script_flush()
    assert isinstance(await store.ask(question("b", Claim(TOTAL, 10))), Granted)
    assert await sums(store) == {TOTAL.key: (0, 20)}


async def test_the_same_question_reserves_once(store: RedisCounters) -> None:
    state = TokenState()
    claims = (Claim(TOTAL, 100, 1), Claim(rolling(), 20, 2), Claim(requests(), 1))
    asked = question("a", *claims, want=50, need=1, lease=1000, record=b"intent")
    first = await store.ask(asked)
    assert first == decide.ask(state, asked)
    again = await store.ask(asked)
    assert again == decide.ask(state, asked)
    assert isinstance(first, Granted)
    assert isinstance(again, Granted)
    assert (again.tokens, again.left, again.standings) == (first.tokens, first.left, first.standings)
    assert (await sums(store))[TOTAL.key] == (0, 150)
    late = question("a", *claims, now=NOW + 1000)
    assert await store.ask(late) == decide.ask(state, late) == Denied("lost")


@pytest.mark.parametrize("big", [HIGHEST, HIGHEST - 1, 2**52 + 1, 10**15 + 7])
async def test_big_amounts_stay_exact(store: RedisCounters, big: int) -> None:
    limit = Limit("usd:total", "usd", limit=big)
    first = await store.ask(question("a", Claim(limit, big - 1)))
    assert isinstance(first, Granted)
    assert first.standings[0].reserved == big - 1
    denied = await store.ask(question("b", Claim(limit, 2)))
    assert isinstance(denied, Denied)
    assert (denied.reserved, denied.asked) == (big - 1, 2)
    assert isinstance(await store.ask(question("c", Claim(limit, 1))), Granted)
    assert await store.settle(settlement("a", (limit, big - 1))) == (Settled("usd:total", 0, big - 1),)
    assert await sums(store) == {"usd:total": (big - 1, 1)}


async def test_who_stops_waiting_leaves_nothing_reserved(
    store: RedisCounters, redis_alone: RedisServer
) -> None:
    await store.ask(question("warm", Claim(TOTAL, 1)))
    os.kill(redis_alone.pid, signal.SIGSTOP)
    try:
        asking = asyncio.create_task(store.ask(question("a", Claim(TOTAL, 10), record=b"intent")))
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    finally:
        os.kill(redis_alone.pid, signal.SIGCONT)
    await store.caught_up()
    assert await sums(store) == {TOTAL.key: (0, 1)}
    # One that arrives after its withdrawal gets nothing.
    assert await store.ask(question("a", Claim(TOTAL, 10))) == Denied("lost")
    assert await store.settle(settlement("a", (TOTAL, 10))) is None


async def test_an_intent_that_cannot_be_written_gives_back_what_was_granted(
    store: RedisCounters, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise CountersUnavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("tokenomics_core.counters.journal.Journal.write", full)
        with pytest.raises(CountersUnavailable, match="disk is full"):
            await store.ask(question("a", Claim(TOTAL, 10), record=b"intent"))
    await store.caught_up()
    assert await sums(store) == {TOTAL.key: (0, 0)}
    assert isinstance(await store.ask(question("b", Claim(TOTAL, 1000))), Granted)


async def test_a_row_that_cannot_be_written_yet_is_settled_later(
    store: RedisCounters, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise CountersUnavailable("the disk is full")

    await store.ask(question("a", Claim(TOTAL, 10), record=b"intent"))
    with monkeypatch.context() as patch:
        patch.setattr("tokenomics_core.counters.journal.Journal.write", full)
        with pytest.raises(CountersUnavailable, match="disk is full"):
            await store.settle(Settlement("a", "t", NOW, ((TOTAL, 7),), b"row"))
        # The counters do not run ahead of the rows.
        assert await sums(store) == {TOTAL.key: (0, 10)}
    await store.caught_up()
    assert await sums(store) == {TOTAL.key: (7, 0)}


async def test_what_is_over_is_dropped_a_day_later(store: RedisCounters, redis_alone: RedisServer) -> None:
    limits = (TOTAL, hourly(NOW), rolling(), fixed(), requests())
    watch = Watch("session:s", "print", "gpt", 5)
    await store.ask(question("a", *(Claim(limit, 1) for limit in limits), watch=watch))
    await store.settle(settlement("a", *((limit, 5) for limit in limits)))
    await store.ask(question("held", Claim(rolling(7000), 1), lease=9 * DAY))
    await store.set_limit("t", "usd:hour", 7, unit="usd", window=hourly(NOW).window)
    await store.ask(question("b", now=NOW + 2 * DAY))
    with redis_alone.client() as client:
        kept = client.hkeys("tokenomics:{t}:counters")
        assert not client.exists("tokenomics:{t}:watched")
        assert client.zcard("tokenomics:{t}:expiry") == client.hlen("tokenomics:{t}:leases") == 2
    assert isinstance(kept, list)
    assert set(kept) == {TOTAL.key, rolling(7000).key, "usd:hour"}


async def test_all_keys_of_a_token_share_its_hash_tag(store: RedisCounters, redis_alone: RedisServer) -> None:
    watch = Watch("session:s", "print", "gpt", 5, max_requests=1)
    for number in range(3):
        asked = question(f"a{number}", Claim(rolling(), 1), watch=watch, gates=("session:s",))
        await store.ask(asked)
    with redis_alone.client() as client:
        keys = client.keys()
    assert isinstance(keys, list)
    parts = ("counters", "leases", "expiry", "gates", "watched", "stale")
    assert sorted(keys) == sorted(f"tokenomics:{{t}}:{part}" for part in parts)


async def test_a_prefix_is_no_pattern(store: RedisCounters) -> None:
    for key in ("session:[a]:usd:total", "session:a:usd:total", "session:*:usd:total"):
        await store.ask(question(key, Claim(Limit(key, "usd"), 1)))
    for prefix in ("session:[a]", "session:*"):
        assert [each.key for each in await store.usage(now=NOW, prefix=prefix)] == [f"{prefix}:usd:total"]
    assert await store.forget("t", prefix="session:*") == 1


async def test_many_sessions_are_listed_and_reset_whole(store: RedisCounters) -> None:
    keys = sorted(f"session:{number}:usd:total" for number in range(3000))
    claims = [Claim(Limit(key, "usd"), 1) for key in keys]
    for start in range(0, len(claims), 500):
        await store.ask(question(f"a{start}", *claims[start : start + 500]))
        used = tuple((claim.limit, 2) for claim in claims[start : start + 500])
        await store.settle(settlement(f"a{start}", *used))
    assert [each.key for each in await store.usage("t", now=NOW)] == keys
    assert await store.reset("t", prefix="session:1", now=NOW) == 1111
    assert await store.forget("t", prefix="session:2") == 1111
    assert sum(each.used for each in await store.usage("t", now=NOW)) == 2 * (3000 - 2222)


def spend(where: Settings, folder: Path, name: str, results: multiprocessing.Queue[int]) -> None:
    async def client(store: RedisCounters, number: int, until: float) -> int:
        spent = count = 0
        while time.monotonic() < until:
            count += 1
            id = f"{name}-{number}-{count}"
            limit = Limit("tokens:total", "tokens", limit=20_000)
            answer = await store.ask(question(id, Claim(limit, 3, 1), want=20, need=1, record=b"intent"))
            if isinstance(answer, Granted):
                used = 3 + answer.tokens // 2
                await store.settle(settlement(id, (limit, used)))
                spent += used
        return spent

    async def run() -> int:
        store = make_store(where, folder, name)
        await store.open()
        until = time.monotonic() + 2
        spent = sum(await asyncio.gather(*(client(store, number, until) for number in range(8))))
        await store.close()
        return spent

    results.put(asyncio.run(run()))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["alone", "cluster"])
async def test_two_machines_keep_one_budget(
    kind: str, redis_alone: RedisServer, redis_nodes: RedisNodes, tmp_path: Path
) -> None:
    with redis_alone.client() as client:
        client.flushall()
    redis_nodes.flush()
    where = redis_alone.settings() if kind == "alone" else redis_nodes.settings()
    results: multiprocessing.Queue[int] = SPAWN.Queue()
    # A folder each: two machines share nothing but Redis.
    workers = [
        SPAWN.Process(target=spend, args=(where, tmp_path / f"w{n}", f"w{n}", results)) for n in (1, 2)
    ]
    for worker in workers:
        worker.start()
    spent = sum([await asyncio.to_thread(results.get, timeout=60) for _ in workers])
    for worker in workers:
        worker.join()
    store = make_store(where, tmp_path)
    await store.open()
    assert await sums(store) == {TOTAL.key: (spent, 0)}
    assert 19_000 <= spent <= 20_000
    await store.close()
