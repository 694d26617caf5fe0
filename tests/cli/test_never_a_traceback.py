"""Whatever is typed and however broken the files are: one line that says so, and never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.cli.program import Program
from tests.support.environment import BIN
from tests.support.ports import free_ports
from tests.support.proxy import Proxy
from tokenomics_cli.app import COMMANDS, app

NONSENSE = [
    "--hash",
    "../../etc",
    "--policy",
    "{",
    "\x1b[31m",
    "-1",
    "ünï\udcff",
    "--limit",
    "x",
    "",
    "--since",
    "never",
]
POLICY = '{"base_key_env":"K"}'


def walk(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command that does something, with the words that call it."""
    context = command.make_context("tokenomics-cli", [], resilient_parsing=True)
    names = command.list_commands(context) if hasattr(command, "list_commands") else []
    if not names:
        yield words, command
    for name in names:
        yield from walk(command.get_command(context, name), (*words, name))


LEAVES = list(walk(typer.main.get_command(app)))
# These go on until they are stopped, or start others; they have tests of their own.
ENDLESS = {"serve", "demo", "run", "start", "stop", "logs"}
LISTED = [words for words, _ in LEAVES if words[0] not in ENDLESS]


def arguments(words: tuple[str, ...]) -> list[str]:
    """What the command cannot do without."""
    command = dict(LEAVES)[words]
    given: list[str] = []
    for parameter in command.params:
        if parameter.required and parameter.param_type_name == "option":
            given += [parameter.opts[0], "aaaaaaaa"]
        elif parameter.required:
            given.append("bash" if words == ("completion",) else "aaaaaaaa")
    return given


# Runs each line of argv (words apart by \x1f) in a child of its own that already has everything loaded.
FORKING = r"""
import os, sys
import tokenomics_cli.app
from importlib import import_module
for entry in tokenomics_cli.app.COMMANDS.values():
    import_module(entry.module)
for line in sys.argv[1:]:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(write, 1); os.dup2(write, 2); os.close(read)
        code = 99
        try:
            code = tokenomics_cli.app.main([] if not line else line.split('\x1f'))
        except BaseException:
            import traceback; traceback.print_exc()
        finally:
            sys.stdout.flush(); sys.stderr.flush()
            os._exit(code)
    os.close(write)
    said = b''
    while piece := os.read(read, 65536):
        said += piece
    os.close(read)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    head = '\x1e%s\x1d%d\x1d' % (line, code)
    sys.stdout.buffer.write(head.encode(errors='surrogateescape') + said)
sys.stdout.flush()
"""


def run_all(program: Program, lines: list[list[str]], **environ: str) -> list[tuple[str, int, str]]:
    """Line, exit code, and all that was said, for each."""
    packed = ["\x1f".join(line) for line in lines]
    done = subprocess.run(
        [sys.executable, "-c", FORKING, *packed],
        cwd=program.folder,
        env=program.environ | environ,
        input="",
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [tuple(part.split("\x1d", 2)) for part in done.stdout.split("\x1e")[1:]]
    assert len(found) == len(lines)
    return [(line.replace("\x1f", " "), int(code), said) for line, code, said in found]


def told(results: list[tuple[str, int, str]], codes: tuple[int, ...] = (0, 1)) -> None:
    for line, code, said in results:
        assert "Traceback" not in said, (line, said)
        assert "Error: unexpected" not in said, (line, said)
        assert code in codes, (line, code, said)


def test_every_command_is_walked() -> None:
    assert {words[0] for words, _ in LEAVES} == set(COMMANDS)
    assert len(LISTED) > 30


@pytest.mark.long
def test_nonsense(program: Program) -> None:
    lines = []
    for words in LISTED:
        for each in NONSENSE:
            lines.append([*words, *arguments(words), each])
        lines.append([*words, "--no-such-flag"])
    told(run_all(program, lines, TOKENOMICS_DIR=str(program.data), **ports()))


def ports() -> dict[str, str]:
    http, https = free_ports(2)
    return {"TOKENOMICS_SERVER_HTTP_PORT": str(http), "TOKENOMICS_SERVER_HTTPS_PORT": str(https)}


BROKEN = [
    "server: [",
    "- a\n- b\n",
    "server: {http_port: many}\n",
    "a: \x00\n",
    "providers: {x: 7}\n",
    "\xff\xfe",
]


@pytest.mark.parametrize(
    "text", [BROKEN[0], *(pytest.param(text, marks=pytest.mark.long) for text in BROKEN[1:])]
)
def test_a_broken_configuration(program: Program, text: str) -> None:
    (program.folder / "config.yaml").write_bytes(text.encode("latin-1"))
    lines = [["--config", "config.yaml", *words, *arguments(words)] for words in LISTED]
    told(run_all(program, lines, TOKENOMICS_DIR=str(program.data), **ports()))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["a file", "nobody's"])
