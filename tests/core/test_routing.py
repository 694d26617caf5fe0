"""Routing: which provider, URL and key, in which order; above all, which key never goes where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tokenomics_core.config import Config
from tokenomics_core.policy import CompiledPolicy, PolicyError, compile, parse
from tokenomics_core.providers import Catalogue, load_catalogue
from tokenomics_core.refusal import Refusal
from tokenomics_core.routing import Aim, Defaults, plan, route, routes

NOWHERE = Path("/nonexistent")
CHAT = "/v1/chat/completions"
SERVER = Defaults("", "https://api.openai.com")

OWN_PROVIDERS: dict[str, Any] = {
    "corp": {"upstream_url": "https://llm.corp.example/base", "api_key_env": "CORP_KEY"},
    "groq": {"upstream_url": "https://gateway.example/groq"},
    "bare": {"auth_scheme": "header", "auth_header": "x-bare", "api_key_env": "BARE_KEY"},
    "tuned": {
        "upstream_url": "https://{region}.tuned.example",
        "parameters": {"region": "eu-1"},
        "chat_path": "/run/{model}",
    },
}


def load(**providers: Any) -> Catalogue:
    return load_catalogue(Config(dir=NOWHERE, providers=providers), NOWHERE, NOWHERE)


CATALOGUE = load(**OWN_PROVIDERS)


def compiled(**fields: Any) -> CompiledPolicy:
    return compile(parse(json.dumps(fields)))


def at(host: str, **fields: Any) -> Aim:
    """A request sent to a provider's own host."""
    return Aim(**{"path": CHAT, "model": "m", "modelled": True, "host": host, "port": 443, **fields})


def base(**fields: Any) -> Aim:
    """A request sent to the proxy's own address."""
    return Aim(**{"path": CHAT, "model": "m", "modelled": True, **fields})


def way(policy: CompiledPolicy, aim: Aim, defaults: Defaults = SERVER) -> str:
    """``KEY -> provider @ URL``, or the refusal."""
    try:
        found = route(policy, CATALOGUE, defaults, aim)
    except Refusal as refusal:
        return f"{refusal.status} {refusal.code}: {refusal.message}"
    return f"{found.key_env} -> {found.provider_name} @ {found.upstream_url}"


G = {"base_key_env": "G"}
OPENAI = {"openai": [{"base_key_env": "O"}]}
BOTH = {
    "openai": [{"base_key_env": "O", "model_regex": "^gpt"}],
    "anthropic": [{"base_key_env": "A", "model_regex": "^claude"}],
}


