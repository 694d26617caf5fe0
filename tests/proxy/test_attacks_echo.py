"""The provider sends the real key back, in a header, an error, an answer, in pieces: it goes no further."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.attacks import POLICY, Answer, ask, chat_request, connect, request
from tests.support.assertions import assert_only_key
from tests.support.proxy import Proxy

pytestmark = pytest.mark.usefixtures("calm")

CHUNKED = b"Transfer-Encoding: chunked"


@pytest.fixture(scope="module")
def token(shared_proxy: Proxy) -> str:
    return shared_proxy.token(POLICY)


@pytest.fixture
def key(proxy: Proxy, fake_provider: FakeProvider) -> Iterator[str]:
    """The key, which must be in what the provider got and in nothing that the proxy wrote."""
    key = proxy.keys["OPENAI_API_KEY"]
    yield key
    assert_only_key(fake_provider.records, key)
    assert proxy.files_with(key) == []


def given(provider: FakeProvider, data: bytes, then: str = "close") -> None:
    provider.script([{"do": "raw-bytes", "data": data, "then": then}])


def head(kind: str, *lines: bytes, status: bytes = b"HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    if CHUNKED not in lines:
        lines = (*lines, b"Content-Length: %d" % len(body))
    return b"\r\n".join([status, b"Content-Type: " + kind.encode(), *lines, b"", b""]) + body


def cut(body: bytes, size: int) -> bytes:
    """The body as chunks of this size."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def assert_clean(answer: Answer, key: str) -> None:
    assert key not in answer.body.decode("latin-1")
    assert key not in str(answer.headers)
    assert key not in answer.reason
    assert b"[REDACTED]" in answer.body or b"*" * len(key) in answer.body


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("stream", [False, True])
def test_error_quotes_the_key(
    proxy: Proxy, fake_provider: FakeProvider, token: str, key: str, status: int, stream: bool
) -> None:
    fake_provider.script([{"do": "echo-key", "status": status}])
    with connect(proxy) as line:
        answer = line.ask(chat_request(token, stream=stream))
        assert answer.status == status
        assert_clean(answer, key)
        assert answer.header("x-echo") == "Bearer [REDACTED]"
        assert "[REDACTED]" in answer.json["error"]["message"]
        assert line.ask(chat_request(token)).status == 200


def test_answer_quotes_the_key(proxy: Proxy, fake_provider: FakeProvider, token: str, key: str) -> None:
    fake_provider.script([{"do": "echo-key", "status": 200}])
    answer = ask(proxy, chat_request(token))
    assert_clean(answer, key)
    assert answer.json["choices"][0]["message"]["content"] == "your key is [REDACTED] indeed"


KINDS = [
    "application/json",
    "text/plain",
    "text/html",
    "application/octet-stream",
    "audio/mpeg",
    "image/png",
    "x/y",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [b"HTTP/1.1 200 OK", b"HTTP/1.1 400 Bad Request", b"HTTP/1.1 302 Found"])
def test_any_kind_of_body(
    proxy: Proxy, fake_provider: FakeProvider, token: str, key: str, kind: str, status: bytes
) -> None:
    body = b"before %b, twice %b%b after" % ((key.encode(),) * 3)
    given(fake_provider, head(kind, status=status, body=body), "keep")
    with connect(proxy) as line:
        answer = line.ask(request(token=token))
        assert_clean(answer, key)
        # Formats that are not text break when bytes go missing.
        masks = {b"[REDACTED]", b"*" * len(key)}
        assert answer.body in {body.replace(key.encode(), mask) for mask in masks}
        assert line.ask(request(token=token)).status == 200


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 21, 34])
@pytest.mark.parametrize(
    "kind", ["text/event-stream", "application/json", "audio/mpeg", "application/x-ndjson"]
)
def test_key_cut_over_chunks(
    proxy: Proxy, fake_provider: FakeProvider, token: str, key: str, kind: str, size: int
) -> None:
    lines = [
        f"data: {json.dumps({'id': key, 'key': 'a' + key[:5] + key})}",
        "",
        f"data: {key}",
        "",
        "data: [DONE]",
    ]
    body = "\n".join([*lines, "", ""]).encode()
    given(fake_provider, head(kind, CHUNKED, body=cut(body, size)), "keep")
    answer = ask(proxy, chat_request(token, stream=kind.startswith("text")))
    assert answer.status == 200
    assert_clean(answer, key)


