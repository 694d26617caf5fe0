"""The fake provider misbehaves as it is told, by script and by model."""

from __future__ import annotations

import gzip
import json
import time
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.support.raw_http import chat, exchange, request_bytes

CLOSE = {"Connection": "close"}


def ask(provider: FakeProvider, model: str, **members: Any) -> tuple[bytes, str]:
    request = request_bytes("/v1/chat/completions", chat(model, **members), headers=CLOSE)
    return exchange(provider.port, request)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503, 529])
def test_fails_by_model(fake_provider: FakeProvider, status: int, stream: bool) -> None:
    answer, _ = ask(fake_provider, f"fail-{status},retry-after=7", stream=stream)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"retry-after: 7" in head
    assert "message" in json.loads(body)["error"]
    assert fake_provider.bill.output_tokens == 0


def test_fails_a_number_of_times(fake_provider: FakeProvider) -> None:
    statuses = [ask(fake_provider, "fail-503,count=2")[0][9:12] for _ in range(3)]
    assert statuses == [b"503", b"503", b"200"]


def test_script_comes_first_and_in_order(fake_provider: FakeProvider) -> None:
    fake_provider.script([{"status": 429, "retry_after": 1}, {"reset": "before_headers"}, {}])
    outcomes = [ask(fake_provider, "gpt-4o") for _ in range(3)]
    assert outcomes[0][0].startswith(b"HTTP/1.1 429 ")
    assert b"retry-after: 1" in outcomes[0][0]
    assert outcomes[1] == (b"", "reset")
    assert outcomes[2][0].startswith(b"HTTP/1.1 200 ")
    assert fake_provider.unused_steps() == 0


def test_script_says_the_text(fake_provider: FakeProvider) -> None:
    fake_provider.script([{"pieces": ["4111 1111", " 1111 1111"], "count": 2}])
    whole = ask(fake_provider, "gpt-4o")[0]
    assert b'"content":"4111 1111 1111 1111"' in whole
    streamed = ask(fake_provider, "gpt-4o", stream=True)[0]
    assert b'"content":"4111 1111"' in streamed
    assert b'"content":" 1111 1111"' in streamed


@pytest.mark.parametrize(
    ("model", "ending"),
    [
        ("reset-before-headers", "reset"),
        ("close-before-headers", "closed"),
        ("hang", "silent"),
        ("die-mid-stream", "reset"),
        ("close-mid-stream", "closed"),
        ("hang-mid-stream", "silent"),
        ("slow-stream,delay=0.01", "closed"),
        ("short-body", "closed"),
        ("garbage", "closed"),
        ("unasked-101", "closed"),
        ("drip-headers,delay=0.01", "found"),
    ],
)
def test_ends(fake_provider: FakeProvider, model: str, ending: str) -> None:
    request = request_bytes("/v1/chat/completions", chat(model, stream=True), headers=CLOSE)
    answer, ended = exchange(fake_provider.port, request, timeout=0.5, until=b"x-drip-5")
    assert ended == ending
    record = fake_provider.wait_ended()[0]
    whole = model.startswith(("slow-stream",))
    assert record.finished is whole
    assert record.left is (ending in ("silent", "found"))
    if "mid-stream" in model:
        assert record.events == 3
        assert record.bill.output_tokens == 2
        assert answer.count(b"data: ") == 3


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("status-000", b"HTTP/1.1 000 OK\r\n"),
        ("status-999", b"HTTP/1.1 999 Beyond\r\n"),
        ("bad-header-nul", b"\r\nx-bad: before\x00after\r\n"),
        ("bad-header-cr", b"\r\nx-bad: before\rSet-Cookie: injected=1\r\n"),
        ("obs-fold", b"\r\nx-folded: first\r\n second\r\n"),
        ("many-headers,number=500", b"\r\nx-499: 1\r\n"),
        ("trailers", b"\r\n0\r\nx-trailer: after the body\r\n"),
        ("set-cookie", b"\r\nSet-Cookie: __cf_bm="),
        ("redirect", b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:"),
        ("echo-key", b"x-echo: Bearer sk-real-raw\r\n"),
        ("html-error", b"<h1>502 Bad Gateway</h1>"),
        ("two-lengths", b"Content-Length: 2\r\nContent-Length: 20\r\n"),
        ("bad-chunk", b"\r\nzz\r\n"),
        ("bytes-after", b"{}HTTP/1.1 200 OK\r\n"),
        ("bad-json", b'{"id": "cut in the mid'),
        ("huge-body,megabytes=2", b"the " * 1000),
    ],
)
def test_sends(fake_provider: FakeProvider, model: str, expected: bytes) -> None:
    answer, ended = ask(fake_provider, model)
    assert expected in answer
    assert ended == "closed"


