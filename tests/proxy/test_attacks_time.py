"""Clients that are slow, or never come to the point: nobody is waited for without a limit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.attacks import (
    CHAT,
    POLICY,
    Closed,
    Line,
    assert_refused,
    assert_serves,
    chat_request,
    connect,
    request,
    tls_line,
    tunnel,
    undisturbed,
)
from tests.support.proxy import Proxy

LIMIT = 0.5


@pytest.fixture(scope="module")
def hasty(make_proxy: Any) -> Iterator[Proxy]:
    with make_proxy({"server": {"header_timeout": LIMIT, "body_timeout": LIMIT}}) as proxy:
        yield proxy


@pytest.fixture
def proxy(hasty: Proxy, fake_provider: FakeProvider) -> Iterator[Proxy]:
    with undisturbed(hasty):
        yield hasty


@pytest.fixture(scope="module")
def token(hasty: Proxy) -> str:
    return hasty.token(POLICY)


def assert_ended(line: Line, name: str = "") -> None:
    """The line gets a refusal in time, or just its end."""
    started = time.monotonic()
    with line, suppress(Closed):
        assert_refused(line.answer(), 400, 408)
        assert line.rest() == b"", name
    assert time.monotonic() - started < LIMIT + 3, name


STARTS = {
    "nothing": b"",
    "empty line": b"\r\n",
    "empty line and a request": b"\r\n" + request(),
    "one letter": b"G",
    "half a request line": b"GET /v1/mod",
    "no version": b"GET /v1/models",
    "no end": request()[:-2],
    "half a line end": request()[:-1],
    "half a header": request()[:-4],
    "socks 5": b"\x05\x01\x00",
    "socks 4": b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00",
    "ssh": b"SSH-2.0-OpenSSH_9.9\r\n",
    "binary": b"\x00\x01\x02\x03",
    "half a hello": bytes.fromhex("16030100c8010000c40303"),
    "one byte of a hello": b"\x16",
    "half a connect": b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api",
    "half a token": b"GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer tkn_",
}


def test_silence(proxy: Proxy, fake_provider: FakeProvider) -> None:
    """All at once: each of them takes the whole time."""
    lines = [connect(proxy).send(start) for start in STARTS.values()]
    for name, line in zip(STARTS, lines, strict=True):
        assert_ended(line, name)
    assert fake_provider.records == []


@pytest.mark.parametrize("way", ["tls", "tunnel"])
def test_silence_over_tls(proxy: Proxy, fake_provider: FakeProvider, way: str) -> None:
    def reach() -> Line:
        return tls_line(connect(proxy), "localhost", trust=proxy.ca) if way == "tls" else tunnel(proxy)

    lines = [reach().send(start) for start in STARTS.values()]
    for name, line in zip(STARTS, lines, strict=True):
        assert_ended(line, name)
    assert fake_provider.records == []


@pytest.mark.parametrize("kept_alive", [False, True])
def test_dripping_head(proxy: Proxy, fake_provider: FakeProvider, token: str, kept_alive: bool) -> None:
    """Each byte comes soon enough, the head as a whole does not; also for a second request."""
    head = request("GET", "/v1/models", "X-Drip: " + "a" * 1000, token=token)
    with connect(proxy) as line:
        if kept_alive:
            assert line.ask(request(path="/health")).status == 200
        drip(line, head)
    assert fake_provider.records == []


def test_dripping_body(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    with connect(proxy) as line:
        line.send(request("POST", CHAT, "Content-Length: 2000", token=token))
        drip(line, b"a" * 2000)
    assert fake_provider.records == []


def test_dripping_upload(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    with connect(proxy) as line:
        kind = "Content-Type: multipart/form-data; boundary=x"
        line.send(request("POST", "/v1/files", kind, "Content-Length: 2000", token=token))
        drip(line, b"a" * 2000)
    assert not fake_provider.wait_ended()[0].received


def test_dripping_body_of_a_refused_request(proxy: Proxy, fake_provider: FakeProvider) -> None:
    with connect(proxy) as line:
        assert_refused(line.ask(request("POST", CHAT, "Content-Length: 2000")), 401)
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            line.flood(b"a", 60, pause=0.05)
    assert fake_provider.records == []


def drip(line: Line, data: bytes) -> None:
    """Sends a byte at a time, and expects to be turned away."""
    line.sock.settimeout(0.05)
    started = time.monotonic()
    for at in range(len(data)):
        assert time.monotonic() - started < LIMIT + 3
        line.send(data[at : at + 1])
        try:
            found = line.sock.recv(65536)
        except TimeoutError:
            continue
        assert found.startswith(b"HTTP/1.1 408 ")
        assert b"application/json" in found
        return


def test_slow_but_steady_body_is_served(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """A body may take longer than the limit as long as it goes on."""
    data = chat_request(token, padding="a" * 8000)
    with connect(proxy) as line:
        for at in range(0, len(data), 1500):
            line.send(data[at : at + 1500])
            time.sleep(0.2)
        assert line.answer("POST").status == 200
    assert len(fake_provider.records) == 1


def test_long_answer_is_served(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """The limits are for what the client says, not for what the provider takes."""
    fake_provider.script([{"do": "slow-first-byte", "delay": 1.2}])
    with connect(proxy) as line:
        assert line.ask(chat_request(token)).status == 200
    assert len(fake_provider.records) == 1


def test_idle_connection_is_kept(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """Between two requests a client may rest for longer than a head may take."""
    with connect(proxy) as line:
        assert line.ask(chat_request(token)).status == 200
        time.sleep(LIMIT + 0.3)
        assert line.ask(chat_request(token)).status == 200
    assert len(fake_provider.records) == 2


def test_many_slow_clients(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """They take nothing away from the others, and are all gone after a while."""
    starts = [STARTS["nothing"], STARTS["half a request line"], STARTS["half a hello"], STARTS["no end"]]
    lines = [connect(proxy).send(start) for start in starts * 50]
    started = time.monotonic()
    assert_serves(proxy, fake_provider, token)
    assert time.monotonic() - started < 2
    for line in lines:
        assert_ended(line)
    assert len(fake_provider.records) == 1
