"""Content rules on WebSockets: on every frame of the client, and on what comes back over many of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.fake_provider import FakeProvider
from tests.money.governed import Json, Token, create, rows_of, update
from tests.proxy.conftest import StartProxy
from tests.proxy.test_frames import create as asking
from tests.proxy.test_frames import socket
from tests.support.proxy import Proxy

POLICY: Json = {"base_key_env": "OPENAI_API_KEY", "default_provider": "openai"}
SPEAKER = "gpt-4o-realtime-preview"
MAIL = "alice.liddell@wonderland.example"
ENDS = ("response.completed", "response.incomplete", "response.done", "error")
CONFIG: Json = {
    "budgets": {"slice": 16, "wait": 0.3},
    "pricing": {"gpt-*": {"input": 1000, "output": 1000}},
}
ASKED = 'request blocked by rule 0: detected PII in rule "no mail": Email Address'
ANSWERED = 'response blocked by rule 0: detected PII in rule "no mail": Email Address'


@pytest.fixture(scope="module")
def gateway(make_proxy: StartProxy) -> Iterator[Proxy]:
    with make_proxy(CONFIG) as proxy:
        yield proxy
        assert proxy.refusals() == []
        assert proxy.files_with(MAIL) == []


def pii(*detect: str, **fields: Any) -> Json:
    return {"type": "pii", "detect": list(detect), "action": "mask", **fields}


def until_ended(connection: ClientConnection) -> list[Json]:
    """The events of one turn."""
    events: list[Json] = []
    while not events or events[-1]["type"] not in ENDS:
        events.append(json.loads(connection.recv(timeout=10)))
    return events


def spoken(events: list[Json]) -> str:
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


def texts_of(events: list[Json]) -> set[str]:
    """The whole text, wherever the events say it."""
    found = set()
    for event in events:
        if event["type"] == "response.output_text.done":
            found.add(event["text"])
        items = [event.get("item") or {}, *event.get("response", {}).get("output", ())]
        found |= {part["text"] for item in items for part in item.get("content", ()) if part.get("text")}
    return found


@contextmanager
def responses(gateway: Proxy, *rules: Json, **policy: Any) -> Iterator[tuple[ClientConnection, Token]]:
    token = create(gateway, {**POLICY, "rules": list(rules), **policy})
    with socket(gateway, token.key) as connection:
        yield connection, token


@contextmanager
def realtime(gateway: Proxy, *rules: Json, **policy: Any) -> Iterator[tuple[ClientConnection, Token]]:
    token = create(gateway, {**POLICY, "rules": list(rules), **policy})
    with socket(gateway, token.key, f"/v1/realtime?model={SPEAKER}") as connection:
        assert json.loads(connection.recv(timeout=10))["type"] == "session.created"
        yield connection, token


def say(connection: ClientConnection, text: str) -> Json:
    """Puts a word of the user into a session; what the session answers to that."""
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    connection.send(json.dumps({"type": "conversation.item.create", "item": item}))
    answer: Json = json.loads(connection.recv(timeout=10))
    return answer


def respond(**members: Any) -> str:
    return json.dumps({"type": "response.create", **members})


def frames_of(gateway: Proxy, token: Token, count: int) -> list[Json]:
    return [row for row in rows_of(gateway, token.hash, count + 1) if row["kind"] == "frame"]


def sent(fake_provider: FakeProvider) -> list[Json]:
    return [json.loads(frame) for record in fake_provider.records for frame in record.frames]


def in_order(events: list[Json]) -> bool:
    numbers = [event["sequence_number"] for event in events if "sequence_number" in event]
    return numbers == list(range(len(numbers)))


# What the client says.


def test_a_request_in_a_frame_is_masked(gateway: Proxy, fake_provider: FakeProvider) -> None:
    with responses(gateway, pii("email", style="typed")) as (connection, token):
        connection.send(asking(text=f"to {MAIL}", instructions=f"from {MAIL}", metadata={"to": MAIL}))
        assert spoken(until_ended(connection)) == "pong: to [REDACTED:email]"
    (frame,) = sent(fake_provider)
    assert frame["instructions"] == "from [REDACTED:email]"
    assert not fake_provider.last.holds(MAIL)
    (row,) = frames_of(gateway, token, 1)
    assert json.loads(row["rule_matches"])[0]["action"] == "mask"


def test_a_frame_that_fails_is_not_sent_and_the_next_one_is(
    gateway: Proxy, fake_provider: FakeProvider
) -> None:
    with responses(gateway, pii("email", action="fail", name="no mail")) as (connection, token):
        for text, passes in (("a", True), (f"to {MAIL}", False), ("b", True), (MAIL, False)):
            connection.send(asking(text=text))
            end = until_ended(connection)[-1]
            if passes:
                assert end["type"] == "response.completed"
            else:
                assert (end["type"], end["status"]) == ("error", 403)
                assert (end["error"]["code"], end["error"]["message"]) == ("rule_violation", ASKED)
    assert len(sent(fake_provider)) == 2
    rows = frames_of(gateway, token, 4)
    assert [(row["status"], row["refusal"]) for row in rows] == [
        (200, None),
        (403, "rule_violation"),
        (200, None),
        (403, "rule_violation"),
    ]


EVENTS: dict[str, Json] = {
    "item": {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": MAIL}]},
    },
    "tool result": {
        "type": "conversation.item.create",
        "item": {"type": "function_call_output", "call_id": "c", "output": json.dumps({"to": MAIL})},
    },
    "session": {"type": "session.update", "session": {"type": "realtime", "instructions": f"be {MAIL}"}},
    "tools": {
        "type": "session.update",
        "session": {"tools": [{"type": "function", "name": "f", "description": MAIL, "parameters": {}}]},
    },
    "unknown": {"type": "something.new", "deep": [{"a": MAIL}]},
    "response": {"type": "response.create", "response": {"instructions": f"to {MAIL}", "input": []}},
}


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_of_a_session_is_masked(gateway: Proxy, fake_provider: FakeProvider, name: str) -> None:
    with realtime(gateway, pii("email")) as (connection, _):
        connection.send(json.dumps(EVENTS[name]))
        connection.recv(timeout=10)
    (frame,) = sent(fake_provider)
    assert not fake_provider.last.holds(MAIL)
    assert json.loads(json.dumps(EVENTS[name]).replace(MAIL, "[REDACTED]")) == frame


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_of_a_session_can_fail(gateway: Proxy, fake_provider: FakeProvider, name: str) -> None:
    with realtime(gateway, pii("email", action="fail", name="no mail")) as (connection, _):
        connection.send(json.dumps(EVENTS[name]))
        error = json.loads(connection.recv(timeout=10))
        assert (error["type"], error["error"]["message"]) == ("error", ASKED)
        assert say(connection, "hi")["type"] == "conversation.item.added"
        connection.send(respond())
        assert spoken(until_ended(connection)) == "pong: hi"
    assert not fake_provider.last.holds(MAIL)


def test_a_frame_without_a_value_keeps_its_bytes(gateway: Proxy, fake_provider: FakeProvider) -> None:
    frame = '{ "type":"response.create" , "model":"gpt-4o-mini","input":"h\\u0069", "x": 1.50 }'
    with responses(gateway, pii("all", restore=True), pii("all", scope="output")) as (connection, _):
        connection.send(frame)
        until_ended(connection)
    assert fake_provider.last.frames == [frame]


# What comes back.


def test_masks_over_many_frames(gateway: Proxy, fake_provider: FakeProvider) -> None:
    with responses(gateway, pii("email", scope="output")) as (connection, token):
        for number in range(2):
            connection.send(asking(text=f"to {MAIL}, and {MAIL}"))
            events = until_ended(connection)
            assert spoken(events) == "pong: to [REDACTED], and [REDACTED]"
            assert texts_of(events) == {"pong: to [REDACTED], and [REDACTED]"}
            assert in_order(events)
            assert "alice" not in json.dumps(events)
            assert events[-1]["response"]["usage"]["output_tokens"] > 0
            assert number < 2
    rows = frames_of(gateway, token, 2)
    assert all(json.loads(row["rule_matches"])[0]["action"] == "mask" for row in rows)
    assert sum(row["output_tokens"] for row in rows) == fake_provider.bill.output_tokens


def test_masks_in_a_session(gateway: Proxy, fake_provider: FakeProvider) -> None:
    with realtime(gateway, pii("email", scope="output")) as (connection, token):
        say(connection, f"to {MAIL}")
        connection.send(respond())
        events = until_ended(connection)
        assert spoken(events) == "pong: to [REDACTED]"
        assert texts_of(events) == {"pong: to [REDACTED]"}
    assert fake_provider.last.holds(MAIL)
    frames_of(gateway, token, 1)


@pytest.mark.parametrize("rules", [[], [pii("email", scope="output")], [pii("iban", restore=True)]])
def test_what_no_rule_touches_is_the_same(
    gateway: Proxy, fake_provider: FakeProvider, rules: list[Json]
) -> None:
    seen = []
    for given in ([], rules):
        fake_provider.reset()
        with responses(gateway, *given) as (connection, _):
            connection.send(asking(text="nothing to see here, a@b"))
            frames = [connection.recv(timeout=10)]
            while json.loads(frames[-1])["type"] not in ENDS:
                frames.append(connection.recv(timeout=10))
            seen.append(frames)
    assert seen[0] == seen[1]


def test_many_values_are_told_in_every_turn(gateway: Proxy, fake_provider: FakeProvider) -> None:
    """What is told of an answer has a limit; that of a connection has none."""
    with responses(gateway, pii("email", scope="output")) as (connection, token):
        for _ in range(30):
            connection.send(asking(text=MAIL))
            until_ended(connection)
    rows = frames_of(gateway, token, 30)
    assert all(json.loads(row["rule_matches"]) for row in rows)


# An answer that fails.


def test_a_turn_that_fails_ends_with_an_error(gateway: Proxy, fake_provider: FakeProvider) -> None:
    rule = pii("email", scope="output", action="fail", name="no mail")
    pieces = ["all ", "is ", "well, ", "alice", "@wonder", "land.example", " and", *[" on"] * 300]
    fake_provider.script([{"pieces": pieces, "delay": 0.2, "fast": 15}], frames=True)
    with responses(gateway, rule) as (connection, token):
        connection.send(asking(text="go"))
        events = until_ended(connection)
        assert spoken(events).startswith("all is ")
        assert "alice" not in json.dumps(events)
        assert (events[-1]["type"], events[-1]["status"]) == ("error", 403)
        assert events[-1]["error"]["message"] == ANSWERED
        # This provider knows no other way to be told to stop.
        with suppress(ConnectionClosed):
            assert "alice" not in str(connection.recv(timeout=5))
    (record,) = fake_provider.wait_ended()
    assert record.events < 60
    (row,) = frames_of(gateway, token, 1)
    assert row["error"] == ANSWERED
    assert row["output_tokens"] > 0
    assert json.loads(row["rule_matches"])[0]["action"] == "fail"


def test_a_session_goes_on_after_a_violation_and_is_guarded(
    gateway: Proxy, fake_provider: FakeProvider
) -> None:
    rules = [
        pii("email", scope="output", action="fail", name="no mail"),
        pii("iban", scope="output"),
    ]
    iban = "DE89 3704 0044 0532 0130 00"
    fake_provider.script(
        [
            {"text": f"all is well, {MAIL} and on it goes"},
            {"text": f"pay to {iban} now"},
            {"text": f"again {MAIL}"},
        ],
        frames=True,
    )
    with realtime(gateway, *rules) as (connection, token):
        for end, text in (("error", None), ("response.done", "pay to [REDACTED] now"), ("error", None)):
            connection.send(respond())
            events = until_ended(connection)
            assert events[-1]["type"] == end
            if text:
                assert spoken(events) == text
                assert texts_of(events) == {text}
            else:
                assert events[-1]["error"]["message"] == ANSWERED
            assert "alice" not in json.dumps(events)
    rows = frames_of(gateway, token, 3)
    assert [row["error"] for row in rows] == [ANSWERED, None, ANSWERED]
    assert all(row["output_tokens"] > 0 for row in rows)


def test_a_response_of_the_provider_s_own_is_guarded(gateway: Proxy, fake_provider: FakeProvider) -> None:
    """Nobody asked for it in a frame."""
    fake_provider.script([{"text": f"to {MAIL} now"}] * 2, frames=True)
    with realtime(gateway, pii("email", scope="output")) as (connection, token):
        connection.send(json.dumps({"type": "input_audio_buffer.commit"}))
        events = until_ended(connection)
        assert spoken(events) == "to [REDACTED] now"
        assert texts_of(events) == {"to [REDACTED] now"}
        update(gateway, token.hash, {"rules": [pii("email", scope="output", action="fail", name="no mail")]})
        # The rules are those of the policy as it is now.
        connection.send(respond())
        assert until_ended(connection)[-1]["error"]["message"] == ANSWERED
    rows = frames_of(gateway, token, 2)
    assert json.loads(rows[0]["rule_matches"])[0]["action"] == "mask"


def test_what_the_end_of_a_budget_says_again_is_masked(gateway: Proxy, fake_provider: FakeProvider) -> None:
    """The frames that end a turn repeat what was said in it."""
    pieces = [f"to {MAIL} ", *[" the"] * 4000]
    fake_provider.script([{"pieces": pieces, "delay": 0.05, "fast": 50, "ignore_cap": True}], frames=True)
    with responses(gateway, pii("email", scope="output"), max_tokens=80) as (connection, token):
        connection.send(asking(text="go"))
        events = until_ended(connection)
        assert events[-1]["type"] == "response.incomplete"
        assert "alice" not in json.dumps(events)
        assert spoken(events).startswith("to [REDACTED]  the")
        assert {text[:16] for text in texts_of(events)} == {"to [REDACTED]  t"}
        assert events[-1]["response"]["output"][0]["content"][0]["text"] == spoken(events)
    (row,) = frames_of(gateway, token, 1)
    assert row["error"].startswith("budget exceeded")


# Values that come back.


def test_values_come_back(gateway: Proxy, fake_provider: FakeProvider) -> None:
    """One connection is one conversation, also where no session is named."""
    with responses(gateway, pii("email", restore=True)) as (connection, _):
        for text, placeholder in (
            ("hello", "hello"),
            (f"to {MAIL}", "to <EMAIL_1>"),
            ("bob@x.org", "<EMAIL_2>"),
            (f"{MAIL} and bob@x.org", "<EMAIL_1> and <EMAIL_2>"),
        ):
            connection.send(asking(text=text))
            events = until_ended(connection)
            assert spoken(events) == f"pong: {text}"
            assert texts_of(events) == {f"pong: {text}"}
            assert in_order(events)
            assert sent(fake_provider)[-1]["input"][0]["content"][0]["text"] == placeholder
    assert not fake_provider.last.holds(MAIL)


def test_values_come_back_in_arguments(gateway: Proxy, fake_provider: FakeProvider) -> None:
    name = '@@Zoë "the Fox" C:\\temp\\new\nO\'Néil@@'
    rule = {"name": "person", "pattern": "@@[^@]+@@", "action": "mask", "restore": True}
    tools = [{"type": "function", "name": "f", "parameters": {"properties": {"city": {}}}}]
    with responses(gateway, rule) as (connection, _):
        connection.send(asking(text=f"to {name}", tools=tools))
        events = until_ended(connection)
    deltas = "".join(e["delta"] for e in events if e["type"] == "response.function_call_arguments.delta")
    (done,) = [e["arguments"] for e in events if e["type"] == "response.function_call_arguments.done"]
    whole = events[-1]["response"]["output"][0]["arguments"]
    assert json.loads(deltas) == json.loads(done) == json.loads(whole) == {"city": f"to {name}"}
    assert "Zo" not in fake_provider.last.frames[0]


def test_values_come_back_in_a_session(gateway: Proxy, fake_provider: FakeProvider) -> None:
    with realtime(gateway, pii("email", restore=True)) as (connection, _):
        echoed = say(connection, f"to {MAIL}")
        assert echoed["item"]["content"][0]["text"] == f"to {MAIL}"
        connection.send(respond())
        assert spoken(until_ended(connection)) == f"pong: to {MAIL}"
    assert not fake_provider.last.holds(MAIL)
