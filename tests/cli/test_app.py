from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from typer.main import get_command

from tests.cli.program import Program
from tests.support.environment import BIN
from tokenomics_cli.app import COMMANDS

POLICY = '{"base_key_env":"K"}'


@pytest.mark.parametrize("words", [["--help"], ["-h"], []])
def test_help_names_every_command(program: Program, words: list[str]) -> None:
    done = program.run(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: tokenomics-cli [OPTIONS] COMMAND [ARGS]...\n")
    for name, command in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert command.summary.split()[0] in done.stdout
    for flag in ("--config", "--db", "--dir"):
        assert flag in done.stdout


def pages(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Each command with its help on a terminal of 80 columns; of a group without its own."""
    context = command.make_context(path[-1], ["--help"], resilient_parsing=True, terminal_width=80)
    names = command.list_commands(context) if hasattr(command, "list_commands") else ()
    for name in names:
        yield from pages(command.get_command(context, name), (*path, name))
    if not names:
        yield " ".join(path), command.get_help(context)


def test_help_fits_a_screen() -> None:
    found = [
        (name, text.count("\n") + 1)
        for name, command in COMMANDS.items()
        for name, text in pages(get_command(import_module(command.module).app), (name,))
    ]
    assert len(found) > 45
    assert [(name, lines) for name, lines in found if lines > 24] == []


@pytest.mark.parametrize(
    ("words", "rare"),
    [
        (["token", "update"], ["--config", "--db", "--dir"]),
        (["ledger", "summary"], ["--until", "--commit", "--dir"]),
        (["run"], ["--proxy-url", "--keep-keys", "--dir"]),
    ],
)
def test_what_is_rare_is_named_and_explained_when_asked(
    program: Program, words: list[str], rare: list[str]
) -> None:
    brief, full = program.run(*words, "--help"), program.run(*words, "--help-all")
    assert (brief.returncode, brief.stderr, full.returncode, full.stderr) == (0, "", 0, "")
    assert "--help-all" in brief.stdout
    for flag in rare:
        assert flag in brief.stdout.replace("\n", " ")
        assert f"\n  {flag} " not in brief.stdout
        assert f"\n  {flag} " in full.stdout


@pytest.mark.parametrize("words", [["token", "create", "--help"], ["token", "create", "-h"]])
def test_commands_have_help(program: Program, words: list[str]) -> None:
    done = program.run(*words)
    assert (done.returncode, done.stderr) == (0, "")
    for flag in ("--policy", "--expires", "--json", "--config", "--db", "--dir"):
        assert flag in done.stdout


@pytest.mark.parametrize(
    ("words", "error", "usage"),
    [
        (["tokn"], 'unknown command "tokn" for "tokenomics-cli"; did you mean token?', "tokenomics-cli"),
        (["frobnicate"], 'unknown command "frobnicate" for "tokenomics-cli"', "tokenomics-cli"),
        (["--nope"], "unknown flag: --nope", "tokenomics-cli"),
        (
            ["token", "lst"],
            'unknown command "lst" for "tokenomics-cli token"; did you mean list?',
            "tokenomics-cli token",
        ),
        (["token", "list", "--nope"], "unknown flag: --nope", "tokenomics-cli token list"),
        (["version", "extra"], "Got unexpected extra argument(s) (extra)", "tokenomics-cli version"),
    ],
)
def test_wrong_usage_shows_the_usage(program: Program, words: list[str], error: str, usage: str) -> None:
    done = program.run(*words)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert lines[0] == f"Error: {error}"
    assert lines[1].startswith(f"Usage: {usage} [OPTIONS]")
    assert lines[2] == f"See '{usage} --help'."


def test_version(program: Program) -> None:
    lines = program.run("version").stdout.splitlines()
    assert [line[:11] for line in lines[1:]] == ["  commit:  ", "  built:   ", "  python:  ", "  os/arch: "]
    assert lines[0].startswith("tokenomics ")
    told = json.loads(program.run("version", "--json").stdout)
    assert list(told) == ["version", "commit", "built", "python", "os", "arch"]
    assert lines[0] == f"tokenomics {told['version']}"
    assert told["python"] == ".".join(map(str, sys.version_info[:3]))


def test_global_flags_stand_before_or_after(program: Program) -> None:
    folder = program.folder
    for number, words in enumerate(
        [
            ["--dir", "one", "--db", "one.db", "token", "create", "--policy", POLICY],
            ["token", "create", "--policy", POLICY, "--dir", "two", "--db", "two.db"],
            ["--dir", "elsewhere", "token", "create", "--dir", "three", "--db=three.db", "--policy", POLICY],
            ["--dir", "elsewhere", "token", "--dir", "four", "--db", "four.db", "create", "--policy", POLICY],
        ],
    ):
        name = ["one", "two", "three", "four"][number]
        done = program.run(*words)
        assert (done.returncode, done.stderr) == (0, "")
        assert (folder / f"{name}.db").exists()
        assert (folder / name / "keys" / "hash.key").exists()
        assert not (folder / name / "tokenomics.db").exists()
    assert not (folder / "elsewhere").exists()
    assert list((folder / "home").iterdir()) == []


def test_the_home_directory_is_the_default(program: Program) -> None:
    assert program.run("token", "create", "--policy", POLICY).returncode == 0
    assert (program.folder / "home" / ".tokenomics" / "tokenomics.db").exists()


def test_config_file(program: Program) -> None:
    (program.folder / "mine.yaml").write_text("dir: fromfile\nstorrage: {}\n")
    done = program.run("--config", "mine.yaml", "token", "create", "--policy", POLICY)
    assert done.returncode == 0
    assert done.stderr.startswith("Warning: ")
    assert "storrage" in done.stderr
    assert (program.folder / "fromfile" / "tokenomics.db").exists()
    done = program.run("--config", "missing.yaml", "token", "list")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: load config: ")
    assert done.stderr.count("\n") == 1


def test_dotenv_files_are_read_and_never_win(program: Program) -> None:
    folder = program.folder
    (folder / "home" / ".tokenomics").mkdir()
    (folder / "home" / ".tokenomics" / ".env").write_text("TOKENOMICS_DIR=home\nTOKENOMICS_HASH_KEY=key\n")
    (folder / ".env").write_text("TOKENOMICS_DIR=here\n")
    assert program.run("token", "create", "--policy", POLICY).returncode == 0
    assert (folder / "here" / "tokenomics.db").exists()
    assert [path.name for path in (folder / "here" / "keys").iterdir()] == ["encryption.key"]
    assert program.run("token", "create", "--policy", POLICY, TOKENOMICS_DIR="process").returncode == 0
    assert (folder / "process" / "tokenomics.db").exists()


def test_what_nobody_expected_is_one_line_too(program: Program) -> None:
    broken = (
        "import sys, tokenomics_cli.version as v\n"
        "def platform(): raise ZeroDivisionError('secret detail')\n"
        "v.platform.machine = platform\n"
        "from tokenomics_cli.app import main\n"
        "sys.exit(main(['version']))\n"
    )
    command = [sys.executable, "-c", broken]
    done = subprocess.run(
        command, env=program.environ, cwd=program.folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: unexpected ZeroDivisionError; run again with TOKENOMICS_DEBUG=1")
    assert done.stderr.count("\n") == 1
    assert "secret detail" not in done.stderr
    debug = program.environ | {"TOKENOMICS_DEBUG": "1"}
    done = subprocess.run(command, env=debug, cwd=program.folder, capture_output=True, text=True, check=False)
    assert "Traceback" in done.stderr


def test_a_reader_that_leaves_early_is_no_error(program: Program) -> None:
    done = subprocess.run(
        ["sh", "-c", f"'{BIN}/tokenomics-cli' --help | true"],
        env=program.environ,
        cwd=program.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        (["--help"], {"pydantic", "sqlite3", "cryptography", "rich", "mitmproxy"}),
        (
            ["--dir", "data", "token", "create", "--policy", POLICY],
            {
                "rich",
                "mitmproxy",
                "tornado",
                "httpx",
                "tiktoken",
                "genai_prices",
                "redis",
                "prometheus_client",
            },
        ),
    ],
)
def test_commands_load_only_what_they_need(program: Program, words: list[str], absent: set[str]) -> None:
    """The reason why they start fast; a clock would measure how busy the machine is."""
    listing = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('LOADED', *{name.split('.')[0] for name in sys.modules}))\n"
        "from tokenomics_cli.app import main\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", listing, *words],
        env=program.environ,
        cwd=program.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    loaded = set(done.stdout.splitlines()[-1].split()[1:])
    assert "typer" in loaded
    assert loaded & absent == set()
