"""What the project's SQLite files have in common: the write-ahead log, and migrations by number.

A migration is a list of statements that is never edited once released; ``PRAGMA user_version`` counts how
many a file has had.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence


class NewerFile(Exception):
    """The file was written by a newer version, whose tables this one does not know."""


def use_wal(db: sqlite3.Connection, patience: float) -> None:
    """Switches the file to its write-ahead log; waits up to patience (seconds). Raises sqlite3.Error."""
    # This switch alone does not wait for a lock, and several processes may meet here on a new file.
    deadline = time.monotonic() + patience
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def migrate(db: sqlite3.Connection, migrations: Sequence[Sequence[str]]) -> None:
    """Runs the migrations that the file has not had. Raises NewerFile, sqlite3.Error."""
    # IMMEDIATE: of two processes that start at once, the second finds the work done.
    db.execute("BEGIN IMMEDIATE")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        db.execute("ROLLBACK")
        raise NewerFile
    for statements in migrations[version:]:
        for statement in statements:
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {len(migrations)}")
    db.execute("COMMIT")