@pytest.mark.parametrize(
    ("fields", "model", "expected"),
    [
        # The global part.
        (G, "m", "G -> openai @ https://api.openai.com"),
        (G, "", "G -> openai @ https://api.openai.com"),
        (G | {"upstream_url": "https://u.example/v1"}, "m", "G ->  @ https://u.example/v1"),
        (G | {"default_provider": "anthropic"}, "m", "G -> anthropic @ https://api.anthropic.com"),
        (G | {"default_provider": "GROQ"}, "m", "G -> groq @ https://gateway.example/groq"),
        (
            G | {"default_provider": "anthropic", "upstream_url": "https://u.example"},
            "m",
            "G -> anthropic @ https://u.example",
        ),
        # A provider is known by its host too, so that the key is sent as it wants it.
        (
            G | {"upstream_url": "https://api.anthropic.com"},
            "m",
            "G -> anthropic @ https://api.anthropic.com",
        ),
        (
            G | {"upstream_url": "https://api.anthropic.com.evil.example"},
            "m",
            "G ->  @ https://api.anthropic.com.evil.example",
        ),
        # Entries.
        (G | {"providers": OPENAI}, "m", "O -> openai @ https://api.openai.com"),
        (G | {"providers": BOTH}, "claude-4", "A -> anthropic @ https://api.anthropic.com"),
        (G | {"providers": BOTH}, "other", "G -> openai @ https://api.openai.com"),
        (
            G | {"providers": {"GROQ": [{"base_key_env": "K"}]}},
            "m",
            "K -> groq @ https://gateway.example/groq",
        ),
        (
            {"providers": {"openai": [{"base_key_env": "K", "upstream_url": "https://u.example"}]}},
            "m",
            "K -> openai @ https://u.example",
        ),
        # The global URL is the global key's: an entry of a known provider goes to that provider.
        (
            G | {"upstream_url": "https://u.example", "providers": OPENAI},
            "m",
            "O -> openai @ https://api.openai.com",
        ),
        # A provider that nobody knows a URL of takes the policy's.
        (
            {"upstream_url": "https://u.example", "providers": {"mystery": [{"base_key_env": "K"}]}},
            "m",
            "K -> mystery @ https://u.example",
        ),
        (
            {"upstream_url": "https://u.example", "providers": {"bare": [{"base_key_env": "K"}]}},
            "m",
            "K -> bare @ https://u.example",
        ),
        (
            {"providers": {"mystery": [{"base_key_env": "K"}]}},
            "m",
            '500 not_configured: provider "mystery" has no upstream_url',
        ),
        # A provider's own key, where the policy names the provider and no key.
        (
            {"providers": BOTH, "default_provider": "corp"},
            "m",
            "CORP_KEY -> corp @ https://llm.corp.example/base",
        ),
        (
            {
                "providers": BOTH,
                "default_provider": "azure_openai",
                "upstream_url": "https://res.openai.azure.com/openai",
            },
            "m",
            "AZURE_OPENAI_API_KEY -> azure_openai @ https://res.openai.azure.com/openai",
        ),
        # It goes to that provider only.
        (
            {"providers": BOTH, "default_provider": "corp", "upstream_url": "https://u.example"},
            "m",
            " -> corp @ https://u.example",
        ),
        # A policy that lists providers and neither key nor default leads nowhere else.
        ({"providers": BOTH}, "m", '403 model_not_allowed: model "m" matches no provider of the policy'),
        # A default provider that is not known does not send its key to a stranger.
        (
            G | {"default_provider": "antropic"},
            "m",
            '500 not_configured: provider "antropic" has no upstream_url',
        ),
        (
            G | {"default_provider": "antropic", "upstream_url": "https://u.example"},
            "m",
            "G -> antropic @ https://u.example",
        ),
    ],
)
def test_base_url_routes(fields: dict[str, Any], model: str, expected: str) -> None:
    assert way(compiled(**fields), base(model=model)) == expected


@pytest.mark.parametrize(
    ("fields", "defaults", "expected"),
    [
        (G, Defaults("anthropic", "https://s.example"), "G -> anthropic @ https://api.anthropic.com"),
        (G, Defaults("", "https://s.example"), "G ->  @ https://s.example"),
        (G, Defaults("nobody", "https://s.example"), "G -> nobody @ https://s.example"),
        (G, Defaults("bare", "https://s.example"), "G -> bare @ https://s.example"),
        (
            G | {"default_provider": "bare"},
            Defaults("", "https://s.example"),
            "G -> bare @ https://s.example",
        ),
        (
            G | {"default_provider": "nobody"},
            Defaults("", "https://s.example"),
            "G -> nobody @ https://s.example",
        ),
        (
            G | {"default_provider": "corp"},
            Defaults("anthropic", "x"),
            "G -> corp @ https://llm.corp.example/base",
        ),
        # The server's default does not say who lives at the policy's URL.
        (
            G | {"upstream_url": "https://api.openai.com/v1"},
            Defaults("anthropic", "x"),
            "G -> openai @ https://api.openai.com/v1",
        ),
        (
            G | {"upstream_url": "https://u.example"},
            Defaults("anthropic", "x"),
            "G -> anthropic @ https://u.example",
        ),
        # Nor does it lend its key to a policy that names providers and keys of its own.
        (
            {"providers": BOTH},
            Defaults("corp", "x"),
            '403 model_not_allowed: model "m" matches no provider of the policy',
        ),
    ],
)
def test_the_servers_defaults(fields: dict[str, Any], defaults: Defaults, expected: str) -> None:
    assert way(compiled(**fields), base(), defaults) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (G, "G -> openai @ https://api.openai.com"),
        (G | {"providers": BOTH}, "G -> openai @ https://api.openai.com"),
        (G | {"model": "x", "model_regex": "y"}, "G -> openai @ https://api.openai.com"),
        ({"providers": BOTH, "default_provider": "corp"}, "CORP_KEY -> corp @ https://llm.corp.example/base"),
        # Without a global part the first entry is what there is.
        ({"providers": BOTH}, "O -> openai @ https://api.openai.com"),
        ({"providers": {"groq": []} | BOTH}, "O -> openai @ https://api.openai.com"),
        ({"providers": {"groq": []}}, " -> openai @ https://api.openai.com"),
    ],
)
def test_requests_that_name_no_model(fields: dict[str, Any], expected: str) -> None:
    aim = base(path="/v1/models", model="", modelled=False)
    assert way(compiled(**fields), aim) == expected


