"""Completion as people have it: the printed script, in a real shell, for what is on this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import counted
from tests.cli.program import Program
from tests.support.environment import BIN

POLICY = '{"base_key_env":"K"}'

BASH = """
source <(tokenomics-cli completion bash)
COMP_WORDS=({words} "")
[ -n "{last}" ] && COMP_WORDS[${{#COMP_WORDS[@]}}-1]="{last}"
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_tokenomics_cli_completion tokenomics-cli
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

# zsh gives its completions to its line editor alone: so a shell with one, in a terminal of its own.
ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1=READY; unsetopt zle_bracketed_paste 2>/dev/null; autoload -Uz compinit && compinit -u -D'
zpty -w shell 'source <(tokenomics-cli completion zsh); zstyle ":completion:*" list-grouped false'
zpty -w shell 'LISTMAX=9999; zstyle ":completion:*" menu no; bindkey "^I" list-choices; COLUMNS=200'
zpty -w shell 'echo SET''UP'
zpty -r -m shell seen '*SETUP*'
zpty -n -w shell '{line}'$'\t'
zpty -n -w shell $'\x15echo DO''NE\n'
zpty -r -m shell seen '*DONE*'
print -r -- $seen
zpty -d shell
"""


@pytest.fixture
def here(program: Program) -> dict[str, str]:
    return program.environ | {"PATH": f"{BIN}:{program.environ['PATH']}", "TOKENOMICS_DIR": str(program.data)}


def bash(program: Program, environ: dict[str, str], words: str, last: str = "") -> list[str]:
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH.format(words=words, last=last)],
        env=environ,
        cwd=program.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash(program: Program, here: dict[str, str]) -> None:
    first = program.json("create", "--policy", POLICY, "--label", "team $(x) `y`")["hash"]
    second = program.json("create", "--policy", POLICY)["hash"]
    counted.spend(program, first, 10, "0.5", session="nightly-run")
    assert bash(program, here, "tokenomics-cli", "to") == ["token", "top"]
    assert "create" in bash(program, here, "tokenomics-cli token")
    assert "--policy" in bash(program, here, "tokenomics-cli token create", "--")
    assert bash(program, here, "tokenomics-cli token get --hash") == sorted([first, second])
    assert bash(program, here, "tokenomics-cli token get --hash", first[:6]) == [first]
    assert bash(program, here, "tokenomics-cli usage", second[:6]) == [second]
    assert bash(program, here, "tokenomics-cli session freeze", "night") == ["nightly-run"]
    assert bash(program, here, "tokenomics-cli provider models", "gro") == ["groq"]
    assert bash(program, here, "tokenomics-cli ledger summary --model", "grok-3") == ["grok-3", "grok-3-mini"]
    assert bash(program, here, "tokenomics-cli completion", "z") == ["zsh"]
    # Other places, as the line says them.
    elsewhere = "tokenomics-cli --dir nowhere token get --hash"
    assert bash(program, here, elsewhere) == []


@pytest.mark.long
def test_zsh(program: Program, here: dict[str, str]) -> None:
    hash = program.json("create", "--policy", POLICY, "--label", 'it\'s $(touch hit) `touch hit` "q"')["hash"]

    def offered(line: str) -> str:
        done = subprocess.run(
            ["zsh", "-f", "-c", ZSH.replace("{line}", line)],
            env=here | {"TERM": "dumb"},
            cwd=program.folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    shown = offered("tokenomics-cli to")
    assert "token" in shown
    assert "Create, inspect, change and delete wrapper tokens" in shown
    assert hash in offered("tokenomics-cli token get --hash ")
    assert "groq" in offered("tokenomics-cli provider models gro")
    assert not (program.folder / "hit").exists()


def test_fish(program: Program, here: dict[str, str]) -> None:
    hash = program.json("create", "--policy", POLICY, "--label", "blue team")["hash"]

    def offered(line: str) -> list[str]:
        script = f"tokenomics-cli completion fish | source; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", script],
            env=here,
            cwd=program.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert "token\tCreate, inspect, change and delete wrapper tokens." in offered("tokenomics-cli to")
    assert offered("tokenomics-cli token get --hash ") == [f"{hash}\tblue team"]


def test_powershell_has_a_script(program: Program) -> None:
    script = program.run("completion", "powershell").stdout
    assert "Register-ArgumentCompleter -Native -CommandName tokenomics-cli" in script
    asked = {
        "_TOKENOMICS_CLI_COMPLETE": "complete_powershell",
        "_TYPER_COMPLETE_ARGS": "tokenomics-cli tok",
        "_TYPER_COMPLETE_WORD_TO_COMPLETE": "tok",
    }
    assert program.run(**asked).stdout.splitlines() == [
        "token:::Create, inspect, change and delete wrapper tokens."
    ]


def test_unknown_shells_and_missing_ones(program: Program) -> None:
    done = program.run("completion", "tcsh")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'Error: unknown shell "tcsh"; write one of bash, zsh, fish, powershell\n'
    assert program.run("completion").stderr.startswith("Error: Missing argument 'SHELL'")


@pytest.mark.parametrize("broken", ["config", "database"])
def test_where_something_is_wrong_nothing_is_offered(
    program: Program, here: dict[str, str], broken: str
) -> None:
    program.data.mkdir()
    if broken == "config":
        (program.data / "config.yaml").write_text("server: [")
    else:
        (program.data / "tokenomics.db").write_bytes(b"no database" * 1000)
    assert bash(program, here, "tokenomics-cli token get --hash") == []
    assert bash(program, here, "tokenomics-cli nope") == []


def test_an_answer_loads_little(program: Program, here: dict[str, str]) -> None:
    """Somebody waits for a key; a clock would measure how busy the machine is."""
    program.json("create", "--policy", POLICY)
    listing = (
        "import sys, atexit, os\n"
        "atexit.register(lambda: print('LOADED', *{name.split('.')[0] for name in sys.modules}))\n"
        "from tokenomics_cli.app import main\n"
        "sys.exit(main())\n"
    )
    heavy = {"rich", "mitmproxy", "cryptography", "httpx", "redis", "tiktoken", "genai_prices", "re2"}
    for line, also in (
        ("tokenomics-cli to", {"yaml", "sqlite3"}),
        ("tokenomics-cli token get --hash ", set()),
    ):
        words = line.split(" ")
        asked = {
            "_TOKENOMICS_CLI_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        }
        done = subprocess.run(
            [sys.executable, "-c", listing], env=here | asked, capture_output=True, text=True, check=False
        )
        loaded = set(done.stdout.splitlines()[-1].split()[1:])
        assert "typer" in loaded
        assert loaded & (heavy | also) == set()


def test_the_shells_are_there() -> None:
    assert {name for name in ("bash", "zsh", "fish") if shutil.which(name)} == {"bash", "zsh", "fish"}
    assert Path(BIN, "tokenomics-cli").exists()
