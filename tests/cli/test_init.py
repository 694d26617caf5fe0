"""tokenomics-cli init: what it prints, and the files it writes."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

from tests.cli.program import Program
from tokenomics_core.agents import load_profiles

TOKEN = "tkn_ac31680d-9aae-41fb-a9bc-03ff101f3ee5"
KEY = {"TOKENOMICS_KEY": TOKEN}
CLAUDE = ".claude/settings.local.json"


def printed(program: Program, *words: str, **environ: str) -> dict[str, Any]:
    done = program.run("init", *words, "--output", "json", **KEY, **environ)
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)) == sorted(json.loads(done.stdout))
    return dict(json.loads(done.stdout))


def files(program: Program) -> set[str]:
    found = program.folder.rglob("*")
    return {str(path.relative_to(program.folder)) for path in found if path.is_file()} - {"guard.log"}


def test_without_anything_an_openai_client_works(program: Program) -> None:
    done = program.run("init", **KEY)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f'export OPENAI_API_KEY="{TOKEN}"\nexport OPENAI_BASE_URL="http://localhost:8080/v1"\n'
    )
    assert files(program) == set()


def test_the_token_is_needed(program: Program) -> None:
    done = program.run("init")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: no token provided: use --token flag or set $TOKENOMICS_KEY\n"
    assert TOKEN in program.run("init", "--token", TOKEN).stdout


@pytest.mark.parametrize(
    ("words", "environ", "url"),
    [
        (["--proxy-url", "https://gw.corp:9/"], {}, "https://gw.corp:9"),
        ([], {"TOKENOMICS_PROXY_URL": "http://gw.corp"}, "http://gw.corp"),
        (["--port", "8090"], {}, "http://localhost:8090"),
        (["--host", "gw.corp", "--tls"], {}, "https://gw.corp:8443"),
        (["claude", "--tls=true"], {}, "https://localhost:8443"),
        (["--tls=false"], {"TOKENOMICS_SERVER_HTTP_PORT": "0"}, "http://localhost:8080"),
        ([], {"TOKENOMICS_SERVER_HTTP_PORT": "0"}, "https://localhost:8443"),
    ],
)
def test_where_the_gateway_is(program: Program, words: list[str], environ: dict[str, str], url: str) -> None:
    found = printed(program, "--provider", "anthropic", *words, **environ)
    assert found["ANTHROPIC_BASE_URL"] == url


def test_providers(program: Program) -> None:
    found = printed(program, "--provider", "groq")
    assert found == {"GROQ_API_KEY": TOKEN, "GROQ_BASE_URL": "http://localhost:8080/v1"}
    everything = printed(program, "--provider", "all")
    assert {"OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "XAI_API_KEY"} < set(
        everything
    )
    own = printed(program, "--env-key", "K", "--env-base-url", "B")
    assert own == {"K": TOKEN, "B": "http://localhost:8080"}
    assert printed(program, "--insecure")["NODE_TLS_REJECT_UNAUTHORIZED"] == "0"


def test_agents_by_name_and_by_cli_maps(program: Program) -> None:
    assert set(printed(program, "claude")) == {"ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"}
    (program.folder / "config.yaml").write_text("cli_maps: {mytool: groq}\n")
    assert set(printed(program, "mytool")) == {"GROQ_API_KEY", "GROQ_BASE_URL"}
    (program.folder / "agents.yaml").write_text("agents: {mytool: {key: [MY_KEY], base_url: ['U={url}']}}\n")
    assert {"MY_KEY", "U"} <= set(printed(program, "mytool"))
    (program.folder / "agents.yaml").write_text("agents: {mytool: {keys: [MY_KEY]}}\n")
    done = program.run("init", "mytool", **KEY)
    assert done.returncode == 1
    assert done.stderr.endswith("agents.yaml: agents.mytool.keys is no known key; take it out\n")


def test_the_proxy_way_trusts_the_gateway_where_its_ca_is(program: Program) -> None:
    missing = program.run("init", "claude", "--via", "proxy", **KEY)
    assert "Note: the gateway's CA is not here" in missing.stderr
    assert TOKEN not in missing.stderr
    certs = program.folder / "home" / ".tokenomics" / "certs"
    certs.mkdir(parents=True)
    (certs / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\nOURS\n-----END CERTIFICATE-----\n")
    found = printed(program, "claude", "--via", "proxy")
    assert found["NODE_EXTRA_CA_CERTS"] == str(certs / "ca.crt")
    assert "OURS" in Path(found["SSL_CERT_FILE"]).read_text()
    assert found["HTTPS_PROXY"] == f"http://tokenomics:{TOKEN}@localhost:8080"
    # Another machine's gateway has another CA.
    assert "SSL_CERT_FILE" not in printed(program, "claude", "--via", "proxy", "--proxy-url", "http://gw:1")
    other = program.folder / "gw.crt"
    other.write_bytes((certs / "ca.crt").read_bytes())
    words = ["claude", "--proxy-url", "https://gw:1", "--ca", str(other)]
    assert printed(program, *words)["NODE_EXTRA_CA_CERTS"] == str(other)
    assert "ANTHROPIC_API_KEY" not in printed(program, "claude", "--own-login")


def test_what_variables_cannot_do_is_said(program: Program) -> None:
    done = program.run("init", "codex", ANTHROPIC_AUTH_TOKEN="x", **KEY)
    assert "start it as: codex -c 'openai_base_url=\"http://localhost:8080/v1\"'" in done.stderr
    done = program.run("init", "claude", ANTHROPIC_AUTH_TOKEN="real", **KEY)
    assert done.stdout.startswith("unset ANTHROPIC_AUTH_TOKEN\n")
    done = program.run("init", "claude", "--output", "json", ANTHROPIC_AUTH_TOKEN="real", **KEY)
    assert "would lead around the gateway: ANTHROPIC_AUTH_TOKEN" in done.stderr


def test_dotenv(program: Program) -> None:
    path = program.folder / ".env"
    path.write_text("# mine\nOPENAI_API_KEY=sk-real\nOTHER=1")
    path.chmod(0o644)
    done = program.run("init", "--output", "dotenv", **KEY)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        "Updated .env\n  OPENAI_API_KEY=tkn_...3ee5\n  OPENAI_BASE_URL=http://localhost:8080/v1\n"
    )
    text = f'# mine\nOPENAI_API_KEY="{TOKEN}"\nOTHER=1\nOPENAI_BASE_URL="http://localhost:8080/v1"\n'
    assert path.read_text() == text
    assert path.stat().st_mode & 0o777 == 0o600
    again = program.run("init", "--output", "dotenv", **KEY)
    assert again.stderr.startswith(".env is up to date\n")
    assert path.read_text() == text
    program.run("init", "--output", "dotenv", "--dotenv", "sub/other.env", **KEY)
    assert dotenv_values(program.folder / "sub" / "other.env")["OPENAI_API_KEY"] == TOKEN
    assert files(program) == {".env", "sub/other.env"}


def test_claude_code_settings_are_merged(program: Program) -> None:
    path = program.folder / CLAUDE
    path.parent.mkdir()
    before = {"permissions": {"allow": ["Bash"]}, "env": {"MINE": "1", "ANTHROPIC_API_KEY": "sk-old"}}
    path.write_text(json.dumps(before))
    done = program.run("init", "--agent", "claude-code", **KEY)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        f"Updated {CLAUDE} (the old one is settings.local.json.bak)\n"
        "  ANTHROPIC_API_KEY=tkn_...3ee5\n"
        "  ANTHROPIC_BASE_URL=http://localhost:8080\n"
        "They hold the token: keep them out of repositories.\n"
        "Start the gateway with: tokenomics-cli start\n"
    )
    env = {"MINE": "1", "ANTHROPIC_API_KEY": TOKEN, "ANTHROPIC_BASE_URL": "http://localhost:8080"}
    assert json.loads(path.read_text()) == {**before, "env": env}
    backup = path.with_name("settings.local.json.bak")
    assert json.loads(backup.read_text()) == before
    for each in (path, backup):
        assert each.stat().st_mode & 0o777 == 0o600
    again = program.run("init", "--agent", "claude-code", **KEY)
    assert again.stderr.startswith(f"{CLAUDE} is up to date\n")
    assert json.loads(backup.read_text()) == before


@pytest.mark.parametrize("text", ["{ not json", '{"env": [1]}', "[]"])
def test_a_file_that_cannot_be_read_stays(program: Program, text: str) -> None:
    path = program.folder / CLAUDE
    path.parent.mkdir()
    path.write_text(text)
    done = program.run("init", "--agent", "claude-code", **KEY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {CLAUDE} ")
    assert done.stderr.endswith("it was left as it is, correct it or use --output shell\n")
    assert done.stderr.count("\n") == 1
    assert (path.read_text(), files(program)) == (text, {CLAUDE})


def test_codex_config(program: Program) -> None:
    path = program.folder / "home" / ".codex" / "config.toml"
    path.parent.mkdir()
    path.write_text('# mine\nmodel = "o3" # the best\n\n[history]\nsave = true\n')
    done = program.run("init", "--agent", "codex", **KEY)
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    assert "# mine\n" in text
    assert "# the best" in text
    assert TOKEN not in text
    tree = tomllib.loads(text)
    assert (tree["model"], tree["history"]) == ("o3", {"save": True})
    assert tree["model_provider"] == "tokenomics"
    assert tree["model_providers"]["tokenomics"]["base_url"] == "http://localhost:8080/v1"
    assert tree["model_providers"]["tokenomics"]["env_key"] == "TOKENOMICS_KEY"
    assert "set $TOKENOMICS_KEY" in done.stderr
    moved = program.run("init", "--agent", "codex", "--port", "9000", **KEY)
    assert moved.returncode == 0
    assert path.read_text() == text.replace("8080", "9000")


@pytest.mark.parametrize(
    ("agent", "written"),
    [
        ("gemini", {"home/.gemini/settings.json", "home/.gemini/.env"}),
        ("opencode", {"opencode.json"}),
        ("aider", {".env"}),
    ],
)
def test_other_agents(program: Program, agent: str, written: set[str]) -> None:
    for _ in range(2):
        done = program.run("init", "--agent", agent, **KEY)
        assert (done.returncode, done.stdout) == (0, "")
        assert TOKEN not in done.stderr
        assert files(program) == written
    text = "".join((program.folder / name).read_text() for name in written)
    assert "http://localhost:8080" in text
    assert "{url}" not in text
    assert "{env:TOKENOMICS_KEY}" in text if agent == "opencode" else TOKEN in text


def test_no_file_is_written_when_one_cannot_be(program: Program) -> None:
    path = program.folder / "home" / ".gemini" / ".env"
    path.parent.mkdir()
    path.write_bytes(b"\xff")
    done = program.run("init", "--agent", "gemini", **KEY)
    assert done.stderr.startswith(f"Error: {path} is not UTF-8; it was left as it is")
    assert files(program) == {"home/.gemini/.env"}


def test_files_name_a_base_url_also_for_an_agent_that_a_run_leads_by_proxy(program: Program) -> None:
    """Proxies and authorities are read when the agent starts; its files come too late for them."""
    done = program.run("init", "--agent", "gemini", **KEY)
    assert "HTTPS_PROXY" not in done.stderr
    text = (program.folder / "home" / ".gemini" / ".env").read_text()
    assert 'GOOGLE_GEMINI_BASE_URL="http://localhost:8080"' in text
    assert "PROXY" not in text
    settings = json.loads((program.folder / "home" / ".gemini" / "settings.json").read_text())
    assert settings["security"]["auth"]["selectedType"] == "gemini-api-key"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            ["--agent", "nobody"],
            "unknown agent: nobody (supported: claude-code, codex, gemini, opencode, aider)",
        ),
        (
            ["--output", "yaml"],
            "unknown output format: yaml (supported: shell, bash, zsh, fish, powershell, dotenv, json)",
        ),
        (["--via", "tunnel"], "unknown way: tunnel (supported: base-url, proxy, both)"),
        (["cursor-agent", "--via", "both"], "cursor-agent cannot be led by base-url; use --via proxy"),
        (["--env-key", "K"], "--env-key and --env-base-url stand for all other names; give both, or none"),
        (
            ["--env-key", "A;touch x", "--env-base-url", "B"],
            "'A;touch x' cannot be the name of a variable; use letters, digits and _",
        ),
        (["--own-login", "--via", "base-url"], "an agent that keeps its own login needs the proxy alone"),
        (["--ca", "/missing.crt"], "there is no CA file /missing.crt; copy the gateway's ca.crt there"),
        (["codex", "--agent", "codex"], "--agent already names the agent; leave the other name out"),
    ],
)
def test_mistakes(program: Program, words: list[str], error: str) -> None:
    done = program.run("init", *words, **KEY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {error}")
    assert done.stderr.count("\n") == 1


def test_the_guide_names_every_agent() -> None:
    nowhere = Path("/nonexistent")
    guide = (Path(__file__).parents[2] / "docs" / "AGENT_INTEGRATION.md").read_text()
    for profile in load_profiles(nowhere, nowhere, nowhere):
        row = re.search(rf"^\| [^|]*`{profile.name}`[^|]*\| `{profile.via}` \|", guide, re.MULTILINE)
        assert row is not None, profile.name
