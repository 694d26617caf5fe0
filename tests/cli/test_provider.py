from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.program import Program
from tests.fake_provider import FakeProvider
from tests.support.certificates import TestAuthority
from tests.support.ports import free_ports

KEY = "sk-real-0123456789abcdef"


class Providers:
    """The provider commands, with entries that lead to the fake provider."""

    def __init__(self, program: Program, entries: dict[str, Any], **config: Any) -> None:
        self.program = program
        self.path = program.folder / "config.yaml"
        self.path.write_text(yaml.safe_dump({"providers": entries, **config}))

    def run(self, *words: str, **environ: str) -> Any:
        return self.program.run(
            "--config", str(self.path), "--dir", str(self.program.data), "provider", *words, **environ
        )


def entry(url: str, **fields: Any) -> dict[str, Any]:
    return {"upstream_url": url, "api_key_env": "MY_KEY", **fields}


def test_the_list_as_a_table_and_as_json(program: Program) -> None:
    long = "https://a-very-long-host-name.internal.example/base/path"
    providers = Providers(program, {"mine": entry(long, auth_scheme="none", api_key_env="", models=["m1"])})
    lines = providers.run("list", OPENAI_API_KEY=KEY).stdout.splitlines()
    assert lines[0].split() == ["NAME", "UPSTREAM", "AUTH", "API", "KEY", "ENV", "KEY?", "MODELS"]
    assert set(lines[1]) == {"-", " "}
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:]}
    assert rows["mine"] == [long[:37] + "...", "none", "n/a", "1"]
    assert rows["openai"][:4] == ["https://api.openai.com", "bearer", "OPENAI_API_KEY", "yes"]
    assert rows["anthropic"][3] == "no"
    assert list(rows) == sorted(rows)
    done = providers.run("list", "--json", OPENAI_API_KEY=KEY)
    assert done.stdout == providers.run("list", "--output", "json", OPENAI_API_KEY=KEY).stdout
    listed = {each["name"]: each for each in json.loads(done.stdout)}
    assert list(listed) == list(rows)
    assert listed["anthropic"] == {
        "name": "anthropic",
        "upstream_url": "https://api.anthropic.com",
        "auth_scheme": "header",
        "api_key_env": "ANTHROPIC_API_KEY",
        "key_set": False,
        "chat_path": "/v1/messages",
        "model_count": 8,
    }
    assert KEY not in done.stdout
    assert providers.run("list", "--output", "xml").stderr == (
        "Error: unknown output format: xml; write table or json\n"
    )
    # A bare list asks for nothing and makes nothing.
    assert not program.data.exists()


def test_a_provider_is_asked_with_its_own_key(program: Program, fake_provider: FakeProvider) -> None:
    [nobody] = free_ports(1)
    providers = Providers(
        program,
        {
            "good": entry(fake_provider.url + "/base/v1"),
            "header": entry(fake_provider.url, auth_scheme="header", auth_header="x-api-key"),
            "query": entry(fake_provider.url, auth_scheme="query"),
            "bare": entry(fake_provider.url, chat_path="/else/chat"),
            "no-key": entry(fake_provider.url, api_key_env="NOT_SET"),
            "gone": entry(f"http://127.0.0.1:{nobody}"),
            "unfilled": entry("https://{resource}.example"),
        },
    )
    names = ("good", "header", "query", "bare", "no-key", "gone", "unfilled", "nope")
    done = providers.run("test", *names, MY_KEY=KEY)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: one or more providers failed connectivity test; ")
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert list(lines) == sorted(names)
    for name in ("good", "header", "query", "bare"):
        assert lines[name].startswith(f"{name:<16}  OK    "), lines[name]
        assert lines[name].endswith("ms")
    assert lines["no-key"] == f"{'no-key':<16}  AUTH  reachable but credentials invalid or missing"
    assert lines["gone"] == f"{'gone':<16}  FAIL  unreachable: nothing listens there"
    assert lines["unfilled"].startswith(f"{'unfilled':<16}  SKIP  ")
    assert lines["nope"] == f"{'nope':<16}  UNKNOWN (not in config)"
    assert KEY not in done.stdout + done.stderr
    asked = {(record.path, record.header("authorization") or record.key) for record in fake_provider.records}
    assert asked == {
        ("/base/v1/models", f"Bearer {KEY}"),
        ("/v1/models", KEY),
        ("/", f"Bearer {KEY}"),
        ("/v1/models", ""),
    }