@pytest.mark.parametrize("size", [5, 17])
@pytest.mark.parametrize("stream", [False, True])
def test_key_in_a_packed_answer(
    proxy: Proxy, fake_provider: FakeProvider, token: str, key: str, stream: bool, size: int
) -> None:
    kind = "text/event-stream" if stream else "application/json"
    body = json.dumps({"error": {"message": f"bad key {key}"}}).encode()
    body = b"data: %b\n\n" % body if stream else body
    packed = cut(gzip.compress(body), size)
    given(fake_provider, head(kind, CHUNKED, b"Content-Encoding: gzip", body=packed))
    answer = ask(proxy, chat_request(token, stream=stream))
    assert answer.status == 200
    assert_clean(answer, key)


def test_key_in_an_event_of_a_stream(proxy: Proxy, fake_provider: FakeProvider, token: str, key: str) -> None:
    error = json.dumps({"error": {"message": f"key {key} is over its limit", "code": None}})
    body = f'data: {{"id":"1","choices":[]}}\n\ndata: {error}\n\n'.encode()
    given(fake_provider, head("text/event-stream", CHUNKED, body=cut(body, 7)))
    answer = ask(proxy, chat_request(token, stream=True))
    assert_clean(answer, key)
    assert b"is over its limit" in answer.body


def test_beginning_of_the_key_is_no_key(
    proxy: Proxy, fake_provider: FakeProvider, token: str, key: str
) -> None:
    """What only looks like it for a while arrives as it is."""
    body = f"data: {key[:-1]}\n\ndata: {key[:10]}".encode()
    given(fake_provider, head("text/event-stream", CHUNKED, body=cut(body, 3)))
    answer = ask(proxy, chat_request(token, stream=True))
    assert answer.body.startswith(body)


@pytest.mark.parametrize(
    "lines",
    [
        "X-Echo: {key}",
        "X-Echo: before {key}, {key} after",
        "Location: https://example.com/?key={key}",
        "WWW-Authenticate: Bearer error={key}",
        "X-Request-Id: {key}",
        "X-{key}: 1",
        "Content-Type: text/plain; key={key}",
    ],
)
def test_header_quotes_the_key(
    proxy: Proxy, fake_provider: FakeProvider, token: str, key: str, lines: str
) -> None:
    given(fake_provider, head("application/json", lines.format(key=key).encode(), body=b"{}"))
    answer = ask(proxy, request(token=token))
    assert key not in str(answer.headers)
    assert answer.body == b"{}"


def test_reason_quotes_the_key(proxy: Proxy, fake_provider: FakeProvider, token: str, key: str) -> None:
    status = f"HTTP/1.1 401 Bad key {key}".encode()
    given(fake_provider, head("application/json", status=status, body=b"{}"))
    answer = ask(proxy, request(token=token))
    assert answer.status == 401
    assert key not in answer.reason


@pytest.mark.parametrize(
    "data",
    [
        "HTTP/1.1 200 OK\r\nX-Echo {key}\r\n\r\n",
        "HTTP/1.1 999 {key}\r\n\r\n",
        "HTTP/1.1 {key}\r\n\r\n",
        "{key}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: {key}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: {key}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{key}\r\n",
        "HTTP/1.1 200 OK\r\nX {key}: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Echo: {key}",
    ],
)
def test_malformed_answer_quotes_the_key(
    proxy: Proxy, fake_provider: FakeProvider, token: str, key: str, data: str
) -> None:
    """mitmproxy quotes what it cannot parse; nobody gets to read that."""
    given(fake_provider, data.format(key=key).encode())
    answer = ask(proxy, request(token=token))
    assert answer.status == 502
    assert key not in answer.body.decode() + str(answer.headers)


def test_key_in_an_answer_that_is_tried_again(proxy: Proxy, fake_provider: FakeProvider, key: str) -> None:
    """The last error is given out, after others were held back."""
    retry = {"max_retries": 1, "retry_on": [503]}
    token = proxy.token({**POLICY, "retry": retry})
    fake_provider.script([{"do": "echo-key", "status": 503}] * 2)
    answer = ask(proxy, chat_request(token))
    assert answer.status == 503
    assert_clean(answer, key)
    assert len(fake_provider.records) == 2


def test_key_in_trailers(proxy: Proxy, fake_provider: FakeProvider, token: str, key: str) -> None:
    body = cut(b"{}", 2)[:-2] + f"X-Echo: {key}\r\n\r\n".encode()
    given(fake_provider, head("application/json", CHUNKED, body=body))
    answer = ask(proxy, request(token=token))
    assert answer.body == b"{}"
    assert key not in str(answer.headers)
