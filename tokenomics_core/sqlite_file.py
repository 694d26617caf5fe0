"""What the project's SQLite files have in common: their modes, the write-ahead log, and migrations by number.

A migration is a list of statements that is never edited once released; ``PRAGMA user_version`` counts how
many a file has had.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from tokenomics_core.private_files import private_directory, private_file


class NewerFile(Exception):
    """The file was written by a newer version, whose tables this one does not know."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} was written by a newer Tokenomics; update this one or move the file away")


def open_file(
    path: Path, migrations: Sequence[Sequence[str]], *, busy_timeout: float, cached_statements: int = 128
) -> sqlite3.Connection:
    """Opens the file, readable by its owner only; creates and migrates it as needed.

    busy_timeout: seconds to wait while another process writes. The connection may be handed to another
    thread, is in autocommit mode, and belongs to one thread at a time. Raises OSError, sqlite3.Error,
    NewerFile.
    """
    private_directory(path.parent)
    # SQLite gives its -wal and -shm files the mode of the database.
    private_file(path)
    db = sqlite3.connect(
        path,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=cached_statements,
    )
    try:
        use_wal(db, busy_timeout)
        # In WAL a commit has reached the operating system when it returns, so a killed process loses nothing.
        # NORMAL leaves the fsync to the checkpoint: a power cut may cost the last moments, never the file.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA journal_size_limit = 67108864")
        migrate(db, path, migrations)
    except BaseException:
        db.close()
        raise
    return db


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


def migrate(db: sqlite3.Connection, path: Path, migrations: Sequence[Sequence[str]]) -> None:
    """Runs the migrations that the file has not had. Raises NewerFile, sqlite3.Error."""
    # IMMEDIATE: of two processes that start at once, the second finds the work done.
    db.execute("BEGIN IMMEDIATE")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        db.execute("ROLLBACK")
        raise NewerFile(path)
    for statements in migrations[version:]:
        for statement in statements:
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {len(migrations)}")
    db.execute("COMMIT")
