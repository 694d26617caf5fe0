from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tokenomics_core.agents.run_policy import NoKey, run_policy
from tokenomics_core.config import Config
from tokenomics_core.policy import PolicyError, compile, parse
from tokenomics_core.providers import Catalogue, load_catalogue
from tokenomics_core.providers.keys import keys_set
from tokenomics_core.routing import Aim, Defaults, route

KEYS = {"openai": "OPENAI_PAT", "anthropic": "ANTHROPIC_API_KEY", "groq": "GROQ_API_KEY"}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    nowhere = tmp_path_factory.mktemp("nowhere")
    return load_catalogue(Config(dir=nowhere), nowhere, nowhere)


def goes_to(catalogue: Catalogue, policy: str, model: str, host: str = "") -> tuple[str, str]:
    aim = Aim("/v1/chat/completions", model, modelled=bool(model), host=host, port=443)
    way = route(compile(parse(policy)), catalogue, Defaults("", "https://api.openai.com"), aim)
    return way.provider_name, way.key_env


@pytest.mark.parametrize("provider", ["anthropic", "generic", "openai"])
def test_every_model_goes_to_its_provider(catalogue: Catalogue, provider: str) -> None:
    policy = run_policy(catalogue, KEYS, provider)
    first = "openai" if provider == "generic" else provider
    assert goes_to(catalogue, policy, "gpt-4o") == ("openai", "OPENAI_PAT")
    assert goes_to(catalogue, policy, "claude-sonnet-4-5") == ("anthropic", "ANTHROPIC_API_KEY")
    assert goes_to(catalogue, policy, "llama-3.3-70b-versatile") == ("groq", "GROQ_API_KEY")
    assert goes_to(catalogue, policy, "nobody-knows-it") == (first, KEYS[first])
    assert goes_to(catalogue, policy, "") == (first, KEYS[first])
    for name, host in (("openai", "api.openai.com"), ("anthropic", "api.anthropic.com")):
        model = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5"}[name]
        assert goes_to(catalogue, policy, model, host) == (name, KEYS[name])


def test_a_provider_without_a_key(catalogue: Catalogue) -> None:
    with pytest.raises(NoKey, match="no key of anthropic is set; export ANTHROPIC_API_KEY"):
        run_policy(catalogue, {"openai": "OPENAI_API_KEY"}, "anthropic")
    policy = run_policy(catalogue, {"anthropic": "A"}, "openai", also=["openai", "anthropic"])
    assert json.loads(policy)["default_provider"] == "anthropic"
    assert json.loads(run_policy(catalogue, {"google_gemini": "G"}, "gemini"))["base_key_env"] == "G"
    own = json.loads(run_policy(catalogue, {}, "anthropic", own_login=True))
    assert own == {"credentials": "client", "default_provider": "anthropic"}


def test_flags_come_on_top(catalogue: Catalogue) -> None:
    def made(**given: Any) -> Any:
        return json.loads(run_policy(catalogue, KEYS, "openai", **given))

    policy = made(budget=Decimal("2.50"), model="gpt-4o", session="s", directory="/w")
    assert policy["budgets"] == [{"limit": "2.50", "unit": "usd", "period": "total", "name": "run"}]
    assert (policy["model"], policy["session"]) == ("gpt-4o", {"id": "s", "directory": "/w"})
    whole = made(given='{"base_key_env": "K", "budgets": [{"limit": 1.10}]}', budget=Decimal(3))
    assert whole["base_key_env"] == "K"
    assert [each["limit"] for each in whole["budgets"]] == [1.10, "3"]
    added = made(given='{"rules": ["x"], "session": {"directory": "/other"}}', directory="/w")
    assert (added["base_key_env"], added["rules"]) == ("OPENAI_PAT", ["x"])
    assert added["session"]["directory"] == "/other"
    for bad in ('{"rules": 1}', "{", '{"base_key_env": 1}'):
        with pytest.raises(PolicyError):
            made(given=bad)
    with pytest.raises(PolicyError, match="session: id holds one of"):
        made(session="<s>")
    with pytest.raises(PolicyError, match="absolute path"):
        made(directory="here")


def test_which_keys_are_set(catalogue: Catalogue) -> None:
    environ = {
        "OPENAI_API_KEY": "tkn_0f8fad5b-d9cb-469f-a165-70867728950e",
        "OPENAI_PAT": "sk-1",
        "ANTHROPIC_API_KEY": "sk-2",
        "GEMINI_API_KEY": "AIza",
        "MISTRAL_API_KEY": " ",
        "HOME": str(Path.home()),
    }
    assert keys_set(catalogue, environ) == {
        "anthropic": "ANTHROPIC_API_KEY",
        "google_gemini": "GEMINI_API_KEY",
        "openai": "OPENAI_PAT",
    }
    assert keys_set(catalogue, {"OPENAI_API_KEY": environ["OPENAI_API_KEY"]}) == {}