@pytest.mark.parametrize(
    ("fields", "aim", "expected"),
    [
        # The host's provider has an entry.
        ({"providers": OPENAI}, at("api.openai.com"), "O -> openai @ https://api.openai.com"),
        ({"providers": OPENAI}, at("API.OpenAI.com."), "O -> openai @ https://api.openai.com"),
        (
            {"providers": {"OpenAI": [{"base_key_env": "O"}]}},
            at("api.openai.com"),
            "O -> openai @ https://api.openai.com",
        ),
        (
            {"providers": {"generic": [{"base_key_env": "O"}]}},
            at("api.openai.com"),
            "O -> generic @ https://api.openai.com",
        ),
        # Another provider's entry that stands first and takes every model does not get it.
        (
            {"providers": {"groq": [{"base_key_env": "K"}], **OPENAI}},
            at("api.openai.com"),
            "O -> openai @ https://api.openai.com",
        ),
        (
            {"providers": {"groq": [{"base_key_env": "K"}], **OPENAI}},
            at("api.openai.com", model="", modelled=False, path="/v1/files"),
            "O -> openai @ https://api.openai.com",
        ),
        # The built-in host also leads to where the provider was moved.
        (
            {"providers": {"groq": [{"base_key_env": "K"}]}},
            at("api.groq.com"),
            "K -> groq @ https://gateway.example/groq",
        ),
        (
            {"providers": {"openai": [{"base_key_env": "K", "upstream_url": "https://u.example"}]}},
            at("api.openai.com"),
            "K -> openai @ https://u.example",
        ),
        # A name of the policy's own, at the host.
        (
            {
                "providers": {
                    "openai": [{"base_key_env": "O"}],
                    "mine": [{"base_key_env": "K", "upstream_url": "https://api.x.ai/v1"}],
                }
            },
            at("api.x.ai"),
            "K -> mine @ https://api.x.ai/v1",
        ),
        # A host with a label to fill.
        (
            {"providers": {"azure": [{"base_key_env": "K", "upstream_url": "https://res.openai.azure.com"}]}},
            at("res.openai.azure.com"),
            "K -> azure @ https://res.openai.azure.com",
        ),
        # The policy's default is the host's provider, with the global key.
        (G, at("api.openai.com"), "G -> openai @ https://api.openai.com"),
        (
            G | {"default_provider": "anthropic"},
            at("api.anthropic.com"),
            "G -> anthropic @ https://api.anthropic.com",
        ),
        (
            G | {"default_provider": "anthropic", "upstream_url": "https://u.example"},
            at("api.anthropic.com"),
            "G -> anthropic @ https://u.example",
        ),
        (
            G | {"default_provider": "anthropic", "providers": OPENAI},
            at("api.anthropic.com"),
            "G -> anthropic @ https://api.anthropic.com",
        ),
        (
            G | {"default_provider": "anthropic", "providers": BOTH},
            at("api.anthropic.com", model="other"),
            "G -> anthropic @ https://api.anthropic.com",
        ),
        # It is neither named nor the default.
        (
            G,
            at("api.anthropic.com"),
            "403 host_not_allowed: this token's policy does not lead to api.anthropic.com",
        ),
        (
            {"providers": OPENAI},
            at("api.anthropic.com"),
            "403 host_not_allowed: this token's policy does not lead to api.anthropic.com",
        ),
        (
            G | {"providers": {"anthropic": []}},
            at("api.anthropic.com", path="/v1/models", model="", modelled=False),
            "403 host_not_allowed: this token's policy does not lead to api.anthropic.com",
        ),
        (
            {"providers": {"anthropic": [{"base_key_env": "A"}]}},
            at("api.openai.com", path="/v1/models", model="", modelled=False),
            "403 host_not_allowed: this token's policy does not lead to api.openai.com",
        ),
        (
            G | {"upstream_url": "https://u.example"},
            at("api.openai.com"),
            "403 host_not_allowed: this token's policy does not lead to api.openai.com",
        ),
        (
            G,
            at("api.openai.com", port=8443),
            "403 host_not_allowed: this token's policy does not lead to api.openai.com",
        ),
        (
            G,
            at("api.openai.com", scheme="http"),
            "403 host_not_allowed: this token's policy does not lead to api.openai.com",
        ),
        # Named, but not for this model, and there is nothing else at that host.
        (
            {"providers": BOTH},
            at("api.anthropic.com", model="gpt-4"),
            '403 model_not_allowed: model "gpt-4" matches no entry of provider "anthropic"',
        ),
        (
            G | {"providers": BOTH},
            at("api.anthropic.com", model="x\ny"),
            '403 model_not_allowed: model "x\\ny" matches no entry of provider "anthropic"',
        ),
        # The model is judged after the merge, as it is everywhere.
        (
            G | {"model_regex": "^gpt"},
            at("api.openai.com"),
            '403 model_not_allowed: model "m" does not match policy regex "^gpt"',
        ),
    ],
)
def test_intercepted_hosts(fields: dict[str, Any], aim: Aim, expected: str) -> None:
    assert way(compiled(**fields), aim) == expected


