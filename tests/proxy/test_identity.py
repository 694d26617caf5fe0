"""Who is calling: every place of a token, the agent's own login, and changes of tokens that count at once."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.caller import Caller, rows_of
from tests.proxy.formats import ANTHROPIC, FORMATS, GEMINI, OPENAI, Format, by_name
from tests.support.assertions import assert_no_token, assert_only_key
from tests.support.clients import curl
from tests.support.proxy import Proxy
from tests.support.raw_http import exchange

OWN_LOGIN = "sk-ant-oat01-the-agents-own-login"


@pytest.fixture(scope="module")
def token(shared_proxy: Proxy) -> Callable[[dict[str, Any]], str]:
    """A token for a policy; the same one when asked again."""
    made: dict[str, str] = {}

    def get(policy: dict[str, Any]) -> str:
        if repr(policy) not in made:
            made[repr(policy)] = shared_proxy.token(policy)
        return made[repr(policy)]

    return get


def basic(user: str, password: str = "") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# Where the token may stand.

PLACES = {
    "x-api-key": {"x-api-key": "{}"},
    "X-API-Key": {"X-API-KEY": "{}"},
    "Bearer": {"Authorization": "Bearer {}"},
    "bearer": {"authorization": "bearer {}"},
    "BEARER and blanks": {"Authorization": "BEARER   {}"},
    "no scheme": {"Authorization": "{}"},
    "api-key": {"api-key": "{}"},
    "x-goog-api-key": {"x-goog-api-key": "{}"},
    "two at once": {"x-api-key": "{}", "Authorization": "Bearer {}"},
    "a dummy key beside it": {"x-api-key": "{}", "Authorization": "Bearer dummy"},
}


@pytest.mark.parametrize("format", FORMATS, ids=by_name)
@pytest.mark.parametrize("place", PLACES)
def test_header(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str], format: Format, place: str
) -> None:
    """Whatever the place, the provider gets its key where it wants it, and nothing else of the kind."""
    head = {name: value.format(token(format.policy)) for name, value in PLACES[place].items()}
    head |= {name: value for name, value in format.head("").items() if name == "anthropic-version"}
    with Caller(proxy) as caller:
        assert caller.ask(format, headers=head).status == 200
        assert caller.row()["base_key_env"] == format.key_env
    assert_only_key(fake_provider.records, proxy.keys[format.key_env])
    assert not fake_provider.last.holds("dummy")


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("key={}", ""),
        ("alt=json&key={}", "alt=json"),
        ("key={}&alt=json&a=b", "alt=json&a=b"),
        ("key=dummy&key={}", ""),
        ("k%65y={}&alt=json", "alt=json"),
    ],
)
def test_query(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str], query: str, sent: str
) -> None:
    path = f"{GEMINI.path(GEMINI.model, False)}?{query.format(token(GEMINI.policy))}"
    with Caller(proxy) as caller:
        outcome = caller.send("POST", path, GEMINI.body(GEMINI.model, "hello", False))
        assert outcome.status == 200
    assert fake_provider.last.target.partition("?")[2] == sent
    assert_only_key(fake_provider.records, proxy.keys["GOOGLE_API_KEY"])


@pytest.mark.parametrize("where", ["/v1/files/{}", "/v1/models?x={}", "/v1/models?key={}&user={}"])
def test_token_in_a_wrong_part_of_the_url(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str], where: str
) -> None:
    """It would reach the provider there, and every log on the way."""
    key = token(OPENAI.policy)
    with Caller(proxy, key) as caller:
        outcome = caller.send("GET", where.format(key, key))
        assert outcome.status == 400
        assert key not in json.dumps(caller.row())
    assert fake_provider.records == []


def test_token_in_other_headers_is_taken_out(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str]
) -> None:
    key = token(OPENAI.policy)
    headers = {"X-Custom": f"my token is {key}", "Cookie": f"token={key}", "X-Kept": "yes"}
    with Caller(proxy, key) as caller:
        assert caller.ask(headers=headers).status == 200
    assert_no_token(fake_provider.records)
    assert "x-custom" not in fake_provider.last.header_names()
    assert fake_provider.last.header("x-kept") == "yes"


# The token in the proxy's URL.


@pytest.mark.parametrize("credential", ["{}:", "{}:x", "user:{}"])
@pytest.mark.parametrize("way", ["plain", "tls"])
def test_proxy_user_on_connect(
    proxy: Proxy,
    fake_provider: FakeProvider,
    token: Callable[..., str],
    tmp_path: Path,
    credential: str,
    way: str,
) -> None:
    """The token governs every request in the tunnel; what key the agent sends there does not matter."""
    address = proxy.http_url if way == "plain" else proxy.https_url
    trust = ["--cacert", str(proxy.ca), "--proxy-cacert", str(proxy.ca)]
    through = ["-x", address, "--proxy-user", credential.format(token(OPENAI.policy))]
    url = "https://api.openai.com/v1/models"
    done = curl(url, url, *trust, *through, "-H", "Authorization: Bearer dummy", environ={}, folder=tmp_path)
    assert done.stdout.count(b'"object":"list"') == 2, done.stderr
    assert_only_key(fake_provider.records, proxy.keys["OPENAI_API_KEY"])


def test_wrong_proxy_user_on_connect(proxy: Proxy, fake_provider: FakeProvider, tmp_path: Path) -> None:
    through = ["-x", proxy.http_url, "--proxy-user", "tkn_00000000-0000-4000-8000-000000000000:"]
    done = curl("https://api.openai.com/v1/models", *through, environ={}, folder=tmp_path)
    assert done.returncode != 0
    assert b"407" in done.stderr
    assert fake_provider.records == []


def test_proxy_user_on_a_plain_http_provider(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str]
) -> None:
    """The request line has the whole URL, and no CONNECT comes before."""
    policy = {"providers": {"ollama": [{"base_key_env": "NONE_IS_NEEDED"}]}}
    body = json.dumps({"model": "llama3", "messages": [{"role": "user", "content": "hello"}]}).encode()
    head = (
        "POST http://localhost:11434/api/chat HTTP/1.1\r\nHost: localhost:11434\r\nUser-Agent: absolute\r\n"
        f"Proxy-Authorization: {basic(token(policy))}\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer, end = exchange(proxy.http_port, head.encode() + body)
    assert (answer[:13], end) == (b"HTTP/1.1 200 ", "closed")
    assert fake_provider.last.path == "/api/chat"
    assert fake_provider.last.key == ""
    assert "proxy-authorization" not in fake_provider.last.header_names()
    assert_no_token(fake_provider.records)
    (row,) = rows_of(proxy, "absolute", 1)
    assert (row["ingress"], row["provider"], row["dialect"]) == ("forward", "ollama", "ollama_chat")


# The agent keeps its own login.

CLIENT_POLICY = {"credentials": "client", "default_provider": "anthropic"}


@pytest.mark.parametrize("header", ["Authorization: Bearer " + OWN_LOGIN, "x-api-key: " + OWN_LOGIN])
def test_own_login_goes_upstream(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str], tmp_path: Path, header: str
) -> None:
    body = json.dumps(ANTHROPIC.body(ANTHROPIC.model, "hello", False))
    trust = ["--cacert", str(proxy.ca), "-x", proxy.http_url, "--proxy-user", f"{token(CLIENT_POLICY)}:"]
    head = ["-H", header, "-H", "anthropic-version: 2023-06-01", "-H", "Content-Type: application/json"]
    url = "https://api.anthropic.com/v1/messages"
    done = curl(url, *trust, *head, "-A", "own-login", "-d", body, environ={}, folder=tmp_path)
    assert json.loads(done.stdout)["content"][0]["text"] == "pong: hello"
    name, _, value = header.partition(": ")
    assert fake_provider.last.header(name) == value
    assert_only_key(fake_provider.records, OWN_LOGIN)
    assert not fake_provider.last.holds(proxy.keys["ANTHROPIC_API_KEY"])
    assert rows_of(proxy, "own-login", 1)[-1]["input_tokens"] > 0
    assert proxy.files_with(OWN_LOGIN) == []


@pytest.mark.parametrize(
    "headers",
    [
        ["-H", "x-api-key: {}"],
        ["--proxy-user", "{}:"],
        ["-H", "x-api-key: {}", "--proxy-user", "{}:"],
    ],
    ids=["token as key", "no login", "token as both"],
)
def test_own_login_is_needed(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str], tmp_path: Path, headers: list[str]
) -> None:
    given = [part.format(token(CLIENT_POLICY)) for part in headers]
    trust = ["--cacert", str(proxy.ca), "-x", proxy.http_url]
    url = "https://api.anthropic.com/v1/models"
    version = ["-H", "anthropic-version: 2023-06-01"]
    done = curl(url, *trust, *given, *version, environ={}, folder=tmp_path)
    kind, message = ANTHROPIC.told(json.loads(done.stdout))
    assert kind == "authentication_error"
    assert "own login" in message
    assert fake_provider.records == []


def test_own_login_goes_to_no_other_host(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str], tmp_path: Path
) -> None:
    through = ["--cacert", str(proxy.ca), "-x", proxy.http_url, "--proxy-user", f"{token(CLIENT_POLICY)}:"]
    url = "https://api.openai.com/v1/models"
    done = curl(url, *through, "-H", f"Authorization: Bearer {OWN_LOGIN}", environ={}, folder=tmp_path)
    assert OPENAI.told(json.loads(done.stdout))[0] == "host_not_allowed"
    assert fake_provider.records == []


# What the command line changes counts from the next request.


def test_changes_count_at_once(proxy: Proxy, fake_provider: FakeProvider) -> None:
    created = proxy.create_token(OPENAI.policy)

    def change(verb: str, *flags: str) -> None:
        done = proxy.cli("token", verb, "--hash", created["hash"], *flags)
        assert done.returncode == 0, done.stderr

    with Caller(proxy, created["token"]) as caller:
        assert caller.ask().status == 200
        change("update", "--merge", "--policy", '{"model": "gpt-4o-mini"}')
        refused = caller.ask()
        assert OPENAI.told(refused.json) == (
            "model_not_allowed",
            'model "gpt-4o" not allowed; policy requires "gpt-4o-mini"',
        )
        assert caller.ask(model="gpt-4o-mini").status == 200
        change("update", "--merge", "--policy", '{"base_key_env": "SECOND_OPENAI_KEY"}')
        assert caller.ask(model="gpt-4o-mini").status == 200
        assert fake_provider.last.key == proxy.keys["SECOND_OPENAI_KEY"]
        change("update", "--disable")
        assert caller.ask(model="gpt-4o-mini").status == 401
        change("update", "--enable")
        assert caller.ask(model="gpt-4o-mini").status == 200
        change("update", "--expires", "2020-01-01T00:00:00Z")
        assert caller.ask(model="gpt-4o-mini").status == 401
        change("update", "--expires", "clear")
        assert caller.ask(model="gpt-4o-mini").status == 200
        change("delete")
        assert caller.ask(model="gpt-4o-mini").status == 401
        assert [row["status"] for row in caller.rows(6)] == [200, 403, 200, 200, 200, 200]
