"""Content rules on a WebSocket on which several turns run at once, in front of a provider by hand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.server import ServerConnection, serve

from tests.money.governed import Json
from tests.proxy.conftest import StartProxy
from tests.proxy.test_frames import create as asking
from tests.proxy.test_guardrails_frames import (
    ANSWERED,
    CONFIG,
    MAIL,
    frames_of,
    pii,
    responses,
    spoken,
    texts_of,
)
from tests.support.proxy import Proxy

Script = Callable[[ServerConnection], None]


@pytest.fixture
def lanes(start_proxy: StartProxy) -> Iterator[Callable[[Script], Proxy]]:
    """A gateway in front of a provider that does on a connection what it is told."""
    servers = []

    def begin(script: Script) -> Proxy:
        server = serve(script, "127.0.0.1", 0)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        return start_proxy(CONFIG | {"providers": {"openai": {"upstream_url": url}}})

    yield begin
    for server in servers:
        server.shutdown()


def lane_event(lane: str, kind: str, number: int, **members: Any) -> str:
    return json.dumps({"type": kind, "stream_id": lane, "sequence_number": number, **members})


def begun(lane: str) -> str:
    response = {"id": f"resp_{lane}", "status": "in_progress", "output": []}
    return lane_event(lane, "response.created", 0, response=response)


def delta(lane: str, number: int, text: str) -> str:
    place = {"item_id": f"msg_{lane}", "output_index": 0, "content_index": 0}
    return lane_event(lane, "response.output_text.delta", number, **place, delta=text)


def finished(lane: str, number: int, text: str) -> str:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {"id": f"msg_{lane}", "type": "message", "role": "assistant", "content": content}
    usage = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    response = {"id": f"resp_{lane}", "status": "completed", "output": [item], "usage": usage}
    return lane_event(lane, "response.completed", number, response=response)


def until(connection: ClientConnection, *ends: tuple[str, str]) -> dict[str, list[Json]]:
    """The events by lane, until each lane has ended so."""
    by_lane: dict[str, list[Json]] = {}
    while not all(by_lane.get(lane) and by_lane[lane][-1]["type"] == end for lane, end in ends):
        event = json.loads(connection.recv(timeout=5))
        by_lane.setdefault(event.get("stream_id", ""), []).append(event)
    return by_lane


def test_lanes_hold_nothing_up_for_each_other(lanes: Callable[[Script], Proxy]) -> None:
    """One is in the middle of what may become a value while the other one says all."""
    go = threading.Event()

    def script(line: ServerConnection) -> None:
        line.recv()
        line.recv()
        for frame in (begun("a"), begun("b"), delta("a", 1, "to alice.liddell"), delta("b", 1, "bob@")):
            line.send(frame)
        line.send(delta("b", 2, "x.org is it"))
        line.send(finished("b", 3, "bob@x.org is it"))
        go.wait(10)
        line.send(delta("a", 2, "@wonderland.example, yes"))
        line.send(finished("a", 3, f"to {MAIL}, yes"))
        with suppress(ConnectionClosed):
            line.recv()

    proxy = lanes(script)
    with responses(proxy, pii("email", scope="output")) as (connection, token):
        connection.send(asking(stream_id="a"))
        connection.send(asking(stream_id="b"))
        first = until(connection, ("b", "response.completed"))
        assert spoken(first["b"]) == "[REDACTED] is it"
        go.set()
        rest = until(connection, ("a", "response.completed"))
    a = first.get("a", []) + rest["a"]
    assert spoken(a) == "to [REDACTED], yes"
    assert texts_of(a) == {"to [REDACTED], yes"}
    assert [event["sequence_number"] for event in a] == [0, 1, 2, 3]
    assert [event["sequence_number"] for event in first["b"]] == [0, 1, 2, 3]
    rows = frames_of(proxy, token, 2)
    assert [len(json.loads(row["rule_matches"])) > 0 for row in rows] == [True, True]


def test_a_violation_on_one_lane_leaves_the_texts_of_others_whole(lanes: Callable[[Script], Proxy]) -> None:
    def script(line: ServerConnection) -> None:
        line.recv()
        line.recv()
        for frame in (
            begun("a"),
            begun("b"),
            delta("a", 1, "for bob"),
            delta("b", 1, "to alice.liddell@wonder"),
            delta("a", 2, " all"),
            finished("b", 2, f"to {MAIL}"),
            delta("a", 3, " is well"),
            finished("a", 4, "for bob all is well"),
        ):
            line.send(frame)
        with suppress(ConnectionClosed):
            line.recv()

    proxy = lanes(script)
    rule = pii("email", scope="output", action="fail", name="no mail")
    with responses(proxy, rule) as (connection, token):
        connection.send(asking(stream_id="a"))
        connection.send(asking(stream_id="b"))
        events = until(connection, ("a", "response.completed"), ("b", "error"))
    assert spoken(events["a"]) == "for bob all is well"
    assert [event["sequence_number"] for event in events["a"]] == [0, 1, 2, 3, 4]
    assert events["b"][-1]["error"]["message"] == ANSWERED
    assert "alice" not in json.dumps(events)
    rows = frames_of(proxy, token, 2)
    assert sorted(str(row["error"]) for row in rows) == ["None", ANSWERED]


@pytest.mark.parametrize("rules", [[], [pii("email", scope="output")]])
def test_a_binary_frame_is_no_way_round(lanes: Callable[[Script], Proxy], rules: list[Json]) -> None:
    def script(line: ServerConnection) -> None:
        line.recv()
        for frame in (begun("a"), delta("a", 1, f"to {MAIL}").encode(), finished("a", 2, f"to {MAIL}")):
            line.send(frame)
        with suppress(ConnectionClosed):
            line.recv()

    with responses(lanes(script), *rules) as (connection, _):
        connection.send(asking(stream_id="a"))
        events = until(connection, ("a", "response.completed"))["a"]
    assert [event["sequence_number"] for event in events] == ([0, 2] if rules else [0, 1, 2])
    assert ("alice" in json.dumps(events)) == (not rules)


def test_a_value_that_is_new_on_one_lane_takes_nothing_from_the_other(
    lanes: Callable[[Script], Proxy],
) -> None:
    """The first placeholder of the conversation is given out while another text is held."""

    def script(line: ServerConnection) -> None:
        line.recv()
        line.send(begun("a"))
        line.send(delta("a", 1, "to alice.liddell"))
        said = json.loads(line.recv())["input"][0]["content"][0]["text"]
        line.send(begun("b"))
        line.send(delta("b", 1, said[:8]))
        line.send(delta("b", 2, said[8:]))
        line.send(finished("b", 3, said))
        line.send(delta("a", 2, "@wonderland.example"))
        line.send(finished("a", 3, f"to {MAIL}"))
        with suppress(ConnectionClosed):
            line.recv()

    proxy = lanes(script)
    rules = [pii("credit_card", restore=True), pii("email", scope="output")]
    with responses(proxy, *rules) as (connection, _):
        connection.send(asking(stream_id="a", text="hi"))
        assert json.loads(connection.recv(timeout=5))["type"] == "response.created"
        connection.send(asking(stream_id="b", text="card 4111 1111 1111 1111"))
        events = until(connection, ("a", "response.completed"), ("b", "response.completed"))
    assert spoken(events["b"]) == "card 4111 1111 1111 1111"
    assert spoken(events["a"]) == "to [REDACTED]"
    assert [event["sequence_number"] for event in events["a"]] == [1, 2, 3]