def test_an_intercepted_host_is_not_taken_for_the_servers_default_at_another_url() -> None:
    policy = compiled(base_key_env="G", upstream_url="https://api.openai.com")
    defaults = Defaults("anthropic", "https://api.openai.com")
    assert way(policy, at("api.openai.com"), defaults) == "G -> openai @ https://api.openai.com"
    assert way(policy, at("api.anthropic.com"), defaults).startswith("403 host_not_allowed")


def test_a_plain_http_provider() -> None:
    policy = compiled(providers={"ollama": [{"base_key_env": "K"}]})
    aim = at("localhost", port=11434, scheme="http", path="/api/chat")
    assert way(policy, aim) == "K -> ollama @ http://localhost:11434"
    assert way(policy, at("localhost", port=1234, scheme="http")).startswith("403 host_not_allowed")


@pytest.mark.parametrize(
    ("fields", "model", "message"),
    [
        (G | {"model": "a"}, "b", 'model "b" not allowed; policy requires "a"'),
        (G | {"model": "a"}, "", 'model "" not allowed; policy requires "a"'),
        (G | {"model_regex": "^g"}, "b", 'model "b" does not match policy regex "^g"'),
        (G | {"model_regex": "^g"}, "", 'model "" does not match policy regex "^g"'),
        (G | {"model": "g", "providers": OPENAI}, "b", 'model "b" not allowed; policy requires "g"'),
        (G | {"model": "a"}, 'b"\n', 'model "b\\"\\n" not allowed; policy requires "a"'),
    ],
)
def test_models_that_are_refused(fields: dict[str, Any], model: str, message: str) -> None:
    assert way(compiled(**fields), base(model=model)) == f"403 model_not_allowed: {message}"


def test_a_model_on_an_unknown_path_is_judged_too() -> None:
    policy = compiled(base_key_env="G", model="a")
    assert way(policy, base(path="/v9/new", modelled=False)).startswith("403 model_not_allowed")
    assert way(policy, base(path="/v9/new", model="", modelled=False)).startswith("G -> ")


LOGIN = {"credentials": "client"}


