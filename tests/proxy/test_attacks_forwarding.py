"""What a client's head may not carry to the provider."""

from __future__ import annotations

import base64

import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.attacks import (
    CHAT,
    POLICY,
    ask,
    assert_refused,
    chat_request,
    connect,
    request,
    tls_line,
    tunnel,
)
from tests.support.assertions import assert_only_key
from tests.support.proxy import Proxy

pytestmark = pytest.mark.usefixtures("calm")

FORBIDDEN = [
    "Connection: keep-alive, X-Named, X-Also-Named",
    "X-Named: 1",
    "X-Also-Named: 1",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==",
    "Proxy-Authenticate: Basic",
    "Proxy-Anything: 1",
    "TE: trailers, deflate",
    "Trailer: X-Trailer",
    "Upgrade: h2c",
    "X-Forwarded-For: 203.0.113.7",
    "X-Forwarded-Host: internal.example.com",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Port: 8080",
    "X-Real-IP: 203.0.113.7",
    "True-Client-IP: 203.0.113.7",
    "CF-Connecting-IP: 203.0.113.7",
    "Forwarded: for=203.0.113.7",
    "Via: 1.1 internal-proxy",
    "Cookie: session=1",
    "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "Tracestate: vendor=1",
    "Baggage: user=7",
    "Sentry-Trace: 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
    "X-OpenClaw-Agent-Id: agent",
    "X-OpenClaw-Team: team",
    "X-OpenClaw-Anything: 1",
    "X-Tokenomics-Anything: 1",
    "X-Client-Request-Id: chosen-by-the-client",
    "X-Api-Key: sk-other-key",
    "Api-Key: sk-other-key",
    "X-Goog-Api-Key: sk-other-key",
]
ALLOWED = [
    "OpenAI-Organization: org",
    "X-Stainless-Lang: python",
    "Accept: text/event-stream",
    "User-Agent: me/1.0",
]


@pytest.fixture(scope="module")
def token(shared_proxy: Proxy) -> str:
    return shared_proxy.token(POLICY)


@pytest.mark.parametrize("way", ["base", "tls", "tunnel"])
def test_headers(proxy: Proxy, fake_provider: FakeProvider, token: str, way: str) -> None:
    """Hop-by-hop headers, traces of the way here, cookies, our own headers, and other keys stay here."""
    host = "api.openai.com" if way == "tunnel" else "localhost"
    data = chat_request(token, "gpt-4o", *FORBIDDEN, *ALLOWED).replace(b"localhost", host.encode())
    if way == "tunnel":
        line = tunnel(proxy)
    else:
        line = connect(proxy) if way == "base" else tls_line(connect(proxy), "localhost", trust=proxy.ca)
    with line:
        assert line.ask(data).status == 200
    record = fake_provider.last
    for header in FORBIDDEN:
        name, _, value = header.partition(": ")
        assert record.header(name) != value, header
        if not name.startswith("X-Client"):
            assert name.lower() not in record.header_names(), header
    for header in ALLOWED:
        name, _, value = header.partition(": ")
        assert record.header(name) == value
    assert sorted(record.header_names()) == sorted(
        ["host", "content-type", "content-length", "authorization", "accept-encoding", "x-client-request-id"]
        + [header.partition(": ")[0].lower() for header in ALLOWED]
    )
    assert record.header("accept-encoding") == "identity"
    assert_only_key([record], proxy.keys["OPENAI_API_KEY"])


@pytest.mark.parametrize(
    "named",
    [
        "authorization",
        "Authorization, Content-Length, Content-Type, Host",
        "host",
        "content-length",
        "transfer-encoding",
        "close, authorization",
        ",",
        "",
        "a" * 3000,
    ],
)
def test_connection_names_what_we_set(
    proxy: Proxy, fake_provider: FakeProvider, token: str, named: str
) -> None:
    """The key, the host and the framing are ours, and not the client's to take away."""
    assert ask(proxy, chat_request(token, "gpt-4o", f"Connection: {named}")).status == 200
    record = fake_provider.last
    assert record.header("host") == f"127.0.0.1:{fake_provider.port}"
    assert record.header_names().count("content-length") == 1
    assert record.received
    assert_only_key([record], proxy.keys["OPENAI_API_KEY"])


