"""Where the proxy does not connect to: a target is refused before anybody is told that it is open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.attacks import (
    CHAT,
    POLICY,
    ask,
    assert_refused,
    chat_request,
    connect,
    connect_request,
    request,
    tls_line,
    tunnel,
)
from tests.support.assertions import assert_only_key
from tests.support.proxy import Proxy

pytestmark = pytest.mark.usefixtures("calm")

LOOPBACK = [
    "127.0.0.1",
    "127.0.0.2",
    "[::1]",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0x7f000001",
    "0x7f.0.0.1",
    "127.1",
    "127.0.1",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:0:0:1]",
    "127.0.0.1.",
    "0.0.0.0",
    "0",
    "[::]",
]
ELSEWHERE = [
    "169.254.169.254",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "metadata.google.internal",
    "10.0.0.1",
    "192.0.2.1",
    "example.com",
    "api.openai.com.example.com",
    "api.openai.com@example.com",
    "xapi.openai.com",
    "openai.com",
    "api.openai.com%00.example.com",
    "api.openai.com\t.example.com",
]
MALFORMED = [
    "",
    ":443",
    "localhost",
    "localhost:",
    "localhost:0",
    "localhost:99999",
    "localhost:x",
    "[::1",
    "a b:443",
]


@pytest.fixture(scope="module")
def token(shared_proxy: Proxy) -> str:
    return shared_proxy.token(POLICY)


@pytest.fixture(autouse=True)
def nothing_reached(fake_provider: FakeProvider, request: pytest.FixtureRequest) -> Iterator[None]:
    """Most targets here are the fake provider's own address: it must not have heard of them."""
    yield
    if "served" not in request.node.name:
        assert fake_provider.records == []


@pytest.mark.parametrize("host", LOOPBACK + ELSEWHERE)
def test_connect_is_refused(proxy: Proxy, fake_provider: FakeProvider, host: str) -> None:
    for port in (fake_provider.port, 443):
        assert_refused(ask(proxy, connect_request(f"{host}:{port}")), 400, 403)


@pytest.mark.parametrize("host", LOOPBACK + ELSEWHERE)
def test_connect_is_refused_over_tls(proxy: Proxy, fake_provider: FakeProvider, host: str) -> None:
    """The same for a client that speaks TLS with the proxy itself."""
    with tls_line(connect(proxy), "localhost", trust=proxy.ca) as line:
        assert_refused(line.ask(connect_request(f"{host}:{fake_provider.port}")), 400, 403)


@pytest.mark.parametrize("target", MALFORMED)
def test_connect_without_a_target(proxy: Proxy, target: str) -> None:
    assert_refused(ask(proxy, connect_request(target)), 400, 403)


def test_connect_to_the_proxy_itself(proxy: Proxy) -> None:
    for port in (proxy.http_port, proxy.https_port):
        assert_refused(ask(proxy, connect_request(f"localhost:{port}")), 403)


@pytest.mark.parametrize("port", [80, 22, 8443, 444])
def test_known_host_on_another_port(proxy: Proxy, port: int) -> None:
    assert_refused(ask(proxy, connect_request(f"api.openai.com:{port}")), 403)


def test_connect_with_a_token_opens_no_more(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    head = f"Proxy-Authorization: Bearer {token}"
    assert_refused(ask(proxy, connect_request(f"127.0.0.1:{fake_provider.port}", head)), 403)


def test_refused_connection_goes_on_as_a_connection(proxy: Proxy, fake_provider: FakeProvider) -> None:
    """Bytes that were meant for the tunnel are read as requests, and refused."""
    with connect(proxy) as line:
        assert_refused(line.ask(connect_request(f"127.0.0.1:{fake_provider.port}")), 403)
        assert_refused(line.ask(request()), 401)


@pytest.mark.parametrize("host", LOOPBACK + ELSEWHERE)
def test_absolute_form_is_refused(proxy: Proxy, fake_provider: FakeProvider, token: str, host: str) -> None:
    url = f"http://{host}:{fake_provider.port}/v1/models"
    assert_refused(ask(proxy, request(path=url, token=token)), 400, 403)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.openai.com/v1/models",
        "https://api.openai.com/v1/models",
        "http://api.openai.com:443/v1/models",
        "ftp://api.openai.com/v1/models",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/_x",
        "http://user:password@127.0.0.1:{port}/v1/models",
        "http://127.0.0.1:{port}\\@localhost/v1/models",
        "http:///v1/models",
        "127.0.0.1:{port}/v1/models",
    ],
)
def test_absolute_form_without_tls_or_sense(
    proxy: Proxy, fake_provider: FakeProvider, token: str, url: str
) -> None:
    target = url.format(port=fake_provider.port)
    assert_refused(ask(proxy, request(path=target, token=token)), 400, 403)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_absolute_form_to_the_proxy_itself_is_served(
    proxy: Proxy, fake_provider: FakeProvider, token: str, host: str
) -> None:
    """Some clients send it when their base URL is also their proxy."""
    url = f"http://{host}:{proxy.http_port}/v1/models"
    assert ask(proxy, request(path=url, token=token)).status == 200
    assert_only_key(fake_provider.records, proxy.keys["OPENAI_API_KEY"])


def test_host_header_does_not_choose_the_upstream_served(
    proxy: Proxy, fake_provider: FakeProvider, token: str
) -> None:
    answer = ask(proxy, request(host="169.254.169.254", token=token))
    assert answer.status == 200
    assert fake_provider.last.header("host") == f"127.0.0.1:{fake_provider.port}"


@pytest.mark.parametrize("host", ["api.openai.com", "API.OpenAI.com", "api.openai.com."])
def test_known_host_is_intercepted_and_served(
    proxy: Proxy, fake_provider: FakeProvider, token: str, host: str
) -> None:
    with tunnel(proxy, host) as line:
        answer = line.ask(chat_request(token).replace(b"Host: localhost", f"Host: {host}".encode()))
    assert answer.status == 200
    assert [record.path for record in fake_provider.records] == [CHAT]
    assert_only_key(fake_provider.records, proxy.keys["OPENAI_API_KEY"])


def test_another_provider_s_key_stays_at_home(proxy: Proxy, token: str) -> None:
    """A tunnel to a provider that the policy does not name gets no other provider's key."""
    with tunnel(proxy, "api.anthropic.com") as line:
        answer = line.ask(request("POST", "/v1/messages", token=token, host="api.anthropic.com", body=b"{}"))
    assert_refused(answer, 403)


def test_double_slash_is_no_host_served(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """A path that some read as an address stays a path."""
    assert ask(proxy, request(path="//169.254.169.254/v1/models", token=token)).status == 200
    assert fake_provider.last.header("host") == f"127.0.0.1:{fake_provider.port}"


@pytest.mark.parametrize(
    "host", ["evil.example.com", "evil.example.com:8080", "10.0.0.1", "localhost.example.com"]
)
def test_stats_for_a_page_that_calls_itself_local(proxy: Proxy, host: str) -> None:
    """A web page can point its own name at this machine, and then read what its own name answers."""
    assert ask(proxy, request(path="/stats")).status == 200
    assert_refused(ask(proxy, request(path="/stats", host=host)), 403)
