"""Where a request goes and with whose key, as the provider sees it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.caller import Caller
from tests.proxy.formats import ANTHROPIC, GEMINI, OPENAI, Json
from tests.support.assertions import assert_no_token, assert_only_key
from tests.support.clients import curl
from tests.support.proxy import Proxy

CHAT = "/v1/chat/completions"
OPENAI_KEY = {"base_key_env": "OPENAI_API_KEY"}
GROQ_KEY = {"base_key_env": "GROQ_API_KEY"}

# What a configuration may say of providers beyond the support's own overrides; {url} is the fake provider's.
PROVIDERS: dict[str, Json] = {
    "mine": {
        "upstream_url": "{url}/base/v1",
        "api_key_env": "OPENAI_API_KEY",
        "auth_scheme": "header",
        "auth_header": "X-My-Key",
        "headers": {"x-tenant": "acme", "x-forced": "ours"},
        "default_headers": {"x-preferred": "ours"},
        "query": {"tenant": "acme"},
    },
    "by_path": {
        "upstream_url": "{url}/x/{{region}}",
        "api_key_env": "OPENAI_API_KEY",
        "chat_path": "/deployments/{{model}}/chat/completions",
        "parameters": {"region": "eu-1"},
    },
    "by_query": {"upstream_url": "{url}", "api_key_env": "GOOGLE_API_KEY", "auth_scheme": "query"},
    "local": {"upstream_url": "{url}", "auth_scheme": "none"},
}


def _filled(value: Any, url: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, url) for key, each in value.items()}
    return value.format(url=url) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def gateway(make_proxy: Callable[..., Proxy], provider_server: FakeProvider) -> Iterator[Proxy]:
    # By another name of the host: a provider is also recognised by where it is.
    url = f"http://localhost:{provider_server.port}"
    with make_proxy({"providers": _filled(PROVIDERS, url)}) as proxy:
        yield proxy


@pytest.fixture
def caller(gateway: Proxy, fake_provider: FakeProvider) -> Iterator[Callable[[Json], Caller]]:
    """A caller with a token for a policy."""
    opened: list[Caller] = []

    def make(policy: Json) -> Caller:
        opened.append(Caller(gateway, gateway.token(policy)))
        return opened[-1]

    yield make
    for one in opened:
        one.client.close()


# Which entry.

FIRST = {"openai": [{**OPENAI_KEY, "model_regex": "^gpt-4"}], "groq": [{**GROQ_KEY, "model_regex": "^gpt-"}]}
LAST = dict(reversed(FIRST.items()))
MIXED = {**OPENAI_KEY, "default_provider": "openai", "providers": {"groq": [{**GROQ_KEY, "model": "llama"}]}}
GROQ_PATH = "/openai/v1/chat/completions"


@pytest.mark.parametrize(
    ("policy", "model", "path", "key", "provider"),
    [
        ({"providers": FIRST}, "gpt-4o", CHAT, "OPENAI_API_KEY", "openai"),
        ({"providers": FIRST}, "gpt-3.5-turbo", GROQ_PATH, "GROQ_API_KEY", "groq"),
        ({"providers": LAST}, "gpt-4o", GROQ_PATH, "GROQ_API_KEY", "groq"),
        (MIXED, "llama", GROQ_PATH, "GROQ_API_KEY", "groq"),
        (MIXED, "gpt-4o", CHAT, "OPENAI_API_KEY", "openai"),
        ({"providers": {"GROQ": [GROQ_KEY]}}, "any", GROQ_PATH, "GROQ_API_KEY", "groq"),
        (
            {"default_provider": "openrouter", **OPENAI_KEY},
            "a/b",
            "/api" + CHAT,
            "OPENAI_API_KEY",
            "openrouter",
        ),
        (OPENAI_KEY, "gpt-4o", CHAT, "OPENAI_API_KEY", None),
    ],
)
def test_entry(
    caller: Callable[..., Caller],
    gateway: Proxy,
    fake_provider: FakeProvider,
    policy: Json,
    model: str,
    path: str,
    key: str,
    provider: str | None,
) -> None:
    one = caller(policy)
    assert one.ask(model=model).status == 200
    assert fake_provider.last.path == path
    assert_only_key(fake_provider.records, gateway.keys[key])
    row = one.row()
    assert (row["base_key_env"], row["requested_model"], row["model"]) == (key, model, model)
    assert row["provider"] == provider
    assert row["upstream_url"] == fake_provider.url + path


@pytest.mark.parametrize(
    ("policy", "model", "status", "message"),
    [
        (
            {**OPENAI_KEY, "model": "gpt-4o"},
            "o3",
            403,
            'model "o3" not allowed; policy requires "gpt-4o"',
        ),
        (
            {**OPENAI_KEY, "model_regex": "^gpt-4"},
            "o3",
            403,
            'model "o3" does not match policy regex "^gpt-4"',
        ),
        (
            {**OPENAI_KEY, "model": "gpt-4o", "model_regex": "^gpt"},
            "GPT-4o",
            403,
            'model "GPT-4o" not allowed; policy requires "gpt-4o"',
        ),
        (
            {"model_regex": "^g", "providers": {"groq": [GROQ_KEY]}},
            "claude",
            403,
            'model "claude" does not match policy regex "^g"',
        ),
        (
            {"model": "g", "providers": {"groq": [{**GROQ_KEY, "model_regex": "^cl"}]}},
            "claude",
            403,
            'model "claude" not allowed; policy requires "g"',
        ),
        (
            {"providers": {"groq": [{**GROQ_KEY, "model": "x"}]}},
            "nope",
            403,
            'model "nope" matches no provider of the policy',
        ),
    ],
)
def test_refused_model(
    caller: Callable[..., Caller],
    fake_provider: FakeProvider,
    policy: Json,
    model: str,
    status: int,
    message: str,
) -> None:
    one = caller(policy)
    outcome = one.ask(model=model)
    assert (outcome.status, OPENAI.told(outcome.json)[1]) == (status, message)
    row = one.row()
    assert (row["status"], row["error"], row["requested_model"]) == (status, message, model)
    assert fake_provider.records == []


def test_model_regex_of_an_entry_replaces_the_global_one(
    caller: Callable[..., Caller], fake_provider: FakeProvider
) -> None:
    policy = {**OPENAI_KEY, "model_regex": "^g", "providers": {"groq": [{**GROQ_KEY, "model": "claude"}]}}
    assert caller(policy).ask(model="claude").status == 200
    assert fake_provider.last.path == GROQ_PATH


# Intercepted hosts.


@pytest.mark.parametrize(
    ("policy", "host", "told"),
    [
        (OPENAI.policy, "api.anthropic.com", "api.anthropic.com"),
        (OPENAI.policy, "api.groq.com", "api.groq.com"),
        ({"providers": {"groq": [{**GROQ_KEY, "model": "llama"}]}}, "api.openai.com", "api.openai.com"),
        ({"providers": {"groq": [{**GROQ_KEY, "model": "llama"}]}}, "api.groq.com", 'provider "groq"'),
        (
            {**OPENAI.policy, "providers": {"groq": [{**GROQ_KEY, "model": "llama"}]}},
            "api.groq.com",
            'provider "groq"',
        ),
    ],
)
def test_host_that_the_policy_does_not_lead_to(
    caller: Callable[..., Caller],
    gateway: Proxy,
    fake_provider: FakeProvider,
    tmp_path: Path,
    policy: Json,
    host: str,
    told: str,
) -> None:
    """The agent aimed at a provider: its request goes to no other, and no other's key goes there."""
    one = caller(policy)
    body = json.dumps(OPENAI.body("gpt-4o", "hello", False))
    head = ["-H", f"Authorization: Bearer {one.token}", "-H", "Content-Type: application/json"]
    through = ["--cacert", str(gateway.ca), "-x", gateway.http_url, "-A", one.name, "-d", body]
    done = curl(f"https://{host}/v1/chat/completions", *head, *through, environ={}, folder=tmp_path)
    code, message = OPENAI.told(json.loads(done.stdout))
    assert code in ("host_not_allowed", "model_not_allowed")
    assert told in message
    assert (one.row()["status"], one.row()["ingress"]) == (403, "tunnel")
    assert fake_provider.records == []


