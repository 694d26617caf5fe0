"""Runs the console examples of the documentation and compares what they print."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.support.environment import BIN, PROJECT

TOKEN = re.compile(r"tkn_[0-9a-f-]{36}")
HASH = re.compile(r"\b[0-9a-f]{64}\b")
TIME = re.compile(r"20(?!20)\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def _examples(path: Path) -> list[tuple[str, str]]:
    """Commands and what is printed after each, in the order of the document."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


@pytest.mark.parametrize("name", ["TOKEN_MANAGEMENT.md", "SECRETS.md", "LEDGER.md", "AGENT_INTEGRATION.md"])
def test_examples_print_what_they_show(program: Program, name: str) -> None:
    home = program.folder / "home"
    environ = program.environ | {"PATH": f"{BIN}:{program.environ['PATH']}"}
    hashes: dict[str, str] = {}
    before = ""
    examples = _examples(PROJECT / "docs" / name)
    assert examples
    for command, shown in examples:
        real = command
        for documented, actual in hashes.items():
            real = real.replace(documented, actual).replace(documented[:8], actual[:8])
        if command.startswith("export "):
            before += command + "\n"
            continue
        done = subprocess.run(
            ["bash", "-c", f"{before}exec 2>&1\n{real}"],
            env=environ,
            cwd=program.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        printed = done.stdout.replace(str(home), "~")
        for documented, actual in zip(HASH.findall(shown), HASH.findall(printed), strict=True):
            hashes.setdefault(documented, actual)
        for documented, actual in hashes.items():
            printed = printed.replace(actual, documented).replace(actual[:8], documented[:8])
        assert _steady(printed) == _steady(shown), command


def _steady(text: str) -> str:
    return TIME.sub("TIME", TOKEN.sub("TOKEN", text))
