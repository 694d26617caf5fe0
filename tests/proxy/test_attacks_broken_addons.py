"""Each addon broken in turn: nothing goes to the provider, and nothing of its answer to the client.

Every hook is broken in two ways: inside the decorator that turns exceptions into refusals, and as a whole, so
that mitmproxy sees the exception, which by itself would log it and forward the request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect as websocket

from tests.conftest import PROXIES
from tests.fake_provider import FakeProvider
from tests.proxy.attacks import (
    POLICY,
    Closed,
    ask,
    assert_refused,
    assert_serves,
    chat_request,
    connect,
    connect_request,
    raw_tunnel,
    request,
    tls_line,
    tunnel,
    undisturbed,
)
from tests.support.certificates import TestAuthority
from tests.support.environment import BIN, GUARD_FOLDER, PROJECT
from tests.support.proxy import Proxy

SECRET_WORDS = "words of a secret prompt"


class Serve(Proxy):
    """tokenomics-cli serve, whose addons can be broken."""

    def break_hook(self, hook: str = "", how: str = "") -> None:
        """hook: as ``identity.Identity.requestheaders``; the empty string mends everything."""
        self.orders.write_text(f"{hook} {how}".replace(".", " "))

    @property
    def orders(self) -> Path:
        return Path(self.environ["SABOTAGE"])


class Mitmdump(Serve):
    """The same in a plain mitmdump."""

    def serve_command(self) -> list[str]:
        self.environ["TOKENOMICS_DIR"] = str(self.dir)
        script = str(PROJECT / "addons" / "tokenomics.py")
        return [str(BIN / "mitmdump"), "--mode", f"regular@127.0.0.1:{self.http_port}", "-s", script]


@pytest.fixture(scope="module", params=[Serve, Mitmdump])
def breakable(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    provider_server: FakeProvider,
    make_proxy: Any,
) -> Iterator[Serve]:
    folder = tmp_path_factory.mktemp("sabotage")
    proxy = make_proxy(
        # What is broken may leave exchanges behind that count as running.
        {"server": {"tunnel_hosts": [f"localhost:{provider_server.tls_port}"], "drain_timeout": 0.2}},
        {"PYTHONPATH": str(GUARD_FOLDER.parent / "sabotage"), "SABOTAGE": str(folder / "orders")},
        kind=request.param,
    )
    with proxy:
        yield proxy
    request.config.stash[PROXIES].remove(proxy)


@pytest.fixture
def proxy(breakable: Serve, fake_provider: FakeProvider, token: str) -> Iterator[Serve]:
    yield breakable
    breakable.break_hook()
    with undisturbed(breakable):
        assert_serves(breakable, fake_provider, token)
    assert SECRET_WORDS not in breakable.log()


@pytest.fixture(scope="module")
def token(breakable: Serve) -> str:
    return breakable.token({**POLICY, "retry": {"max_retries": 1, "retry_on": [503]}})


@pytest.fixture(params=["inside", "whole"])
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


REQUEST_HOOKS = [
    "admission.Admission.requestheaders",
    "identity.Identity.requestheaders",
    "routing.Routing.requestheaders",
    "credentials.Credentials.requestheaders",
    "records.Records.requestheaders",
]
BODY_HOOKS = [
    "routing.Routing.request",
    "credentials.Credentials.request",
    "admission.Admission.server_connect",
]


def anthropic_request(token: str) -> bytes:
    body = json.dumps({"model": "gpt-4o", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
    headers = ["Anthropic-Version: 2023-06-01", f"X-Api-Key: {token}", "Content-Type: application/json"]
    return request("POST", "/v1/messages", *headers, body=body.encode())


@pytest.mark.parametrize("hook", REQUEST_HOOKS + BODY_HOOKS)
def test_request(proxy: Serve, fake_provider: FakeProvider, token: str, hook: str, how: str) -> None:
    """In the client's dialect, and the connection goes on or ends cleanly."""
    proxy.break_hook(hook, how)
    answer = ask(proxy, chat_request(token))
    assert_refused(answer, 500, 502, 503)
    assert answer.json["error"]["type"] == "server_error"
    answer = ask(proxy, anthropic_request(token))
    assert_refused(answer, 500, 502, 503)
    assert answer.json["type"] == "error"
    assert answer.json["error"]["type"] == "api_error"
    assert_refused(ask(proxy, chat_request(token, stream=True)), 500, 502, 503)
    assert_refused(ask(proxy, request(token=token)), 500, 502, 503)
    assert fake_provider.records == []


@pytest.mark.parametrize("hook", [*REQUEST_HOOKS, "admission.Admission.server_connect"])
def test_upload(proxy: Serve, fake_provider: FakeProvider, token: str, hook: str, how: str) -> None:
    proxy.break_hook(hook, how)
    kind = "Content-Type: multipart/form-data; boundary=x"
    with connect(proxy) as line:
        line.send(request("POST", "/v1/files", kind, token=token, body=b"a" * 100_000))
        assert_refused(line.answer(), 500, 502, 503)
    assert fake_provider.records == []


@pytest.mark.parametrize("hook", REQUEST_HOOKS + BODY_HOOKS)
def test_request_in_a_tunnel(
    proxy: Serve, fake_provider: FakeProvider, token: str, hook: str, how: str
) -> None:
    with tunnel(proxy) as line:
        proxy.break_hook(hook, how)
        assert_refused(line.ask(chat_request(token).replace(b"localhost", b"api.openai.com")), 500, 502, 503)
    assert fake_provider.records == []


