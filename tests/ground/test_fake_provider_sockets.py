"""The fake provider misbehaves on WebSockets too."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.fake_provider import Bill, FakeProvider

Open = Callable[..., ClientConnection]


@pytest.fixture
def open_socket(fake_provider: FakeProvider) -> Open:
    def run(path: str = "/v1/responses", key: str = "sk-real", **options: Any) -> ClientConnection:
        url = fake_provider.url.replace("http", "ws") + path
        headers = {"Authorization": f"Bearer {key}"}
        return connect(url, additional_headers=headers, proxy=None, open_timeout=5, **options)

    return run


def create(model: str = "gpt-4o", text: str = "hi") -> str:
    return json.dumps({"type": "response.create", "model": model, "input": text})


def test_bills_every_turn(open_socket: Open, fake_provider: FakeProvider) -> None:
    with open_socket() as socket:
        for _ in range(2):
            socket.send(create())
            while json.loads(socket.recv(timeout=5))["type"] != "response.completed":
                pass
    record = fake_provider.wait_ended()[0]
    assert record.bill == Bill(8, 4)
    assert record.frames == [create(), create()]
    assert record.finished


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_compression(open_socket: Open, fake_provider: FakeProvider, compression: str | None) -> None:
    with open_socket(compression=compression) as socket:
        socket.send(create(text="x" * 2000))
        while json.loads(socket.recv(timeout=5))["type"] != "response.completed":
            pass
    assert fake_provider.last.frames == [create(text="x" * 2000)]


@pytest.mark.parametrize(("model", "events"), [("die-mid-stream", 3), ("close-mid-stream,after=5", 5)])
def test_breaks_off(open_socket: Open, fake_provider: FakeProvider, model: str, events: int) -> None:
    with open_socket() as socket:
        socket.send(create(model))
        for _ in range(events):
            socket.recv(timeout=5)
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=5)


def test_script_of_frames(open_socket: Open, fake_provider: FakeProvider) -> None:
    fake_provider.script([{"pieces": ["4111", " 1111"]}, {"status": 429}], frames=True)
    with open_socket() as socket:
        socket.send(create())
        events = [json.loads(socket.recv(timeout=5)) for _ in range(10)]
        socket.send(create())
        error = json.loads(socket.recv(timeout=5))
    assert [event["delta"] for event in events if event["type"].endswith("text.delta")] == ["4111", " 1111"]
    assert (error["type"], error["status"]) == ("error", 429)


@pytest.mark.parametrize(
    ("path", "key", "step", "status"),
    [
        ("/v1/responses", "sk-real", {"status": 426}, 426),
        ("/v1/responses", "tkn_x", {}, 401),
        ("/v1/responses", "", {}, 401),
        ("/v1/unknown", "sk-real", {}, 404),
    ],
)
def test_upgrade_refused(
    open_socket: Open, fake_provider: FakeProvider, path: str, key: str, step: Any, status: int
) -> None:
    fake_provider.script([step])
    with pytest.raises(InvalidStatus) as refused:
        open_socket(path, key)
    assert refused.value.response.status_code == status


def test_client_that_leaves(open_socket: Open, fake_provider: FakeProvider) -> None:
    socket = open_socket()
    socket.send(create("slow-stream,delay=0.02,tokens=1000"))
    socket.recv(timeout=5)
    socket.socket.close()
    record = fake_provider.wait_ended(timeout=10)[0]
    assert record.left
    assert record.bill.output_tokens < 900
