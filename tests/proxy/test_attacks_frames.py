"""WebSocket frames that are no good, or whose handling fails: none of them reaches the provider."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as websocket

from tests.fake_provider import FakeProvider
from tests.proxy.attacks import POLICY, Line, connect, request, undisturbed
from tests.support.proxy import Proxy

FRAME = json.dumps({"type": "response.create", "model": "gpt-4o", "input": "hi"})


@pytest.fixture(scope="module")
def small(make_proxy: Any) -> Iterator[Proxy]:
    with make_proxy({"server": {"max_body_mb": 1}}) as proxy:
        yield proxy


@pytest.fixture
def proxy(small: Proxy, fake_provider: FakeProvider) -> Iterator[Proxy]:
    with undisturbed(small):
        yield small


@pytest.fixture(scope="module")
def token(small: Proxy) -> str:
    return small.token(POLICY)


def open_socket(proxy: Proxy, token: str) -> ClientConnection:
    headers = {"Authorization": f"Bearer {token}"}
    url = f"ws://127.0.0.1:{proxy.http_port}/v1/responses"
    return websocket(url, additional_headers=headers, open_timeout=5, max_size=None, proxy=None)


def test_serves(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    with open_socket(proxy, token) as socket:
        socket.send(FRAME)
        while json.loads(socket.recv(timeout=5))["type"] != "response.completed":
            pass
    assert len(fake_provider.last.frames) == 1


@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_message_too_large(proxy: Proxy, fake_provider: FakeProvider, token: str, pieces: int) -> None:
    """In one frame or in many, with an end or without."""
    body = FRAME.replace("hi", "a" * 3_000_000)
    size = len(body) // pieces + 1
    with open_socket(proxy, token) as socket:
        with suppress(ConnectionClosed):
            socket.send([body[at : at + size] for at in range(0, len(body), size)])
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=5)
    assert fake_provider.wait_ended()[0].frames == []


def raw_socket(proxy: Proxy, token: str) -> Line:
    upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    line = connect(proxy)
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    assert line.ask(request("GET", "/v1/responses", *upgrade, key, token=token)).status == 101
    return line


def frame(opcode: int, data: bytes, *, mask: bool = True, length: int | None = None) -> bytes:
    size = len(data) if length is None else length
    head = bytes([opcode]) + bytes([127 | (0x80 if mask else 0)]) + struct.pack(">Q", size)
    return head + (bytes(4) if mask else b"") + data


@pytest.mark.parametrize(
    "data",
    [
        frame(0x81, FRAME.encode(), mask=False),
        frame(0x8F, FRAME.encode()),
        frame(0xF1, FRAME.encode()),
        frame(0x80, FRAME.encode()),
        frame(0x81, b"\xff\xfe" + FRAME.encode()),
        frame(0x82, FRAME.encode()),
        frame(0x81, b"not json"),
        frame(0x81, b"[1, 2]"),
        frame(0x81, b""),
        frame(0x81, b"{}", length=2**63),
        frame(0x81, b"{}", length=2**40),
        frame(0x01, FRAME.encode()) + frame(0x81, FRAME.encode()),
        frame(0x89, b"a" * 126),
        frame(0x88, b"\x00"),
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=lambda data: data[:24].hex(),
)
def test_bad_frame(proxy: Proxy, fake_provider: FakeProvider, token: str, data: bytes) -> None:
    """It is refused in a frame, or the connection ends; the provider hears of no prompt."""
    with raw_socket(proxy, token) as line, suppress(TimeoutError, ConnectionError):
        line.sock.settimeout(0.3)
        line.send(data)
        while line.sock.recv(65536):
            pass
    (record,) = fake_provider.wait_ended()
    assert not [text for text in record.frames if "hi" in text]


def test_client_that_vanishes(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    with raw_socket(proxy, token) as line:
        line.send(frame(0x81, FRAME.encode())[:40])
    assert fake_provider.wait_ended()[0].frames == []
