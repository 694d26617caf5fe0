"""Streams under content rules: masked wherever they are cut, untouched where there is nothing to do, ended in
their own format where a rule fails them."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.fake_provider import FakeProvider
from tests.money.governed import POLICY, Json, create, rows_of
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import ANTHROPIC, GEMINI, OPENAI, Format
from tests.support.proxy import Proxy

MAIL = "alice.liddell@wonderland.example"
MESSAGE = 'response blocked by rule 0: detected PII in rule "no mail": Email Address'


@pytest.fixture(scope="module")
def gateway(make_proxy: StartProxy) -> Iterator[Proxy]:
    with make_proxy() as proxy:
        yield proxy
        assert proxy.refusals() == []
        assert proxy.files_with(MAIL) == []


def pii(*detect: str, **fields: Any) -> Json:
    return {"type": "pii", "detect": list(detect), "action": "mask", "scope": "output", **fields}


def ruled(*rules: Json, **more: Any) -> Json:
    return {**POLICY, "rules": list(rules), **more}


@dataclass(frozen=True)
class Stream:
    """A streamed request of a format. text: what all deltas of the events say together."""

    name: str
    head: Callable[[str], dict[str, str]]
    path: str
    body: Callable[[str], Json]
    text: Callable[[list[Json]], str]
    default: str = "openai"


def _joined(pick: Callable[[Json], str]) -> Callable[[list[Json]], str]:
    def text(events: list[Json]) -> str:
        return "".join(pick(event) for event in events)

    return text


def _of(format: Format, name: str, pick: Callable[[Json], str], **more: Any) -> Stream:
    return Stream(
        name,
        format.head,
        format.path(format.model, True),
        lambda say: format.body(format.model, say, True) | more,
        _joined(pick),
    )


def _gemini_text(event: Json) -> str:
    parts = event["candidates"][0]["content"].get("parts", []) if event.get("candidates") else []
    return "".join(part["text"] for part in parts)


STREAMS = {
    stream.name: stream
    for stream in (
        _of(
            OPENAI,
            "chat",
            lambda event: "".join(c["delta"].get("content") or "" for c in event.get("choices", ())),
            stream_options={"include_usage": True},
        ),
        Stream(
            "completions",
            OPENAI.head,
            "/v1/completions",
            lambda say: (
                {"model": "gpt-3.5-turbo-instruct", "prompt": say, "stream": True}
                | {"stream_options": {"include_usage": True}}
            ),
            _joined(lambda event: "".join(c["text"] for c in event.get("choices", ()))),
        ),
        Stream(
            "responses",
            OPENAI.head,
            "/v1/responses",
            lambda say: {"model": "gpt-4o", "input": say, "stream": True},
            _joined(lambda event: event["delta"] if event["type"] == "response.output_text.delta" else ""),
        ),
        _of(ANTHROPIC, "messages", lambda event: event.get("delta", {}).get("text", "")),
        _of(GEMINI, "gemini", _gemini_text),
        Stream(
            "gemini array",
            GEMINI.head,
            f"/v1beta/models/{GEMINI.model}:streamGenerateContent",
            lambda say: GEMINI.body(GEMINI.model, say, True),
            _joined(_gemini_text),
        ),
        Stream(
            "ollama",
            OPENAI.head,
            "/api/chat",
            lambda say: OPENAI.body("llama3", say, True),
            _joined(lambda event: event.get("message", {}).get("content", "")),
        ),
    )
}
every_stream = pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)


def events_of(body: bytes) -> list[Json]:
    """The events of a stream, as server-sent events, as one array, or line by line."""
    text = body.decode().replace("\r\n", "\n")
    if text.lstrip().startswith("["):
        events: list[Json] = json.loads(text)
        return events
    if text.lstrip().startswith("{"):
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    data = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
    return [json.loads(each) for each in data if each != "[DONE]"]


def bytes_of(url: str, key: str, stream: Stream, say: str) -> bytes:
    with httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
        answer = client.post(stream.path, json=stream.body(say), headers=stream.head(key))
        assert answer.status_code == 200, answer.text
        return answer.content


def without_numbers(body: bytes) -> bytes:
    """Ids hold the number of the request."""
    return re.sub(rb"(?<=[_-])0*\d{1,6}(?=\")", b"N", body)


# Nothing to do.

MANNERS: dict[str, Json] = {
    "plain": {},
    "CR LF": {"do": "crlf"},
    "comments": {"do": "comments"},
    "cut": {"do": "cut-anywhere", "bytes": 7},
    "gzip": {"do": "gzip-anyway"},
    "no end": {"do": "no-ending"},
    "error": {"do": "error-in-stream", "after": 5},
}
SAY = 'hello there, héllo 👋 "quoted" \\ 12:30 a.b@ and <EMAIL_1> bob@ x. end'


@pytest.mark.long
@every_stream
@pytest.mark.parametrize("manner", MANNERS)
def test_what_no_rule_touches_is_the_same_bytes(
    gateway: Proxy, fake_provider: FakeProvider, stream: Stream, manner: str
) -> None:
    """Without rules, with rules for requests only, and with rules for answers that find nothing."""
    policies = {
        "none": POLICY,
        "input": ruled(pii("all", scope="input"), {"type": "jailbreak", "action": "fail"}),
        "restoring": ruled(pii("iban", scope="input", restore=True)),
        "output": ruled(pii("email", "iban", "aws_key"), {"type": "keyword", "keywords": ["xyzzy"]}),
        "failing": ruled(pii("email", action="fail"), {"pattern": "zz+top", "scope": "both"}),
    }
    fake_provider.script([MANNERS[manner]] * (len(policies) + 1))
    expected = without_numbers(bytes_of(fake_provider.url, "sk-direct", stream, SAY))
    for name, policy in policies.items():
        got = without_numbers(bytes_of(gateway.http_url, create(gateway, policy).key, stream, SAY))
        assert got == expected, name


@every_stream
@pytest.mark.parametrize("scope", ["input", "output"])
def test_nothing_is_held_that_need_not_be(
    gateway: Proxy, fake_provider: FakeProvider, stream: Stream, scope: str
) -> None:
    """What the provider has said is there while it is silent; with output rules all but the last words."""
    token = create(gateway, ruled(pii("email", scope=scope)))
    said = [f"word{number}, " for number in range(30)]
    fake_provider.script([{"pieces": said, "hang_after": 25}])
    got = b""
    enough = "word18, " if scope == "input" else "word15, "
    with (
        httpx.Client(base_url=gateway.http_url, trust_env=False, timeout=5) as client,
        client.stream("POST", stream.path, json=stream.body("go"), headers=stream.head(token.key)) as answer,
    ):
        for data in answer.iter_raw():
            got += data
            if enough in got.decode():
                break
        else:
            pytest.fail("it ended")
    (record,) = fake_provider.wait_ended()
    assert record.left


# Masks.


@every_stream
@pytest.mark.parametrize("manner", ["plain", "CR LF", "comments", "cut", "gzip"])
def test_a_value_is_masked_however_it_is_sent(
    gateway: Proxy, fake_provider: FakeProvider, stream: Stream, manner: str
) -> None:
    if manner == "comments" and stream.name in ("gemini array", "ollama"):
        manner = "plain"
    say = f'to {MAIL}, or "{MAIL}"\nnot bob@ but {MAIL}'
    masked = 'pong: to [REDACTED], or "[REDACTED]"\nnot bob@ but [REDACTED]'
    plain, token = create(gateway, POLICY), create(gateway, ruled(pii("email")))
    fake_provider.script([MANNERS[manner]] * 2)
    expected = events_of(bytes_of(gateway.http_url, plain.key, stream, say))
    body = bytes_of(gateway.http_url, token.key, stream, say)
    events = events_of(body)
    assert b"alice" not in body
    assert b"wonderland" not in body
    assert stream.text(events) == masked
    assert stream.text(expected) == f"pong: {say}"
    # As many events, in the same order, with the same usage; the texts alone are others.
    assert [shape(event) for event in events] == [shape(event) for event in expected]
    (row,) = rows_of(gateway, token.hash)
    assert row["output_tokens"] == fake_provider.last.bill.output_tokens
    assert {match["action"] for match in json.loads(row["rule_matches"])} == {"mask"}


def shape(value: Any) -> Any:
    """A JSON value without the words in it."""
    match value:
        case dict():
            return {
                key: "" if key in ("text", "content", "delta") and isinstance(item, str) else shape(item)
                for key, item in value.items()
                # The number of the request.
                if key not in ("id", "item_id", "responseId") and not key.endswith(("_duration", "_at"))
            }
        case list():
            return [shape(item) for item in value]
    return value


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_deltas_of_any_size(gateway: Proxy, fake_provider: FakeProvider, size: int) -> None:
    said = f"mail {MAIL} now"
    pieces = [said[at : at + size] for at in range(0, len(said), size)]
    token = create(gateway, ruled(pii("email")))
    for stream in STREAMS.values():
        fake_provider.script([{"pieces": pieces}])
        body = bytes_of(gateway.http_url, token.key, stream, "go")
        assert stream.text(events_of(body)) == "mail [REDACTED] now", stream.name


def test_choices_are_texts_of_their_own(gateway: Proxy, fake_provider: FakeProvider) -> None:
    """Their deltas alternate."""
    token = create(gateway, ruled(pii("email")))
    with Caller(gateway, token.key) as caller:
        outcome = caller.ask(OPENAI, text=f"to {MAIL} go", stream=True, n=3)
    said = ["", "", ""]
    for event in outcome.events:
        for choice in event["choices"]:
            said[choice["index"]] += choice["delta"].get("content") or ""
    assert said == ["pong: to [REDACTED] go"] * 3


# Rules that fail an answer.


@every_stream
def test_a_stream_that_fails_is_ended_at_once(
    gateway: Proxy, fake_provider: FakeProvider, stream: Stream
) -> None:
    """The provider would go on for minutes."""
    token = create(gateway, ruled(pii("email", action="fail", name="no mail")))
    pieces = ["all ", "is ", "well, ", "alice", "@", "wonder", "land.example", " and", *[" on"] * 400]
    fake_provider.script([{"pieces": pieces, "delay": 0.5, "fast": 20}])
    started = time.monotonic()
    body = bytes_of(gateway.http_url, token.key, stream, "go")
    assert time.monotonic() - started < 20
    (record,) = fake_provider.wait_ended()
    assert record.left
    assert not record.finished
    assert record.events < 60
    events = events_of(body)
    assert b"alice" not in body
    assert b"wonder" not in body
    assert MESSAGE in json.dumps(events[-1], ensure_ascii=False).replace('\\"', '"')
    assert stream.text(events[:-1]).startswith("all is ")
    (row,) = rows_of(gateway, token.hash)
    assert (row["status"], row["error"]) == (200, MESSAGE)
    (match,) = json.loads(row["rule_matches"])
    assert (match["name"], match["action"]) == ("no mail", "fail")
    # What the provider had said by then was billed, though nobody was given it.
    assert 0 < row["output_tokens"] < 80
    assert record.bill.output_tokens <= row["output_tokens"] + 20


def test_a_first_event_that_fails_is_well_formed(gateway: Proxy, fake_provider: FakeProvider) -> None:
    token = create(gateway, ruled(pii("email", action="fail", name="no mail")))
    for stream in STREAMS.values():
        fake_provider.script([{"pieces": [f"{MAIL} is it. ", "and more"]}])
        events = events_of(bytes_of(gateway.http_url, token.key, stream, "go"))
        assert MESSAGE in json.dumps(events[-1]).replace('\\"', '"'), stream.name
        assert stream.text(events[:-1]) == "", stream.name


@every_stream
@pytest.mark.parametrize("how", ["die-mid-stream", "close-mid-stream"])
def test_what_was_held_when_the_provider_broke_off_is_masked(
    gateway: Proxy, fake_provider: FakeProvider, stream: Stream, how: str
) -> None:
    token = create(gateway, ruled(pii("email")))
    fake_provider.script([{"do": how, "after": 8, "pieces": [f"to {MAIL}"] * 9}])
    with (
        httpx.Client(base_url=gateway.http_url, trust_env=False, timeout=5) as client,
        client.stream("POST", stream.path, json=stream.body("go"), headers=stream.head(token.key)) as answer,
    ):
        body = b""
        try:
            for data in answer.iter_raw():
                body += data
        except httpx.RemoteProtocolError:
            pass
    assert b"REDACTED" in body
    assert b"alice" not in body


# Nobody waits for anybody.


@pytest.mark.long
def test_a_large_request_holds_up_no_stream(gateway: Proxy, fake_provider: FakeProvider) -> None:
    """A megabyte of text with values in it, under everything that there is, while another client reads."""
    everything = ruled(
        pii("all", scope="both", restore=True),
        {"type": "jailbreak", "action": "warn", "scope": "both"},
        {"type": "keyword", "keywords": ["one", "two"], "action": "log"},
    )
    heavy, light = create(gateway, everything), create(gateway, ruled(pii("email")))
    words = "Meet at 12:30 and write to person%d@example.org about order 8-%d; all is well. "
    text = "".join(words % (number % 5000, number) for number in range(13_000))
    fake_provider.script([{"tokens": 600, "delay": 0.01, "text": None}])
    gaps: list[float] = []
    begun, done = threading.Event(), threading.Event()

    def read() -> None:
        with (
            httpx.Client(base_url=gateway.http_url, trust_env=False, timeout=30) as client,
            client.stream(
                "POST",
                "/v1/chat/completions",
                json=OPENAI.body(OPENAI.model, "go", True),
                headers=OPENAI.head(light.key),
            ) as answer,
        ):
            last = time.monotonic()
            for _ in answer.iter_raw():
                now = time.monotonic()
                gaps.append(now - last)
                last = now
                if len(gaps) > 20:
                    begun.set()
                if done.is_set():
                    break

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert begun.wait(20)
        gaps.clear()
        body = json.dumps(OPENAI.body(OPENAI.model, text, False)).encode()
        with Caller(gateway, heavy.key) as caller:
            for _ in range(2):
                answer = caller.client.post(
                    "/v1/chat/completions",
                    content=body,
                    headers={**OPENAI.head(heavy.key), "content-type": "application/json"},
                )
                assert answer.status_code == 200
                assert OPENAI.text(answer.json()) == f"pong: {text}"
        assert not fake_provider.records[-1].holds("person7@example.org")
    finally:
        done.set()
        reader.join(20)
    assert len(gaps) > 10
    print("largest gaps", sorted(gaps)[-5:])
    assert max(gaps) < 0.5
