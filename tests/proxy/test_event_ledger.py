"""Communication events of real traffic: in the session file, in the conversation file, and after a crash."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.ledger.json_schema import errors
from tests.money.governed import POLICY, create
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import ANTHROPIC, OPENAI
from tests.proxy.test_frames import POLICY as ONE_PROVIDER
from tests.proxy.test_frames import create as asking
from tests.proxy.test_frames import socket, until_done
from tests.proxy.test_memory import MAIL, MASKING, RESTORING, all_text
from tests.proxy.test_stop import Running
from tests.support.environment import PROJECT
from tests.support.proxy import Proxy

Json = dict[str, Any]
CONFIG = {"ledger": {"memory": True, "event_ledger": True}}
SCHEMA = json.loads((PROJECT / "tokenomics_core/ledger/session.schema.json").read_text())
WHOLE = ["request.received", "response.started", "response.body", "response.completed"]


def session_of(proxy: Proxy) -> Json:
    """The file of the process that is stopped; it must have its form."""
    (path,) = (proxy.dir / "sessions").glob("*.json")
    document: Json = json.loads(path.read_text())
    assert errors(document, SCHEMA) == []
    return document


def told(proxy: Proxy) -> dict[str, list[Json]]:
    """Its events by their request, in the order of the requests' rows; others have none."""
    document = session_of(proxy)
    found: dict[str, list[Json]] = {each["request_id"]: [] for each in document["requests"]}
    for event in document.get("communication_events", []):
        found[event["request_id"]].append(event)
    return found


def types(events: list[Json]) -> list[str]:
    return [event["type"] for event in events]


@pytest.mark.parametrize("rule", [RESTORING, MASKING], ids=["restored", "masked"])
def test_what_was_sent_and_answered(start_proxy: StartProxy, fake_provider: FakeProvider, rule: Json) -> None:
    proxy = start_proxy(CONFIG)
    token = create(proxy, {**POLICY, "rules": [rule]})
    secret = {"Cookie": "id=" + "c" * 20, "X-Vendor-Token": "v" * 20}
    with Caller(proxy, token.key) as caller:
        for format in (OPENAI, ANTHROPIC):
            for stream in (False, True):
                done = caller.ask(format, text=f"say {MAIL} now", stream=stream, headers=secret)
                assert done.status == 200
                # The client has its value back.
                assert stream or (MAIL.encode() in done.body) is (rule is RESTORING)
        caller.send("POST", "/v1/chat/completions?trace=" + "q" * 20, OPENAI.body("gpt-4o", "x", False))
    proxy.stop()
    chat, chat_stream, messages, messages_stream, _ = told(proxy).values()
    for events in (chat, messages):
        assert types(events) == WHOLE
        asked, started, body, _ = events
        assert json.loads(asked["body"])["messages"][0]["content"] != f"say {MAIL} now"
        assert asked["headers"]["User-Agent"] == [caller.name]
        assert (started["status_code"], body["status_code"]) == (200, 200)
        assert started["headers"]["Content-Type"] == ["application/json"]
        assert "pong: say" in body["body"]
        assert body["body_bytes"] > 100
    assert chat_stream[1]["stream"] is True
    chunks = [event for event in chat_stream if event["type"] == "response.chunk"]
    assert [event["chunk_index"] for event in chunks] == list(range(1, len(chunks) + 1))
    assert chunks[-1]["body"] == "[DONE]"
    assert types(chat_stream) == [*WHOLE[:2], *["response.chunk"] * len(chunks), "response.completed"]
    assert chat_stream[-1]["body"].startswith("[streaming sse]\n\nSSE events:\n1. {")
    assert "\nCaptured assistant text:\npong: say" in chat_stream[-1]["body"]
    assert types(messages_stream)[-2:] == ["response.body", "response.completed"]
    assert "\nCaptured assistant text:\npong: say" in messages_stream[-2]["body"]
    events = [event for each in told(proxy).values() for event in each]
    assert {event["token_hash"] for event in events} == {token.hash[:16]}
    assert {(event["provider"], event["model"]) for event in events} == {
        ("openai", "gpt-4o"),
        ("anthropic", ANTHROPIC.model),
    }
    for leak in ("c" * 20, "v" * 20, "q" * 20, "wonderland", token.key, *proxy.keys.values()):
        assert proxy.files_with(leak) == [], leak
    # And the same beside the conversations.
    text = all_text(proxy.dir / "memory")
    assert text.count(" | event | ") == len(events)
    assert "\n\nEvent: request.received\nRequest: POST /v1/messages\nContent-Type: application/json\n" in text
    assert "\nChunk-Index: 1\n" in text
    folder = proxy.dir / "sessions"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_who_says_no_leaves_no_event_and_who_says_nothing_does(
    start_proxy: StartProxy, fake_provider: FakeProvider
) -> None:
    proxy = start_proxy({"ledger": {"memory": False, "event_ledger": True}})
    quiet = create(proxy, {**ONE_PROVIDER, "memory": {"enabled": False}})
    with Caller(proxy, quiet.key) as caller:
        assert caller.ask(text="hushed words").status == 200
        assert caller.ask(text="hushed words", stream=True).status == 200
    with socket(proxy, quiet.key) as connection:
        connection.send(asking(text="hushed words"))
        until_done(connection)
    with Caller(proxy, create(proxy, POLICY).key) as caller:
        assert caller.ask(text="loud words").status == 200
    proxy.stop()
    assert [types(events) for events in told(proxy).values()] == [[], [], [], WHOLE]
    assert proxy.files_with("hushed words") == []
    # Without memory they are in the session file alone.
    assert not (proxy.dir / "memory").exists()


