"""Answers of the provider that are malformed, late, too large, or too many."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.attacks import (
    POLICY,
    Answer,
    ask,
    assert_refused,
    assert_serves,
    chat_request,
    connect,
    request,
    tunnel,
    undisturbed,
)
from tests.support.assertions import assert_only_key
from tests.support.proxy import Proxy


@pytest.fixture(scope="module")
def hasty(make_proxy: Any) -> Iterator[Proxy]:
    """Waits half a second for the next piece of an answer, and a second for the first."""
    with make_proxy({"server": {"idle_timeout": 0.5}}) as proxy:
        yield proxy


@pytest.fixture
def proxy(hasty: Proxy, fake_provider: FakeProvider) -> Iterator[Proxy]:
    with undisturbed(hasty):
        yield hasty


@pytest.fixture(scope="module")
def token(hasty: Proxy) -> str:
    return hasty.token({**POLICY, "timeout": 1})


JSON = b"Content-Type: application/json\r\n"
OK = b'{"object":"list"}'
WHOLE = b"HTTP/1.1 200 OK\r\n" + JSON + b"Content-Length: 17\r\n\r\n" + OK


def head(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK", body: bytes = OK) -> bytes:
    return b"\r\n".join([status, *lines, b"", b""]) + body


def given(provider: FakeProvider, data: bytes, then: str = "close") -> None:
    """The next request is answered with these bytes."""
    provider.script([{"do": "raw-bytes", "data": data, "then": then}])


def ask_models(proxy: Proxy, token: str) -> Answer:
    return ask(proxy, request(token=token))


# Answers that are good in the end.

SERVED = {
    "early hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" + WHOLE,
    "processing": b"HTTP/1.1 102 Processing\r\n\r\n" + WHOLE,
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE,
    "unknown interim": b"HTTP/1.1 199 Wait\r\n\r\n" + WHOLE,
    "interim without a reason": b"HTTP/1.1 102\r\n\r\n" + WHOLE,
    "all of them": b"".join(b"HTTP/1.1 %d Wait\r\nX: 1\r\n\r\n" % n for n in (100, 102, 103, 104, 103))
    + WHOLE,
    "a thousand": b"HTTP/1.1 102 Processing\r\n\r\n" * 1000 + WHOLE,
    "interim of HTTP/1.0": b"HTTP/1.0 102 Processing\r\n\r\n" + WHOLE,
    "until the end": head(JSON[:-2]),
    "HTTP/1.0": head(JSON[:-2], status=b"HTTP/1.0 200 OK"),
    "last on its connection": head(b"Connection: close", b"Content-Length: 17"),
    "no reason": head(b"Content-Length: 17", status=b"HTTP/1.1 200"),
    "strange reason": head(b"Content-Length: 17", status=b"HTTP/1.1 200 \x01\xff\x7f"),
    "line feeds": WHOLE.replace(b"\r\n", b"\n"),
    "small letters": head(b"content-length: 17"),
    "blanks": head(b"Content-Length:   17  "),
    "chunks": head(b"Transfer-Encoding: chunked", body=b"11\r\n%b\r\n0\r\n\r\n" % OK),
    "trailers": head(
        b"Transfer-Encoding: chunked", body=b"11\r\n%b\r\n0\r\nX-T: 1\r\nSet-Cookie: a=b\r\n\r\n" % OK
    ),
    "chunk extension": head(b"Transfer-Encoding: chunked", body=b"11;a=b\r\n%b\r\n0;c\r\n\r\n" % OK),
}


@pytest.mark.parametrize("name", SERVED)
def test_served(proxy: Proxy, fake_provider: FakeProvider, token: str, name: str) -> None:
    given(fake_provider, SERVED[name])
    with connect(proxy) as line:
        answer = line.ask(request(token=token))
        assert (answer.status, answer.body) == (200, OK)
        assert answer.reason.isprintable()
        assert not {"set-cookie", "x-t", "link"} & {key.lower() for key, _ in answer.headers}
        assert line.ask(chat_request(token)).status == 200
    assert_only_key(fake_provider.records, proxy.keys["OPENAI_API_KEY"])


@pytest.mark.parametrize("way", ["base", "tunnel"])
@pytest.mark.parametrize("piece", [1, 7, 50])
def test_interim_answers_in_pieces(
    proxy: Proxy, fake_provider: FakeProvider, token: str, piece: int, way: str
) -> None:
    """However the bytes arrive."""
    host = "localhost" if way == "base" else "api.openai.com"
    fake_provider.script([{"do": "early-hints-103"}] * 2)
    data = SERVED["all of them"]
    fake_provider.script([{"do": "raw-pieces", "data": data, "size": piece}])
    with connect(proxy) if way == "base" else tunnel(proxy) as line:
        for _ in range(3):
            answer = line.ask(request(token=token, host=host))
            assert (answer.status, answer.json["object"]) == (200, "list")
    assert len(fake_provider.records) == 3


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["early-hints-103", "early-hints-103,status=102", "trailers"])
def test_chat_served(proxy: Proxy, fake_provider: FakeProvider, token: str, model: str, stream: bool) -> None:
    with connect(proxy) as line:
        for _ in range(2):
            answer = line.ask(chat_request(token, model, stream=stream))
            assert answer.status == 200
            assert b"pong" in answer.body
            assert answer.header("x-trailer") == ""
    assert len(fake_provider.records) == 2


# Heads that are cleaned.


@pytest.mark.parametrize(
    ("line", "absent"),
    [
        (b"X-Bad: before\x00after", "x-bad"),
        (b"X-Bad: before\rSet-Cookie: injected=1", "x-bad"),
        (b"X-Bad: first\r\n second", "x-bad"),
        (b"X-Bad: first\r\n\tSet-Cookie: injected=1", "x-bad"),
        (b"X-Bad: \x01\x02", "x-bad"),
        (b"X-Bad: before\x7fafter", "x-bad"),
        (b"Set-Cookie: __cf_bm=1; path=/", "set-cookie"),
        (b"Set-Cookie2: a=b", "set-cookie2"),
        (b"Keep-Alive: timeout=5", "keep-alive"),
        (b"Proxy-Authenticate: Basic", "proxy-authenticate"),
        (b"Proxy-Connection: keep-alive", "proxy-connection"),
        (b"Upgrade: h2c", "upgrade"),
        (b"Alt-Svc: h3=:443", "alt-svc"),
        (b"Trailer: X-T", "trailer"),
        (b"Connection: X-Hop\r\nX-Hop: 1", "x-hop"),
    ],
)
def test_header_is_not_passed_on(
    proxy: Proxy, fake_provider: FakeProvider, token: str, line: bytes, absent: str
) -> None:
    given(fake_provider, head(b"X-Before: 1", line, b"X-After: 1", b"Content-Length: 17"))
    answer = ask_models(proxy, token)
    assert (answer.status, answer.body) == (200, OK)
    assert answer.header(absent) == ""
    assert "injected" not in str(answer.headers)
    assert answer.header("x-before") == answer.header("x-after") == "1"
    assert_only_key(fake_provider.records, proxy.keys["OPENAI_API_KEY"])


@pytest.mark.parametrize("model", ["bad-header-nul", "bad-header-cr", "obs-fold", "set-cookie"])
@pytest.mark.parametrize("stream", [False, True])
def test_stream_s_head_is_cleaned_too(
    proxy: Proxy, fake_provider: FakeProvider, token: str, model: str, stream: bool
) -> None:
    answer = ask(proxy, chat_request(token, model, stream=stream))
    assert answer.status == 200
    assert not {"x-bad", "x-folded", "set-cookie"} & {key.lower() for key, _ in answer.headers}
    assert len(fake_provider.records) == 1


# Answers that are none.

CHUNKED = b"Transfer-Encoding: chunked"
REFUSED = {
    "ssh": b"SSH-2.0-OpenSSH_9.9\r\n",
    "nothing": b"",
    "empty lines": b"\r\n\r\n\r\n",
    "status 000": head(b"Content-Length: 17", status=b"HTTP/1.1 000 OK"),
    "status 99": head(b"Content-Length: 17", status=b"HTTP/1.1 99 OK"),
    "status 600": head(b"Content-Length: 17", status=b"HTTP/1.1 600 OK"),
    "status 999": head(b"Content-Length: 17", status=b"HTTP/1.1 999 OK"),
    "status 2000": head(b"Content-Length: 17", status=b"HTTP/1.1 2000 OK"),
    "status -200": head(b"Content-Length: 17", status=b"HTTP/1.1 -200 OK"),
    "status of letters": head(b"Content-Length: 17", status=b"HTTP/1.1 2OO OK"),
    "no status": head(b"Content-Length: 17", status=b"HTTP/1.1"),
    "HTTP/3.7": head(b"Content-Length: 17", status=b"HTTP/3.7 200 OK"),
    "no version": head(b"Content-Length: 17", status=b"200 OK"),
    "icy": head(b"Content-Length: 17", status=b"ICY 200 OK"),
    "101 unasked": head(b"Upgrade: websocket", b"Connection: Upgrade", status=b"HTTP/1.1 101 Switching"),
    "101 to nothing": head(status=b"HTTP/1.1 101 Switching"),
    "only interim": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "half a head": WHOLE[:30],
    "two lengths": head(b"Content-Length: 17", b"Content-Length: 2"),
    "same length twice": head(b"Content-Length: 17", b"Content-Length: 17"),
    "list of lengths": head(b"Content-Length: 17, 17"),
    "length and chunks": head(b"Content-Length: 17", CHUNKED, body=b"11\r\n%b\r\n0\r\n\r\n" % OK),
    "negative length": head(b"Content-Length: -17"),
    "length with a plus": head(b"Content-Length: +17"),
    "length in hex": head(b"Content-Length: 0x11"),
    "empty length": head(b"Content-Length: "),
    "body too short": head(b"Content-Length: 1000"),
    "unknown transfer coding": head(b"Transfer-Encoding: xchunked", body=b"11\r\n%b\r\n0\r\n\r\n" % OK),
    "gzip, chunked": head(b"Transfer-Encoding: gzip, chunked", body=b"11\r\n%b\r\n0\r\n\r\n" % OK),
    "gzip as transfer coding": head(b"Transfer-Encoding: gzip", body=gzip.compress(OK)),
    "identity as transfer coding": head(b"Transfer-Encoding: identity"),
    "chunked twice": head(CHUNKED, CHUNKED, body=b"11\r\n%b\r\n0\r\n\r\n" % OK),
    "chunks in HTTP/1.0": head(CHUNKED, status=b"HTTP/1.0 200 OK", body=b"11\r\n%b\r\n0\r\n\r\n" % OK),
    "bad chunk size": head(CHUNKED, body=b"zz\r\n%b\r\n0\r\n\r\n" % OK),
    "chunk too short": head(CHUNKED, body=b"2\r\n%b\r\n0\r\n\r\n" % OK),
    "no last chunk": head(CHUNKED, body=b"11\r\n%b\r\n" % OK),
    "half a chunk": head(CHUNKED, body=b"ffff\r\n%b" % OK),
    "header without a colon": head(b"X-Nothing", b"Content-Length: 17"),
    "header without a name": head(b": 1", b"Content-Length: 17"),
    "blank in a name": head(b"X Bad: 1", b"Content-Length: 17"),
    "blank before the colon": head(b"Content-Length : 17"),
    "NUL in a name": head(b"X-\x00Bad: 1", b"Content-Length: 17"),
    "folded first header": head(b" folded: 1", b"Content-Length: 17"),
    "head of 400 kB": head(*[b"X-%d: 1" % n for n in range(40_000)], b"Content-Length: 17"),
    "header of 400 kB": head(b"X-Long: " + b"a" * 400_000, b"Content-Length: 17"),
    "brotli": head(b"Content-Encoding: br", JSON[:-2], b"Content-Length: 17"),
    "zstd": head(b"Content-Encoding: zstd", JSON[:-2], b"Content-Length: 17"),
    "gzip twice": head(b"Content-Encoding: gzip, gzip", JSON[:-2], b"Content-Length: 17"),
    "gzip that is none": head(b"Content-Encoding: gzip", JSON[:-2], b"Content-Length: 17"),
    "gzip bomb": head(b"Content-Encoding: gzip", JSON[:-2], body=gzip.compress(bytes(80 * 1024 * 1024))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_no_answer(proxy: Proxy, fake_provider: FakeProvider, token: str, name: str) -> None:
    """502 in the client's dialect, the connection goes on, and the row says 502 as well."""
    given(fake_provider, REFUSED[name])
    with connect(proxy) as line:
        answer = line.ask(request(token=token))
        assert_refused(answer, 502)
        assert line.ask(chat_request(token)).status == 200
    rows = proxy.wait_for(
        proxy.rows, lambda rows: any(row["id"] == answer.header("x-request-id") for row in rows)
    )
    assert [row["status"] for row in rows if row["id"] == answer.header("x-request-id")] == [502]
    assert len(fake_provider.records) == 2