@pytest.mark.parametrize(
    ("fields", "aim", "expected"),
    [
        (LOGIN, base(), " -> openai @ https://api.openai.com"),
        (LOGIN, at("api.openai.com"), " -> openai @ https://api.openai.com"),
        (
            LOGIN,
            at("api.anthropic.com"),
            "403 host_not_allowed: this token's policy does not lead to api.anthropic.com",
        ),
        (
            LOGIN | {"default_provider": "anthropic"},
            at("api.anthropic.com"),
            "ANTHROPIC_API_KEY -> anthropic @ https://api.anthropic.com",
        ),
        (
            LOGIN | {"providers": {"anthropic": [{}]}},
            at("api.anthropic.com"),
            " -> anthropic @ https://api.anthropic.com",
        ),
        (LOGIN | {"providers": {"anthropic": [{}]}}, base(), " -> anthropic @ https://api.anthropic.com"),
        # A login needs no key, so that nothing would stop it at a host that the policy does not name.
        (
            LOGIN | {"providers": {"anthropic": [{"model": "claude"}]}},
            base(),
            '403 model_not_allowed: model "m" matches no provider of the policy',
        ),
    ],
)
def test_an_agents_own_login(fields: dict[str, Any], aim: Aim, expected: str) -> None:
    assert way(compiled(**fields), aim) == expected


def planned(policy: CompiledPolicy, aim: Aim, paths: dict[str, str] | None = None, **more: Any) -> list[str]:
    """``number KEY model URL`` of each attempt."""
    fallbacks = {model: aim.path for model in policy.resolve_global().retry.fallbacks}
    attempts, _ = plan(policy, CATALOGUE, SERVER, aim, paths or fallbacks, **more)
    return [f"{each.number} {each.key_env} {each.model} {each.target.url}" for each in attempts]


def test_one_attempt_is_the_answer_whatever_it_is() -> None:
    attempts, retry_on = plan(compiled(base_key_env="G", timeout=7), CATALOGUE, SERVER, base(), {})
    assert retry_on == frozenset()
    (only,) = attempts
    assert (only.number, only.model, only.timeout, only.provider_name) == (0, "m", 7.0, "openai")
    assert only.policy.timeout == 7


def test_retries_and_fallbacks_in_their_order() -> None:
    policy = compiled(
        base_key_env="G",
        providers=BOTH,
        retry={"max_retries": 1, "fallbacks": ["claude-4", "gpt-3", "llama"]},
    )
    openai, anthropic = "https://api.openai.com/v1/chat/completions", "https://api.anthropic.com/v1/messages"
    assert planned(policy, base(model="gpt-4")) == [
        f"0 O gpt-4 {openai}",
        f"1 O gpt-4 {openai}",
        f"2 A claude-4 {anthropic}",
        f"3 A claude-4 {anthropic}",
        f"4 O gpt-3 {openai}",
        f"5 O gpt-3 {openai}",
        f"6 G llama {openai}",
        f"7 G llama {openai}",
    ]
    assert planned(policy, base(model="gpt-4"), retries=False) == [f"0 O gpt-4 {openai}"]


@pytest.mark.parametrize(
    ("retry", "expected"),
    [
        ({"max_retries": 1}, {429, 500, 502, 503}),
        ({"max_retries": -1, "fallbacks": ["x"]}, {429, 500, 502, 503}),
        ({"fallbacks": ["x"], "retry_on": [418]}, {418}),
        ({"retry_on": [418]}, set()),
        (None, set()),
    ],
)
def test_statuses_that_are_tried_again(retry: dict[str, Any] | None, expected: set[int]) -> None:
    policy = compiled(base_key_env="G", retry=retry)
    fallbacks = {model: CHAT for model in policy.resolve_global().retry.fallbacks}
    assert plan(policy, CATALOGUE, SERVER, base(), fallbacks)[1] == expected


