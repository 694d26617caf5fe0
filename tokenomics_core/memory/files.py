"""Files: appends to many files, keeps few of them open, and sets full ones aside.

Several processes may append to one file. Each takes the file's lock for a write, so that no entry lands in
the middle of another, or in a file that has just been set aside.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from tokenomics_core.memory.archive import Packer, set_aside
from tokenomics_core.private_files import private_directory, tighten

MOST_OPEN = 64
"""Files that are kept open."""

_TRIES = 100

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Files:
    """For one thread. now: UTC. packer: packs what is set aside. most: files that are kept open.

    Every method but `close` may raise OSError.
    """

    def __init__(self, now: Callable[[], datetime], packer: Packer, most: int = MOST_OPEN) -> None:
        self._now = now
        self._packer = packer
        self._most = most
        self._open: OrderedDict[Path, int] = OrderedDict()
        """By path, the one used last at the end."""
        self._unsynced: set[Path] = set()
        self._date = ""

    @property
    def open_files(self) -> int:
        return len(self._open)

    @property
    def unsynced(self) -> bool:
        """Whether something was written since the last `sync`."""
        return bool(self._unsynced)

    def today(self) -> str:
        """The date in UTC, YYYY-MM-DD. With a new day come new files: those of the old one are closed."""
        date = self._now().strftime("%Y-%m-%d")
        if date != self._date:
            self._date = date
            self.close()
        return date

    def append(self, path: Path, data: bytes, limit: int | None = None, *, compress: bool = False) -> None:
        """Writes all of the data at the end of the file, or nothing of it.

        limit: bytes that the file has at most; one that would have more is set aside first. Folders are made
        0700, files 0600.
        """
        for _ in range(_TRIES):
            file = self._opened(path)
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                # Another process may have set it aside, or somebody taken it away.
                if not _is(path, file):
                    self._close(path)
                    continue
                size = os.fstat(file).st_size
                if limit is not None and size > 0 and size + len(data) > limit:
                    archive = set_aside(path, self._now())
                    self._close(path)
                    if compress:
                        self._packer.pack(archive)
                    continue
                _write(file, data, size)
                self._unsynced.add(path)
                return
            finally:
                if path in self._open:
                    fcntl.flock(file, fcntl.LOCK_UN)
        raise OSError(errno.EBUSY, "is moved away again and again")

    def sync(self) -> None:
        """Has the disk keep what was written. What it cannot do now it is not asked again."""
        errors = [error for path in list(self._unsynced) if (error := self._sync(path)) is not None]
        if errors:
            raise errors[0]

    def close(self) -> None:
        for path in list(self._open):
            self._close(path)

    def _opened(self, path: Path) -> int:
        file = self._open.get(path)
        if file is not None:
            self._open.move_to_end(path)
            return file
        private_directory(path.parent)
        file = os.open(path, _FLAGS, 0o600)
        try:
            mode = os.fstat(file).st_mode
            if not stat.S_ISREG(mode):
                raise OSError(errno.EINVAL, "is no regular file")
            if mode & 0o077:
                tighten(path)
        except OSError:
            os.close(file)
            raise
        while len(self._open) >= self._most:
            # To wait for the disk here would mean to wait for it at every entry; the system keeps it soon.
            other, closed = self._open.popitem(last=False)
            self._unsynced.discard(other)
            os.close(closed)
        self._open[path] = file
        return file

    def _close(self, path: Path) -> None:
        self._sync(path)
        os.close(self._open.pop(path))

    def _sync(self, path: Path) -> OSError | None:
        if path in self._unsynced:
            self._unsynced.discard(path)
            try:
                os.fdatasync(self._open[path])
            except OSError as error:
                return error
        return None


def _write(file: int, data: bytes, size: int) -> None:
    """Appends to a file of that size; what a full disk took only a part of is taken back."""
    left = memoryview(data)
    try:
        while left:
            written = os.write(file, left)
            left = left[written:]
    except OSError:
        os.ftruncate(file, size)
        raise


def _is(path: Path, file: int) -> bool:
    try:
        there, opened = os.stat(path, follow_symlinks=False), os.fstat(file)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (opened.st_dev, opened.st_ino)
