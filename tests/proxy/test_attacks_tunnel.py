"""Inside a tunnel: only TLS, only requests to the host it was opened for, unless it is one to leave alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.attacks import (
    POLICY,
    Closed,
    assert_refused,
    connect,
    connect_request,
    raw_tunnel,
    request,
    tls_line,
    tunnel,
    undisturbed,
)
from tests.support.certificates import TestAuthority
from tests.support.proxy import Proxy

RAW = {
    "ssh": b"SSH-2.0-OpenSSH_9.9\r\n",
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "redis inline": b"PING\r\n\r\n",
    "smtp": b"EHLO example.com\r\n\r\n",
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
    "socks": b"\x05\x01\x00",
    "http2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.fixture(scope="module")
def hasty(make_proxy: Any, provider_server: FakeProvider) -> Iterator[Proxy]:
    """Waits for nobody, and leaves tunnels to the fake provider's TLS port alone."""
    server = {"header_timeout": 0.5, "tunnel_hosts": [f"localhost:{provider_server.tls_port}"]}
    with make_proxy({"server": server}) as proxy:
        yield proxy


@pytest.fixture
def proxy(hasty: Proxy, fake_provider: FakeProvider) -> Iterator[Proxy]:
    with undisturbed(hasty):
        yield hasty


@pytest.fixture(scope="module")
def token(hasty: Proxy) -> str:
    return hasty.token(POLICY)


@pytest.mark.parametrize("target", ["api.openai.com:443", "left alone"])
def test_no_tls(proxy: Proxy, fake_provider: FakeProvider, target: str) -> None:
    """Whatever is no TLS gets a refusal or the end of the connection, and goes nowhere."""
    if target == "left alone":
        target = f"localhost:{fake_provider.tls_port}"
    lines = [raw_tunnel(proxy, target).send(data) for data in RAW.values()]
    for line in lines:
        with line, suppress(Closed):
            # Some of it reads as more than one request.
            for _ in range(3):
                assert_refused(line.answer(), 400, 405, 408)
    assert fake_provider.records == []


@pytest.mark.parametrize("host", ["api.openai.com", "api.openai.com:443", "127.0.0.1"])
def test_plain_http(proxy: Proxy, fake_provider: FakeProvider, token: str, host: str) -> None:
    """The real key would travel in clear."""
    with raw_tunnel(proxy) as line:
        assert_refused(line.ask(request(host=host, token=token)), 400, 403)
    assert fake_provider.records == []


def test_silence(proxy: Proxy, fake_provider: FakeProvider) -> None:
    with raw_tunnel(proxy) as line:
        assert line.rest() == b""
    assert fake_provider.records == []


def test_half_a_handshake(proxy: Proxy, fake_provider: FakeProvider) -> None:
    with raw_tunnel(proxy) as line:
        line.send(bytes.fromhex("16030100c8010000c40303"))
        assert line.rest() == b""
    assert fake_provider.records == []


def test_silence_after_the_handshake(proxy: Proxy, fake_provider: FakeProvider) -> None:
    with tunnel(proxy) as line:
        assert b"HTTP/1.1 200" not in line.rest()
    assert fake_provider.records == []


@pytest.mark.parametrize(
    "target",
    [
        "https://api.openai.com/v1/models",
        "http://api.openai.com/v1/models",
        "http://127.0.0.1/v1/models",
        "https://api.anthropic.com/v1/models",
    ],
)
@pytest.mark.parametrize("version", ["1.1", "2.0"])
def test_absolute_form(
    proxy: Proxy, fake_provider: FakeProvider, token: str, target: str, version: str
) -> None:
    data = request(path=target, host="api.openai.com", token=token)
    with tunnel(proxy) as line:
        answer = line.ask(data.replace(b"HTTP/1.1", b"HTTP/" + version.encode()))
        assert_refused(answer, 400, 403)
    assert fake_provider.records == []


@pytest.mark.parametrize(
    "host",
    [
        "api.anthropic.com",
        "127.0.0.1",
        "api.openai.com:80",
        "api.openai.com@127.0.0.1",
        "localhost:443",
        "[::1]",
    ],
)
def test_foreign_host_header(proxy: Proxy, fake_provider: FakeProvider, token: str, host: str) -> None:
    with tunnel(proxy) as line:
        assert_refused(line.ask(request(host=host, token=token)), 400, 403)
    assert fake_provider.records == []


@pytest.mark.parametrize("headers", [[], ["Host: api.openai.com", "Host: api.openai.com"], ["Host:"]])
def test_not_one_host_header(
    proxy: Proxy, fake_provider: FakeProvider, token: str, headers: list[str]
) -> None:
    head = ["GET /v1/models HTTP/1.1", *headers, f"Authorization: Bearer {token}", "", ""]
    with tunnel(proxy) as line:
        assert_refused(line.ask("\r\n".join(head).encode()), 400, 403)
    assert fake_provider.records == []


def test_other_name_in_the_handshake(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """The server name of the TLS handshake decides nothing."""
    with tls_line(raw_tunnel(proxy), "api.anthropic.com", trust=proxy.ca) as line:
        assert_refused(line.ask(request(host="api.anthropic.com", token=token)), 403)
    assert fake_provider.records == []


def test_connect_inside(proxy: Proxy, fake_provider: FakeProvider) -> None:
    with tunnel(proxy) as line:
        assert_refused(line.ask(connect_request(f"127.0.0.1:{fake_provider.port}")), 400, 405)
    assert fake_provider.records == []


def test_connect_to_the_proxy_itself(proxy: Proxy, fake_provider: FakeProvider) -> None:
    with connect(proxy) as line:
        assert_refused(line.ask(connect_request(f"localhost:{proxy.http_port}")), 403)
    assert fake_provider.records == []


def test_left_alone(proxy: Proxy, fake_provider: FakeProvider, authority: TestAuthority, token: str) -> None:
    """The client sees the upstream's own certificate, and its bytes arrive as they are."""
    target = f"localhost:{fake_provider.tls_port}"
    with tls_line(raw_tunnel(proxy, target), "localhost", trust=authority.ca) as line:
        assert line.ask(request(host="localhost", token="sk-own-key")).status == 200
        again = request("GET", "/v1/models/gpt-4o", "X-OpenClaw-Team: a", token="sk-own-key")
        assert line.ask(again).status == 200
    assert [record.key for record in fake_provider.records] == ["sk-own-key", "sk-own-key"]
    assert fake_provider.last.header("x-openclaw-team") == "a"


def test_left_alone_stays_open(proxy: Proxy, fake_provider: FakeProvider, authority: TestAuthority) -> None:
    """No time limit for requests is laid on what is not looked into."""
    fake_provider.script([{"do": "slow-first-byte", "delay": 0.8}])
    target = f"localhost:{fake_provider.tls_port}"
    with tls_line(raw_tunnel(proxy, target), "localhost", trust=authority.ca) as line:
        assert line.ask(request(host="localhost", token="sk-own-key")).status == 200
    assert [record.key for record in fake_provider.records] == ["sk-own-key"]


def test_left_alone_is_that_port_only(proxy: Proxy, fake_provider: FakeProvider) -> None:
    with connect(proxy) as line:
        assert_refused(line.ask(connect_request(f"localhost:{fake_provider.port}")), 403)
    with connect(proxy) as line:
        assert_refused(line.ask(connect_request("localhost:443")), 403)
    with connect(proxy) as line:
        assert_refused(line.ask(connect_request(f"127.0.0.1:{fake_provider.tls_port}")), 403)
    assert fake_provider.records == []
