"""Request heads: what is sent on, and what is refused before any other step runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.refusal import Refusal
from tokenomics_core.request_head import MAX_HEAD_BYTES, MAX_HEADERS, MAX_PATH_BYTES, check_fields, check_head

Fields = list[tuple[bytes, bytes]]

PATH = b"/v1/chat/completions"
USUAL: Fields = [
    (b"Host", b"localhost:8080"),
    (b"Authorization", b"Bearer tkn_0f8fad5b-d9cb-469f-a165-70867728950e"),
    (b"Content-Type", b"application/json"),
    (b"Content-Length", b"42"),
]


def refused(
    method: str = "POST", path: bytes = PATH, version: str = "HTTP/1.1", fields: Fields | None = None
) -> tuple[int, str] | None:
    """Status and message, or None when the head is accepted."""
    try:
        check_head(method, path, version, USUAL if fields is None else fields)
    except Refusal as refusal:
        return refusal.status, refusal.message
    return None


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_methods_that_are_forwarded(method: str) -> None:
    assert refused(method) is None


@pytest.mark.parametrize("method", ["", "FOO", "PRI", "TRACE", "CONNECT", "get", "POST ", "GÉT"])
def test_other_methods(method: str) -> None:
    assert refused(method) == (405, "this method is not forwarded")


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1", "HTTP/2.0"])
def test_versions(version: str) -> None:
    assert refused(version=version) is None


@pytest.mark.parametrize(
    "version", ["", "HTTP/0.9", "HTTP/1.2", "HTTP/3.7", "HTTP/3", "http/1.1", "HTTP/1.1 "]
)
def test_other_versions(version: str) -> None:
    assert refused(version=version) == (400, "this HTTP version is not spoken here")


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"/v1/messages?beta=true",
        b"/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        b"/v1beta/models/gemini-2.5-flash:generateContent?key=AIza-_x",
        b"/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
        b"/v1/models/meta%2Fllama%203",
        b"/v1/models/ft:gpt-4o:org::id@1,(2)+3;v=4!$&'*~",
        b"/v1/models/m%C3%BCller",
        b"//v1/chat/completions",
        b"/v1/files?",
        b"/v1/files?a=b=c&d[]=1&d[x]=2&e={f|g}&h=^`&i=/?@:;,",
        b"/v1/files?after=%00%41%zz&percent=100%",
        "/v1/files?name=müller".encode(),
        b"/v1/files?\xff",
        b"/" + b"a" * (MAX_PATH_BYTES - 1),
    ],
)
def test_paths(path: bytes) -> None:
    assert refused(path=path) is None


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"*",
        b"v1/chat/completions",
        b"https://api.openai.com/v1/chat/completions",
        b"?a=b",
        b"/v1/chat completions",
        b"/v1\x00/chat/completions",
        b"/v1/chat/completions\r\nX: y",
        b"/v1/chat/completions\n",
        b"/v1/chat\tcompletions",
        b"/v1/chat\x7f",
        b"/v1#fragment",
        b"/v1?a=b#fragment",
        b"/v1\\chat",
        b'/v1/"chat"',
        b"/v1/<script>",
        b"/v1/files?a=<script>",
        b'/v1/files?a="b"',
        b"/v1/files?a=b c",
        b"/v1/files?a=\x00",
        b"/v1/files?a=b\\c",
        "/v1/models/müller".encode(),
        b"/v1/\xff",
    ],
)
def test_other_paths(path: bytes) -> None:
    assert refused(path=path) == (400, "the request path is not valid")


@pytest.mark.parametrize(
    "path",
    [
        b"/v1/chat/complet%69ons",
        b"/v1/%63hat/completions",
        b"/v1/chat/completions%00",
        b"/v1/chat%0d%0ax",
        b"/v1/chat%1F",
        b"/v1/chat%7f",
        b"/v1/%2e%2e/admin",
        b"/v1/%2E./admin",
        b"/v1/%7Euser",
        b"/v%31/chat",
        b"/v1/chat%",
        b"/v1/chat%4",
        b"/v1/chat%zz",
        b"/v1/chat%%2F",
    ],
)
def test_disguised_paths(path: bytes) -> None:
    assert refused(path=path) == (400, "the request path has a percent sign where none belongs")


def test_a_path_that_is_too_long() -> None:
    assert refused(path=b"/" + b"a" * MAX_PATH_BYTES) == (414, "the request path is longer than 16384 bytes")


@pytest.mark.parametrize(
    "fields",
    [
        [],
        USUAL,
        [*USUAL, (b"x-note", b"")],
        [*USUAL, (b"x-note", "grüße, 日本".encode())],
        [*USUAL, (b"x-note", b"\x80\xff")],
        [*USUAL, (b"x-note", b'tab\tand "quotes" <>\\ are values\' business')],
        [*USUAL, (b"cookie", b"a=1"), (b"cookie", b"b=2; c=" + b"x" * 4000)],
        [*USUAL, (b"accept", b"text/event-stream"), (b"accept", b"*/*"), (b"x-stainless-os", b"Linux")],
        [*USUAL, (b"!#$%&'*+-.^_`|~09Az", b"x")],
        [*USUAL, (b"connection", b"keep-alive, x-foo"), (b"te", b"trailers")],
        [(b"transfer-encoding", b"chunked")],
        [(b"Transfer-Encoding", b" Chunked ")],
        [(b"content-encoding", b"identity")],
        [(b"content-encoding", b"")],
        [(b"expect", b"100-continue")],
        [(b"expect", b"100-Continue")],
        [(b"connection", b"Upgrade"), (b"upgrade", b"WebSocket")],
        [(b"connection", b"Upgrade, HTTP2-Settings"), (b"upgrade", b"h2c"), (b"http2-settings", b"AAMAAABk")],
        [(b"content-length", b"0")],
        [(b"content-length", b"000042")],
        [(b"content-length", b"9" * 15)],
        [(b"x", b"y")] * MAX_HEADERS,
        [(b"x", b"y" * (MAX_HEAD_BYTES - 5))],
    ],
)
def test_fields(fields: Fields) -> None:
    assert refused(fields=fields) is None
    check_fields(fields)


CODING = "no transfer coding but plain chunked is accepted"
ENCODING = "send the request body without content-encoding"
LENGTH = "Content-Length is not valid"
VALUE = "the value of header x-note is not valid"


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        # Values: folded lines, bare CR and LF, NUL and other control characters.
        ([(b"x-note", b"a\r\n b")], 400, VALUE),
        ([(b"x-note", b"a\r\n\tb")], 400, VALUE),
        ([(b"x-note", b"a\rx: y")], 400, VALUE),
        ([(b"x-note", b"a\nx: y")], 400, VALUE),
        ([(b"x-note", b"a\x00")], 400, VALUE),
        ([(b"x-note", b"\x0b")], 400, VALUE),
        ([(b"x-note", b"\x1b[31m")], 400, VALUE),
        ([(b"x-note", b"\x7f")], 400, VALUE),
        ([(b"Authorization", b"Bearer tkn\x00x")], 400, "the value of header Authorization is not valid"),
        # Names.
        ([(b"", b"x")], 400, "a header name is not valid"),
        ([(b"x note", b"x")], 400, "a header name is not valid"),
        ([(b"x-note ", b"x")], 400, "a header name is not valid"),
        ([(b" x-note", b"x")], 400, "a header name is not valid"),
        ([(b"x-note:", b"x")], 400, "a header name is not valid"),
        ([(b":authority", b"x")], 400, "a header name is not valid"),
        ([(b"x\x00", b"x")], 400, "a header name is not valid"),
        ([(b"x\n", b"x")], 400, "a header name is not valid"),
        ([("gr\u00fc\u00dfe".encode(), b"x")], 400, "a header name is not valid"),
        # Framing.
        ([(b"transfer-encoding", b"gzip, chunked")], 400, CODING),
        ([(b"transfer-encoding", b"chunked, chunked")], 400, CODING),
        ([(b"transfer-encoding", b"xchunked")], 400, CODING),
        ([(b"transfer-encoding", b"chunked;a=b")], 400, CODING),
        ([(b"transfer-encoding", b"identity")], 400, CODING),
        ([(b"transfer-encoding", b"")], 400, CODING),
        (
            [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
            400,
            "header transfer-encoding stands more than once",
        ),
        (
            [(b"transfer-encoding", b"chunked"), (b"content-length", b"5")],
            400,
            "Content-Length and Transfer-Encoding exclude each other",
        ),
        ([(b"content-length", b"")], 400, LENGTH),
        ([(b"content-length", b"-1")], 400, LENGTH),
        ([(b"content-length", b"+1")], 400, LENGTH),
        ([(b"content-length", b"0x10")], 400, LENGTH),
        ([(b"content-length", b"5, 5")], 400, LENGTH),
        ([(b"content-length", b"5 ")], 400, LENGTH),
        ([(b"content-length", b"1e3")], 400, LENGTH),
        ([(b"content-length", b"1_000")], 400, LENGTH),
        ([(b"content-length", "\u0665".encode())], 400, LENGTH),
        ([(b"content-length", b"9" * 20)], 400, LENGTH),
        # The rest.
        ([(b"content-encoding", b"gzip")], 415, ENCODING),
        ([(b"content-encoding", b"identity, br")], 415, ENCODING),
        ([(b"expect", b"200-ok")], 417, "no expectation but 100-continue is met"),
        ([(b"upgrade", b"TLS/1.0")], 400, "no upgrade but websocket is forwarded"),
        ([(b"upgrade", b"websocket, h2c")], 400, "no upgrade but websocket is forwarded"),
        ([(b"x", b"y")] * (MAX_HEADERS + 1), 431, "more than 128 header fields"),
        ([(b"x", b"y" * (MAX_HEAD_BYTES - 4))], 431, "header fields of more than 65536 bytes"),
        ([(b"x", b"")] * 100_000, 431, "more than 128 header fields"),
    ],
)
def test_other_fields(fields: Fields, status: int, message: str) -> None:
    assert refused(fields=fields) == (status, message)
    with pytest.raises(Refusal):
        check_fields(fields)


@pytest.mark.parametrize(
    "name",
    "host content-length content-type content-encoding transfer-encoding authorization proxy-authorization "
    "x-api-key api-key x-goog-api-key expect upgrade".split(),
)
def test_what_may_stand_only_once(name: str) -> None:
    values = {"content-length": b"5", "transfer-encoding": b"chunked", "content-encoding": b"identity"}
    values |= {"expect": b"100-continue", "upgrade": b"websocket"}
    value = values.get(name, b"same")
    twice = [(name.encode(), value), (name.title().encode(), value)]
    assert refused(fields=twice[:1]) is None
    assert refused(fields=twice) == (400, f"header {name} stands more than once")


@given(
    st.binary(max_size=30),
    st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), max_size=4),
)
def test_what_is_accepted_is_one_head_to_every_parser(path: bytes, fields: Fields) -> None:
    if refused(path=b"/" + path, fields=fields) is None:
        text = b"POST /" + path + b" HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % field for field in fields)
        assert text.split(b" ", 2)[2].startswith(b"HTTP/1.1\r\n")
        assert len(text.splitlines()) == 1 + len(fields)
        assert text.count(b"\r") == text.count(b"\n") == 1 + len(fields)
        assert b"\0" not in text
        for line, field in zip(text.split(b"\r\n")[1:], fields, strict=False):
            assert line.partition(b": ")[::2] == field
