"""Responses asked for in WebSocket frames are under the same budgets and limits as those over HTTPS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
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
LIMIT = 80
ENDS = ("response.completed", "response.incomplete", "response.done", "error")
CONFIG: Json = {
    "budgets": {"slice": 16, "wait": 0.3},
    "pricing": {"gpt-*": {"input": 1000, "output": 1000}},
}


@pytest.fixture(scope="module")
def gateway(make_proxy: StartProxy) -> Iterator[Proxy]:
    with make_proxy(CONFIG) as proxy:
        yield proxy
        assert proxy.refusals() == []


def until_ended(connection: ClientConnection) -> list[Json]:
    """The events of one turn."""
    events: list[Json] = []
    while not events or events[-1]["type"] not in ENDS:
        events.append(json.loads(connection.recv(timeout=10)))
    return events


@contextmanager
def responses(gateway: Proxy, **policy: Any) -> Iterator[tuple[ClientConnection, Token]]:
    token = create(gateway, POLICY | policy)
    with socket(gateway, token.key) as connection:
        yield connection, token


@contextmanager
def realtime(gateway: Proxy, **policy: Any) -> Iterator[tuple[ClientConnection, Token]]:
    """A session in which the user has said something."""
    token = create(gateway, POLICY | policy)
    with socket(gateway, token.key, f"/v1/realtime?model={SPEAKER}") as connection:
        content = [{"type": "input_text", "text": "hello"}]
        item = {"type": "message", "role": "user", "content": content}
        connection.send(json.dumps({"type": "conversation.item.create", "item": item}))
        for _ in ("session.created", "conversation.item.added"):
            connection.recv(timeout=10)
        yield connection, token


def respond(**members: Any) -> str:
    return json.dumps({"type": "response.create", **members})


def frames_of(gateway: Proxy, token: Token, count: int) -> list[Json]:
    """The rows of the frames; the upgrade's own one is there once the connection is up."""
    return [row for row in rows_of(gateway, token.hash, count + 1) if row["kind"] == "frame"]


def sent(fake_provider: FakeProvider, kind: str) -> list[Json]:
    """The frames of this type that reached the provider."""
    frames = [json.loads(frame) for record in fake_provider.records for frame in record.frames]
    return [frame for frame in frames if frame["type"] == kind]


# Before a frame is sent.


def test_a_spent_budget_stops_a_frame(gateway: Proxy, fake_provider: FakeProvider) -> None:
    with responses(gateway, max_tokens=5) as (connection, token):
        connection.send(asking())
        (error,) = until_ended(connection)
        assert error["status"] == 429
        assert error["error"]["code"] == "budget_exceeded"
        assert error["error"]["type"] == "insufficient_quota"
        assert error["error"]["message"].startswith("budget exceeded: used 0 + input ")
        assert sent(fake_provider, "response.create") == []
        # The connection stays, and a top-up is enough.
        update(gateway, token.hash, {"max_tokens": 500})
        connection.send(asking())
        assert until_ended(connection)[-1]["type"] == "response.completed"
    refused, done = frames_of(gateway, token, 2)
    assert (refused["status"], refused["refusal"], refused["output_tokens"]) == (429, "budget_exceeded", 0)
    assert (done["status"], done["refusal"]) == (200, None)


def test_a_spent_budget_stops_a_realtime_response(gateway: Proxy, fake_provider: FakeProvider) -> None:
    budgets = [{"name": "calls", "limit": "0.0005"}]
    with realtime(gateway, budgets=budgets) as (connection, token):
        connection.send(respond(event_id="event_mine"))
        (error,) = until_ended(connection)
        assert error["error"]["code"] == "budget_exceeded"
        assert error["error"]["event_id"] == "event_mine"
        assert error["error"]["message"].startswith('budget "calls" exceeded: remaining $0.0005, required ')
        assert error["error"]["budget_info"]["budget"] == 0.0005
    assert sent(fake_provider, "response.create") == []
    assert frames_of(gateway, token, 1)[0]["status"] == 429


def test_each_frame_is_a_request_of_a_rate(gateway: Proxy, fake_provider: FakeProvider) -> None:
    rule = {"requests": 2, "window": "1m"}
    with responses(gateway, rate_limit={"rules": [rule]}) as (connection, _):
        ends = []
        for _ in range(3):
            connection.send(asking())
            ends.append(until_ended(connection)[-1])
    assert [end["type"] for end in ends] == ["response.completed", "response.completed", "error"]
    assert ends[2]["error"]["message"] == "rate limit exceeded: 2 requests in 1m window (max 2)"
    assert 50 <= int(ends[2]["headers"]["retry-after"]) <= 60
    assert len(sent(fake_provider, "response.create")) == 2


# Near the end of a budget.


def test_the_cap_of_a_frame_is_lowered(gateway: Proxy, fake_provider: FakeProvider) -> None:
    fake_provider.script([{"tokens": 4000}], frames=True)
    with responses(gateway, max_tokens=LIMIT) as (connection, token):
        connection.send(asking(max_output_tokens=16_000))
        end = until_ended(connection)[-1]
        assert end["type"] == "response.incomplete"
        assert "tokenomics" not in end["response"]
        (frame,) = sent(fake_provider, "response.create")
        assert end["response"]["usage"]["output_tokens"] == frame["max_output_tokens"] < LIMIT
        # Settled is what the provider said, and so the next one sees it.
        bill = fake_provider.bill
        used = bill.input_tokens + bill.output_tokens
        connection.send(asking(text="one two three " * 20))
        error = until_ended(connection)[-1]
        assert error["error"]["message"].startswith(f"budget exceeded: used {used} + input ")
        assert error["error"]["message"].endswith(f" > limit {LIMIT}")
    first, _ = frames_of(gateway, token, 2)
    assert first["input_tokens"] + first["output_tokens"] == used <= LIMIT
    assert first["estimated"] == 0