@pytest.mark.parametrize("name", ["brotli", "zstd", "gzip that is none"])
def test_no_stream(proxy: Proxy, fake_provider: FakeProvider, token: str, name: str) -> None:
    given(fake_provider, REFUSED[name].replace(b"application/json", b"text/event-stream"))
    with connect(proxy) as line:
        answer = line.ask(chat_request(token, stream=True))
    if answer.status == 200:
        assert name == "gzip that is none"
        assert b'"error"' in answer.body
        assert OK not in answer.body
    else:
        assert_refused(answer, 502)
    assert len(fake_provider.records) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_gzip_is_unpacked(proxy: Proxy, fake_provider: FakeProvider, token: str, stream: bool) -> None:
    plain = ask(proxy, chat_request(token, "gpt-4o", stream=stream))
    packed = ask(proxy, chat_request(token, "gzip-anyway", stream=stream))
    assert packed.status == 200
    assert packed.header("content-encoding") == ""
    assert len(packed.body.splitlines()) == len(plain.body.splitlines())
    assert b"pong" in packed.body
    assert {record.header("accept-encoding") for record in fake_provider.records} == {"identity"}


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
def test_length_of_what_was_unpacked(
    proxy: Proxy, fake_provider: FakeProvider, token: str, pack: Any
) -> None:
    body = pack(OK)
    coding = b"gzip" if pack is gzip.compress else b"deflate"
    length = b"Content-Length: %d" % len(body)
    given(fake_provider, head(b"Content-Encoding: " + coding, JSON[:-2], length, body=body))
    with connect(proxy) as line:
        assert line.ask(request(token=token)).body == OK
        assert line.ask(chat_request(token)).status == 200
    assert len(fake_provider.records) == 2


