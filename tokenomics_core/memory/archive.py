"""Archive: a full file gets a name of its own, and is packed while the next one fills."""

from __future__ import annotations

import gzip
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

_CHUNK = 1024 * 1024
_MOST_NAMES = 10_000


def set_aside(path: Path, now: datetime) -> Path:
    """Renames the file to ``<base>.<YYYYMMDD-HHMMSS><ext>`` (UTC); nothing that is there is overwritten.

    Further ones of the same second get ``-1``, ``-2`` and so on behind the time.
    """
    stamp = now.strftime("%Y%m%d-%H%M%S")
    for number in range(_MOST_NAMES):
        archive = path.with_name(f"{path.stem}.{stamp}{f'-{number}' if number else ''}{path.suffix}")
        try:
            os.close(os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            continue
        # Only now: a packed file is there before its plain one goes.
        if _packed(archive).exists():
            archive.unlink()
            continue
        try:
            # In the place of the empty file that kept the name free of others.
            os.replace(path, archive)
        except OSError:
            archive.unlink()
            raise
        return archive
    raise FileExistsError(f"no name is left for the archive of {path.name}")


class Packer:
    """Packs archives with gzip, one after the other, in a thread that lives while there are some.

    What cannot be packed, or is left when the process ends, stays as it is. failed: is told of an error.
    """

    def __init__(self, failed: Callable[[Path, OSError], None]) -> None:
        self._failed = failed
        self._changed = threading.Condition()
        self._waiting: deque[Path] = deque()
        self._thread: threading.Thread | None = None

    def pack(self, archive: Path) -> None:
        with self._changed:
            self._waiting.append(archive)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="memory-packer", daemon=True)
                self._thread.start()

    def wait(self, timeout: float) -> bool:
        """Until all is packed; False when that took too long (seconds)."""
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._thread = None
                    self._changed.notify_all()
                    return
                archive = self._waiting.popleft()
            try:
                _pack(archive)
            except OSError as error:
                self._failed(archive, error)


def _pack(archive: Path) -> None:
    packed = _packed(archive)
    part = packed.with_name(packed.name + ".part")
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with (
            open(archive, "rb") as plain,
            os.fdopen(file, "wb") as raw,
            gzip.GzipFile(archive.name, "wb", compresslevel=6, fileobj=raw) as out,
        ):
            shutil.copyfileobj(plain, out, _CHUNK)
            out.close()
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(part, packed)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    archive.unlink()


def _packed(archive: Path) -> Path:
    return archive.with_name(archive.name + ".gz")
