"""Files and folders that only their owner may read."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from pathlib import Path

_log = logging.getLogger(__name__)


def private_directory(path: Path) -> None:
    """Makes the folder and its missing parents, mode 0700. A folder that is there keeps its mode."""
    missing = [path, *path.parents]
    while missing and missing[-1].exists():
        missing.pop()
    for directory in reversed(missing):
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            continue


def private_file(path: Path) -> None:
    """Makes the file when it is missing, mode 0600, and tightens the mode of one that is there.

    One that is there is not opened: closing it would drop the locks that this process's SQLite has on it.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    tighten(path)


def place_once(path: Path, content: bytes, word: str) -> None:
    """Writes a private file beside its place and links it in: the first process wins, none sees half of it.

    A file that is there stays as it is. word: random, names the draft.
    """
    private_directory(path.parent)
    draft = path.with_name(f".{path.name}.{word}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def tighten(path: Path) -> None:
    """Takes the rights of group and others away, and says so. Does nothing when there are none."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name != "posix" or not mode & 0o077:
        return
    try:
        path.chmod(mode & 0o700)
        _log.warning("%s was open to other users (mode %o); it is now private", path, mode)
    except PermissionError:
        _log.warning("%s is open to other users (mode %o); its owner should run chmod go= on it", path, mode)
