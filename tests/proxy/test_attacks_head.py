"""Request heads that two parsers could read differently, or that no parser should have to read."""

from __future__ import annotations

import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.attacks import (
    CHAT,
    POLICY,
    answer_or_end,
    ask,
    assert_refused,
    assert_serves,
    chat_request,
    connect,
    request,
    tls_line,
    tunnel,
)
from tests.support.proxy import Proxy

pytestmark = pytest.mark.usefixtures("calm")


@pytest.fixture(scope="module")
def token(shared_proxy: Proxy) -> str:
    return shared_proxy.token(POLICY)


LINES = {
    "obs-fold": "X-Folded: first\r\n second",
    "obs-fold with a tab": "X-Folded: first\r\n\tsecond",
    "folded first line": " X-First: 1",
    "bare CR in a value": "X-Bare: before\rSet-Cookie: injected=1",
    "bare CR at the end": "X-Bare: before\r",
    "bare CR before a name": "X-Bare: 1\r\n\rX-Other: 2",
    "bare LF": "X-Bare: before\nX-Api-Key: sk-injected\x00",
    "NUL in a value": "X-Nul: before\x00after",
    "control character": "X-Control: before\x01after",
    "delete character": "X-Control: before\x7fafter",
    "vertical tab": "X-Control: before\x0bafter",
    "form feed": "X-Control: before\x0cafter",
    "NUL in a name": "X-\x00Nul: 1",
    "space before the colon": "X-Space : 1",
    "space before the colon of a length": "Content-Length : 5",
    "tab before the colon": "X-Tab\t: 1",
    "space in a name": "X Space: 1",
    "no colon": "X-Nothing",
    "no name": ": value",
    "non-ASCII name": "X-Ünicode: 1",
    "parenthesis in a name": "X-(y): 1",
    "te gzip, chunked": "Transfer-Encoding: gzip, chunked",
    "te chunked, gzip": "Transfer-Encoding: chunked, gzip",
    "te chunked, chunked": "Transfer-Encoding: chunked, chunked",
    "te gzip": "Transfer-Encoding: gzip",
    "te identity": "Transfer-Encoding: identity",
    "te xchunked": "Transfer-Encoding: xchunked",
    "te with a vertical tab": "Transfer-Encoding:\tchunked\x0b",
    "te quoted": 'Transfer-Encoding: "chunked"',
    "te empty": "Transfer-Encoding:",
    "te folded": "Transfer-Encoding:\r\n chunked",
    "te doubled": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "te chunked and identity": "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "te in disguise": "Transfer-Encoding: chunKed\x00",
    "te and length": "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "length and te": "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "length twice": "Content-Length: 5\r\nContent-Length: 5",
    "lengths differ": "Content-Length: 5\r\nContent-Length: 6",
    "length list": "Content-Length: 5, 5",
    "length negative": "Content-Length: -5",
    "length with a plus": "Content-Length: +5",
    "length hex": "Content-Length: 0x5",
    "length with a zero": "Content-Length: 05",
    "length with a point": "Content-Length: 5.0",
    "length with an underscore": "Content-Length: 1_0",
    "length in other digits": "Content-Length: \xb2",
    "length empty": "Content-Length:",
    "length of 20 digits": "Content-Length: 18446744073709551621",
    "length of 4000 digits": "Content-Length: " + "9" * 4000,
    "encoded body": "Content-Encoding: gzip\r\nContent-Length: 5",
    "two encodings": "Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 5",
    "two hosts": "Host: api.openai.com",
    "two tokens": "Authorization: Bearer tkn_0b4e1f6e-0000-4000-8000-000000000000",
    "two content types": "Content-Type: application/json\r\nContent-Type: text/plain",
    "expectation": "Expect: 200-ok",
    "upgrade to HTTP/2": "Upgrade: h2",
    "upgrade to TLS": "Upgrade: TLS/1.0, websocket",
    "many headers": "\r\n".join(f"X-{number}: 1" for number in range(200)),
    "one name many times": "\r\n".join(["X-Same: 1"] * 200),
    "header of 70 kB": "X-Long: " + "a" * 70_000,
    "name of 70 kB": "X-" + "a" * 70_000 + ": 1",
    "header of 100 kB": "X-Long: " + "a" * 100_000,
}
STATUSES = (400, 413, 415, 417, 431)


