"""Owners: which processes are alive, as far as those on this machine can tell.

A process holds a lock on a file named by its word. The system takes the lock away when the process ends,
however it ends.
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

from tokenomics_core.private_files import private_directory

_WORD = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


class Owners:
    """directory: where the lock files lie, ``<word>.lock``; it is made when it is missing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._held: dict[str, int] = {}

    def claim(self, word: str) -> None:
        """Makes this process the one of that word, until it ends. Raises ValueError when another one is."""
        if word in self._held:
            return
        path = self._path(word)
        private_directory(self.directory)
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                raise ValueError(f"{word} is the word of a process that runs; choose another one") from None
            # Who released the word meanwhile has taken the file away; a lock on it would be seen by nobody.
            if _same(file, path):
                self._held[word] = file
                return
            os.close(file)

    def alive(self, word: str) -> bool:
        """Whether a process of that word runs, this one included."""
        if word in self._held:
            return True
        if not _WORD.fullmatch(word):
            return False
        try:
            file = os.open(self._path(word), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def release(self) -> None:
        """Gives up every word that was claimed."""
        for word, file in self._held.items():
            self._path(word).unlink(missing_ok=True)
            os.close(file)
        self._held.clear()

    def _path(self, word: str) -> Path:
        if not _WORD.fullmatch(word):
            raise ValueError("a word is made of letters, digits, dots, dashes and underscores")
        return self.directory / f"{word}.lock"


def _same(file: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(file)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