def test_the_cap_of_a_realtime_response_is_lowered(gateway: Proxy, fake_provider: FakeProvider) -> None:
    fake_provider.script([{"tokens": 4000}], frames=True)
    with realtime(gateway, max_tokens=LIMIT) as (connection, token):
        connection.send(respond(response={"output_modalities": ["text"]}))
        end = until_ended(connection)[-1]
        assert (end["type"], end["response"]["status"]) == ("response.done", "incomplete")
        (frame,) = sent(fake_provider, "response.create")
        cap = frame["response"]["max_output_tokens"]
        assert end["response"]["usage"]["output_tokens"] == cap < LIMIT
    (row,) = frames_of(gateway, token, 1)
    assert row["output_tokens"] == cap
    assert row["input_tokens"] + row["output_tokens"] <= LIMIT


# In the middle of a turn.


@pytest.mark.parametrize(
    "policy",
    [{"max_tokens": LIMIT}, {"budgets": [{"name": "purse", "limit": "0.08"}]}],
    ids=["tokens", "usd"],
)
def test_a_turn_is_ended(gateway: Proxy, fake_provider: FakeProvider, policy: Json) -> None:
    fake_provider.script([{"tokens": 4000, "delay": 0.05, "fast": 54, "ignore_cap": True}], frames=True)
    with responses(gateway, **policy) as (connection, token):
        connection.send(asking(text="1 2 3 4 5 6 7 8"))
        events = until_ended(connection)
        # This provider knows no other way to be told than the end of its connection.
        (record,) = fake_provider.wait_ended(timeout=2)
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=5)
    response = events[-1]["response"]
    assert events[-1]["type"] == "response.incomplete"
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["tokenomics"]["code"] == "budget_exceeded"
    numbers = [event["sequence_number"] for event in events]
    assert numbers == list(range(len(events)))
    said = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert response["output"][0]["content"][0]["text"] == said
    (row,) = frames_of(gateway, token, 1)
    billed = record.bill.input_tokens + record.bill.output_tokens
    recorded = row["input_tokens"] + row["output_tokens"]
    assert len(said) // len(" the") <= row["output_tokens"]
    assert 0.6 * LIMIT <= recorded <= LIMIT
    assert billed <= LIMIT
    assert row["estimated"] == 1
    assert row["error"].startswith("budget")
    assert row["cost_usd"] is not None
    assert Decimal(row["cost_usd"]) == Decimal(recorded) / 1000


def test_a_realtime_response_is_cancelled(gateway: Proxy, fake_provider: FakeProvider) -> None:
    fake_provider.script([{"tokens": 85, "delay": 0.05, "fast": 55, "ignore_cap": True}, {}], frames=True)
    with realtime(gateway, max_tokens=LIMIT) as (connection, token):
        connection.send(respond(response={"output_modalities": ["text"]}))
        events = until_ended(connection)
        response = events[-1]["response"]
        assert (events[-1]["type"], response["status"]) == ("response.done", "incomplete")
        assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
        assert response["tokenomics"]["code"] == "budget_exceeded"
        (cancel,) = gateway.wait_for(lambda: sent(fake_provider, "response.cancel"), bool)
        assert cancel["response_id"] == response["id"] == events[0]["response"]["id"]
        # The session goes on; nothing of what the provider still said is in it.
        update(gateway, token.hash, {"max_tokens": 1000})
        connection.send(respond())
        after = until_ended(connection)
        assert after[-1]["response"]["status"] == "completed"
        assert {event["response_id"] for event in after if "response_id" in event} == {
            after[-1]["response"]["id"]
        }
    first, second = frames_of(gateway, token, 2)
    words = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert len(words) <= first["output_tokens"]
    assert 0.6 * LIMIT <= first["input_tokens"] + first["output_tokens"] <= LIMIT
    assert (first["estimated"], second["estimated"], second["error"]) == (1, 0, None)


def test_what_a_provider_begins_by_itself_is_ended(gateway: Proxy, fake_provider: FakeProvider) -> None:
    with realtime(gateway, budgets=[{"name": "calls", "limit": "0.06"}]) as (connection, token):
        connection.send(respond())
        assert until_ended(connection)[-1]["response"]["status"] == "completed"
        update(gateway, token.hash, {"budgets": [{"name": "calls", "limit": "0.001"}]})
        connection.send(json.dumps({"type": "input_audio_buffer.commit"}))
        end = until_ended(connection)[-1]
        assert (end["type"], end["response"]["status"]) == ("response.done", "incomplete")
        assert end["response"]["tokenomics"]["message"].startswith('budget "calls" exceeded: ')
        gateway.wait_for(lambda: sent(fake_provider, "response.cancel"), bool)
    first, second = frames_of(gateway, token, 2)
    assert Decimal(first["cost_usd"]) > 0
    assert second["error"].startswith('budget "calls" exceeded: ')


def test_a_client_that_leaves_in_a_turn_pays_for_what_it_got(
    gateway: Proxy, fake_provider: FakeProvider
) -> None:
    fake_provider.script([{"tokens": 1000, "delay": 0.03, "fast": 18}], frames=True)
    with responses(gateway, max_tokens=100_000) as (connection, token):
        connection.send(asking())
        got = 0
        while got < 20:
            got += json.loads(connection.recv(timeout=10))["type"] == "response.output_text.delta"
    (record,) = fake_provider.wait_ended(timeout=2)
    (row,) = frames_of(gateway, token, 1)
    assert row["error"] == "the connection ended"
    assert got <= row["output_tokens"] < 300
    assert abs(row["output_tokens"] - record.bill.output_tokens) <= 5
    assert row["estimated"] == 1