@pytest.mark.parametrize(
    ("fields", "aim", "expected"),
    [
        # What the policy forbids.
        ({"model_regex": "^gpt"}, base(model="gpt-4"), ["gpt-4", "gpt-5"]),
        # What has no URL, no parameters.
        (
            {"providers": {"mystery": [{"base_key_env": "K", "model": "claude-4"}]}},
            base(),
            ["m", "gpt-5", "x"],
        ),
        (
            {"providers": {"vertex_ai": [{"base_key_env": "K", "model": "claude-4"}]}},
            base(),
            ["m", "gpt-5", "x"],
        ),
        # A fallback may leave the host that was aimed at; the first attempt may not.
        (
            {"providers": {"anthropic": [{"base_key_env": "A", "model": "claude-4"}]}},
            at("api.openai.com"),
            ["m", "claude-4", "gpt-5", "x"],
        ),
        # A request without a model has none to fall back to.
        ({}, base(path="/v1/models", model="", modelled=False), [""]),
        ({}, base(model=""), ["", "claude-4", "gpt-5", "x"]),
    ],
)
def test_fallbacks_that_are_left_out(fields: dict[str, Any], aim: Aim, expected: list[str]) -> None:
    policy = compiled(base_key_env="G", retry={"fallbacks": ["claude-4", "gpt-5", "x"]}, **fields)
    attempts = planned(policy, aim)
    assert [text.split(" ")[2] for text in attempts] == expected


def test_an_agents_own_login_does_not_fall_back_to_another_host() -> None:
    providers = {
        "anthropic": [{"model_regex": "^claude"}],
        "openai": [{"model_regex": "^gpt"}],
        "mine": [{"model": "near", "upstream_url": "https://api.anthropic.com/x"}],
        "far": [{"model": "far", "upstream_url": "https://api.anthropic.com:8443"}],
    }
    policy = compiled(
        credentials="client",
        providers=providers,
        retry={"fallbacks": ["gpt-4", "claude-3", "near", "far", "other"]},
    )
    for aim in (at("api.anthropic.com", model="claude-4", path="/v1/messages"), base(model="claude-4")):
        assert [text.split(" ")[2] for text in planned(policy, aim)] == ["claude-4", "claude-3", "near"]


@pytest.mark.parametrize(
    ("fields", "aim", "paths", "expected"),
    [
        (
            G | {"default_provider": "gemini"},
            base(path="/v1beta/models/a:generateContent", model="a"),
            {"b": "/v1beta/models/b:generateContent"},
            ["/v1beta/models/a:generateContent", "/v1beta/models/b:generateContent"],
        ),
        (
            {"providers": {"tuned": [{"base_key_env": "K"}]}},
            base(model="a/b"),
            {"c": CHAT},
            ["/run/a%2Fb", "/run/c"],
        ),
        (
            {"providers": {"tuned": [{"base_key_env": "K"}]}},
            base(path="/v1/embeddings"),
            {},
            ["/v1/embeddings"],
        ),
        ({"providers": {"corp": [{"base_key_env": "K"}]}}, base(), {}, ["/base/v1/chat/completions"]),
        (G | {"upstream_url": "https://u.example/v1"}, base(), {}, [CHAT]),
    ],
)
def test_paths(fields: dict[str, Any], aim: Aim, paths: dict[str, str], expected: list[str]) -> None:
    attempts, _ = plan(compiled(**fields), CATALOGUE, SERVER, aim, paths)
    assert [attempt.target.path for attempt in attempts] == expected