def test_a_data_directory_that_cannot_be_used(program: Program, kind: str) -> None:
    if kind == "a file":
        program.data.write_text("no directory")
    else:
        program.data.symlink_to("/proc/self/nothing")
    lines = [["--dir", str(program.data), *words, *arguments(words)] for words in LISTED]
    told(run_all(program, lines, **ports()))


@pytest.mark.long
def test_databases_that_are_none(program: Program) -> None:
    hash = program.json("create", "--policy", POLICY)["hash"]
    for name in ("ledger.db", "counters.db", "events.db", "ledger-summary.db"):
        (program.data / name).write_bytes(b"no database" * 1000)
    (program.data / "sessions").mkdir()
    (program.data / "sessions" / "broken.json").write_text("{")
    lines = [
        [
            "--dir",
            str(program.data),
            *words,
            *(hash if each == "aaaaaaaa" else each for each in arguments(words)),
        ]
        for words in LISTED
    ]
    told(run_all(program, lines, **ports()))
    (program.data / "tokenomics.db").write_bytes(b"no database" * 1000)
    told(run_all(program, lines, **ports()))


@pytest.mark.long
def test_keys_and_certificates_that_are_none(program: Program) -> None:
    program.ok("create", "--policy", POLICY)
    (program.data / "certs").mkdir()
    for name in ("keys/hash.key", "certs/ca.crt", "certs/ca.key", "certs/mitmproxy-ca.pem"):
        (program.data / name).write_bytes(os.urandom(20))
    lines = [["--dir", str(program.data), *words, *arguments(words)] for words in LISTED]
    told(run_all(program, lines, **ports()))


def test_a_reader_that_has_left(program: Program) -> None:
    """Standard output is a pipe that nobody reads any more, or is closed altogether."""
    hash = program.json("create", "--policy", POLICY)["hash"]
    for words in (["token", "get", "--hash", hash], ["provider", "list"], ["top", "--once"], ["--help"]):
        line = " ".join(words)
        for shell in (f"{BIN}/tokenomics-cli {line} | true", f"{BIN}/tokenomics-cli {line} >&-"):
            done = subprocess.run(
                ["bash", "-c", shell],
                cwd=program.folder,
                env=program.environ | {"TOKENOMICS_DIR": str(program.data)} | ports(),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert "Traceback" not in done.stderr, (shell, done.stderr)
            assert "Exception ignored" not in done.stderr, (shell, done.stderr)
            assert "unexpected" not in done.stderr, (shell, done.stderr)


@pytest.mark.parametrize("words", [["token", "create", "--policy", "@-"], ["session", "reset", "x"]])
def test_ctrl_c(program: Program, words: list[str]) -> None:
    process = subprocess.Popen(
        [BIN / "tokenomics-cli", "--dir", str(program.data), *words],
        cwd=program.folder,
        env=program.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    if words[0] == "session":
        # It asks, so it is where a person would be.
        assert process.stderr.read(8) == "Are you "
    else:
        wait_until_it_reads(process.pid)
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said + complained


def wait_until_it_reads(pid: int) -> None:
    """Until it waits in a read of its standard input."""
    Proxy.wait_for(lambda: Path(f"/proc/{pid}/wchan").read_text(), lambda where: "pipe" in where)


@pytest.mark.parametrize(
    ("words", "command"),
    [(words, command) for words, command in LEAVES],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_help_fits_the_width_of_a_terminal(words: tuple[str, ...], command: Any) -> None:
    context = command.make_context(
        "tokenomics-cli " + " ".join(words), [], resilient_parsing=True, terminal_width=80
    )
    lines = command.get_help(context).splitlines()
    assert max(map(len, lines)) <= 80, words
    assert any(line.strip().startswith("--") for line in lines)
