"""LogFile: a text file that is appended to, moved aside when it is full, and shared by several processes."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from tokenomics_core.private_files import private_directory


class LogFile:
    """For one thread: that of the log's writer. Only its owner may read it.

    max_bytes: size beyond which it is not written on; 0 for no limit. keep: old files, ``NAME.1`` the newest.
    Raises OSError when it cannot be opened.
    """

    encoding = "utf-8"

    def __init__(self, path: Path, *, max_bytes: int = 0, keep: int = 5) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.keep = keep
        private_directory(path.parent)
        self._file = self._open()

    def write(self, text: str) -> None:
        """Appends whole lines."""
        data = text.encode()
        if self._moved():
            # By a neighbour, or by who tidies up this machine's logs.
            self._reopen()
        size = os.fstat(self._file).st_size
        if self.max_bytes and size and size + len(data) > self.max_bytes:
            self._rotate()
        while data:
            data = data[os.write(self._file, data) :]

    def flush(self) -> None:
        """Nothing waits in this process."""

    def close(self) -> None:
        os.close(self._file)
        # The number may soon be another file's.
        self._file = -1

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _reopen(self) -> None:
        file = self._open()
        os.close(self._file)
        self._file = file

    def _moved(self) -> bool:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return True
        return (there.st_dev, there.st_ino) != _identity(self._file)

    def _rotate(self) -> None:
        # Of several processes that find it full, the first moves it; the others find that it has been.
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            if not self._moved():
                if self.keep:
                    for number in range(self.keep - 1, 0, -1):
                        if self._old(number).exists():
                            self._old(number).replace(self._old(number + 1))
                    self.path.replace(self._old(1))
                else:
                    self.path.unlink()
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._reopen()

    def _old(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _identity(file: int) -> tuple[int, int]:
    status = os.fstat(file)
    return status.st_dev, status.st_ino