def test_failures_and_refusals(start_proxy: StartProxy, fake_provider: FakeProvider) -> None:
    proxy = start_proxy(CONFIG)
    keyword = {"type": "keyword", "keywords": ["forbidden"], "action": "fail", "scope": "both"}
    retry = {"max_retries": 1, "retry_on": [503]}
    with Caller(proxy, create(proxy, {**POLICY, "rules": [keyword], "retry": retry}).key) as caller:
        # Refused before anything is sent: of its text nothing is written.
        assert caller.ask(text="a forbidden question").status == 403
        # An error of the provider.
        fake_provider.script([{"status": 429}])
        assert caller.ask(text="too much").status == 429
        # Answered at the second try.
        fake_provider.script([{"status": 503}])
        assert caller.ask(text="again").status == 200
        # A stream that breaks off.
        fake_provider.script([{"cut_after": 3}])
        caller.ask(text="broken", stream=True)
    with Caller(proxy, create(proxy, {**POLICY, "model": "o3"}).key) as caller:
        assert caller.ask().status == 403
    proxy.stop()
    refused, limited, again, broken, unknown = told(proxy).values()
    assert types(refused) == types(unknown) == ["response.error"]
    assert (refused[0]["status_code"], "request blocked by rule" in refused[0]["error"]) == (403, True)
    assert types(limited) == WHOLE
    assert {event["status_code"] for event in limited[1:]} == {429}
    assert types(again) == WHOLE
    assert [event.get("retry_count") for event in again] == [None, 1, 1, 1]
    assert types(broken)[-1] == "response.error"
    assert broken[-1]["error"]
    assert proxy.files_with("a forbidden question") == []


def test_each_turn_of_a_websocket(start_proxy: StartProxy, fake_provider: FakeProvider) -> None:
    proxy = start_proxy(CONFIG)
    token = create(proxy, {**ONE_PROVIDER, "rules": [RESTORING], "model_regex": "^$|^gpt-4o"})
    with socket(proxy, token.key) as connection:
        for text in (f"mail {MAIL}", "second"):
            connection.send(asking(text=text))
            assert until_done(connection)[-1]["type"] == "response.completed"
        connection.send(asking(model="o3", text="never sent"))
        assert until_done(connection)[-1]["type"] == "error"
    proxy.stop()
    first, second, refused = told(proxy).values()
    for events in (first, second):
        count = types(events).count("response.chunk")
        assert count > 3
        assert types(events) == [*WHOLE[:2], *["response.chunk"] * count, *WHOLE[2:]]
        assert (events[0]["method"], events[0]["path"]) == ("GET", "/v1/responses")
    assert json.loads(first[0]["body"])["input"][0]["content"][0]["text"] == "mail <EMAIL_1>"
    assert types(refused) == ["response.error"]
    assert proxy.files_with("wonderland") == proxy.files_with("never sent") == []


