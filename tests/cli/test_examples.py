"""The files under examples/ are accepted and lead where they say. What they do: test_examples_live.py."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from addons.tokenomics import ENFORCED
from tests.cli.program import Program
from tests.support.environment import PROJECT
from tokenomics_core.config import load_config
from tokenomics_core.policy import compile, needs, parse
from tokenomics_core.providers import load_catalogue
from tokenomics_core.routing import Aim, Defaults, plan

EXAMPLES = PROJECT / "examples"
POLICIES = sorted(
    [
        *(EXAMPLES / "policies").glob("*.json"),
        *(EXAMPLES / "security").glob("*.json"),
        EXAMPLES / "openclaw" / "policy.json",
    ]
)

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"

LEADS_TO = [
    ("openai", CHAT, "gpt-4o", ["https://api.openai.com/v1/chat/completions"]),
    ("anthropic", MESSAGES, "claude-sonnet-4-5", ["https://api.anthropic.com/v1/messages"]),
    ("two-providers", CHAT, "o3", ["https://api.openai.com/v1/chat/completions"]),
    ("two-providers", MESSAGES, "claude-sonnet-4-5", ["https://api.anthropic.com/v1/messages"]),
    ("small-models-only", CHAT, "gpt-4o-mini", ["https://api.openai.com/v1/chat/completions"]),
    (
        "fallbacks",
        CHAT,
        "gpt-4o",
        ["https://api.openai.com/v1/chat/completions"] * 4
        + ["https://api.groq.com/openai/v1/chat/completions"] * 2,
    ),
    ("house-rules", CHAT, "gpt-4o", ["https://api.openai.com/v1/chat/completions"]),
    ("local-models", "/api/chat", "llama3.2:3b", ["http://localhost:11434/api/chat"]),
    ("local-models", CHAT, "Qwen/Qwen3-8B", ["http://localhost:8000/v1/chat/completions"]),
    ("own-login", MESSAGES, "claude-sonnet-4-5", ["https://api.anthropic.com/v1/messages"]),
]


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_it_is_valid_without_a_warning(program: Program, path: Path) -> None:
    done = program.run("policy", "check", "--strict", str(path))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_the_gateway_enforces_all_of_it(path: Path) -> None:
    assert needs(parse(path.read_text())) <= ENFORCED


@pytest.mark.parametrize(("name", "path", "model", "urls"), LEADS_TO)
def test_a_request_goes_where_it_should(
    tmp_path: Path, name: str, path: str, model: str, urls: list[str]
) -> None:
    policy = compile(parse((EXAMPLES / "policies" / f"{name}.json").read_text()))
    config = load_config(environ={}, cwd=tmp_path, home=tmp_path)
    defaults = Defaults(config.default_provider, config.server.upstream_url)
    catalogue = load_catalogue(config, tmp_path, tmp_path, {})
    fallbacks = dict.fromkeys(policy.resolve_global().retry.fallbacks, path)
    attempts, _ = plan(policy, catalogue, defaults, Aim(path, model, modelled=True), fallbacks)
    assert [attempt.target.origin + attempt.target.path for attempt in attempts] == urls


def test_every_example_is_described_and_tried() -> None:
    listed = re.findall(r"\]\((\S+\.(?:json|yaml))\)", (EXAMPLES / "README.md").read_text())
    found = [path for path in EXAMPLES.rglob("*") if path.suffix in (".json", ".yaml")]
    assert sorted(listed) == sorted(str(path.relative_to(EXAMPLES)) for path in found)


@pytest.mark.parametrize(
    ("file", "provider", "path", "url"),
    [
        ("company-gateway", "openai", CHAT, "https://llm.corp.example/openai/v1/chat/completions"),
        (
            "azure",
            "azure_openai",
            "/openai/deployments/mine/chat/completions",
            "https://my-resource.openai.azure.com/openai/deployments/mine/chat/completions",
        ),
        ("lab", "lab", CHAT, "http://lab.corp.example:8000/v1/chat/completions"),
        ("lab", "ollama", CHAT, "http://localhost:11434/v1/chat/completions"),
    ],
)
def test_a_file_of_providers_leads_where_it_says(
    tmp_path: Path, file: str, provider: str, path: str, url: str
) -> None:
    shutil.copy(EXAMPLES / "providers" / f"{file}.yaml", tmp_path / "providers.yaml")
    config = load_config(environ={}, cwd=tmp_path, home=tmp_path)
    catalogue = load_catalogue(config, tmp_path, tmp_path, {})
    policy = compile(parse(json.dumps({"base_key_env": "A_PAT", "default_provider": provider})))
    defaults = Defaults(config.default_provider, config.server.upstream_url)
    attempts, _ = plan(policy, catalogue, defaults, Aim(path, "a-model", modelled=True), {})
    assert [attempt.target.origin + attempt.target.path for attempt in attempts] == [url]


def test_the_practice_configuration_leads_nowhere_else(tmp_path: Path) -> None:
    path = str(EXAMPLES / "practice.yaml")
    config = load_config(path=path, environ={}, cwd=tmp_path, home=tmp_path)
    assert config.warnings == []
    catalogue = load_catalogue(config, tmp_path, tmp_path, {})
    urls = {provider.upstream_url for name in ("openai", "anthropic") if (provider := catalogue.get(name))}
    assert urls | {config.server.upstream_url} == {"http://127.0.0.1:9009"}