def test_two_connection_headers(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """All of them count."""
    headers = ["Connection: X-First", "Connection: X-Second", "X-First: 1", "X-Second: 2"]
    assert ask(proxy, chat_request(token, "gpt-4o", *headers)).status == 200
    assert not {"x-first", "x-second"} & set(fake_provider.last.header_names())


@pytest.mark.parametrize(
    "head",
    [
        ["Authorization: Bearer {token}", "X-Api-Key: {token}"],
        ["Authorization: bearer {token}"],
        ["X-Api-Key: {token}", "Authorization: Bearer sk-other-key"],
        ["Authorization: Bearer {token}", "X-Note: it is {token}"],
        ["Authorization: Bearer {token}", "Referer: http://localhost/?key={token}"],
        ["Authorization: Bearer {token}", "Proxy-Authorization: Bearer {token}"],
        ["Proxy-Authorization: Bearer {token}"],
        ["Proxy-Authorization: Basic {basic}"],
    ],
)
def test_token_goes_no_further(
    proxy: Proxy, fake_provider: FakeProvider, token: str, head: list[str]
) -> None:
    basic = base64.b64encode(f"{token}:".encode()).decode()
    lines = [line.format(token=token, basic=basic) for line in head]
    assert ask(proxy, request("GET", "/v1/models", *lines)).status == 200
    assert_only_key(fake_provider.records, proxy.keys["OPENAI_API_KEY"])


@pytest.mark.parametrize(
    "head",
    [
        "Authorization: Bearer {token}\x00",
        "Authorization: Bearer {token}\x01extra",
        "Authorization: Bearer {token} extra",
        "Authorization: Bearer {token},extra",
        "Authorization: Bearer {token};x=1",
        "Authorization: Bearer x{token}",
        "Authorization: Bearer {token}{token}",
        "Authorization: Bearer\r\n {token}",
        "X-Api-Key: {token}\x00",
        "X-Api-Key: {token} ",
        "X-Api-Key: {token}\t",
    ],
)
def test_token_with_something_behind_it(
    proxy: Proxy, fake_provider: FakeProvider, token: str, head: str
) -> None:
    """Whole values are compared, and the key's header is made anew: nothing behind the token goes along."""
    answer = ask(proxy, request("GET", "/v1/models", head.format(token=token)))
    if answer.status != 200:
        assert_refused(answer, 400, 401)
    for record in fake_provider.records:
        assert record.header("authorization") == f"Bearer {proxy.keys['OPENAI_API_KEY']}"
    assert_only_key(fake_provider.records, proxy.keys["OPENAI_API_KEY"])


def test_upload_s_head_too(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """What streams through is governed by the same rules."""
    kind = "Content-Type: multipart/form-data; boundary=x"
    data = request("POST", "/v1/files", kind, *FORBIDDEN, token=token, body=b"--x--\r\n")
    ask(proxy, data)
    record = fake_provider.last
    assert record.body == b"--x--\r\n"
    allowed = {
        "host",
        "content-type",
        "content-length",
        "authorization",
        "accept-encoding",
        "x-client-request-id",
    }
    assert set(record.header_names()) == allowed
    assert_only_key([record], proxy.keys["OPENAI_API_KEY"])


UPGRADE = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
]


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/realtime?model=gpt-4o", "/v1/models", CHAT])
@pytest.mark.parametrize("way", ["base", "tunnel"])
def test_upgrade_without_a_token(proxy: Proxy, fake_provider: FakeProvider, path: str, way: str) -> None:
    host = "api.openai.com" if way == "tunnel" else "localhost"
    with connect(proxy) if way == "base" else tunnel(proxy) as line:
        assert_refused(line.ask(request("GET", path, *UPGRADE, host=host)), 401)
    assert fake_provider.records == []


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/anything"])
def test_upgrade_where_there_is_none(
    proxy: Proxy, fake_provider: FakeProvider, token: str, path: str
) -> None:
    assert_refused(ask(proxy, request("GET", path, *UPGRADE, token=token)), 403)
    assert fake_provider.records == []


def test_upgrade_to_http2_is_not_made(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    settings = "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"
    lines = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", settings]
    assert ask(proxy, request("GET", "/v1/models", *lines, token=token)).status == 200
    assert not {"upgrade", "http2-settings", "connection"} & set(fake_provider.last.header_names())