@pytest.mark.parametrize("status", [102, 103])
def test_interim_answer(fake_provider: FakeProvider, status: int) -> None:
    answer, _ = ask(fake_provider, f"early-hints-103,status={status}")
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\n\r\nHTTP/1.1 200 OK\r\n" in answer


def test_key_in_the_text(fake_provider: FakeProvider) -> None:
    answer, _ = ask(fake_provider, "echo-key,status=200")
    assert b'"content":"your key is sk-real-raw indeed"' in answer
    answer, _ = ask(fake_provider, "echo-key")
    assert b"Incorrect API key provided: sk-real-raw. You sent: Bearer sk-real-raw" in answer


def test_compresses(fake_provider: FakeProvider) -> None:
    head, _, body = ask(fake_provider, "gzip-anyway")[0].partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head
    assert json.loads(gzip.decompress(body))["object"] == "chat.completion"


@pytest.mark.parametrize(("model", "usage"), [("no-usage", None), ("zero-usage", 0)])
def test_usage(fake_provider: FakeProvider, model: str, usage: int | None) -> None:
    body = json.loads(ask(fake_provider, model)[0].partition(b"\r\n\r\n")[2])
    assert (body.get("usage") or {}).get("completion_tokens") == usage
    streamed, _ = ask(fake_provider, model, stream=True, stream_options={"include_usage": True})
    assert (b'"completion_tokens":0' in streamed) is (usage == 0)
    assert all(record.bill.output_tokens == 2 for record in fake_provider.records)


def test_stream_without_end(fake_provider: FakeProvider) -> None:
    streamed, _ = ask(fake_provider, "no-ending", stream=True)
    assert b"[DONE]" not in streamed
    assert b'"finish_reason":"stop"' not in streamed
    assert streamed.endswith(b"0\r\n\r\n")


def test_shapes_of_a_stream(fake_provider: FakeProvider) -> None:
    """Comments, CR LF and cuts within events do not change what is said."""
    assert b": still working\n\ndata: {" in ask(fake_provider, "comments", stream=True)[0]
    assert b"}\r\n\r\n" in ask(fake_provider, "crlf", stream=True)[0]
    cut, _ = ask(fake_provider, "cut-anywhere,bytes=3", stream=True)
    assert b"3\r\ndat\r\n3\r\na: \r\n" in cut


def test_late(fake_provider: FakeProvider) -> None:
    started = time.monotonic()
    ask(fake_provider, "slow-first-byte,delay=0.3")
    assert time.monotonic() - started >= 0.3


def test_model_misbehaves_in_every_dialect(fake_provider: FakeProvider) -> None:
    message = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 9}
    gemini = {"contents": [{"parts": [{"text": "x"}]}]}
    requests = [
        request_bytes("/v1/messages", {"model": "fail-429", **message}, headers={"anthropic-version": "1"}),
        request_bytes("/v1beta/models/fail-429:generateContent", gemini),
        request_bytes("/openai/deployments/fail-429/chat/completions?api-version=1", message),
        request_bytes("/v1/responses", {"model": "fail-429", "input": "x"}),
        request_bytes("/api/chat", {"model": "fail-429", **message}),
    ]
    answers = [exchange(fake_provider.port, request, timeout=0.2)[0] for request in requests]
    assert [answer[9:12] for answer in answers] == [b"429"] * len(requests)
    kinds = [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers]
    assert kinds[0]["error"]["type"] == "rate_limit_error"
    assert kinds[1]["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert isinstance(kinds[4]["error"], str)
