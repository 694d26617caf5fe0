"""Runs the installed tokenomics-cli as people do: as a process, in a folder and a home of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support.environment import BIN, clean_environment


class Program:
    """folder: the working directory of every run; the data directory is ``data`` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.environ = clean_environment(folder / "home", folder / "guard.log")

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [BIN / "tokenomics-cli", *words],
            cwd=self.folder,
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "tokenomics-cli", *words],
            cwd=self.folder,
            env=self.environ | environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def token(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """A token command on the data directory."""
        return self.run("--dir", str(self.data), "token", *words, **environ)

    def ok(self, *words: str, **environ: str) -> str:
        """What a token command prints; it must succeed and have nothing to complain about."""
        done = self.token(*words, **environ)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def json(self, *words: str, **environ: str) -> Any:
        return json.loads(self.ok(*words, "--json", **environ))