def test_host_of_an_entry(
    caller: Callable[..., Caller], gateway: Proxy, fake_provider: FakeProvider, tmp_path: Path
) -> None:
    """The same model at two hosts is two entries."""
    one = caller({"providers": {"openai": [OPENAI_KEY], "groq": [GROQ_KEY]}})
    body = json.dumps(OPENAI.body("gpt-4o", "hello", False))
    head = ["-H", f"Authorization: Bearer {one.token}", "-H", "Content-Type: application/json"]
    through = ["--cacert", str(gateway.ca), "-x", gateway.http_url, "-A", one.name, "-d", body]
    for url in ("https://api.groq.com/openai/v1/chat/completions", f"https://api.openai.com{CHAT}"):
        curl(url, *head, *through, environ={}, folder=tmp_path)
    groq, openai = fake_provider.records
    assert (groq.path, openai.path) == (GROQ_PATH, CHAT)
    assert_only_key([groq], gateway.keys["GROQ_API_KEY"])
    assert_only_key([openai], gateway.keys["OPENAI_API_KEY"])
    assert [row["provider"] for row in one.rows(2)] == ["groq", "openai"]


# What a provider's entry in the catalogue says.


def test_header_scheme_and_headers(
    caller: Callable[..., Caller], gateway: Proxy, fake_provider: FakeProvider
) -> None:
    one = caller({"default_provider": "mine", **OPENAI_KEY})
    one.ask(headers={"X-Forced": "client's", "X-Preferred": "client's", "X-Other": "client's"})
    record = fake_provider.last
    assert record.path == "/base/v1/chat/completions"
    assert record.header("x-my-key") == gateway.keys["OPENAI_API_KEY"]
    assert record.header("authorization") == ""
    sent = {name: record.header(name) for name in ("x-tenant", "x-forced", "x-preferred", "x-other")}
    assert sent == {
        "x-tenant": "acme",
        "x-forced": "ours",
        "x-preferred": "client's",
        "x-other": "client's",
    }
    assert record.header_names().count("x-forced") == 1
    assert record.query == {"tenant": "acme"}


