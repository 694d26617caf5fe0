"""A git repository in a folder, with commits at times that are known."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class Repository:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._second = 1_772_000_000
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str) -> str:
        at = f"{self._second} +0000"
        names = {"GIT_AUTHOR_NAME": "a", "GIT_COMMITTER_NAME": "a"}
        names |= {"GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_EMAIL": "a@example.org"}
        names |= {"GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at}
        names |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        done = subprocess.run(
            ["git", *words],
            cwd=self.folder,
            env=os.environ | names,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, subject: str) -> str:
        """An empty commit; its hash."""
        self._second += 60
        self.git("commit", "--quiet", "--allow-empty", "-m", subject)
        return self.git("rev-parse", "HEAD")
