"""Request bodies: too large, framed strangely, promised and not sent, sent and not wanted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.attacks import (
    CHAT,
    POLICY,
    Closed,
    Line,
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

MEGABYTE = 1024 * 1024
CUT_OFF = r"Broken pipe|reset"
JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()


@pytest.fixture(scope="module")
def small(make_proxy: Any) -> Iterator[Proxy]:
    """Takes bodies of one megabyte, and waits half a second for the next piece of one."""
    server = {"max_body_mb": 1, "body_timeout": 0.5, "header_timeout": 0.5}
    with make_proxy({"server": server}) as proxy:
        yield proxy


@pytest.fixture
def proxy(small: Proxy, fake_provider: FakeProvider) -> Iterator[Proxy]:
    with undisturbed(small):
        yield small


@pytest.fixture(scope="module")
def token(small: Proxy) -> str:
    return small.token(POLICY)


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


# Too large.


@pytest.mark.parametrize("length", [MEGABYTE + 1, 53687091200, 999_999_999_999_999])
@pytest.mark.parametrize("expect", [[], ["Expect: 100-continue"]])
def test_length_too_large(
    proxy: Proxy, fake_provider: FakeProvider, token: str, length: int, expect: list[str]
) -> None:
    """The head alone is enough to refuse it: nothing of the body is waited for."""
    head = request("POST", CHAT, JSON, f"Content-Length: {length}", *expect, token=token)
    assert_refused(ask(proxy, head, timeout=0.4), 413)
    assert fake_provider.records == []


def test_length_at_the_limit(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    padding = b" " * (MEGABYTE - len(BODY))
    answer = ask(proxy, request("POST", CHAT, JSON, token=token, body=BODY + padding))
    assert answer.status == 200
    assert fake_provider.last.body_bytes == MEGABYTE


@pytest.mark.parametrize("piece", [1000, 65536, MEGABYTE + 1])
def test_chunks_too_large(proxy: Proxy, fake_provider: FakeProvider, token: str, piece: int) -> None:
    data = chunks(*[b"a" * piece] * (2 * MEGABYTE // piece))
    answer = ask(proxy, request("POST", CHAT, JSON, CHUNKED, token=token) + data)
    assert_refused(answer, 413)
    assert fake_provider.records == []


@pytest.mark.parametrize(
    ("status", "headers"),
    [(413, [CHUNKED]), (413, ["Content-Length: 8388608"]), (415, [CHUNKED, "Content-Encoding: gzip"])],
)
def test_refusal_is_seen_by_a_client_that_sends_first(
    proxy: Proxy, fake_provider: FakeProvider, token: str, status: int, headers: list[str]
) -> None:
    body = chunks(*[b"a" * 65536] * 127) if CHUNKED in headers else b"a" * 8388608
    with connect(proxy) as line:
        line.send(request("POST", CHAT, JSON, *headers, token=token))
        for at in range(0, len(body), 65536):
            line.send(body[at : at + 65536])
        assert_refused(line.answer(), status)
    assert fake_provider.records == []


@pytest.mark.parametrize("path", [CHAT, "/v1/files"])
def test_unknown_token_and_a_large_body(proxy: Proxy, fake_provider: FakeProvider, path: str) -> None:
    with connect(proxy) as line:
        kind = "Content-Type: multipart/form-data; boundary=x"
        line.send(request("POST", path, kind, token="tkn_unknown", body=b"a" * 4 * MEGABYTE))
        assert_refused(line.answer(), 401)
    assert fake_provider.records == []


def test_refused_client_that_never_stops(proxy: Proxy, fake_provider: FakeProvider) -> None:
    """It is answered at once, listened to for a while, and then cut off."""
    with connect(proxy) as line:
        head = request("POST", CHAT, JSON, "Content-Length: 53687091200", token="tkn_unknown")
        assert_refused(line.ask(head), 401)
        with pytest.raises(OSError, match=CUT_OFF):
            line.flood(b"a" * MEGABYTE, 1024)
    assert fake_provider.records == []


def test_refused_client_may_go_on(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """A refusal that is about the request alone leaves the connection as it is."""
    with connect(proxy) as line:
        line.send(request("POST", CHAT, JSON, "Content-Length: 100000", token="tkn_unknown"))
        assert_refused(line.answer(), 401)
        line.send(b"a" * 100_000)
        assert line.ask(chat_request(token)).status == 200
    assert len(fake_provider.records) == 1


# Not wanted.


@pytest.mark.parametrize("token_", ["", "tkn_unknown", "sk-some-key"])
def test_no_continue_without_a_token(proxy: Proxy, fake_provider: FakeProvider, token_: str) -> None:
    head = request("POST", CHAT, JSON, "Content-Length: 100", "Expect: 100-continue", token=token_)
    assert_refused(ask(proxy, head), 401)
    assert fake_provider.records == []


def test_continue_with_a_token(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    length = f"Content-Length: {len(BODY)}"
    with connect(proxy) as line:
        line.send(request("POST", CHAT, JSON, length, "Expect: 100-continue", token=token))
        assert line.answer().status == 100
        assert fake_provider.records == []
        line.send(BODY)
        assert line.answer().status == 200
    assert fake_provider.last.header("expect") == ""


# Framed strangely.

CHUNKS_SERVED = {
    "plain": chunks(BODY),
    "many": chunks(*[BODY[at : at + 1] for at in range(len(BODY))]),
    "extension": b"%x;name=value\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    "capital digits": b"%X\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    "leading zeros": b"000%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    "trailing blank": b"%x \r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    "trailers": chunks(BODY)[:-2] + b"X-Trailer: 1\r\nAuthorization: Bearer sk-other\r\n\r\n",
}
CHUNKS_REFUSED = {
    "line feeds only": b"%x\n%b\n0\n\n" % (len(BODY), BODY),
    "size of 17 digits": b"1" * 17 + b"\r\n" + BODY,
    "size of 20 digits": b"F" * 20 + b"\r\n" + BODY,
    "negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "size with a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size that is none": b"zz\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "size too small": b"2\r\nhello\r\n0\r\n\r\n",
    "size too large": b"ffff\r\nhello\r\n0\r\n\r\n",
    "no last chunk": b"5\r\nhello\r\n",
    "half a trailer": b"5\r\nhello\r\n0\r\nX-Trailer: 1\r\n",
    "bad trailer": b"5\r\nhello\r\n0\r\nnothing\x00\r\n\r\n",
}


@pytest.mark.parametrize("name", CHUNKS_SERVED)
def test_chunks(proxy: Proxy, fake_provider: FakeProvider, token: str, name: str) -> None:
    """The provider gets the body in the plainest framing there is, and no trailers."""
    with connect(proxy) as line:
        data = request("POST", CHAT, JSON, CHUNKED, token=token) + CHUNKS_SERVED[name]
        assert line.ask(data).status == 200
        assert line.ask(chat_request(token)).status == 200
    record = fake_provider.records[0]
    assert record.body == BODY
    assert record.header("content-length") == str(len(BODY))
    assert record.header("transfer-encoding") == ""
    assert_only_key(fake_provider.records, proxy.keys["OPENAI_API_KEY"])


@pytest.mark.parametrize("way", ["base", "tunnel"])
def test_bad_chunks(proxy: Proxy, fake_provider: FakeProvider, token: str, way: str) -> None:
    """All at once: some of them are waited for."""
    host = "localhost" if way == "base" else "api.openai.com"
    head = request("POST", CHAT, JSON, CHUNKED, token=token, host=host)
    lines = []
    for data in CHUNKS_REFUSED.values():
        lines.append((connect(proxy) if way == "base" else tunnel(proxy)).send(head + data))
    for name, line in zip(CHUNKS_REFUSED, lines, strict=True):
        with line:
            with suppress(Closed):
                assert_refused(line.answer(), 400, 408)
            assert b"HTTP/1.1 200" not in line.rest(), name
    assert fake_provider.records == []


@pytest.mark.parametrize("path", [CHAT, "/v1/files"])
@pytest.mark.parametrize(
    "start", [b"1" * 100, b"5;", b"5\r\nhello\r\n0\r\nX-Trailer: "], ids=["size", "extension", "trailer"]
)
def test_endless_chunk_head(
    proxy: Proxy, fake_provider: FakeProvider, token: str, start: bytes, path: str
) -> None:
    """What belongs to no body is not collected without a limit."""
    with connect(proxy) as line:
        line.send(request("POST", path, "Content-Type: text/plain", CHUNKED, token=token) + start)
        line.send(b"1" * 200_000)
        assert_refused(line.answer(), 400)
    assert [record for record in fake_provider.records if record.received] == []


def test_pipelined_flood(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """What a client sends while its request is under way is not collected without a limit either."""
    fake_provider.script([{"do": "slow-first-byte", "delay": 5}])
    with connect(proxy) as line:
        line.send(chat_request(token))
        fake_provider.wait(bool)
        with pytest.raises(OSError, match=CUT_OFF):
            line.flood(b"a" * MEGABYTE, 64)
    assert_serves(proxy, fake_provider, token)


def test_pipelined_requests_come_in_order(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    with connect(proxy) as line:
        line.send(b"".join(chat_request(token, text_number=number) for number in range(20)))
        for _ in range(20):
            assert line.answer("POST").json["choices"][0]["message"]["content"] == "pong: hi"
    assert [record.json["text_number"] for record in fake_provider.records] == list(range(20))


def test_pipelined_refusals_and_requests(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    tokens = [token, "tkn_unknown", "", token, "sk-no", token]
    with connect(proxy) as line:
        line.send(b"".join(chat_request(each) for each in tokens))
        assert [line.answer("POST").status for _ in tokens] == [200, 401, 401, 200, 401, 200]
    assert len(fake_provider.records) == 3


def test_head_request_and_body(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """The answer to HEAD has no body, also when it is a refusal: the next answer stays readable."""
    with connect(proxy) as line:
        assert line.ask(request("HEAD", "/v1/models")).status == 401
        assert line.ask(request("HEAD", "/v1/models", token=token)).status in (200, 404)
        assert line.ask(request("HEAD", "/health")).status == 200
        assert line.ask(request("GET", "/health")).json == {"status": "ok"}
    assert [record.method for record in fake_provider.records] == ["HEAD"]


# Uploads, which stream through.


def upload(token: str, *headers: str, body: bytes | None = None) -> bytes:
    kind = "Content-Type: multipart/form-data; boundary=x"
    return request("POST", "/v1/files", kind, *headers, token=token, body=body)


@pytest.mark.parametrize("chunked", [False, True])
def test_upload_streams_through(proxy: Proxy, fake_provider: FakeProvider, token: str, chunked: bool) -> None:
    body = bytes(range(256)) * 16384
    with connect(proxy) as line:
        data = (
            upload(token, CHUNKED) + chunks(body[:100], body[100:]) if chunked else upload(token, body=body)
        )
        line.send(data)
        assert line.answer().status in (200, 400)
        assert line.ask(request(token=token)).status == 200
    assert fake_provider.records[0].body == body
    assert [record.path for record in fake_provider.records] == ["/v1/files", "/v1/models"]
    assert_only_key(fake_provider.records[1:], proxy.keys["OPENAI_API_KEY"])


def test_upload_that_stops(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    with connect(proxy) as line:
        line.send(upload(token, "Content-Length: 1000000") + b"a" * 2000)
        fake_provider.wait(lambda records: bool(records))
        assert_refused(line.answer(), 408)
    record = fake_provider.wait_ended()[0]
    assert not record.received


def test_upload_refused_by_the_provider_early(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """A provider that answers and hangs up in the middle of an upload."""
    fake_provider.script([{"do": "garbage"}])
    with connect(proxy) as line:
        line.send(upload(token, body=b"a" * 100_000))
        assert_refused(line.answer(), 502)
    assert_serves(proxy, fake_provider, token)


# Promised and not sent.


@pytest.mark.parametrize("sent", [0, 1, 40])
@pytest.mark.parametrize("framing", ["Content-Length: 2000", CHUNKED])
def test_client_leaves_within_its_body(
    proxy: Proxy, fake_provider: FakeProvider, token: str, framing: str, sent: int
) -> None:
    data = BODY[:sent] if framing != CHUNKED else chunks(BODY)[:sent]
    with connect(proxy) as line:
        line.send(request("POST", CHAT, JSON, framing, token=token) + data)
    assert_serves(proxy, fake_provider, token)


def test_length_shorter_than_the_body(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """What is left over is read as the next request, and is none."""
    with connect(proxy) as line:
        short = request("POST", CHAT, JSON, f"Content-Length: {len(BODY)}", token=token)
        assert line.ask(short + BODY + b"GARBAGE\r\n\r\n").status == 200
        assert_refused(line.answer(), 400)
    assert len(fake_provider.records) == 1


def test_clock(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """A body that stalls is given up after the time for it, not before and not much later."""
    started = time.monotonic()
    line: Line
    with connect(proxy) as line:
        line.send(request("POST", CHAT, JSON, "Content-Length: 2000", token=token) + BODY)
        assert_refused(line.answer(), 408)
    assert 0.4 < time.monotonic() - started < 2
    assert fake_provider.records == []