def test_chat_path_and_parameters(caller: Callable[..., Caller], fake_provider: FakeProvider) -> None:
    one = caller({"default_provider": "by_path", **OPENAI_KEY})
    one.ask(model="a/b c")
    one.send("POST", "/v1/embeddings", {"model": "e", "input": "hi"})
    targets = [record.target for record in fake_provider.records]
    assert targets == ["/x/eu-1/deployments/a%2Fb%20c/chat/completions", "/x/eu-1/v1/embeddings"]
    nameless = one.send("POST", CHAT, {"messages": []})
    assert (nameless.status, OPENAI.told(nameless.json)[0]) == (400, "bad_request")


@pytest.mark.parametrize("model", ["../../admin", "..", "a?b=c", "a#b"])
def test_chat_path_is_not_left(
    caller: Callable[..., Caller], fake_provider: FakeProvider, model: str
) -> None:
    outcome = caller({"default_provider": "by_path", **OPENAI_KEY}).ask(model=model)
    assert outcome.status == 400 or fake_provider.last.path.startswith("/x/eu-1/deployments/")


def test_query_scheme(caller: Callable[..., Caller], gateway: Proxy, fake_provider: FakeProvider) -> None:
    """The key stands in the URL for the provider, and in no record of ours."""
    key = gateway.keys["GOOGLE_API_KEY"]
    one = caller({"default_provider": "by_query", "base_key_env": "GOOGLE_API_KEY"})
    assert one.send("POST", f"{CHAT}?a=b&key=dummy", OPENAI.body("gpt-4o", "hi", False)).status == 200
    assert fake_provider.last.target == f"{CHAT}?a=b&key={key}"
    fake_provider.script([{"reset": "before_headers"}, {"do": "echo-key"}])
    assert key not in str(one.ask())
    assert key not in str(one.ask())
    assert len(one.rows(3)) == 3
    assert gateway.files_with(key) == []


@pytest.mark.parametrize(
    "policy", [{"default_provider": "local", **OPENAI_KEY}, {"providers": {"local": [OPENAI_KEY]}}]
)
def test_scheme_none(caller: Callable[..., Caller], fake_provider: FakeProvider, policy: Json) -> None:
    caller(policy).send("POST", "/api/chat", {**OPENAI.body("llama", "hi", False), "stream": False})
    assert (fake_provider.last.key, fake_provider.last.status) == ("", 200)
    assert_no_token(fake_provider.records)


def test_placeholders_that_nobody_filled(caller: Callable[..., Caller], fake_provider: FakeProvider) -> None:
    outcome = caller({"default_provider": "vertex_ai", **OPENAI_KEY}).ask(model="gemini-2.5-pro")
    assert outcome.status == 500
    assert OPENAI.told(outcome.json) == (
        "not_configured",
        "invalid upstream URL: the upstream URL needs {location}; "
        "set providers.vertex_ai.parameters.location in the configuration",
    )
    assert fake_provider.records == []


