"""Does what README.md and docs/QUICK_START.md say, and compares what they show.

The provider is the demo's, and the gateway runs on other ports than those that the pages name.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.program import Program
from tests.support.environment import BIN, PROJECT
from tests.support.ports import free_ports
from tokenomics_cli.demo_provider import DemoProvider

PAGES = [PROJECT / "README.md", PROJECT / "docs" / "QUICK_START.md"]

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"tkn_[0-9a-f-]{36}|\b[0-9a-f]{64}\b")
"""What is different in every run and is needed later."""

PASSING = re.compile(r"req_[0-9a-f]{32}|--token [0-9a-f]{12}|20(?!20)\d\d-\d\d-\d\dT[\d:.]+Z")


class Ground(NamedTuple):
    """ready: what the gateway printed when it started."""

    program: Program
    port: int
    ready: str


@pytest.fixture
def ground(program: Program) -> Iterator[Ground]:
    """The folder looks like a clone; provider and gateway run, set up by examples/practice.yaml."""
    (program.folder / "examples").symlink_to(PROJECT / "examples")
    port, tls_port = free_ports(2)
    with DemoProvider(pause=0) as provider:
        config = program.folder / "practice.yaml"
        text = (PROJECT / "examples" / "practice.yaml").read_text()
        config.write_text(text.replace("9009", str(provider.port)))
        process = program.start(
            "serve",
            "--config",
            str(config),
            OPENAI_PAT="sk-practice",
            ANTHROPIC_PAT="sk-practice",
            TOKENOMICS_SERVER_HTTP_PORT=str(port),
            TOKENOMICS_SERVER_HTTPS_PORT=str(tls_port),
        )
        assert process.stderr is not None
        ready = ""
        for line in process.stderr:
            ready += line
            if "token create" in line:
                break
        try:
            yield Ground(program, port, ready)
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=30)
        # The page shows a refused host on purpose.
        said = [
            line for line in errors.splitlines() if line.strip() and "example.com:443 was refused" not in line
        ]
        assert (process.returncode, said) == (0, [])
        assert {seen.key for seen in provider.seen} == {"sk-practice"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_it_goes_as_written(ground: Ground, page: Path) -> None:
    program = ground.program
    environ = program.environ | {"PATH": f"{BIN}:{program.environ['PATH']}"}
    home = str(program.folder / "home")
    names: dict[str, str] = {}
    before, ran = "", 0
    for kind, content in BLOCK.findall(page.read_text()):
        if kind == "python" and (file := re.match(r"# (\w+\.py)\n", content)):
            (program.folder / file[1]).write_text(content)
        if kind == "text" and "is ready on" in content:
            assert content.strip() in _as_documented(ground.ready, ground.port, home)
        for part in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:] if kind == "console" else ():
            command, _, shown = part.partition("\n")
            real = command.replace("localhost:8080", f"localhost:{ground.port}")
            for documented, actual in names.items():
                real = real.replace(documented, actual)
            if command.startswith("export "):
                before += real + "\n"
                continue
            done = subprocess.run(
                ["bash", "-c", f"{before}exec 2>&1\n{real}"],
                env=environ,
                cwd=program.folder,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            ran += 1
            printed = _as_documented(done.stdout, ground.port, home)
            for documented, actual in zip(NAMED.findall(shown), NAMED.findall(printed), strict=True):
                names.setdefault(documented, actual)
            for documented, actual in names.items():
                printed = printed.replace(actual, documented)
            assert _steady(printed) == _steady(shown), command
    assert ran >= 4


@pytest.mark.parametrize(
    "page", [*PAGES, *sorted((PROJECT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if target.startswith("https://"):
            continue
        file = page if not path else Path(os.path.normpath(page.parent / path))
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert anchor in [
                re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings
            ]


def _as_documented(text: str, port: int, home: str) -> str:
    return text.replace(f"localhost:{port}", "localhost:8080").replace(home, "~")


def _steady(text: str) -> str:
    """Without what is different in every run. One line break more or less at the end does not show."""
    return PASSING.sub("PASSING", text).rstrip("\n")