@pytest.mark.parametrize(
    ("fields", "aim", "status", "code", "message"),
    [
        (
            {"providers": {"azure_openai": [{"base_key_env": "K"}]}},
            base(),
            500,
            "not_configured",
            "invalid upstream URL: the upstream URL needs {resource}; "
            "set providers.azure_openai.parameters.resource in the configuration",
        ),
        (
            G | {"upstream_url": "ftp://u.example"},
            base(),
            500,
            "not_configured",
            "invalid upstream URL: "
            "the upstream URL does not begin with http:// or https://; correct upstream_url",
        ),
        # What the client can mend is the client's error: no SDK tries it again.
        (
            G,
            base(path="/v1/../admin"),
            400,
            "bad_request",
            "the path has . or .. segments; send the path it stands for",
        ),
        (
            {"providers": {"tuned": [{"base_key_env": "K"}]}},
            base(model=""),
            400,
            "bad_request",
            "the request names no model, which this provider has in its path; name one",
        ),
    ],
)
def test_targets_that_cannot_be(
    fields: dict[str, Any], aim: Aim, status: int, code: str, message: str
) -> None:
    with pytest.raises(Refusal) as caught:
        plan(compiled(**fields), CATALOGUE, SERVER, aim, {})
    assert (caught.value.status, caught.value.code, caught.value.message) == (status, code, message)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (G, {("https://api.openai.com", "G")}),
        ({"providers": OPENAI}, {("https://api.openai.com", "O")}),
        ({"providers": BOTH}, {("https://api.openai.com", "O"), ("https://api.anthropic.com", "A")}),
        (G | {"providers": OPENAI}, {("https://api.openai.com", "O"), ("https://api.openai.com", "G")}),
        ({"base_key_env": "O", "providers": OPENAI}, {("https://api.openai.com", "O")}),
        ({"providers": {"openai": []}}, {("https://api.openai.com", "")}),
    ],
)
def test_routes(fields: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    assert routes(compiled(**fields), CATALOGUE, SERVER) == expected


# The invariant: a key never goes to another host.

HOMES = {
    "openai": "api.openai.com",
    "anthropic": "api.anthropic.com",
    "groq": "gateway.example",
    "corp": "llm.corp.example",
}
"""Where a provider's requests go, written down by hand."""

BUILT_IN_HOSTS = HOMES | {"groq": "api.groq.com"}
OWN_KEYS = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "groq": "GROQ_API_KEY",
    "corp": "CORP_KEY",
}

names = st.sampled_from(["openai", "Anthropic", "groq", "corp", "bare", "mystery"])
models = st.sampled_from(["gpt-4", "claude-4", "llama", ""])
urls = st.sampled_from(
    ["", "https://u1.example", "https://u2.example/v1", "https://api.openai.com", "https://api.anthropic.com"]
)
servers = st.builds(Defaults, names.map(str.lower) | st.just(""), urls.filter(bool))


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "base_key_env": draw(st.sampled_from(["", "G"])),
        "upstream_url": draw(urls),
        "default_provider": draw(names | st.just("")),
        "model_regex": draw(st.sampled_from(["", "", "", "4"])),
        "credentials": draw(st.sampled_from(["wrapper", "wrapper", "client"])),
        "retry": {"max_retries": draw(st.integers(0, 1)), "fallbacks": draw(st.lists(models, max_size=3))},
        "providers": {},
    }
    for name in draw(st.lists(names, unique=True, max_size=3)):
        fields["providers"][name] = [
            {
                "base_key_env": f"{name}_{number}",
                "upstream_url": draw(urls),
                "model": draw(models),
                "model_regex": draw(st.sampled_from(["", "", "^claude", "4"])),
            }
            for number in range(draw(st.integers(0, 2)))
        ]
    return fields


def host_of(url: str) -> str:
    return url.removeprefix("https://").partition("/")[0]


def allowed_pairs(fields: dict[str, Any], defaults: Defaults) -> set[tuple[str, str]]:
    """Every (key variable, host) that the policy allows."""
    default = (fields["default_provider"] or defaults.provider).lower()
    top = host_of(fields["upstream_url"])
    pairs = {("G", top or HOMES.get(default) or host_of(defaults.upstream_url))}
    named = fields["default_provider"].lower()
    if named in OWN_KEYS and not fields["base_key_env"]:
        pairs |= {(OWN_KEYS[named], HOMES[named]), (OWN_KEYS[named], BUILT_IN_HOSTS[named])}
    for name, entries in fields["providers"].items():
        for entry in entries:
            host = host_of(entry["upstream_url"]) or HOMES.get(name.lower()) or top
            pairs.add((entry["base_key_env"], host))
    return pairs


aims = st.builds(
    Aim,
    path=st.sampled_from([CHAT, "/v1/models", "/v1/messages"]),
    model=models,
    modelled=st.booleans(),
    host=st.sampled_from(["", "", "", *BUILT_IN_HOSTS.values(), "api.x.ai"]),
    port=st.just(443),
)


