"""The fake provider speaks, bills and records."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import subprocess
import sys
from typing import Any

import httpx
import pytest

from tests.fake_provider import Bill, FakeProvider
from tests.support.certificates import TestAuthority
from tests.support.environment import PROJECT
from tests.support.raw_http import chat, exchange, request_bytes

ANTHROPIC = {"anthropic-version": "2023-06-01", "x-api-key": "sk-real"}
BEARER = {"Authorization": "Bearer sk-real"}


def post(provider: FakeProvider, path: str, body: Any, headers: dict[str, str] = BEARER) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=5) as client:
        return client.post(provider.url + path, json=body, headers=headers)


MESSAGE: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}

# Every one says "pong: hello", which is three tokens, to two tokens of text and three of the request.
REQUESTS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "chat": ("/v1/chat/completions", {"model": "m", "messages": MESSAGE}, BEARER),
    "completions": ("/v1/completions", {"model": "m", "prompt": "hello"}, BEARER),
    "responses": ("/v1/responses", {"model": "m", "input": "hello"}, BEARER),
    "azure": (
        "/openai/deployments/m/chat/completions?api-version=1",
        {"messages": MESSAGE},
        {"api-key": "real"},
    ),
    "base path": ("/openai/v1/chat/completions", {"model": "m", "messages": MESSAGE}, BEARER),
    "anthropic": ("/v1/messages", {"model": "m", "max_tokens": 99, "messages": MESSAGE}, ANTHROPIC),
    "gemini": ("/v1beta/models/m:generateContent", GEMINI, {"x-goog-api-key": "real"}),
    "gemini key": ("/v1beta/models/m:generateContent?key=real", GEMINI, {}),
    "vertex": ("/v1/projects/p/locations/l/publishers/google/models/m:generateContent", GEMINI, BEARER),
    "ollama chat": ("/api/chat", {"model": "m", "messages": MESSAGE, "stream": False}, {}),
    "ollama generate": ("/api/generate", {"model": "m", "prompt": "hello", "stream": False}, {}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_answers_and_bills(fake_provider: FakeProvider, name: str) -> None:
    path, body, headers = REQUESTS[name]
    answer = post(fake_provider, path, body, headers)
    assert answer.status_code == 200
    assert "pong: hello" in answer.text
    assert fake_provider.bill == Bill(5, 3)
    assert fake_provider.last.finished


STREAMS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    **{
        name: (path, {**body, "stream": True}, headers)
        for name, (path, body, headers) in REQUESTS.items()
        if name not in ("gemini", "gemini key", "vertex")
    },
    "gemini": ("/v1beta/models/m:streamGenerateContent?alt=sse", GEMINI, BEARER),
    "gemini array": ("/v1beta/models/m:streamGenerateContent", GEMINI, BEARER),
}


@pytest.mark.parametrize("name", STREAMS)
def test_streams_and_bills(fake_provider: FakeProvider, name: str) -> None:
    path, body, headers = STREAMS[name]
    answer = post(fake_provider, path, body, headers)
    assert answer.status_code == 200
    assert [piece in answer.text for piece in ('"pong"', '": he"', '"llo"')] == [True] * 3
    assert fake_provider.bill == Bill(5, 3)


def test_usage_chunk_comes_only_when_asked_for(fake_provider: FakeProvider) -> None:
    path = "/v1/chat/completions"
    without = post(fake_provider, path, chat(stream=True)).text
    asked = post(fake_provider, path, chat(stream=True, stream_options={"include_usage": True})).text
    assert '"usage"' not in without
    assert '"choices":[],"usage":{"prompt_tokens":4' in asked
    refused = post(fake_provider, path, chat(stream_options={"include_usage": True}))
    assert refused.status_code == 400


def test_number_of_tokens_and_limit(fake_provider: FakeProvider) -> None:
    whole = post(fake_provider, "/v1/chat/completions", chat(text="[tokens=50]")).json()
    assert whole["usage"]["completion_tokens"] == 50
    limited = post(fake_provider, "/v1/chat/completions", chat(text="[tokens=50]", max_tokens=7)).json()
    assert limited["usage"]["completion_tokens"] == 7
    assert limited["choices"][0]["finish_reason"] == "length"


def test_cached_and_reasoning_tokens(fake_provider: FakeProvider) -> None:
    body = chat(text="x" * 40, prompt_cache_key="k", reasoning_effort="low")
    usages = [post(fake_provider, "/v1/chat/completions", body).json()["usage"] for _ in range(2)]
    assert [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages] == [0, 6]
    assert usages[0]["completion_tokens_details"]["reasoning_tokens"] == 8
    assert fake_provider.last.bill == Bill(13, 20, 6, 0, 8)


def test_refuses_in_the_dialect(fake_provider: FakeProvider) -> None:
    unknown = post(fake_provider, "/v1/nothing", {})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_url")
    claude = post(fake_provider, "/v1/nothing", {}, ANTHROPIC)
    assert claude.json()["error"]["type"] == "not_found_error"
    gemini = post(fake_provider, "/v1beta/nothing", {})
    assert gemini.json()["error"]["status"] == "NOT_FOUND"


@pytest.mark.parametrize("key", ["", "tkn_0e8f6a52-8f7c-4c5e-9f57-5e8f6b9b6f01"])
def test_takes_no_wrapper_token(fake_provider: FakeProvider, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    assert post(fake_provider, "/v1/chat/completions", chat(), headers).status_code == 401
    assert fake_provider.bill == Bill()


def test_record_keeps_the_request_as_it_came(fake_provider: FakeProvider) -> None:
    body = b'{"model": "m",  "messages":[{"role":"user","content":"\xc3\xa9"}]}'
    request = request_bytes("/v1/chat/completions?a=1&b=%20", body, headers={"X-MiXed": "Case"})
    exchange(fake_provider.port, request * 2, timeout=0.2)
    first, second = fake_provider.records
    assert first.target == "/v1/chat/completions?a=1&b=%20"
    assert ("X-MiXed", "Case") in first.headers
    assert (first.body, first.body_bytes) == (body, len(body))
    assert first.connection == second.connection
    assert first.key == "sk-real-raw"
    assert first.holds("sk-real-raw")
    assert not first.holds("sk-other")


def test_upload_is_counted(fake_provider: FakeProvider) -> None:
    """Bytes past the first megabytes are counted and not kept."""
    size = 20 * 1024 * 1024
    exchange(fake_provider.port, request_bytes("/v1/upload", b"x" * size), timeout=0.5, until=b"}}")
    assert fake_provider.last.body_bytes == size
    assert len(fake_provider.last.body) < size


def test_client_that_leaves(fake_provider: FakeProvider) -> None:
    body = chat("slow-stream,delay=0.02,tokens=1000", stream=True)
    exchange(fake_provider.port, request_bytes("/v1/chat/completions", body), until=b' the"')
    record = fake_provider.wait_ended()[0]
    assert record.left
    assert not record.finished
    assert 0 < record.bill.output_tokens < 100


def test_malformed_request_is_recorded(fake_provider: FakeProvider) -> None:
    answer, _ = exchange(fake_provider.port, b"GET / HTTP/1.1\r\nHost: a\r\nX-Bad: a\x00b\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"a\x00b" in fake_provider.last.malformed


def test_tls(fake_provider: FakeProvider, authority: TestAuthority) -> None:
    with httpx.Client(trust_env=False, verify=ssl.create_default_context(cafile=authority.ca)) as client:
        answer = client.post(f"{fake_provider.tls_url}/v1/chat/completions", json=chat(), headers=BEARER)
    assert answer.status_code == 200
    assert fake_provider.last.tls


def test_as_a_process_with_control_port() -> None:
    command = [sys.executable, "-m", "tests.fake_provider", "--port", "0"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ports = json.loads(process.stdout.readline())
        try:
            with httpx.Client(trust_env=False) as client:
                control = f"http://127.0.0.1:{ports['control_port']}"
                url = f"http://127.0.0.1:{ports['port']}/v1/chat/completions"
                client.post(f"{control}/script", json=[{"status": 503}])
                statuses = [client.post(url, json=chat(), headers=BEARER).status_code for _ in range(2)]
                records = client.get(f"{control}/records").json()
                bill = client.get(f"{control}/bill").json()
                client.post(f"{control}/reset")
                after = client.get(f"{control}/records").json()
        finally:
            process.terminate()
    assert statuses == [503, 200]
    assert json.loads(base64.b64decode(records[1]["body"])) == chat()
    assert bill["input_tokens"] == 4
    assert after == []


def test_idle_connection_is_no_request(fake_provider: FakeProvider) -> None:
    with socket.create_connection(("127.0.0.1", fake_provider.port)):
        pass
    assert fake_provider.records == []
