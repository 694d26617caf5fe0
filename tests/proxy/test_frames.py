"""WebSocket frames: each response asked for is a request under identity, routing and counting."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.fake_provider import FakeProvider
from tests.support.proxy import Proxy

POLICY = {"base_key_env": "OPENAI_API_KEY", "default_provider": "openai"}


@contextmanager
def socket(proxy: Proxy, token: str, path: str = "/v1/responses") -> Iterator[ClientConnection]:
    url = f"{proxy.http_url}{path}".replace("http", "ws", 1)
    headers = {"Authorization": f"Bearer {token}"}
    with connect(url, additional_headers=headers, open_timeout=10, proxy=None) as connection:
        yield connection


def create(model: str = "gpt-4o-mini", text: str = "hi", **more: Any) -> str:
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    return json.dumps({"type": "response.create", "model": model, "input": [message], **more})


def until_done(connection: ClientConnection) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] not in ("response.completed", "response.done", "error"):
        events.append(json.loads(connection.recv(timeout=10)))
    return events


def rows_of(proxy: Proxy, token_hash: str, count: int) -> list[dict[str, Any]]:
    def read() -> list[dict[str, Any]]:
        return [row for row in proxy.rows(0) if row["token_hash"] == token_hash]

    return proxy.wait_for(read, lambda rows: len(rows) >= count)


def test_each_response_is_a_row_of_its_own(proxy: Proxy, fake_provider: FakeProvider) -> None:
    created = proxy.create_token(POLICY)
    with socket(proxy, created["token"]) as connection:
        for text in ("first", "second"):
            connection.send(create(text=text))
            assert until_done(connection)[-1]["type"] == "response.completed"
    upgrade, *frames = rows_of(proxy, created["hash"], 3)
    assert upgrade["kind"] == "upgrade"
    assert upgrade["status"] == 101
    assert [frame["kind"] for frame in frames] == ["frame", "frame"]
    assert {frame["parent_id"] for frame in frames} == {upgrade["id"]}
    assert {frame["model"] for frame in frames} == {"gpt-4o-mini"}
    bill = fake_provider.bill
    assert sum(frame["input_tokens"] for frame in frames) == bill.input_tokens
    assert sum(frame["output_tokens"] for frame in frames) == bill.output_tokens
    assert not any(frame["estimated"] for frame in frames)


def test_the_model_of_each_frame_is_judged(proxy: Proxy, fake_provider: FakeProvider) -> None:
    created = proxy.create_token({**POLICY, "model_regex": "^$|^gpt-4o"})
    with socket(proxy, created["token"]) as connection:
        connection.send(create(model="o3"))
        refused = until_done(connection)[-1]
        assert refused["status"] == 403
        assert refused["error"]["code"] == "model_not_allowed"
        connection.send(create(model="gpt-4o"))
        assert until_done(connection)[-1]["type"] == "response.completed"
    sent = [json.loads(frame)["model"] for frame in fake_provider.last.frames]
    assert sent == ["gpt-4o"]
    rows = rows_of(proxy, created["hash"], 3)
    assert [(row["status"], row["refusal"]) for row in rows if row["kind"] == "frame"] == [
        (403, "model_not_allowed"),
        (200, None),
    ]


def test_a_deleted_token_asks_for_nothing_more(proxy: Proxy, fake_provider: FakeProvider) -> None:
    created = proxy.create_token(POLICY)
    with socket(proxy, created["token"]) as connection:
        connection.send(create())
        until_done(connection)
        proxy.cli("token", "delete", "--hash", created["hash"])
        connection.send(create())
        assert until_done(connection)[-1]["error"]["code"] == "invalid_token"
    assert len(fake_provider.last.frames) == 1


@pytest.mark.parametrize(
    "frame",
    ["not json", "[]", '{"type":"response.create","model":"a","model":"gpt-4o"}', b"\x00\x01"],
    ids=["text", "array", "twice", "binary"],
)
def test_what_cannot_be_read_is_not_sent_on(
    proxy: Proxy, fake_provider: FakeProvider, frame: str | bytes
) -> None:
    with socket(proxy, proxy.token(POLICY)) as connection:
        connection.send(frame)
        assert until_done(connection)[-1]["status"] == 400
        connection.send(create())
        assert until_done(connection)[-1]["type"] == "response.completed"
    assert len(fake_provider.last.frames) == 1


def test_prompts_go_into_the_frame(proxy: Proxy, fake_provider: FakeProvider) -> None:
    policy = {**POLICY, "prompts": [{"role": "system", "content": "Answer in verse."}]}
    with socket(proxy, proxy.token(policy)) as connection:
        connection.send(create(instructions="Be brief."))
        until_done(connection)
    assert json.loads(fake_provider.last.frames[0])["instructions"] == "Answer in verse.\n\nBe brief."


def test_what_is_not_changed_keeps_its_bytes(proxy: Proxy, fake_provider: FakeProvider) -> None:
    frame = '{ "type":"response.create" , "model":"gpt-4o-mini","input":"hi", "x": 1.50 }'
    with socket(proxy, proxy.token(POLICY)) as connection:
        connection.send(frame)
        until_done(connection)
    assert fake_provider.last.frames == [frame]


def test_a_policy_that_routes_by_model_sends_codex_to_https(
    proxy: Proxy, fake_provider: FakeProvider
) -> None:
    policy = {
        "providers": {
            "openai": [{"base_key_env": "OPENAI_API_KEY", "model_regex": "^gpt"}],
            "groq": [{"base_key_env": "GROQ_API_KEY", "model_regex": "^llama"}],
        }
    }
    with pytest.raises(InvalidStatus) as refused, socket(proxy, proxy.token(policy)):
        pass
    assert refused.value.response.status_code == 426
    assert fake_provider.records == []


def test_no_upgrade_without_a_token_or_on_another_path(proxy: Proxy, fake_provider: FakeProvider) -> None:
    for token, path, status in (
        ("tkn_00000000-0000-4000-8000-000000000000", "/v1/responses", 401),
        (proxy.token(POLICY), "/v1/other", 403),
    ):
        with pytest.raises(InvalidStatus) as refused, socket(proxy, token, path):
            pass
        assert refused.value.response.status_code == status
    assert fake_provider.records == []


def test_realtime_counts_what_the_provider_reports(proxy: Proxy, fake_provider: FakeProvider) -> None:
    created = proxy.create_token(POLICY)
    with socket(proxy, created["token"], "/v1/realtime?model=gpt-realtime") as connection:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
        connection.send(json.dumps({"type": "conversation.item.create", "item": item}))
        connection.send(json.dumps({"type": "response.create"}))
        until_done(connection)
    frame = next(row for row in rows_of(proxy, created["hash"], 2) if row["kind"] == "frame")
    assert (frame["model"], frame["status"]) == ("gpt-realtime", 200)
    assert frame["output_tokens"] == fake_provider.bill.output_tokens


def test_a_browser_sends_its_token_as_subprotocol(proxy: Proxy, fake_provider: FakeProvider) -> None:
    token = proxy.token(POLICY)
    url = f"{proxy.http_url}/v1/realtime?model=gpt-realtime".replace("http", "ws", 1)
    words = ["realtime", f"openai-insecure-api-key.{token}"]
    with connect(url, subprotocols=words, open_timeout=10, proxy=None) as connection:  # type: ignore[arg-type]
        assert connection.subprotocol == "realtime"
    sent = dict(fake_provider.last.headers)
    assert all(token not in value for value in sent.values())


def test_a_broken_turn_is_recorded(proxy: Proxy, fake_provider: FakeProvider) -> None:
    fake_provider.script([{"cut_after": 4}], frames=True)
    created = proxy.create_token(POLICY)
    with socket(proxy, created["token"]) as connection:
        connection.send(create(text="[tokens=50] tell me"))
        with suppress(ConnectionClosed):
            while connection.recv(timeout=10):
                pass
    frame = next(row for row in rows_of(proxy, created["hash"], 2) if row["kind"] == "frame")
    assert frame["error"]
    assert frame["estimated"]


def test_the_real_key_does_not_come_back_in_a_frame(proxy: Proxy, fake_provider: FakeProvider) -> None:
    key = proxy.keys["OPENAI_API_KEY"]
    with socket(proxy, proxy.token(POLICY)) as connection:
        connection.send(create(text=base64.b64encode(key.encode()).decode()))
        until_done(connection)
        connection.send(create(text=key))
        events = until_done(connection)
    assert key not in json.dumps(events)
    assert "[REDACTED]" in json.dumps(events)