@settings(max_examples=600)
@given(policies(), servers, aims, st.booleans())
def test_a_key_never_goes_to_another_host(
    fields: dict[str, Any], defaults: Defaults, aim: Aim, retries: bool
) -> None:
    try:
        policy = compiled(**fields)
    except PolicyError:
        assume(False)
    fallbacks = {model: aim.path for model in fields["retry"]["fallbacks"]}
    try:
        attempts, retry_on = plan(policy, CATALOGUE, defaults, aim, fallbacks, retries=retries)
    except Refusal:
        return
    allowed = allowed_pairs(fields, defaults)
    for attempt in attempts:
        if attempt.key_env:
            assert (attempt.key_env, attempt.target.host) in allowed
        if attempt.model or aim.modelled:
            assert attempt.policy.check_model(attempt.model) is None
    first = attempts[0]
    assert first.model == aim.model
    assert [attempt.number for attempt in attempts] == list(range(len(attempts)))
    assert bool(retry_on) == (len(attempts) > 1)
    if aim.host:
        # It goes to the provider that was aimed at: by name, or to the very host.
        named = {name for name, host in BUILT_IN_HOSTS.items() if host == aim.host}
        assert first.provider_name in named or first.target.host == aim.host
        named_in_policy = {name.lower() for name, entries in fields["providers"].items() if entries}
        default = (fields["default_provider"] or defaults.provider).lower()
        at_host = {host_of(entry["upstream_url"]) for each in fields["providers"].values() for entry in each}
        top = host_of(fields["upstream_url"] or defaults.upstream_url)
        assert named & (named_in_policy | {default}) or aim.host in at_host | {top}
    if fields["credentials"] == "client":
        assert {attempt.target.origin for attempt in attempts} == {first.target.origin}
    if not retries:
        assert len(attempts) == 1


@given(policies(), servers, aims)
def test_routes_knows_every_way(fields: dict[str, Any], defaults: Defaults, aim: Aim) -> None:
    try:
        policy = compiled(**fields)
    except PolicyError:
        assume(False)
    try:
        found = route(policy, CATALOGUE, defaults, aim)
        known = routes(policy, CATALOGUE, defaults)
    except Refusal:
        return
    assert not found.key_env or (found.upstream_url, found.key_env) in known


@given(policies(), servers, aims)
def test_a_policy_that_names_a_provider_is_not_refused_at_its_host(
    fields: dict[str, Any], defaults: Defaults, aim: Aim
) -> None:
    fields["providers"]["xai"] = [{"base_key_env": "X"}]
    fields["model_regex"] = ""
    aim = Aim(aim.path, aim.model, aim.modelled, "api.x.ai", 443)
    found = route(compiled(**fields), CATALOGUE, defaults, aim)
    assert (found.provider_name, found.key_env, found.upstream_url) == ("xai", "X", "https://api.x.ai")


def test_an_intercepted_request_keeps_its_path() -> None:
    """Gemini's own OpenAI-compatible path, for one, is not the provider's chat_path."""
    policy = compiled(providers={"google_gemini": [{"base_key_env": "G"}]})
    path = "/v1beta/openai/chat/completions"
    host = "generativelanguage.googleapis.com"
    attempts, _ = plan(policy, CATALOGUE, SERVER, at(host, path=path), {})
    assert attempts[0].target.path == path
    attempts, _ = plan(policy, CATALOGUE, SERVER, base(path=path), {})
    assert attempts[0].target.path == "/v1beta/models/m:generateContent"


def test_of_two_providers_on_one_host_the_path_tells() -> None:
    catalogue = load(
        lab={"upstream_url": "https://shared.example/lab", "auth_scheme": "header", "auth_header": "x-lab"},
        office={"upstream_url": "https://shared.example/office"},
    )
    for name in ("lab", "office"):
        policy = compiled(base_key_env="K", upstream_url=f"https://shared.example/{name}/v1")
        assert route(policy, catalogue, SERVER, base()).provider_name == name
