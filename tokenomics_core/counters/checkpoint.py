"""Checkpoints: a thread of its own moves what was committed from the write-ahead log into the file.

That takes an fsync or two, for which no question may wait. It also drops what was watched of sessions that
are quiet: agents name a new one for every run.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from pathlib import Path

_log = logging.getLogger(__name__)

_BUSY = 1000
"""Commits in a second above which a checkpoint does not wait for a quiet one."""

SWEEP = 600.0
"""Seconds between two sweeps of what was watched."""

QUIET = 2 * 3600 * 1000
"""Milliseconds after which a session is quiet: nothing of it counts any more, and its history is over."""

_LONG = 16_384
"""Pages in the log (64 MiB) above which writers are held up once, so that it can begin anew."""


class Checkpointer:
    """Looks every interval (seconds) whether there were commits. `commits` is counted up by who commits."""

    def __init__(self, path: Path, *, interval: float = 1.0) -> None:
        self.commits = 0
        self._path = path
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="counters-checkpoint", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        done = before = 0
        swept = time.monotonic()
        while not self._stop.wait(self._interval):
            now = self.commits
            if now != done and (now == before or now - done > _BUSY):
                try:
                    _checkpoint(self._path)
                    done = now
                except sqlite3.Error as error:
                    # A neighbour is at it.
                    if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                        continue
                    _log.warning("the log of %s could not be moved into it: %s", self._path, error)
            before = now
            if time.monotonic() - swept > SWEEP:
                swept = time.monotonic()
                try:
                    sweep(self._path, time.time_ns() // 1_000_000)
                except sqlite3.Error as error:
                    _log.warning("quiet sessions in %s could not be dropped: %s", self._path, error)


def sweep(path: Path, now: int) -> int:
    """Drops what was watched of quiet sessions, some at a time. now: milliseconds. The number of them."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=1.0, isolation_level=None)
    try:
        return db.execute(
            "DELETE FROM watched WHERE rowid IN (SELECT rowid FROM watched WHERE last < ? LIMIT 1000)",
            (now - QUIET,),
        ).rowcount
    finally:
        db.close()


def _checkpoint(path: Path) -> None:
    # Opened for the moment only: a connection that lingers would hide a file that was moved away.
    address = f"{path.absolute().as_uri()}?mode=rw"
    db = sqlite3.connect(address, uri=True, timeout=0.1, isolation_level=None)
    try:
        _, pages, moved = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if pages > _LONG and moved > pages - _BUSY:
            db.execute("PRAGMA wal_checkpoint(RESTART)")
    finally:
        db.close()
