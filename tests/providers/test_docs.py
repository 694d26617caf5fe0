"""docs/MULTI_MODEL_ROUTING.md says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tokenomics_core.config import Config
from tokenomics_core.policy import parse
from tokenomics_core.providers import Catalogue, load_catalogue, target
from tokenomics_core.providers.provider import ProviderFields

PAGE = (Path(__file__).parents[2] / "docs" / "MULTI_MODEL_ROUTING.md").read_text()
TABLES = [
    [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    for table in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE)
]


def table(heading: str) -> list[list[str]]:
    after = PAGE.partition(heading)[2]
    number = len(TABLES) - len(re.findall(r"(?:^\|.*\n)+", after, re.MULTILINE))
    return TABLES[number]


def block(language: str, number: int) -> str:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[number]


def catalogue(tmp_path: Path, text: str = "") -> Catalogue:
    providers = yaml.safe_load(text)["providers"] if text else {}
    return load_catalogue(Config(dir=tmp_path, providers=providers), tmp_path, tmp_path)


def test_the_catalogue(tmp_path: Path) -> None:
    shown = {}
    for names, url, auth, key, chat_path in table("## Provider catalogue"):
        for name in re.findall(r"`([^`]+)`", names):
            shown[name] = (url.strip("`"), auth, key.strip("`"), chat_path.strip("`"))
    found = {}
    for provider in catalogue(tmp_path):
        auth = (
            f"header `{provider.auth_header}`" if provider.auth_scheme == "header" else provider.auth_scheme
        )
        auth += ", or no key" if provider.key_optional else ""
        url = "as `google_gemini" if provider.name == "gemini" else provider.upstream_url
        found[provider.name] = (url, auth, provider.api_key_env, provider.chat_path)
    assert shown == found


def test_the_fields() -> None:
    assert {row[0].strip("`") for row in table("### Changing it")} == set(ProviderFields.model_fields)


def test_the_joins() -> None:
    rows = table("### How URL and path are joined")
    assert len(rows) == 5
    for base, path, url in rows:
        assert target(base.strip("`"), path.strip("`")).url == url.strip("`")


def test_the_overrides(tmp_path: Path) -> None:
    found = catalogue(tmp_path, block("yaml", 0))
    openai, azure, ollama = found.get("openai"), found.get("azure"), found.get("ollama")
    assert openai is not None
    assert azure is not None
    assert ollama is not None
    assert openai.headers == {"x-cost-center": "4711"}
    assert openai.api_key_env == "OPENAI_API_KEY"
    assert azure.parameters == {"resource": "my-resource"}
    assert ollama.chat_path == ""
    assert found.get("xai") is None
    assert found.get("lab")


@pytest.mark.parametrize("number", [0, 1])
def test_the_policies(number: int) -> None:
    policy = parse(block("json", number))
    assert list(policy.providers) == list(json.loads(block("json", number))["providers"])
