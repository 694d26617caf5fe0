"""Conversations that several gateways hold together: placeholders in Redis."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.counters.redis_servers import RedisServer, redis_server
from tests.fake_provider import FakeProvider
from tests.money.governed import Token, create
from tests.proxy.caller import Caller, Outcome
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import FORMATS, OPENAI, Format, by_name
from tests.proxy.guarding import MAIL, VALUES, passed, pii, ruled
from tests.support.proxy import Proxy
from tokenomics_core.meter.budget import UNAVAILABLE

SHARED_KEYS = {"TOKENOMICS_ENCRYPTION_KEY": "k" * 64, "TOKENOMICS_HASH_KEY": "h" * 64}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def pair(make_proxy: StartProxy, server: RedisServer) -> Iterator[tuple[Proxy, Proxy]]:
    """Two gateways with one store of tokens."""
    at = {"addr": f"127.0.0.1:{server.port}", "timeout": 1}
    config = {"session": {"backend": "redis", "redis": at}, "budgets": {"wait": 0.3}}
    with make_proxy(config, SHARED_KEYS) as one:
        config["storage"] = {"db_path": str(one.dir / "tokenomics.db")}
        with make_proxy(config, SHARED_KEYS) as two:
            yield one, two
        for gateway in (one, two):
            assert [value for value in VALUES if gateway.files_with(value)] == []


def in_session(gateway: Proxy, token: Token, text: str, format: Format = OPENAI, **more: Any) -> Outcome:
    with Caller(gateway, token.key) as caller:
        return caller.ask(format, text=text, headers={"X-Session-ID": "shared"}, **more)


def test_two_gateways_share_a_conversation(
    pair: tuple[Proxy, Proxy], server: RedisServer, fake_provider: FakeProvider
) -> None:
    one, two = pair
    token, other = (create(one, ruled(pii("email", restore=True))) for _ in range(2))
    told = [
        (one, token, f"to {MAIL}", "to <EMAIL_1>"),
        (two, token, f"bob@x.org, {MAIL}", "<EMAIL_2>, <EMAIL_1>"),
        (one, token, f"{MAIL}, bob@x.org, carol@x.org", "<EMAIL_1>, <EMAIL_2>, <EMAIL_3>"),
        (two, other, "carol@x.org", "<EMAIL_1>"),
    ]
    for gateway, whose, text, sent in told:
        assert OPENAI.text(in_session(gateway, whose, text).json) == f"pong: {text}"
        assert fake_provider.last.json["messages"][0]["content"] == sent
    # What one gateway gave out, the other one gives back, though this request does not hold it.
    fake_provider.script([{"text": "it was <EMAIL_2> and <EMAIL_9>"}])
    assert OPENAI.text(in_session(one, token, f"who? not {MAIL}").json) == "it was bob@x.org and <EMAIL_9>"
    with server.client() as client:
        keys = client.keys("*:placeholders:*")
        assert len(keys) == 2
        stored = json.dumps([client.hgetall(key) for key in keys]) + json.dumps(client.keys("*"))
    for value in (MAIL, "bob@x.org", "carol@x.org", "shared"):
        assert value not in stored
        assert base64.b64encode(value.encode()).decode() not in stored


@pytest.mark.long
@pytest.mark.parametrize("format", FORMATS, ids=by_name)
def test_nothing_is_sent_while_placeholders_cannot_be_agreed_on(
    pair: tuple[Proxy, Proxy], server: RedisServer, fake_provider: FakeProvider, format: Format
) -> None:
    token = create(pair[0], ruled(pii("email", restore=True)))
    assert in_session(pair[0], token, f"to {MAIL}", format).status == 200
    server.kill()
    for stream in (False, True):
        refused = in_session(pair[0], token, f"to {MAIL}", format, stream=stream)
        assert refused.status == 503
        assert format.told(refused.json)[1] == UNAVAILABLE
        assert refused.headers["retry-after"] == "1"
    assert len(fake_provider.records) == 1
    server.start()
    pair[0].wait_for(lambda: in_session(pair[0], token, f"to {MAIL}", format).status, lambda it: it == 200)
    assert passed(fake_provider) == []
