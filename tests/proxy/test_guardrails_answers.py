"""Answers that are not what was asked for, under content rules: of another kind, compressed, files, errors,
members that stand twice."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.money.governed import POLICY, Json, create, rows_of
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import OPENAI
from tests.support.proxy import Proxy

MAIL = "alice.liddell@wonderland.example"


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


WHOLE: Json = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": f"to {MAIL}"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12},
}


def given(provider: FakeProvider, body: bytes, *lines: str, status: str = "200 OK") -> None:
    """The provider's next answer, byte by byte."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""]
    data = "\r\n".join(head).encode() + body
    provider.script([{"do": "raw-bytes", "data": data, "then": "keep"}])


KINDS = [
    "application/json",
    "text/event-stream",
    "text/plain",
    "application/x-ndjson",
    "",
    "Application/JSON",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("pack", [False, True])
def test_whatever_the_answer_is_called(
    gateway: Proxy, fake_provider: FakeProvider, kind: str, stream: bool, pack: bool
) -> None:
    """A whole answer to a streamed request, an answer of another kind than it says, a compressed one."""
    token = create(gateway, ruled(pii("email")))
    lines = [f"Content-Type: {kind}"] if kind else []
    body = json.dumps(WHOLE).encode()
    if pack:
        lines.append("Content-Encoding: gzip")
        body = gzip.compress(body)
    given(fake_provider, body, *lines)
    with Caller(gateway, token.key) as caller:
        outcome = caller.ask(OPENAI, text="go", stream=stream)
    assert outcome.status == 200
    assert "content-encoding" not in outcome.headers
    assert outcome.json["choices"][0]["message"]["content"] == "to [REDACTED]"
    assert outcome.json["usage"] == WHOLE["usage"]
    (row,) = rows_of(gateway, token.hash)
    if kind in ("application/json", "Application/JSON"):
        assert row["output_tokens"] == 9


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("coding", ["br", "gzip"])
def test_what_cannot_be_unpacked_is_not_given(
    gateway: Proxy, fake_provider: FakeProvider, stream: bool, coding: str
) -> None:
    token = create(gateway, ruled(pii("email")))
    given(
        fake_provider,
        json.dumps(WHOLE).encode(),
        "Content-Type: application/json",
        f"Content-Encoding: {coding}",
    )
    with Caller(gateway, token.key) as caller:
        outcome = caller.ask(OPENAI, text="go", stream=stream)
    assert MAIL.encode() not in outcome.body
    assert b"upstream_encoding" in outcome.body


LINES = b"".join(
    b'{"n":%d,"response":{"body":{"choices":[{"message":{"content":"to \\u0061lice@x.org\\n\\"hi\\""}}]}}}\n'
    % number
    for number in range(3)
)
BINARY = bytes(range(256)) * 8


@pytest.mark.parametrize(
    "kind",
    [
        "application/octet-stream",
        "binary/octet-stream",
        "application/jsonl",
        "application/x-ndjson",
        "text/plain",
    ],
)
def test_a_file_of_lines_is_looked_at(gateway: Proxy, fake_provider: FakeProvider, kind: str) -> None:
    """The results of a batch come as a file without a name for what is in it."""
    token = create(gateway, ruled(pii("email")))
    given(fake_provider, LINES, f"Content-Type: {kind}")
    with Caller(gateway, token.key) as caller:
        outcome = caller.send("GET", "/v1/files/file_1/content")
    lines = [json.loads(line) for line in outcome.body.splitlines()]
    said = [line["response"]["body"]["choices"][0]["message"]["content"] for line in lines]
    assert said == ['to [REDACTED]\n"hi"'] * 3
    failing = create(gateway, ruled(pii("email", action="fail")))
    given(fake_provider, LINES, f"Content-Type: {kind}")
    with Caller(gateway, failing.key) as caller:
        assert b"x.org" not in caller.send("GET", "/v1/files/file_1/content").body


@pytest.mark.parametrize("kind", ["application/octet-stream", "application/pdf", "audio/mpeg", "image/png"])
def test_a_file_that_is_no_text_passes(gateway: Proxy, fake_provider: FakeProvider, kind: str) -> None:
    token = create(gateway, ruled(pii("email", action="fail")))
    given(fake_provider, BINARY, f"Content-Type: {kind}")
    with Caller(gateway, token.key) as caller:
        outcome = caller.send("GET", "/v1/files/file_1/content")
    assert (outcome.status, outcome.body) == (200, BINARY)


def test_an_error_passes_as_it_is(gateway: Proxy, fake_provider: FakeProvider) -> None:
    token = create(gateway, ruled(pii("email", action="fail")))
    body = json.dumps({"error": {"message": f"{MAIL} has no access", "type": "x", "code": "y"}}).encode()
    for stream in (False, True):
        given(fake_provider, body, "Content-Type: application/json", status="400 Bad Request")
        with Caller(gateway, token.key) as caller:
            outcome = caller.ask(OPENAI, text="go", stream=stream)
        assert (outcome.status, outcome.body) == (400, body)


@pytest.mark.parametrize("order", [1, -1])
def test_a_member_that_stands_twice_hides_nothing(
    gateway: Proxy, fake_provider: FakeProvider, order: int
) -> None:
    """Parsers disagree on which one counts."""
    token = create(gateway, ruled(pii("email")))
    choices = [
        json.dumps([{"index": 0, "message": {"role": "assistant", "content": text}}])
        for text in (f"to {MAIL}", "clean")
    ][::order]
    body = f'{{"object":"chat.completion","choices":{choices[0]},"choices":{choices[1]}}}'
    given(fake_provider, body.encode(), "Content-Type: application/json")
    with Caller(gateway, token.key) as caller:
        outcome = caller.ask(OPENAI, text="go")
    assert b"alice" not in outcome.body
    assert outcome.json["choices"][0]["message"]["content"] == ("clean", "to [REDACTED]")[order == -1]


@pytest.mark.parametrize("spelling", ["\\u0061lice", "\\u0061\\u006cice", "alice\\u002e"])
def test_escapes_hide_nothing(gateway: Proxy, fake_provider: FakeProvider, spelling: str) -> None:
    token = create(gateway, ruled(pii("email")))
    rest = MAIL.removeprefix("alice.") if spelling.endswith("2e") else MAIL.removeprefix("alice")
    content = f'"to {spelling}{rest} go"'
    body = f'{{"choices":[{{"index":0,"message":{{"role":"assistant","content":{content}}}}}]}}'
    given(fake_provider, body.encode(), "Content-Type: application/json")
    with Caller(gateway, token.key) as caller:
        outcome = caller.ask(OPENAI, text="go")
    assert outcome.json["choices"][0]["message"]["content"] == "to [REDACTED] go"
