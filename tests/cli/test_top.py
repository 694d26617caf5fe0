"""top: the picture of a gateway that works, and its keys, in a terminal."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.program import Program
from tests.fake_provider import FakeProvider
from tests.support.proxy import Proxy
from tokenomics_cli.top_view import open_requests

POLICY = {
    "base_key_env": "OPENAI_API_KEY",
    "default_provider": "openai",
    "budgets": [{"limit": 10, "period": "day"}],
    "session": {"budget_usd": 4},
}


class Terminal:
    """A terminal of 100 times 30 with one program in it, by tmux."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = str(folder / "tmux")

    def start(self, command: list[str], environ: dict[str, str]) -> None:
        given = [word for name, value in environ.items() for word in ("-e", f"{name}={value}")]
        # The trap keeps the shell alive at Ctrl-C, which goes to both.
        noting = ["sh", "-c", 'trap : INT; "$@"; echo $? > "$0"', str(self.folder / "status")]
        quiet = self.folder / "tmux.conf"
        quiet.write_text("set -g remain-on-exit on\nset -g status off\n")
        self._tmux("-f", str(quiet), "new-session", "-d", "-x", "100", "-y", "30", *given, *noting, *command)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def wait(self, text: str) -> str:
        return Proxy.wait_for(self.screen, lambda screen: text in screen, 60)

    def exit_status(self) -> str:
        """Of the program, once it has ended. From a file: tmux does not always learn of it."""
        status = self.folder / "status"
        return Proxy.wait_for(lambda: status.read_text() if status.exists() else "", bool, 60).strip()

    def end(self) -> None:
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True, check=False)

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self.socket, *words], capture_output=True, text=True, cwd=self.folder, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    try:
        yield terminal
    finally:
        terminal.end()


def ask(proxy: Proxy, token: str, session: str = "", model: str = "gpt-4o-mini") -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} | ({"x-session-id": session} if session else {})
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    with httpx.Client(trust_env=False) as client:
        return client.post(f"{proxy.http_url}/v1/chat/completions", json=body, headers=headers, timeout=20)


def test_nothing_is_there_and_nothing_is_made(program: Program) -> None:
    done = program.run("--dir", str(program.data), "top", "--once", TOKENOMICS_SERVER_HTTP_PORT="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no gateway runs at the configured ports" in done.stdout
    assert "No tokens yet" in done.stdout
    assert "\x1b" not in done.stdout
    assert not program.data.exists()


def test_what_is_open() -> None:
    assert open_requests("") is None
    assert open_requests("# HELP x\ntokenomics_open_streams 2.0\n") == 2
    both = 'tokenomics_open_streams{provider="a"} 1.0\ntokenomics_requests_in_flight 3.0\n'
    assert open_requests(both) == 3
    assert open_requests('tokenomics_open_streams{provider="a"} 1.0\ntokenomics_open_streams{b="c"} 2\n') == 3


def test_a_picture_and_a_session_frozen_from_it(
    tmp_path: Path, fake_provider: FakeProvider, terminal: Terminal
) -> None:
    with Proxy(tmp_path / "proxy", fake_provider.url) as proxy:
        made = proxy.create_token(POLICY, label="blue [team]")
        assert ask(proxy, made["token"], "nightly-run").status_code == 200
        assert ask(proxy, made["token"], "other-run").status_code == 200
        proxy.cli("session", "set-budget", "other-run", "0", "--token", made["hash"])
        assert ask(proxy, made["token"], "other-run").status_code == 429
        proxy.rows(3)

        once = proxy.cli("top", "--once")
        assert (once.returncode, once.stderr) == (0, "")
        assert f"http://localhost:{proxy.http_port} (version " in once.stdout
        assert f"{made['hash'][:8]} blue [team]" in once.stdout
        assert "nightly-run" in once.stdout
        assert "<$0.0001" in once.stdout
        assert "%" in once.stdout
        assert "Last refusals" in once.stdout
        assert "\x1b" not in once.stdout

        told = json.loads(proxy.cli("top", "--json").stdout)
        assert told["gateway"] == f"http://localhost:{proxy.http_port}"
        assert {each["session"] for each in told["items"]} == {None, "nightly-run", "other-run"}
        assert told["refusals"][0]["reason"] == "budget_exceeded"
        assert told["last_minute"]["requests"] == 3

        terminal.start(proxy.command("top", "--every", "0.5"), proxy.environ)
        screen = terminal.wait("q quit")
        rows = [line for line in screen.splitlines() if made["hash"][:8] in line]
        assert rows[0].lstrip().startswith(">")
        at = next(index for index, line in enumerate(rows) if "nightly-run" in line)
        # One by one: each picture shows where the cursor is.
        for step in range(1, at + 1):
            terminal.press("Down")
            terminal.wait("> ")
            Proxy.wait_for(
                terminal.screen,
                lambda shown, step=step: [
                    line.lstrip().startswith(">") for line in shown.splitlines() if made["hash"][:8] in line
                ][step],
                60,
            )
        terminal.press("f")
        screen = terminal.wait("session nightly-run frozen for 1h")
        terminal.wait("FROZEN")
        refused = ask(proxy, made["token"], "nightly-run")
        assert refused.status_code in (403, 429)
        assert "frozen" in refused.text.lower()
        terminal.press("u")
        terminal.wait("session nightly-run unfrozen")
        assert ask(proxy, made["token"], "nightly-run").status_code == 200
        terminal.press("q")
        assert terminal.exit_status() == "0"
        [nightly] = [
            each
            for each in json.loads(proxy.cli("session", "list", "--json").stdout)
            if each["session_id"] == "nightly-run"
        ]
        assert nightly["is_frozen"] is False


def test_a_token_is_frozen_whole(tmp_path: Path, fake_provider: FakeProvider, terminal: Terminal) -> None:
    with Proxy(tmp_path / "proxy", fake_provider.url) as proxy:
        made = proxy.create_token(POLICY)
        assert ask(proxy, made["token"], "a-run").status_code == 200
        terminal.start(proxy.command("top"), proxy.environ)
        terminal.wait("q quit")
        terminal.press("f")
        terminal.wait(f"token {made['hash'][:8]} frozen for 1h")
        assert ask(proxy, made["token"], "a-run").status_code in (403, 429)
        assert ask(proxy, made["token"]).status_code in (403, 429)
        # Ctrl-C leaves the terminal as it was.
        terminal.press("C-c")
        assert terminal.exit_status() == "130"
