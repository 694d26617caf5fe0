"""What a process is given, by each way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tokenomics_core.agents import AgentEnvironment, AgentError, Profiles, agent_environment, ways_of
from tokenomics_core.providers import Catalogue

TOKEN = "tkn_ac31680d-9aae-41fb-a9bc-03ff101f3ee5"
URL = "http://localhost:8080"
CA, BUNDLE = Path("/certs/ca.crt"), Path("/certs/bundle.pem")
ENDS = {"OPENAI_BASE_URL": URL + "/v1", "OPENAI_API_KEY": TOKEN}


class Maker:
    def __init__(self, profiles: Profiles, catalogue: Catalogue) -> None:
        self.profiles = profiles
        self.catalogue = catalogue

    def __call__(
        self, name: str, environ: Mapping[str, str] | None = None, **settings: Any
    ) -> AgentEnvironment:
        profile = self.profiles.get(name)
        assert profile is not None
        given = {"gateway_url": URL, "token": TOKEN, "ca": CA, "bundle": BUNDLE, **settings}
        return agent_environment(profile, environ=environ or {}, catalogue=self.catalogue, **given)


@pytest.fixture(scope="module")
def make(profiles: Profiles, catalogue: Catalogue) -> Maker:
    return Maker(profiles, catalogue)


@pytest.mark.parametrize(
    ("agent", "variables", "arguments"),
    [
        ("generic", ENDS, ()),
        ("claude", {"ANTHROPIC_BASE_URL": URL, "ANTHROPIC_API_KEY": TOKEN}, ()),
        (
            "codex",
            {"CODEX_API_KEY": TOKEN, "OPENAI_API_KEY": TOKEN},
            ("-c", f'openai_base_url="{URL}/v1"'),
        ),
        (
            "goose",
            {"OPENAI_HOST": URL, "ANTHROPIC_HOST": URL, "OPENAI_API_KEY": TOKEN, "ANTHROPIC_API_KEY": TOKEN},
            (),
        ),
    ],
)
def test_base_url(make: Maker, agent: str, variables: dict[str, str], arguments: tuple[str, ...]) -> None:
    found = make(agent, via="base-url")
    assert (found.variables, found.arguments) == (variables, arguments)


def test_every_agent_by_each_of_its_ways(make: Maker) -> None:
    for profile in make.profiles:
        for way in profile.ways:
            found = make(profile.name, via=way)
            assert TOKEN in found.variables.values(), profile.name
            reached = [*found.variables.values(), *found.arguments]
            assert any("localhost:8080" in value for value in reached), profile.name
            assert not any("{" in name or "{url}" in value for name, value in found.variables.items())
        assert set(ways_of(profile.via)) <= set(profile.ways)


def test_the_proxy_and_all_who_must_trust_it(make: Maker) -> None:
    variables = make("python", via="proxy").variables
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        assert variables[name] == URL
    assert variables["NO_PROXY"] == variables["no_proxy"] == "localhost,127.0.0.1,::1"
    assert variables["NODE_EXTRA_CA_CERTS"] == str(CA)
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE"):
        assert variables[name] == str(BUNDLE)
    assert variables["CARGO_HTTP_CAINFO"] == variables["CODEX_CA_CERTIFICATE"] == str(BUNDLE)
    assert variables["DENO_CERT"] == str(CA)
    assert variables["NODE_USE_ENV_PROXY"] == "1"
    assert "OPENAI_BASE_URL" not in variables


def test_who_may_have_a_login_gets_the_token_with_the_proxy(make: Maker) -> None:
    with_token = f"http://tokenomics:{TOKEN}@localhost:8080"
    assert make("claude", via="proxy").variables["HTTPS_PROXY"] == with_token
    own = make("claude", {"ANTHROPIC_AUTH_TOKEN": "login"}, via="proxy", own_login=True)
    assert own.variables["HTTPS_PROXY"] == with_token
    assert "ANTHROPIC_API_KEY" not in own.variables
    assert own.unset == ()
    assert make("python", via="proxy", own_login=True).variables["HTTPS_PROXY"] == with_token
    with pytest.raises(AgentError, match="use --via proxy"):
        make("claude", via="both", own_login=True)


def test_the_persons_own_exceptions_stay_but_not_those_around_the_gateway(make: Maker) -> None:
    given = {"NO_PROXY": "*.corp,api.openai.com,10.0.0.0/8", "no_proxy": "intern .anthropic.com"}
    found = make("python", given, via="proxy")
    assert found.variables["NO_PROXY"] == "*.corp,10.0.0.0/8,intern,localhost,127.0.0.1,::1"
    assert found.notes == ("left out of NO_PROXY, as they cover a provider: api.openai.com, .anthropic.com",)
    assert make("python", {"NO_PROXY": "*"}, via="proxy").variables["no_proxy"] == "localhost,127.0.0.1,::1"
    assert make("python", {"NO_PROXY": "com"}, via="proxy").variables["no_proxy"] == "localhost,127.0.0.1,::1"


def test_a_provider_on_this_machine_is_reached_through_the_proxy_too(make: Maker) -> None:
    found = make("python", {"NO_PROXY": "localhost,intern"}, via="proxy", provider="ollama")
    assert found.variables["NO_PROXY"] == "intern"


def test_a_proxy_of_the_persons_own(make: Maker) -> None:
    """By base URL it stays, but not for the way to the gateway; by proxy the gateway takes its place."""
    environ = {"HTTPS_PROXY": "http://proxy.corp:3128", "ALL_PROXY": "socks5://proxy.corp"}
    by_base_url = make("claude", environ, via="base-url")
    assert by_base_url.variables["NO_PROXY"] == "localhost,127.0.0.1,::1"
    assert "HTTPS_PROXY" not in by_base_url.variables
    found = make("claude", environ, via="proxy")
    assert found.unset == ("ALL_PROXY",)
    assert "proxy that was set before" in found.notes[0]
    assert "ALL_PROXY" not in found.applied(environ)


def test_both_ways(make: Maker) -> None:
    found = make("python", gateway_url="http://gateway.corp:8080/", via="both").variables
    assert found["OPENAI_BASE_URL"] == "http://gateway.corp:8080/v1"
    assert found["HTTPS_PROXY"] == "http://gateway.corp:8080"
    assert found["NO_PROXY"].endswith("::1,gateway.corp")


def test_what_leads_around_the_gateway_is_taken_away(make: Maker) -> None:
    environ = {"ANTHROPIC_AUTH_TOKEN": "real", "ANTHROPIC_BASE_URL": "http://elsewhere", "PATH": "/bin"}
    found = make("claude", environ, via="proxy")
    assert found.unset == ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL")
    assert "real" not in found.applied(environ).values()
    assert found.applied(environ)["PATH"] == "/bin"


def test_a_gateway_by_tls_has_to_be_trusted_by_base_url_too(make: Maker) -> None:
    found = make("claude", gateway_url="https://localhost:8443", via="base-url")
    assert found.variables["NODE_EXTRA_CA_CERTS"] == str(CA)
    unknown = make("claude", gateway_url="https://gw:8443", via="base-url", ca=None, bundle=None)
    assert "NODE_EXTRA_CA_CERTS" not in unknown.variables
    assert "CA is not here" in unknown.notes[0]


def test_node_gets_the_persons_own_authorities_too(make: Maker) -> None:
    found = make("node", {"NODE_EXTRA_CA_CERTS": "/corp.pem"}, via="proxy").variables
    assert found["NODE_EXTRA_CA_CERTS"] == str(BUNDLE)
    again = make("node", {"NODE_OPTIONS": found["NODE_OPTIONS"]}, via="proxy").variables
    assert again["NODE_OPTIONS"] == found["NODE_OPTIONS"]
    more = make("node", {"NODE_OPTIONS": "--max-old-space-size=100"}, via="proxy").variables
    assert more["NODE_OPTIONS"].startswith("--max-old-space-size=100 --require ")


@pytest.mark.parametrize(
    ("provider", "variables"),
    [
        ("openai", ENDS),
        ("groq", {"GROQ_BASE_URL": URL + "/v1", "GROQ_API_KEY": TOKEN}),
        ("Azure", {"AZURE_OPENAI_ENDPOINT": URL, "AZURE_OPENAI_API_KEY": TOKEN}),
        (
            "gemini",
            {"GEMINI_BASE_URL": URL, "GOOGLE_GEMINI_BASE_URL": URL, "GEMINI_API_KEY": TOKEN},
        ),
        ("ollama", {"OLLAMA_BASE_URL": URL, "OLLAMA_API_KEY": TOKEN}),
    ],
)
def test_a_provider_of_the_catalogue(make: Maker, provider: str, variables: dict[str, str]) -> None:
    assert make("generic", via="base-url", provider=provider).variables == variables


def test_all_providers(make: Maker) -> None:
    found = make("generic", via="base-url", provider="all").variables
    for provider in make.catalogue:
        assert found[provider.base_url_env].startswith(URL)
        assert not provider.api_key_env or found[provider.api_key_env] == TOKEN
    # generic claims it before openai; both mean the same.
    assert found["OPENAI_BASE_URL"] == URL + "/v1"


def test_an_unknown_provider_is_taken_for_openai_and_said(make: Maker) -> None:
    found = make("generic", via="base-url", provider="nobody")
    assert found.variables == ENDS
    assert "nobody is no provider" in found.notes[0]


def test_own_names_stand_for_all_others(make: Maker) -> None:
    found = make("claude", via="base-url", base_url_env="MY_URL", key_env="MY_KEY")
    assert found.variables == {"MY_URL": URL, "MY_KEY": TOKEN}


def test_inline_configuration_is_laid_over_what_is_there(make: Maker) -> None:
    environ = {
        "OPENCODE_CONFIG_CONTENT": '{"theme": "x", "provider": {"openai": {"options": {"timeout": 5}}}}'
    }
    found = json.loads(make("opencode", environ, via="base-url").variables["OPENCODE_CONFIG_CONTENT"])
    assert found["theme"] == "x"
    assert found["provider"]["openai"]["options"] == {"timeout": 5, "baseURL": URL + "/v1"}
    with pytest.raises(AgentError, match="holds no JSON"):
        make("opencode", {"OPENCODE_CONFIG_CONTENT": "{"}, via="base-url")


def test_a_way_that_an_agent_does_not_have(make: Maker) -> None:
    with pytest.raises(AgentError, match=r"cursor-agent cannot be led by base-url; use --via proxy"):
        make("cursor-agent", via="base-url")


def test_the_token_is_masked_for_people(make: Maker) -> None:
    found = make("claude", via="both")
    shown = found.masked(TOKEN)
    assert shown["ANTHROPIC_API_KEY"] == "tkn_...3ee5"
    assert TOKEN not in " ".join([*shown.values(), *found.notes, *found.arguments])


def test_what_a_way_needs_besides_is_said(make: Maker) -> None:
    assert "init --agent gemini" in make("gemini", via="base-url").notes[0]
    assert make("gemini", via="proxy").notes == ()


def test_a_provider_that_the_configuration_maps_to_comes_on_top(make: Maker) -> None:
    profile = make.profiles.of_command("claude", {"claude": "groq"})
    found = agent_environment(
        profile, gateway_url=URL, token=TOKEN, ca=CA, bundle=BUNDLE, environ={}, catalogue=make.catalogue
    )
    assert set(found.variables) == {
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
        "GROQ_API_KEY",
        "GROQ_BASE_URL",
    }