@pytest.mark.parametrize("hook", REQUEST_HOOKS)
def test_request_without_a_token(
    proxy: Serve, fake_provider: FakeProvider, token: str, hook: str, how: str
) -> None:
    """What is broken never makes up for what is missing."""
    proxy.break_hook(hook, how)
    assert_refused(ask(proxy, chat_request("")), 401, 500, 503)
    assert_refused(ask(proxy, chat_request("tkn_unknown")), 401, 500, 503)
    assert_refused(ask(proxy, b"FOO /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"), 405, 500, 503)
    assert fake_provider.records == []


@pytest.mark.parametrize("hook", ["admission.Admission.http_connect", "identity.Identity.http_connect"])
def test_connect(proxy: Serve, fake_provider: FakeProvider, hook: str, how: str) -> None:
    """No tunnel is opened, neither to a provider nor elsewhere."""
    proxy.break_hook(hook, how)
    targets = ["api.openai.com:443", f"127.0.0.1:{fake_provider.port}", f"localhost:{fake_provider.tls_port}"]
    basic = "Proxy-Authorization: Basic dGtuX3Vua25vd246"
    for target in targets:
        assert_refused(ask(proxy, connect_request(target, basic)), 403, 500, 503)
    assert fake_provider.records == []


def test_left_alone_is_not_left_alone(
    proxy: Serve, fake_provider: FakeProvider, authority: TestAuthority, how: str
) -> None:
    """Where the decision to look away fails, the proxy looks, and refuses."""
    proxy.break_hook("admission.Admission.tls_clienthello", how)
    target = f"localhost:{fake_provider.tls_port}"
    with (
        raw_tunnel(proxy, target) as raw,
        suppress(Closed, OSError),
        tls_line(raw, "localhost", trust=None) as line,
    ):
        assert_refused(line.ask(request(host=target, token="sk-own-key")), 401, 403, 500, 503)
    assert fake_provider.records == []


@pytest.mark.parametrize(
    "hook", ["metering.Metering.responseheaders", "metering.Metering.response", "records.Records.response"]
)
@pytest.mark.parametrize("model", ["gpt-4o", "echo-key", "set-cookie", "fail-400"])
def test_answer(
    proxy: Serve, fake_provider: FakeProvider, token: str, hook: str, how: str, model: str
) -> None:
    """What was not read, or not written down, is not given out."""
    proxy.break_hook(hook, how)
    answer = ask(proxy, chat_request(token, model))
    assert_refused(answer, 500)
    assert b"pong" not in answer.body
    assert answer.header("set-cookie") == answer.header("x-echo") == ""
    assert len(fake_provider.records) == 1


def test_stream_s_head(proxy: Serve, fake_provider: FakeProvider, token: str, how: str) -> None:
    proxy.break_hook("metering.Metering.responseheaders", how)
    with connect(proxy) as line:
        assert_refused(line.ask(chat_request(token, "slow-stream,delay=0.05", stream=True)), 500)
    assert fake_provider.wait_ended()[0].left


def test_stream_s_end(proxy: Serve, fake_provider: FakeProvider, token: str, how: str) -> None:
    """A stream that was not written down does not end as a whole one does."""
    proxy.break_hook("records.Records.response", how)
    with connect(proxy) as line, pytest.raises(Closed):
        line.ask(chat_request(token, stream=True))
    assert len(fake_provider.records) == 1


def test_stream_s_break(proxy: Serve, fake_provider: FakeProvider, token: str, how: str) -> None:
    proxy.break_hook("metering.Metering.tokenomics_cut", how)
    with connect(proxy) as line, pytest.raises(Closed):
        line.ask(chat_request(token, "die-mid-stream", stream=True))
    assert len(fake_provider.records) == 1


@pytest.mark.parametrize("model", ["reset-before-headers", "fail-503"])
def test_second_attempt(proxy: Serve, fake_provider: FakeProvider, token: str, how: str, model: str) -> None:
    """No second attempt is made by a step that fails; the client gets an error."""
    proxy.break_hook("credentials.Credentials.tokenomics_attempt", how)
    assert_refused(ask(proxy, chat_request(token, model)), 500, 502, 503)
    assert len(fake_provider.records) == 1


def test_record_of_an_error(proxy: Serve, fake_provider: FakeProvider, token: str, how: str) -> None:
    proxy.break_hook("records.Records.error", how)
    with connect(proxy) as line, pytest.raises(Closed):
        line.ask(chat_request(token, "die-mid-stream", stream=True))
    with connect(proxy) as line:
        line.send(chat_request(token, "slow-stream,delay=0.05", stream=True))
        fake_provider.wait(lambda records: len(records) == 2)
    assert fake_provider.wait_ended(2)[1].left


@pytest.mark.parametrize("name", ["websocket_start", "websocket_message"])
def test_frames(proxy: Serve, fake_provider: FakeProvider, token: str, name: str, how: str) -> None:
    """No frame passes whose handling failed."""
    proxy.break_hook(f"frames.Frames.{name}", how)
    headers = {"Authorization": f"Bearer {token}"}
    url = f"ws://127.0.0.1:{proxy.http_port}/v1/responses"
    with websocket(url, additional_headers=headers, proxy=None) as socket:
        socket.send(json.dumps({"type": "response.create", "model": "gpt-4o", "input": "hi"}))
        with suppress(TimeoutError):
            assert "pong" not in str(socket.recv(timeout=0.3))
    assert fake_provider.wait_ended()[0].frames == []