def rebuilt(proxy: Proxy) -> Json:
    """The one session file with events, once a process that came after has made it."""

    def read() -> list[Json]:
        found = [json.loads(path.read_text()) for path in (proxy.dir / "sessions").glob("*.json")]
        return [each for each in found if each["requests"] and each.get("communication_events")]

    (document,) = proxy.wait_for(read, lambda found: len(found) == 1)
    assert errors(document, SCHEMA) == []
    return document


def test_a_crash_in_the_middle_of_a_stream_leaves_what_came(
    start_proxy: StartProxy, fake_provider: FakeProvider
) -> None:
    proxy = start_proxy(CONFIG)
    token = create(proxy, POLICY)
    with Caller(proxy, token.key) as caller:
        assert caller.ask(text="before the crash").status == 200
        fake_provider.reset()
        fake_provider.script([{"do": "slow-stream", "delay": 0.1, "tokens": 200}])
        running = Running(caller, fake_provider)
        (log,) = (proxy.dir / "sessions").glob("*.events.jsonl")
        proxy.wait_for(log.read_text, lambda text: text.count("response.chunk") > 3)
        proxy.kill()
        running.end()
    proxy.restart()
    document = rebuilt(proxy)
    whole, cut = (each["request_id"] for each in document["requests"])
    events = document["communication_events"]
    assert types([event for event in events if event["request_id"] == whole]) == WHOLE
    left = types([event for event in events if event["request_id"] == cut])
    assert left[:2] == WHOLE[:2]
    assert left[2:] == ["response.chunk"] * len(left[2:])
    assert len(left) > 5


def test_a_stop_tells_what_was_cut(start_proxy: StartProxy, fake_provider: FakeProvider) -> None:
    proxy = start_proxy({**CONFIG, "server": {"drain_timeout": 0.5}})
    fake_provider.script([{"do": "slow-stream", "delay": 0.1, "tokens": 200}])
    with Caller(proxy, create(proxy, POLICY).key) as caller:
        running = Running(caller, fake_provider)
        proxy.stop()
        running.end()
    (events,) = told(proxy).values()
    assert types(events)[:3] == [*WHOLE[:2], "response.chunk"]
    assert (events[-1]["type"], events[-1]["error"]) == ("response.error", "the gateway stopped")
    assert events[-1]["body"].startswith("[streaming sse]\n")


def test_without_the_key_there_are_none(start_proxy: StartProxy, fake_provider: FakeProvider) -> None:
    proxy = start_proxy({"ledger": {"memory": True}})
    with Caller(proxy, create(proxy, POLICY).key) as caller:
        assert caller.ask(stream=True).status == 200
    proxy.stop()
    assert "communication_events" not in session_of(proxy)
    assert list((proxy.dir / "sessions").glob("*.events.jsonl")) == []
    assert " | event | " not in all_text(proxy.dir / "memory")


def test_long_and_binary_bodies(start_proxy: StartProxy, fake_provider: FakeProvider) -> None:
    proxy = start_proxy(CONFIG)
    with Caller(proxy, create(proxy, POLICY).key) as caller:
        assert caller.ask(text="a word " * 100_000).status == 200
        speech = {"model": "gpt-4o-mini-tts", "input": "hello", "voice": "alloy"}
        assert caller.send("POST", "/v1/audio/speech", speech).status == 200
    proxy.stop()
    long, speech_events = told(proxy).values()
    assert len(long[0]["body"]) == 512 * 1024
    assert long[0]["body_bytes"] > 700_000
    body = next(event for event in speech_events if event["type"] == "response.body")
    assert body["body"] == "[binary]"
    assert body["body_bytes"] > 0