@pytest.mark.parametrize("way", ["base", "tunnel"])
@pytest.mark.parametrize("name", LINES)
def test_header(proxy: Proxy, fake_provider: FakeProvider, token: str, name: str, way: str) -> None:
    host = "localhost" if way == "base" else "api.openai.com"
    kind = [] if "content types" in name else ["Content-Type: application/json"]
    data = request("POST", CHAT, *kind, LINES[name], token=token, host=host) + b"hello"
    with connect(proxy) if way == "base" else tunnel(proxy) as line:
        assert_refused(line.ask(data), *STATUSES)
    assert fake_provider.records == []


@pytest.mark.parametrize("name", [name for name in LINES if "te " not in name and "length" not in name])
def test_header_before_connect(proxy: Proxy, fake_provider: FakeProvider, name: str) -> None:
    """A tunnel is opened by no worse a head."""
    head = f"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\n{LINES[name]}\r\n\r\n"
    if name in ("two tokens", "two content types"):
        head = head.replace("\r\n\r\n", "\r\n" + LINES[name] + "\r\n\r\n")
    assert_refused(ask(proxy, head.encode("latin-1")), *STATUSES)
    assert fake_provider.records == []


REQUEST_LINES = {
    "version 3.7": ("GET /v1/models HTTP/3.7", 400),
    "version 2.0": ("GET /v1/models HTTP/2.0", 400),
    "version 3": ("GET /v1/models HTTP/3", 400),
    "version 0.9": ("GET /v1/models HTTP/0.9", 400),
    "version of many digits": ("GET /v1/models HTTP/1.10", 400),
    "version in small letters": ("GET /v1/models http/1.1", 400),
    "other protocol": ("GET /v1/models RTSP/1.0", 400),
    "no version": ("GET /v1/models", 400),
    "no path": ("GET HTTP/1.1", 400),
    "two paths": ("GET /v1/models /v1/files HTTP/1.1", 400),
    "unknown method": ("FOO /v1/models HTTP/1.1", 405),
    "method in small letters": ("get /v1/models HTTP/1.1", 405),
    "method with a NUL": ("GE\x00T /v1/models HTTP/1.1", 400),
    "PRI": ("PRI * HTTP/2.0", 405),
    "PRI with a path": ("PRI /v1/models HTTP/1.1", 405),
    "TRACE": ("TRACE /v1/models HTTP/1.1", 405),
    "TRACK": ("TRACK /v1/models HTTP/1.1", 405),
    "OPTIONS *": ("OPTIONS * HTTP/1.1", 400),
    "GET *": ("GET * HTTP/1.1", 400),
    "NUL in the path": ("GET /v1/mod\x00els HTTP/1.1", 400),
    "CR in the path": ("GET /v1/mod\rels HTTP/1.1", 400),
    "tab in the path": ("GET /v1/mod\tels HTTP/1.1", 400),
    "control character in the path": ("GET /v1/mod\x1bels HTTP/1.1", 400),
    "NUL in the query": ("GET /v1/models?a=\x00 HTTP/1.1", 400),
    "space in the path": ("GET /v1/mod els HTTP/1.1", 400),
    "backslash": ("GET \\v1\\models HTTP/1.1", 400),
    "backslash in the path": ("GET /v1\\models HTTP/1.1", 400),
    "fragment": ("GET /v1/models#a HTTP/1.1", 400),
    "non-ASCII path": ("GET /v1/m\xf6dels HTTP/1.1", 400),
    "encoded NUL": ("GET /v1/models%00 HTTP/1.1", 400),
    "encoded line end": ("GET /v1/models%0d%0aX-Injected:%201 HTTP/1.1", 400),
    "encoded dots": ("GET /v1/%2e%2e/admin HTTP/1.1", 400),
    "half a percent": ("GET /v1/models%2 HTTP/1.1", 400),
    "percent of nothing": ("GET /v1/models%zz HTTP/1.1", 400),
    "path of 20 kB": ("GET /v1/" + "a" * 20_000 + " HTTP/1.1", 414),
    "path of 70 kB": ("GET /v1/" + "a" * 70_000 + " HTTP/1.1", 431),
}


@pytest.mark.parametrize("way", ["base", "tunnel"])
@pytest.mark.parametrize("name", REQUEST_LINES)
def test_request_line(proxy: Proxy, fake_provider: FakeProvider, token: str, name: str, way: str) -> None:
    line_text, status = REQUEST_LINES[name]
    host = "localhost" if way == "base" else "api.openai.com"
    head = f"{line_text}\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
    with connect(proxy) if way == "base" else tunnel(proxy) as line:
        assert_refused(line.ask(head.encode("latin-1")), status)
    assert fake_provider.records == []


