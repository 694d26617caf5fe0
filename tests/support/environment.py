"""The environment of a started process: nothing of the tester's own gets in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests import loopback_guard

GUARD_FOLDER = Path(__file__).parent / "guard"
PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")


def clean_environment(home: Path, guard_log: Path) -> dict[str, str]:
    """A guarded process's environment: no keys, no proxies, a home of its own."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    home.mkdir(parents=True, exist_ok=True)
    return {
        **kept,
        "HOME": str(home),
        "PYTHONPATH": str(GUARD_FOLDER),
        "PYTHONUNBUFFERED": "1",
        loopback_guard.LOG_VARIABLE: str(guard_log),
    }
