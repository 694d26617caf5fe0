"""Runs a client script of tests/proxy/clients in a process of its own, as its user would."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import loopback_guard
from tests.fake_provider import Record
from tests.support.environment import PROJECT, clean_environment

CLIENTS = PROJECT / "tests" / "proxy" / "clients"
TIMEOUT = 120

Outcome = dict[str, Any]
"""``{"value": ...}``, or ``{"error": class name, "status": ..., "message": ..., "body": ...}``."""


def run_client(
    script: str, folder: Path, runs: Mapping[str, Mapping[str, Any]], checks: list[str] | None = None
) -> dict[str, dict[str, Outcome]]:
    """Outcome by run and check.

    runs: by name, the environment of each; the SDK is imported once for all of them.
    checks: names of the script's checks; all of them by default.
    """
    guard_log = folder / "client-guard.log"
    folder.mkdir(parents=True, exist_ok=True)
    orders = [{"name": name, "environ": dict(environ), "checks": checks} for name, environ in runs.items()]
    done = subprocess.run(
        [sys.executable, str(CLIENTS / script)],
        input=json.dumps(orders),
        env=clean_environment(folder / "client-home", guard_log),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{script} failed with status {done.returncode}:\n{done.stderr[-5000:]}")
    refused = loopback_guard.refusals(guard_log)
    if refused:
        raise RuntimeError(f"{script} tried to leave the machine: {refused}")
    results: dict[str, dict[str, Outcome]] = json.loads(done.stdout)
    return results


def curl(*arguments: str, environ: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Runs curl without its user's settings, at most 20 s."""
    return subprocess.run(
        ["curl", "-q", "-sS", "--max-time", "20", *arguments],
        env=clean_environment(folder / "client-home", folder / "client-guard.log") | dict(environ),
        cwd=folder,
        capture_output=True,
        check=False,
    )


@dataclass(frozen=True)
class ClientRun:
    """What a client script saw, by run and check, and what the fake provider saw meanwhile."""

    results: dict[str, dict[str, Outcome]]
    records: list[Record]

    def value(self, run: str, check: str) -> Any:
        outcome = self.results[run][check]
        assert "value" in outcome, f"{check} raised {outcome['error']}: {outcome['message']}"
        return outcome["value"]

    def error(self, run: str, check: str) -> Outcome:
        outcome = self.results[run][check]
        assert "error" in outcome, f"{check} raised nothing and gave {outcome['value']!r}"
        return outcome
