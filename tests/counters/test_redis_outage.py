"""Redis that is gone, hangs, comes back, or comes back empty."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.counters.build import NOW, TOTAL, question, settlement
from tests.counters.redis_servers import RedisNodes, RedisServer, make_store, redis_cluster, redis_server
from tests.support.ports import free_ports
from tokenomics_core.config.schema import Redis as Settings
from tokenomics_core.counters.question import (
    Claim,
    CountersUnavailable,
    Denied,
    Extension,
    Freeze,
    Granted,
    Limit,
    Settlement,
)
from tokenomics_core.counters.redis import RedisCounters

SECRET = "hunter2-hunter2"
CLAIMS = (Claim(TOTAL, 10, 1),)

CALLS: dict[str, Callable[[RedisCounters], Awaitable[object]]] = {
    "ask": lambda store: store.ask(question("x", *CLAIMS)),
    "extend": lambda store: store.extend(Extension("x", "t", NOW, NOW + 1, CLAIMS, 5)),
    "settle": lambda store: store.settle(settlement("x", (TOTAL, 5))),
    "renew": lambda store: store.renew({"x": "t"}, NOW),
    "usage": lambda store: store.usage(now=NOW),
    "usage of one": lambda store: store.usage("t", now=NOW),
    "set_limit": lambda store: store.set_limit("t", "k", 5, unit="usd", window=TOTAL.window),
    "put": lambda store: store.put("t", "k", 5, unit="usd", window=TOTAL.window, now=NOW),
    "reset": lambda store: store.reset("t", now=NOW),
    "forget": lambda store: store.forget("t"),
    "freeze": lambda store: store.freeze(Freeze("t", "token", None, "by hand")),
    "thaw": lambda store: store.thaw("t", "token"),
    "frozen": lambda store: store.frozen(now=NOW),
    "history": lambda store: store.history("t", "session:s", now=NOW),
}


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that finds again what it had answered before it was killed."""
    with redis_server(tmp_path / "durable", "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "forgetful") as server:
        yield server


@pytest.fixture
def nowhere() -> Settings:
    return Settings(addr=f"127.0.0.1:{free_ports(1)[0]}", password=SECRET)


@pytest.fixture
async def silent() -> AsyncIterator[Settings]:
    """A server that accepts, and says nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield Settings(addr=f"127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.2)
    server.close()


async def sums(store: RedisCounters, token: str = "t") -> dict[str, tuple[int, int]]:
    return {each.key: (each.used, each.reserved) for each in await store.usage(token, now=NOW)}


async def test_every_call_says_which_redis_does_not_answer(nowhere: Settings, tmp_path: Path) -> None:
    store = make_store(nowhere, tmp_path)
    await store.open()
    for name, call in CALLS.items():
        with pytest.raises(CountersUnavailable) as caught:
            await call(store)
        assert nowhere.addr in str(caught.value), name
        assert "\n" not in str(caught.value), name
        assert SECRET not in str(caught.value), name
    await store.close()


@pytest.mark.parametrize("cluster", [False, True])
async def test_a_silent_server_holds_nobody_up(silent: Settings, tmp_path: Path, cluster: bool) -> None:
    store = make_store(silent.model_copy(update={"cluster": cluster}), tmp_path)
    await store.open()
    started = time.monotonic()
    answers = await asyncio.gather(
        *(store.ask(question(f"a{number}", *CLAIMS)) for number in range(100)), return_exceptions=True
    )
    assert time.monotonic() - started < 1.5
    assert {type(answer) for answer in answers} == {CountersUnavailable}
    assert "within 0.2 s" in str(answers[0])
    await store.close()


@pytest.mark.parametrize("password", ["", SECRET])
async def test_a_wrong_password_is_told_without_it(
    tmp_path: Path, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server(tmp_path / "guarded", "--requirepass", "the-right-one") as server:
        store = make_store(server.settings(password=password), tmp_path)
        await store.open()
        with pytest.raises(CountersUnavailable, match=r"session\.redis\.password") as caught:
            await store.ask(question("a", *CLAIMS))
        await store.close()
        right = make_store(server.settings(password="the-right-one"), tmp_path)
        await right.open()
        assert isinstance(await right.ask(question("a", *CLAIMS)), Granted)
        await right.close()
    for text in (str(caught.value), caplog.text):
        assert SECRET not in text
        assert "the-right-one" not in text


async def test_no_settlement_is_lost_when_redis_is_killed(durable: RedisServer, tmp_path: Path) -> None:
    store = make_store(durable.settings(timeout=2), tmp_path)
    await store.open()
    limit = Limit("tokens:total", "tokens", limit=100_000)
    for number in range(200):
        answer = await store.ask(question(f"a{number}", Claim(limit, 10), record=b"intent"))
        assert isinstance(answer, Granted)

    ended = 0

    async def settle(number: int) -> None:
        nonlocal ended
        with suppress(CountersUnavailable):
            await store.settle(Settlement(f"a{number}", "t", NOW, ((limit, 7),), b"row"))
        ended += 1
        if ended == 60:
            durable.kill()

    await asyncio.gather(*(settle(number) for number in range(200)))
    with pytest.raises(CountersUnavailable):
        await store.usage("t", now=NOW)
    durable.start()
    await store.caught_up()
    assert await sums(store) == {"tokens:total": (1400, 0)}
    await store.close()


async def test_a_settlement_outlives_the_process_too(durable: RedisServer, tmp_path: Path) -> None:
    store = make_store(durable.settings(), tmp_path)
    await store.open()
    for id in "ab":
        await store.ask(question(id, Claim(TOTAL, 10), record=b"intent"))
    durable.kill()
    for id in "ab":
        with pytest.raises(CountersUnavailable):
            await store.settle(Settlement(id, "t", NOW, ((TOTAL, 7),), b"row"))
    # The ledger has the row, the counters do not.
    await store.written(["a"])
    await store.close()

    durable.start()
    after = make_store(durable.settings(), tmp_path, "after")
    await after.open()
    left = await after.unsettled(lambda owner: False)
    assert [(each.id, each.row) for each in left] == [("a", b"row"), ("b", b"row")]
    for each in left:
        await after.settle(Settlement(each.id, each.token, NOW, ((TOTAL, 7),), each.row))
    await after.written(["a", "b"])
    assert await sums(after) == {TOTAL.key: (14, 0)}
    assert await after.unsettled(lambda owner: False) == []
    await after.close()


async def test_an_entry_goes_when_its_settlement_has_arrived(durable: RedisServer, tmp_path: Path) -> None:
    store = make_store(durable.settings(), tmp_path)
    await store.open()
    await store.ask(question("a", Claim(TOTAL, 10), record=b"intent"))
    durable.kill()
    with pytest.raises(CountersUnavailable):
        await store.settle(Settlement("a", "t", NOW, ((TOTAL, 7),), b"row"))
    await store.written(["a"])
    neighbour = make_store(durable.settings(), tmp_path, "neighbour")
    await neighbour.open()
    assert [each.id for each in await neighbour.unsettled(lambda owner: False)] == ["a"]
    durable.start()
    await store.caught_up()
    await store.close()
    assert await neighbour.unsettled(lambda owner: False) == []
    await neighbour.caught_up()
    assert await sums(neighbour) == {TOTAL.key: (7, 0)}
    await neighbour.close()


async def test_a_redis_that_lost_everything_is_counted_in_anew(
    forgetful: RedisServer, tmp_path: Path
) -> None:
    store = make_store(forgetful.settings(), tmp_path)
    await store.open()
    await store.ask(question("a", *CLAIMS, want=5))
    forgetful.kill()
    forgetful.start()
    # The connections that lay idle are dead, and nobody has noticed yet.
    assert await store.settle(settlement("a", (TOTAL, 12))) is None
    assert await store.extend(Extension("a", "t", NOW, NOW + 1, CLAIMS, 5)) == Denied("lost")
    assert isinstance(await store.ask(question("b", *CLAIMS)), Granted)
    assert await sums(store) == {TOTAL.key: (0, 10)}
    await store.close()


async def test_a_question_that_hung_reserves_nothing(forgetful: RedisServer, tmp_path: Path) -> None:
    store = make_store(forgetful.settings(timeout=0.2), tmp_path)
    await store.open()
    await store.ask(question("warm", Claim(TOTAL, 1)))
    os.kill(forgetful.pid, signal.SIGSTOP)
    try:
        answers = await asyncio.gather(
            *(store.ask(question(f"a{number}", *CLAIMS)) for number in range(20)), return_exceptions=True
        )
    finally:
        os.kill(forgetful.pid, signal.SIGCONT)
    assert {type(answer) for answer in answers} == {CountersUnavailable}
    await store.caught_up()
    assert await sums(store) == {TOTAL.key: (0, 1)}
    await store.close()


async def test_local_counters_stand_in(
    durable: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tokenomics")
    store = make_store(durable.settings(), tmp_path, on_error="local")
    await store.open()
    await store.ask(question("there", *CLAIMS, want=50, record=b"intent"))
    durable.kill()
    for number in range(5):
        asked = question(f"here{number}", Claim(TOTAL, 200), record=b"intent")
        assert isinstance(await store.ask(asked), Granted)
    denied = await store.ask(question("full", Claim(TOTAL, 1)))
    assert isinstance(denied, Denied)
    assert denied.why == "limit"
    with pytest.raises(CountersUnavailable):
        await store.usage("t", now=NOW)
    with pytest.raises(CountersUnavailable):
        await store.settle(Settlement("there", "t", NOW, ((TOTAL, 33),), b"row"))
    durable.start()
    await store.caught_up()
    assert await sums(store) == {TOTAL.key: (33, 0)}
    settled = await store.settle(Settlement("here0", "t", NOW, ((TOTAL, 150),), b"row"))
    assert settled is not None
    assert (settled[0].before, settled[0].after) == (0, 150)
    assert await sums(store) == {TOTAL.key: (33, 0)}
    assert isinstance(await store.ask(question("again there", Claim(TOTAL, 900))), Granted)
    assert await sums(store) == {TOTAL.key: (33, 900)}
    lines = [record.getMessage() for record in caplog.records if record.name == "tokenomics"]
    assert len(lines) == 2, lines
    assert "this machine counts by itself" in lines[0]
    assert "answers again" in lines[1]
    await store.close()


async def test_a_stream_goes_on_with_what_this_machine_has(durable: RedisServer, tmp_path: Path) -> None:
    store = make_store(durable.settings(), tmp_path, on_error="local")
    await store.open()
    await store.ask(question("a", *CLAIMS, want=50, record=b"intent"))
    durable.kill()
    for _ in range(2):
        answer = await store.extend(Extension("a", "t", NOW, NOW + 60_000, CLAIMS, 100))
        assert isinstance(answer, Granted)
        assert answer.tokens == 100
    denied = await store.extend(Extension("a", "t", NOW, NOW + 60_000, CLAIMS, 1000, need=900))
    assert isinstance(denied, Denied)
    assert denied.why == "limit"
    durable.start()
    await store.caught_up()
    settled = await store.settle(Settlement("a", "t", NOW, ((TOTAL, 240),), b"row"))
    assert settled is not None
    assert await sums(store) == {TOTAL.key: (240, 0)}
    await store.close()


async def test_a_lease_of_this_machine_is_settled_here_after_a_restart(
    durable: RedisServer, tmp_path: Path
) -> None:
    store = make_store(durable.settings(), tmp_path, on_error="local")
    await store.open()
    durable.kill()
    await store.ask(question("a", Claim(TOTAL, 100), record=b"intent"))
    await store.close()
    durable.start()
    after = make_store(durable.settings(), tmp_path, "after", on_error="local")
    await after.open()
    (left,) = await after.unsettled(lambda owner: False)
    settled = await after.settle(Settlement(left.id, left.token, NOW, ((TOTAL, 60),), b"row"))
    assert settled is not None
    assert settled[0].after == 60
    assert await sums(after) == {}
    await after.close()


@pytest.mark.long
async def test_one_node_of_a_cluster_is_gone_and_comes_back(tmp_path: Path) -> None:
    with redis_cluster(tmp_path / "cluster") as nodes:
        store = make_store(nodes.settings(timeout=2), tmp_path)
        await store.open()
        tokens = {_token_on(nodes, node): node for node in nodes.nodes}
        for token in tokens:
            await store.ask(question(f"a-{token}", Claim(TOTAL, 10), token=token, record=b"intent"))
        gone, *others = tokens
        tokens[gone].kill()
        with pytest.raises(CountersUnavailable):
            await store.ask(question("b", Claim(TOTAL, 10), token=gone))
        for token in tokens:
            with suppress(CountersUnavailable):
                await store.settle(Settlement(f"a-{token}", token, NOW, ((TOTAL, 7),), b"row"))
        for token in others:
            answer = await store.ask(question(f"b-{token}", Claim(TOTAL, 10), token=token))
            assert isinstance(answer, Granted)
        # Without its data, but with its slots: those are in the node's own file.
        tokens[gone].start()
        await store.caught_up()
        for token in others:
            assert await sums(store, token) == {TOTAL.key: (7, 10)}
        assert isinstance(await store.ask(question("c", Claim(TOTAL, 10), token=gone)), Granted)
        await store.close()


def _token_on(nodes: RedisNodes, node: RedisServer) -> str:
    return next(token for token in map(str, range(1000)) if nodes.node_of(token) is node)