# Bytes after the answer.


@pytest.mark.parametrize("way", ["base", "tunnel"])
@pytest.mark.parametrize("then", ["close", "keep", "silent"])
def test_bytes_after_the_answer(
    proxy: Proxy, fake_provider: FakeProvider, token: str, then: str, way: str
) -> None:
    """A second answer reaches nobody: neither this client nor the next one."""
    host = "localhost" if way == "base" else "api.openai.com"
    evil = WHOLE.replace(OK, b'{"object":"evil"}')
    given(fake_provider, WHOLE + evil, then)
    with connect(proxy) if way == "base" else tunnel(proxy) as line:
        assert line.ask(request(token=token, host=host)).body == OK
        for _ in range(2):
            answer = line.ask(request(token=token, host=host))
            assert b"evil" not in answer.body
            assert answer.json["data"]
    assert len(fake_provider.records) == 3


def test_body_where_none_belongs(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """204, 304 and the answer to HEAD have no body, whatever the provider thinks."""
    for status in (b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified"):
        given(fake_provider, head(b"Content-Length: 17", status=status), "keep")
        with connect(proxy) as line:
            assert line.ask(request(token=token)).status in (204, 304)
            assert line.ask(request(token=token)).json["object"] == "list"
    given(fake_provider, head(b"Content-Length: 17"), "keep")
    with connect(proxy) as line:
        assert line.ask(request("HEAD", token=token)).status == 200
        assert line.ask(request(token=token)).json["object"] == "list"
    assert [record.method for record in fake_provider.records[-2:]] == ["HEAD", "GET"]


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(proxy: Proxy, fake_provider: FakeProvider, token: str, status: int) -> None:
    fake_provider.script([{"do": "redirect", "status": status}])
    answer = ask(proxy, chat_request(token))
    assert answer.status in (status, 502)
    assert [record.path for record in fake_provider.records] == ["/v1/chat/completions"]


# Answers that come late, in part, or never.


@pytest.mark.long
@pytest.mark.parametrize(
    "step",
    [
        {"do": "hang"},
        {"do": "drip-headers", "delay": 0.1},
        {"do": "raw-bytes", "data": b"HTTP/1.1 103 Early Hints\r\n\r\n", "then": "silent"},
        {"do": "raw-bytes", "data": b"HTTP/1.1 103 Early Hints\r\nLink: a", "then": "silent"},
        {"do": "raw-bytes", "data": b"HTTP/1.1 200 OK\r\nContent-", "then": "silent"},
        {"do": "raw-bytes", "data": b"\r\n", "then": "silent"},
        {"do": "raw-bytes", "data": head(b"Content-Length: 1000"), "then": "silent"},
        {"do": "raw-bytes", "data": head(CHUNKED, body=b""), "then": "silent"},
        {"do": "raw-bytes", "data": head(CHUNKED, body=b"ffffffffffff\r\n"), "then": "silent"},
        {"do": "raw-bytes", "data": head(CHUNKED, body=b"f" * 10_000), "then": "silent"},
        {"do": "raw-bytes", "data": head(CHUNKED, body=b"0\r\nX-Trailer: 1\r\n"), "then": "silent"},
        {"hang_after": 1},
    ],
    ids=lambda step: str(step.get("data", step))[:60],
)
def test_silence(proxy: Proxy, fake_provider: FakeProvider, token: str, step: dict[str, Any]) -> None:
    fake_provider.script([step])
    started = time.monotonic()
    with connect(proxy) as line:
        assert_refused(line.ask(chat_request(token)), 502, 504)
        assert time.monotonic() - started < 2.5
        assert line.ask(chat_request(token)).status == 200
    assert len(fake_provider.records) == 2


SSE = b"Content-Type: text/event-stream"


@pytest.mark.parametrize(
    "step",
    [
        {"hang_after": 3},
        {"cut_after": 3},
        {"close_after": 3},
        {"do": "raw-bytes", "data": head(SSE, CHUNKED, body=b"ffffffffffff\r\ndata: {"), "then": "silent"},
        {"do": "raw-bytes", "data": head(SSE, CHUNKED, body=b"zz\r\ndata: {"), "then": "close"},
        {"do": "raw-bytes", "data": head(SSE, CHUNKED, body=b"1" * 100_000), "then": "silent"},
    ],
    ids=lambda step: str(step.get("data", step))[:60],
)
def test_stream_breaks_off(
    proxy: Proxy, fake_provider: FakeProvider, token: str, step: dict[str, Any]
) -> None:
    """The client gets an error in the stream, and cannot take it for a whole one."""
    fake_provider.script([step])
    started = time.monotonic()
    received = b""
    with connect(proxy) as line:
        line.send(chat_request(token, stream=True))
        try:
            while data := line.sock.recv(65536):
                received += data
                if b"\r\n0\r\n\r\n" in received.partition(b"\r\n\r\n")[2]:
                    break
        except ConnectionResetError:
            pass
    assert time.monotonic() - started < 2.5
    assert received.startswith(b"HTTP/1.1 200 ")
    events = [piece for piece in received.split(b"data: ") if b'"error"' in piece]
    assert len(events) == 1
    assert json.loads(events[0].split(b"\n")[0])["error"]["message"]
    assert b"[DONE]" not in received
    assert_serves(proxy, fake_provider, token)
