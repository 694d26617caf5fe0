"""The benchmark runs to its end. What it measures in a moment this short means nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests import loopback_guard
from tests.cli.program import Program
from tests.support.environment import PROJECT


@pytest.mark.long
def test_every_way_is_measured(program: Program) -> None:
    folder = program.folder / "tmp"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, PROJECT / "bench" / "throughput.py", "--rounds", "1", "--seconds", "0.1"],
        cwd=program.folder,
        env=program.environ | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split("|")[1:3] for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    ways = ["direct", "mitmdump", "tokenomics"]
    expected = [[kind, way] for kind in ("JSON", "SSE") for way in ways]
    assert [[cell.strip() for cell in row] for row in rows] == expected
    assert list(folder.iterdir()) == []
    assert loopback_guard.refusals(program.folder / "guard.log") == []


def test_the_question_to_the_counters() -> None:
    ran = subprocess.run(
        [sys.executable, PROJECT / "bench" / "counters.py", "--rounds", "1", "--seconds", "0.1", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    measured = json.loads(ran.stdout)
    assert {(line["store"], line["clients"]) for line in measured} == {
        (store, clients) for store in ("sqlite", "redis") for clients in (1, 64)
    }
    assert all(line["asked"] > 0 for line in measured)


@pytest.mark.long
def test_what_the_content_rules_cost() -> None:
    ran = subprocess.run(
        [sys.executable, PROJECT / "bench" / "guard_speed.py", "--rounds", "1", "--json"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    measured = json.loads(ran.stdout)
    assert {"clean 1 KB, all detectors", "full of values 100 KB", "request of Claude Code"} <= measured.keys()
    assert all(each["us"] > 0 for each in measured.values())