@pytest.mark.parametrize("version", ["2.0", "3.7", "0.9"])
def test_version_of_connect(proxy: Proxy, fake_provider: FakeProvider, version: str) -> None:
    head = f"CONNECT api.openai.com:443 HTTP/{version}\r\nHost: api.openai.com:443\r\n\r\n"
    assert_refused(ask(proxy, head.encode()), 400)
    assert fake_provider.records == []


@pytest.mark.parametrize("host", [[], ["Host:"], ["Host: "], ["Host: a b"], ["Host: [::1"], ["Host: a:b:c"]])
def test_host(proxy: Proxy, fake_provider: FakeProvider, token: str, host: list[str]) -> None:
    head = ["GET /v1/models HTTP/1.1", *host, f"Authorization: Bearer {token}", "", ""]
    assert_refused(ask(proxy, "\r\n".join(head).encode()), 400)
    assert fake_provider.records == []


NOT_HTTP = {
    "ssh": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "redis": b"*1\r\n$4\r\nPING\r\n\r\n",
    "zeros": bytes(100) + b"\r\n\r\n",
    "random": bytes(range(256)) * 4 + b"\r\n\r\n",
    "lines of nothing": b"a\r\n" * 1000 + b"\r\n",
    "only colons": b":::::\r\n:::\r\n\r\n",
}


@pytest.mark.parametrize("name", NOT_HTTP)
def test_not_http(proxy: Proxy, fake_provider: FakeProvider, name: str) -> None:
    answer = answer_or_end(proxy, NOT_HTTP[name])
    if answer is not None:
        assert_refused(answer, 400, 408)
    assert fake_provider.records == []


@pytest.mark.parametrize("megabytes", [1, 5])
@pytest.mark.parametrize("piece", [b"a", b"X-Many: 1\r\n"], ids=["one header", "many headers"])
def test_head_without_an_end(
    proxy: Proxy, fake_provider: FakeProvider, token: str, megabytes: int, piece: bytes
) -> None:
    """It is refused when it is too large, not when it has come in whole."""
    head = request("POST", CHAT, token=token)[:-2] + b"X-Long: "
    flood = piece * (megabytes * 1024 * 1024 // len(piece))
    with connect(proxy) as line:
        line.send(head)
        try:
            line.send(flood)
        except (ConnectionResetError, BrokenPipeError):
            pass
        else:
            assert_refused(line.answer(), 431)
    assert fake_provider.records == []


def test_head_of_the_largest_size_is_served(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    assert ask(proxy, chat_request(token, "gpt-4o", "X-Long: " + "a" * 60_000)).status == 200
    many = [f"X-{number}: 1" for number in range(120)]
    assert ask(proxy, chat_request(token, "gpt-4o", *many)).status == 200
    assert len(fake_provider.records) == 2


def test_refused_head_ends_no_other_connection(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    with connect(proxy) as other:
        assert other.ask(chat_request(token)).status == 200
        assert_refused(ask(proxy, b"GARBAGE\r\n\r\n"), 400)
        assert other.ask(chat_request(token)).status == 200
    assert_serves(proxy, fake_provider, token)


def test_after_a_refusal_nothing_is_read_as_another_request(
    proxy: Proxy, fake_provider: FakeProvider, token: str
) -> None:
    """What follows a head that could not be understood is nobody's request."""
    smuggled = request(token=token)
    for name in ("te and length", "length twice", "te gzip, chunked", "obs-fold", "space before the colon"):
        data = request("POST", CHAT, LINES[name], token=token) + b"0\r\n\r\n" + smuggled
        with connect(proxy) as line:
            assert_refused(line.ask(data), 400)
            assert b"HTTP/1.1 200" not in line.rest(), name
    assert fake_provider.records == []


def test_refusal_over_tls(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    with tls_line(connect(proxy), "localhost", trust=proxy.ca) as line:
        assert_refused(line.ask(request("FOO", token=token)), 405)
    with tls_line(connect(proxy), "localhost", trust=proxy.ca) as line:
        assert_refused(line.ask(b"GET /v1/models\r\n\r\n"), 400)
    assert fake_provider.records == []
