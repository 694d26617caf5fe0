"""The built-in profiles, and those that people write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenomics_core.agents import Profiles, load_profiles
from tokenomics_core.config import ConfigError
from tokenomics_core.meter.session_id import AGENT_HEADERS
from tokenomics_core.providers import Catalogue


def test_every_agent_is_there(profiles: Profiles, catalogue: Catalogue) -> None:
    assert profiles.names() == (
        "claude codex gemini opencode aider goose openclaw cursor-agent python node curl generic".split()
    )
    commands = [command for profile in profiles for command in profile.commands]
    assert len(commands) == len(set(commands))
    for profile in profiles:
        assert catalogue.get(profile.provider) is not None
        assert set(profile.session_headers) <= set(AGENT_HEADERS)
        assert profile.quirks


@pytest.mark.parametrize(
    ("command", "name", "provider"),
    [
        ("claude", "claude", "anthropic"),
        ("/usr/local/bin/Claude", "claude", "anthropic"),
        (r"C:\tools\codex.cmd", "codex", "openai"),
        ("python3.12", "python", "generic"),
        ("./.venv/bin/python", "python", "generic"),
        ("gcloud", "gemini", "gemini"),
        ("mytool", "generic", "groq"),
        ("other", "generic", "generic"),
    ],
)
def test_of_command(profiles: Profiles, command: str, name: str, provider: str) -> None:
    found = profiles.of_command(command, {"mytool": "groq"})
    assert (found.name, found.provider) == (name, provider)


def test_the_configuration_says_which_provider_a_command_uses(profiles: Profiles) -> None:
    found = profiles.of_command("aider", {"aider": "anthropic"})
    assert (found.name, found.provider) == ("aider", "anthropic")


def test_a_file_changes_entries_field_by_field_and_adds_some(tmp_path: Path) -> None:
    (tmp_path / "agents.yaml").write_text(
        "agents:\n"
        "  claude: {via: proxy}\n"
        "  crush: {provider: anthropic, base_url: ['ANTHROPIC_BASE_URL={url}'], key: [ANTHROPIC_API_KEY]}\n"
    )
    found = load_profiles(Path("/nonexistent"), Path("/nonexistent"), tmp_path)
    claude, crush = found.get("claude"), found.get("crush")
    assert claude is not None
    assert (claude.via, claude.key) == ("proxy", ["ANTHROPIC_API_KEY"])
    assert crush is not None
    assert found.of_command("/bin/crush") is crush


def test_null_takes_an_agent_away(tmp_path: Path) -> None:
    (tmp_path / "agents.yaml").write_text("agents: {goose: null, generic: null}\n")
    found = load_profiles(tmp_path, Path("/nonexistent"), Path("/nonexistent"))
    assert "goose" not in found.names()
    assert found.of_command("goose").name == "generic"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("claude: {}", "needs the one key 'agents' at its top"),
        ("agents: [1]", "needs the one key 'agents' at its top"),
        ("agents: {x: 1}", "agents.x is not a map"),
        ("agents: {x: {vai: proxy}}", "agents.x.vai is no known key; take it out"),
        ("agents: {x: {via: tunnel}}", "agents.x.via is 'tunnel'; write one of base-url, proxy, both"),
        (
            "agents: {x: {key: ['A B']}}",
            "agents.x.key[0] is 'A B'; write the name of an environment variable",
        ),
        ("agents: {x: {base_url: [A]}}", "agents.x.base_url[0] is 'A'; write NAME=value"),
        ("agents: {x: {ways: [proxy]}}", "via is base-url, which is not among its ways"),
        ("agents: {x: {json_content: '['}}", "agents.x.json_content is '['; write a JSON object"),
        ("agents: {'a b': {}}", "agents.a b is no agent's name"),
        ("agents: {x: {}, X: {}}", "invalid YAML in line 1: the key 'x' stands twice"),
    ],
)
def test_mistakes_are_said_in_one_line(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "agents.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_profiles(tmp_path, Path("/nonexistent"), Path("/nonexistent"))
    assert str(caught.value).startswith(f"{tmp_path / 'agents.yaml'}: ")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
