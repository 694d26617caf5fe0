"""Counters in Redis, as clients see them: they count, they go, they come back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.counters.redis_servers import RedisServer, redis_server
from tests.fake_provider import FakeProvider
from tests.money.governed import POLICY, Json, create, rows_of, run_sdks, values
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import FORMATS, Format, by_name
from tests.support.proxy import Proxy

UNAVAILABLE = "the store of budgets and limits cannot be reached; nothing is sent without it"
RAISED = {
    "ask_openai": "InternalServerError",
    "ask_responses": "InternalServerError",
    "ask_anthropic": "ServiceUnavailableError",
    "ask_gemini": "ServerError",
}


def in_redis(server: RedisServer, **session: Any) -> Json:
    at = {"addr": f"127.0.0.1:{server.port}", "timeout": 1}
    return {"session": {"backend": "redis", "redis": at, **session}, "budgets": {"wait": 0.3}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Of its own: it is killed."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(make_proxy: StartProxy, server: RedisServer) -> Iterator[Proxy]:
    with make_proxy(in_redis(server)) as proxy:
        yield proxy


@pytest.fixture
def down(server: RedisServer) -> Iterator[None]:
    server.kill()
    yield
    server.start()


def test_requests_count_in_redis(gateway: Proxy, server: RedisServer, fake_provider: FakeProvider) -> None:
    token = create(gateway, POLICY | {"max_tokens": 30})
    with Caller(gateway, token.key) as caller:
        assert caller.ask(text="[tokens=60] please").status == 200
        (row,) = rows_of(gateway, token.hash)
        used = row["input_tokens"] + row["output_tokens"]
        assert 0 < used <= 30
        refused = caller.ask()
    assert (refused.status, refused.json["error"]["code"]) == (429, "budget_exceeded")
    assert refused.json["error"]["message"].startswith(f"budget exceeded: used {used} + input ")
    with server.client() as client:
        (key,) = client.keys(f"*{token.hash}*:counters")
        assert "tokens:total" in client.hkeys(key)


@pytest.mark.usefixtures("down")
@pytest.mark.parametrize("format", FORMATS, ids=by_name)
def test_nothing_is_sent_while_it_is_away(
    gateway: Proxy, fake_provider: FakeProvider, format: Format
) -> None:
    """Also where no limit is set: what is used is always counted."""
    for policy in (POLICY, POLICY | {"max_tokens": 1000}):
        token = create(gateway, policy)
        with Caller(gateway, token.key) as caller:
            for stream in (False, True):
                outcome = caller.ask(format, stream=stream)
                assert outcome.status == 503
                assert outcome.headers["content-type"] == "application/json"
                _, message = format.told(outcome.json)
                assert message == UNAVAILABLE
                assert b"xceeded" not in outcome.body
                assert b"store_unavailable" in outcome.body.lower()
                assert outcome.headers["retry-after"] == "1"
        rows = rows_of(gateway, token.hash, 2)
        assert {(row["status"], row["refusal"]) for row in rows} == {(503, "store_unavailable")}
    assert fake_provider.records == []


@pytest.mark.long
def test_the_sdks_raise_an_error_of_the_server_and_go_on(
    gateway: Proxy, server: RedisServer, fake_provider: FakeProvider
) -> None:
    key = create(gateway, POLICY | {"max_tokens": 100_000}).key
    tokens = dict.fromkeys(RAISED, key)
    server.kill()
    try:
        raised = values(run_sdks(gateway, {"down": tokens})["down"])
    finally:
        server.start()
    assert {check: (error["error"], error["status"]) for check, error in raised.items()} == {
        check: (name, 503) for check, name in RAISED.items()
    }
    assert {error["message"] for error in raised.values()} == {UNAVAILABLE}
    assert {error["code"] for error in raised.values()} == {"store_unavailable"}
    assert fake_provider.records == []
    # It is there again: without a restart of the gateway.
    with Caller(gateway, key) as caller:
        gateway.wait_for(caller.ask, lambda outcome: outcome.status == 200)
        assert [caller.ask(format).status for format in FORMATS] == [200] * 3


def test_a_stream_that_runs_when_it_goes(
    gateway: Proxy, server: RedisServer, fake_provider: FakeProvider
) -> None:
    """What is reserved is used; the row is written, and counted when the store is back."""
    token = create(gateway, POLICY | {"max_tokens": 200})
    fake_provider.script([{"tokens": 60, "delay": 0.01}])
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    with (
        Caller(gateway, token.key) as caller,
        caller.begin("POST", "/v1/chat/completions", body) as answer,
    ):
        pieces = answer.iter_raw()
        received = next(pieces)
        server.kill()
        try:
            received += b"".join(pieces)
        finally:
            server.start()
    assert received.endswith(b"data: [DONE]\n\n")
    (row,) = rows_of(gateway, token.hash)
    assert row["output_tokens"] == fake_provider.bill.output_tokens == 60


def test_each_machine_may_go_on_by_itself(
    start_proxy: StartProxy, fake_provider: FakeProvider, tmp_path: Path
) -> None:
    with redis_server(tmp_path) as server:
        gateway = start_proxy(in_redis(server, on_store_error="local"))
        token = create(gateway, POLICY | {"rate_limit": {"rules": [{"requests": 3, "window": "1h"}]}})
        with Caller(gateway, token.key) as caller:
            assert [caller.ask().status for _ in range(2)] == [200, 200]
            server.kill()
            # From nothing: what the policy allows, once more.
            assert [caller.ask().status for _ in range(4)] == [200, 200, 200, 429]
            assert len(fake_provider.records) == 5
            server.start()
            gateway.wait_for(caller.ask, lambda outcome: outcome.status == 200)
