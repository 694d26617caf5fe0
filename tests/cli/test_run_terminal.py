"""Gateways and runs as a newcomer has them: in terminals, interrupted, killed, and several at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.gateways import Home
from tests.cli.terminal import Terminal
from tests.fake_provider import FakeProvider
from tests.support.environment import BIN
from tests.support.proxy import Proxy

AGENT = [sys.executable, str(Path(__file__).with_name("small_agent.py"))]
KEYS = {"OPENAI_API_KEY": "sk-real-openai-0123456789"}
wait_for = Proxy.wait_for


@pytest.fixture
def home(tmp_path: Path, fake_provider: FakeProvider) -> Iterator[Home]:
    made = Home(tmp_path, fake_provider.url)
    yield made
    made.end()


def terminal(home: Home, *words: str, **environ: str) -> Terminal:
    command = [BIN / "tokenomics-cli", *home.flags, *words]
    return Terminal(command, cwd=home.folder, environ=home.environ | environ)


def test_a_newcomer_with_two_terminals(home: Home, fake_provider: FakeProvider) -> None:
    """The keys are only where the gateway runs."""
    with terminal(home, "serve", **KEYS) as first:
        first.wait_for("Tokenomics is ready on")
        process = home.process()
        with terminal(home, "run", *AGENT, "hello", "--exit", "7") as second:
            assert second.end() == 7, second.text
            assert "status 200" in second.text
            assert second.text.splitlines()[-1].startswith("tokenomics: 1 request, ")
        assert process.alive
        first.type("\x03")
        assert first.end() == 0
    assert not process.alive
    assert not home.pid_file.exists()


def test_ctrl_c_in_mid_stream(home: Home, fake_provider: FakeProvider) -> None:
    fake_provider.script([{"do": "slow-stream", "delay": 0.1, "tokens": 600}])
    with terminal(home, "run", *AGENT, "--stream", "hello", **KEYS) as window:
        window.wait_for("data: ")
        process = home.process()
        window.type("\x03")
        assert window.end() == 130, window.text
    last = window.text.splitlines()[-1]
    assert last.startswith("tokenomics: 1 request, "), window.text
    assert " 0 tokens" not in last
    assert "Traceback" in window.text.partition("data: ")[2]
    assert "tokenomics_cli" not in window.text
    # What the run started is gone with it.
    assert not process.alive
    assert not home.pid_file.exists()


def test_two_runs_share_a_gateway_and_the_last_one_ends_it(home: Home) -> None:
    with (
        terminal(home, "run", *AGENT, "--wait", "one", **KEYS) as one,
        terminal(home, "run", *AGENT, "--wait", "two", **KEYS) as two,
    ):
        one.wait_for("waiting")
        two.wait_for("waiting")
        process = home.process()
        one.type("\n")
        assert one.end() == 0, one.text
        assert "tokenomics: 1 request, " in one.text
        assert process.alive
        two.type("\n")
        assert two.end() == 0, two.text
        assert "tokenomics: 1 request, " in two.text
        assert not process.alive


@pytest.mark.long
def test_a_killed_run_does_not_leave_its_gateway(home: Home) -> None:
    with terminal(home, "run", *AGENT, "--wait", **KEYS) as window:
        window.wait_for("waiting")
        process = home.process()
        window.process.kill()
        wait_for(lambda: process.alive, lambda alive: not alive, 20)
    assert not home.pid_file.exists()


def test_a_gateway_that_is_kept_stays_whoever_uses_it_next(home: Home) -> None:
    done = home.run(*home.flags, "run", "--keep", *AGENT, **KEYS)
    assert done.returncode == 0, done.stderr
    kept = home.process()
    assert home.run(*home.flags, "run", *AGENT, **KEYS).returncode == 0
    assert kept.alive


def test_signals_are_passed_on(home: Home) -> None:
    """Without a terminal that would send them to both."""
    with subprocess.Popen(
        [BIN / "tokenomics-cli", *home.flags, "run", *AGENT, "--wait"],
        cwd=home.folder,
        env=home.environ | KEYS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        process = home.process()
        os.kill(child.pid, signal.SIGTERM)
        _, told = child.communicate(timeout=60)
    assert child.returncode == 143, told
    assert not process.alive


def test_a_killed_command_leaves_a_terminal_that_can_be_used(home: Home) -> None:
    wild = "import os, tty; tty.setraw(0); os.kill(os.getpid(), 9)"
    with terminal(home, "run", sys.executable, "-c", wild, **KEYS) as window:
        before = window.echoes()
        assert window.end() == 137, window.text
        assert (before, window.echoes()) == (True, True)


@pytest.mark.long
def test_suspended_and_resumed_in_a_shell(home: Home) -> None:
    shell = ["bash", "--norc", "--noprofile", "-i"]
    words = " ".join(map(str, [BIN / "tokenomics-cli", *home.flags, "run", *AGENT, "--wait", "hello"]))
    with Terminal(shell, cwd=home.folder, environ=home.environ | KEYS | {"PS1": "> "}) as window:
        window.type(f"{words}\n")
        window.wait_for("waiting\n")
        window.type("\x1a")
        window.wait_for("Stopped")
        # The shell reads what is typed once it has asked for it.
        window.wait_for("--wait hello\n> ")
        window.type("fg\n")
        window.wait_for("> fg\n")
        window.type("\n")
        window.wait_for("tokenomics: 1 request, ")
        window.type("exit $?\n")
        assert window.end() == 0, window.text