def test_what_is_skipped_or_unknown_is_no_failure(program: Program, fake_provider: FakeProvider) -> None:
    providers = Providers(
        program, {"good": entry(fake_provider.url), "unfilled": entry("http://{a}.example")}
    )
    done = providers.run("test", "good", "unfilled", "nope", "--json", MY_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")
    told = {each["name"]: each for each in json.loads(done.stdout)}
    assert {name: each["result"] for name, each in told.items()} == {
        "good": "OK",
        "unfilled": "SKIP",
        "nope": "UNKNOWN",
    }
    assert told["good"]["status"] == 200
    # Without names, what has no key and what does not run on this machine is not a failure either.
    done = providers.run("test", "--json", MY_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")
    results = {each["name"]: each["result"] for each in json.loads(done.stdout)}
    assert results.pop("good") == "OK"
    assert set(results.values()) == {"SKIP"}
    assert {"openai", "ollama", "azure_openai"} <= set(results)


def test_a_redirect_is_not_followed(program: Program, fake_provider: FakeProvider) -> None:
    with FakeProvider() as elsewhere:
        fake_provider.script([{"do": "redirect", "location": f"{elsewhere.url}/v1/models"}])
        done = Providers(program, {"good": entry(fake_provider.url)}).run("test", "good", MY_KEY=KEY)
        assert "  OK    " in done.stdout
        assert len(fake_provider.records) == 1
        assert elsewhere.records == []


def test_proxies_of_the_environment_never_see_the_key(program: Program, fake_provider: FakeProvider) -> None:
    with FakeProvider() as elsewhere:
        proxies = {"HTTP_PROXY": elsewhere.url, "http_proxy": elsewhere.url, "ALL_PROXY": elsewhere.url}
        done = Providers(program, {"good": entry(fake_provider.url)}).run(
            "test", "good", MY_KEY=KEY, **proxies
        )
        assert done.returncode == 0
        assert elsewhere.records == []


def test_certificates_are_verified(
    program: Program, fake_provider: FakeProvider, authority: TestAuthority
) -> None:
    entries = {"good": entry(fake_provider.tls_url)}
    done = Providers(program, entries).run("test", "good", MY_KEY=KEY)
    assert done.returncode == 1
    assert "FAIL  unreachable: its certificate is not trusted" in done.stdout
    assert fake_provider.records == []
    done = Providers(program, entries).run("test", "good", "--insecure", MY_KEY=KEY)
    assert done.returncode == 0
    assert done.stderr.startswith("Warning: certificates are not checked")
    trusting = Providers(program, entries, server={"upstream_ca": str(authority.ca)})
    assert trusting.run("test", "good", MY_KEY=KEY).returncode == 0
    broken = Providers(program, entries, server={"upstream_ca": str(Path(__file__))})
    assert broken.run("test", "good", MY_KEY=KEY).stderr.startswith(
        "Error: server.upstream_ca cannot be read"
    )


@pytest.mark.parametrize(
    "value", ["tkn_00000000-0000-4000-8000-000000000000", "with\x01control", "schlüssel"]
)
def test_what_is_no_key_is_not_sent(program: Program, fake_provider: FakeProvider, value: str) -> None:
    done = Providers(program, {"good": entry(fake_provider.url)}).run("test", "good", MY_KEY=value)
    assert done.returncode == 1
    assert "FAIL  $MY_KEY holds " in done.stdout
    assert value not in done.stdout
    assert fake_provider.records == []


def test_models(program: Program) -> None:
    providers = Providers(program, {"mine": entry("http://localhost:1"), "xai": {"models": ["a", "b"]}})
    assert providers.run("models", "XAI").stdout == "a\nb\n"
    assert providers.run("models", "mine").stdout == "mine: no models configured\n"
    done = providers.run("models", "nope")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'Error: provider "nope" not found in config; provider list shows those that are\n'
    everything = providers.run("models").stdout
    assert "mine: (none)\n" in everything
    assert "xai:\n  a\n  b\n" in everything
    assert json.loads(providers.run("models", "--json").stdout)["xai"] == ["a", "b"]
    assert json.loads(providers.run("models", "mine", "--json").stdout) == []