@pytest.mark.parametrize(("query", "sent"), [("", "2024-10-21"), ("?api-version=2025-01-01", "2025-01-01")])
def test_version_of_azure(
    caller: Callable[..., Caller], gateway: Proxy, fake_provider: FakeProvider, query: str, sent: str
) -> None:
    one = caller({"default_provider": "azure_openai", "base_key_env": "AZURE_OPENAI_API_KEY"})
    path = f"/openai/deployments/gpt-4o/chat/completions{query}"
    assert one.send("POST", path, OPENAI.body("ignored", "hi", False)).status == 200
    record = fake_provider.last
    assert record.query == {"api-version": sent}
    assert record.header("api-key") == gateway.keys["AZURE_OPENAI_API_KEY"]
    assert record.header("x-ms-client-request-id") == record.header("x-client-request-id") == one.row()["id"]
    assert one.row()["requested_model"] == "gpt-4o"


@pytest.mark.parametrize(("own", "sent"), [("", "2023-06-01"), ("2099-01-01", "2099-01-01")])
def test_version_of_anthropic(
    caller: Callable[..., Caller], fake_provider: FakeProvider, own: str, sent: str
) -> None:
    one = caller(ANTHROPIC.policy)
    head = {"anthropic-version": own} if own else {}
    body = ANTHROPIC.body(ANTHROPIC.model, "hi", False)
    assert one.send("POST", "/v1/messages", body, headers=head).status == 200
    assert fake_provider.last.header("anthropic-version") == sent
    assert fake_provider.last.header_names().count("anthropic-version") == 1


def test_key_of_gemini(caller: Callable[..., Caller], gateway: Proxy, fake_provider: FakeProvider) -> None:
    assert caller(GEMINI.policy).ask(GEMINI).status == 200
    assert fake_provider.last.header("x-goog-api-key") == gateway.keys["GOOGLE_API_KEY"]
    assert fake_provider.last.target == GEMINI.path(GEMINI.model, False)


# Requests that are of no known format, or name no model.


def test_unknown_path(caller: Callable[..., Caller], gateway: Proxy, fake_provider: FakeProvider) -> None:
    """It goes where the policy leads, under the same rules, and is recorded."""
    one = caller({**OPENAI.policy, "model_regex": "^gpt-"})
    assert one.send("GET", "/v1/assistants?limit=1").status == 404
    assert one.send("DELETE", "/v1/files/file-1").status == 404
    assert one.send("POST", "/v1/moderations", {"input": "hi"}).status == 200
    assert one.send("POST", "/v1/images/generations", {"model": "dall-e-3", "prompt": "x"}).status == 403
    targets = [(record.method, record.target) for record in fake_provider.records]
    expected = [
        ("GET", "/v1/assistants?limit=1"),
        ("DELETE", "/v1/files/file-1"),
        ("POST", "/v1/moderations"),
    ]
    assert targets == expected
    assert_only_key(fake_provider.records, gateway.keys["OPENAI_API_KEY"])
    rows = one.rows(4)
    assert [row["status"] for row in rows] == [404, 404, 200, 403]
    assert {row["dialect"] for row in rows} == {"unknown"}
    assert rows[0]["path"] == "/v1/assistants"


def test_unknown_paths_denied(caller: Callable[..., Caller], fake_provider: FakeProvider) -> None:
    one = caller({**OPENAI.policy, "unknown_paths": "deny"})
    for method, path in [("GET", "/v1/models"), ("POST", "/v1/moderations"), ("POST", "/v1/files")]:
        outcome = one.send(method, path, {"input": "hi"} if method == "POST" else None)
        assert (outcome.status, OPENAI.told(outcome.json)[0]) == (403, "path_not_allowed")
    assert fake_provider.records == []
    assert one.ask().status == 200


def test_model_list(caller: Callable[..., Caller], gateway: Proxy, fake_provider: FakeProvider) -> None:
    """It names no model: no rule on models can refuse it."""
    for policy in ({**OPENAI.policy, "model": "gpt-4o"}, {"providers": FIRST}):
        one = caller(policy)
        assert one.send("GET", "/v1/models").json["object"] == "list"
        assert one.row()["requested_model"] is None
    assert_only_key(fake_provider.records, gateway.keys["OPENAI_API_KEY"])
