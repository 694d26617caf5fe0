"""`run` against the fake provider, with a small agent: what it gives, and what it says afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.gateways import Home, stranger
from tests.fake_provider import FakeProvider
from tests.support.environment import BIN

AGENT = [sys.executable, str(Path(__file__).with_name("small_agent.py"))]
KEY, OTHER = "sk-real-openai-0123456789", "sk-ant-real-0123456789"
KEYS = {"OPENAI_API_KEY": KEY, "ANTHROPIC_PAT": OTHER, "GROQ_API_KEY": "gsk_real-0123456789"}


@pytest.fixture(scope="module")
def background(tmp_path_factory: pytest.TempPathFactory, provider_server: FakeProvider) -> Iterator[Home]:
    """A home whose gateway runs in the background, for the runs of this file."""
    home = Home(tmp_path_factory.mktemp("home"), provider_server.url)
    assert home.run(*home.flags, "start", **KEYS).returncode == 0
    yield home
    home.end()


@pytest.fixture
def home(background: Home, fake_provider: FakeProvider) -> Home:
    return background


def run(home: Home, *words: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    return home.run(*home.flags, "run", *words, stdin=stdin, **(KEYS | environ))


def rows(home: Home) -> list[dict[str, str]]:
    done = home.run(*home.flags, "ledger", "export", "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_exit_code_output_and_last_line(home: Home, fake_provider: FakeProvider) -> None:
    done = run(home, *AGENT, "hello", "--exit", "7")
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith("status 200\n")
    [line] = done.stderr.splitlines()
    assert line.startswith("tokenomics: 1 request, ")
    assert f"ledger: {home.data / 'ledger.db'}, tokenomics-cli ledger summary --token " in line
    assert fake_provider.last.key == KEY
    # The token is gone, its row stays, and the gateway that somebody started stays too.
    assert json.loads(home.run(*home.flags, "token", "list", "--json").stdout) == []
    hash = line.rpartition(" ")[2]
    assert [row["token_hash"][:12] for row in rows(home)][-1] == hash
    assert home.process().alive


def test_a_killed_command_gives_128_and_the_signal(home: Home) -> None:
    assert run(home, *AGENT, "--kill", "9").returncode == 137


def test_arguments_after_the_command_are_its_own(home: Home) -> None:
    words = ["-h", "--tls=false", "--dir", "x", "--", "--token", "y"]
    echo = "import sys; print(sys.argv[1:])"
    for before in ([], ["--"]):
        done = run(home, *before, sys.executable, "-c", echo, *words)
        assert (done.returncode, done.stdout) == (0, f"{words}\n"), done.stderr
    assert "no request came through the gateway" in done.stderr


def test_no_real_key_is_left_to_the_command(home: Home) -> None:
    done = run(home, *AGENT, "--show-env")
    given = json.loads(done.stdout)
    assert not {KEY, OTHER, KEYS["GROQ_API_KEY"]} & set(given.values())
    assert given["OPENAI_API_KEY"] == given["TOKENOMICS_KEY"]
    assert given["TOKENOMICS_KEY"].startswith("tkn_")
    assert given["OPENAI_BASE_URL"] == f"{home.url}/v1"
    assert "NODE_TLS_REJECT_UNAUTHORIZED" not in given
    kept = json.loads(run(home, "--keep-keys", "--insecure", *AGENT, "--show-env").stdout)
    assert kept["NODE_TLS_REJECT_UNAUTHORIZED"] == "0"
    assert (kept["GROQ_API_KEY"], kept["OPENAI_API_KEY"][:4]) == (KEYS["GROQ_API_KEY"], "tkn_")
    shown = run(home, "--print-env", *AGENT)
    assert f"  OPENAI_BASE_URL={home.url}/v1\n" in shown.stderr
    assert "  GROQ_API_KEY (removed)\n" in shown.stderr
    assert not [line for line in shown.stderr.splitlines() if "=tkn_" in line and "..." not in line]


def test_what_was_refused_and_masked_is_told(home: Home, fake_provider: FakeProvider) -> None:
    mask = '{"rules": [{"name": "mail", "type": "pii", "detect": ["email"], "action": "mask"}]}'
    done = run(home, "--policy", mask, *AGENT, "write to a.person@example.com")
    assert "1 masked (mail)" in done.stderr, done.stderr
    assert "a.person@example.com" not in str(fake_provider.last.body)
    done = run(home, "--budget", "0.000000001", *AGENT, "hello")
    assert "tokenomics: 1 request, 0 tokens, $0.00, 1 refused (budget_exceeded)" in done.stderr
    done = run(home, "--model", "gpt-4.1", *AGENT, "hello")
    assert "1 refused (model_not_allowed)" in done.stderr


def test_rows_know_session_and_repository(home: Home, tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    for words in (["init", "-q", "-b", "side"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    done = subprocess.run(
        [BIN / "tokenomics-cli", *home.flags, "run", "--session", "nightly", *AGENT, "hello"],
        cwd=tmp_path,
        env=home.environ | KEYS,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    row = rows(home)[-1]
    assert (row["session_id"], row["branch"], row["repo"]) == ("nightly", "side", str(tmp_path))


def test_a_token_that_is_there(home: Home) -> None:
    policy = json.dumps({"base_key_env": "OPENAI_API_KEY"})
    made = json.loads(home.run(*home.flags, "token", "create", "--policy", policy, "--json").stdout)
    done = run(home, *AGENT, "hello", TOKENOMICS_KEY=made["token"])
    assert made["hash"][:12] in done.stderr
    assert run(home, "--budget", "1", *AGENT, TOKENOMICS_KEY=made["token"]).returncode == 1
    assert home.run(*home.flags, "token", "delete", "--hash", made["hash"]).returncode == 0
    done = run(home, "--token", made["token"], *AGENT, "hello")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the token is not known in ")


def test_through_the_proxy(home: Home, fake_provider: FakeProvider) -> None:
    done = run(home, "--via", "proxy", *AGENT, "--show-env")
    given = json.loads(done.stdout)
    assert given["HTTPS_PROXY"] == given["https_proxy"] == home.url
    assert Path(given["NODE_EXTRA_CA_CERTS"]) == home.data / "certs" / "ca.crt"
    assert Path(given["SSL_CERT_FILE"]).exists()
    assert "OPENAI_BASE_URL" not in given


def test_what_cannot_be_run_starts_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    cases = [
        ((), 1, "no command to execute"),
        (("no-such-program",), 127, "no-such-program was not found"),
        ((str(tmp_path),), 126, "cannot be executed"),
        (AGENT, 1, "no key of openai is set; export OPENAI_API_KEY"),
        (("--budget", "much", *AGENT), 1, "--budget takes US dollars"),
        (("--env-key", "A", *AGENT), 1, "give both"),
        (("--provider", "groq", *AGENT), 1, "no key of groq is set"),
    ]
    for words, code, said in cases:
        done = home.run(*home.flags, "run", *words)
        assert (done.returncode, done.stdout) == (code, ""), words
        [line] = done.stderr.splitlines()
        assert line.startswith("Error: ")
        assert said in line
    dry = home.run(*home.flags, "run", "--dry-run", "--budget", "2.5", *AGENT, **KEYS)
    assert dry.returncode == 0, dry.stderr
    assert f"Gateway:  {home.url} (would be started)\n" in dry.stdout
    assert '"limit":"2.5"' in dry.stdout
    assert not home.pid_file.exists()


def test_a_stranger_gets_no_token(tmp_path: Path, fake_provider: FakeProvider) -> None:
    home = Home(tmp_path, fake_provider.url)
    with stranger() as other:
        config = (tmp_path / "config.yaml").read_text().replace(str(home.port), str(other.port))
        (tmp_path / "config.yaml").write_text(config)
        for words in (["--port", str(other.port)], ["--proxy-url", f"http://127.0.0.1:{other.port}"]):
            done = run(home, *words, *AGENT, "hello")
            assert done.returncode == 1, done.stderr
            assert done.stderr.startswith("Error: ")
        # Where no port was asked for, another one will do.
        done = run(home, *AGENT, "hello")
        assert (done.returncode, done.stdout[:10]) == (0, "status 200"), done.stderr
        assert f"tokenomics: http://localhost:{other.port} is taken" in done.stderr
        assert not [head for head in other.heads if "tkn_" in head or "POST" in head]
    assert not home.pid_file.exists()
