"""The SQLite file of the counters and the journal: its schema, and how it is opened.

A migration is a list of statements that is never edited once released; ``PRAGMA user_version`` counts how
many a file has had.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tokenomics_core.counters.question import CountersUnavailable
from tokenomics_core.sqlite_file import NewerFile, open_file

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # Times are milliseconds, amounts whole units. buckets, holds and state are JSON.
        """
        CREATE TABLE counters (
            token TEXT NOT NULL,
            key TEXT NOT NULL,
            unit TEXT NOT NULL,
            kind TEXT NOT NULL,
            length INTEGER NOT NULL,
            start INTEGER NOT NULL,
            "end" INTEGER NOT NULL,
            since INTEGER NOT NULL,
            settled INTEGER NOT NULL,
            reserved INTEGER NOT NULL,
            override INTEGER,
            buckets TEXT NOT NULL,
            PRIMARY KEY (token, key)
        ) WITHOUT ROWID
        """,
        # due: when there is something to do for a lease that nobody settles: to charge it, later to drop it.
        """
        CREATE TABLE leases (
            id TEXT PRIMARY KEY,
            token TEXT NOT NULL,
            due INTEGER NOT NULL,
            expires INTEGER NOT NULL,
            tokens INTEGER NOT NULL,
            charged INTEGER NOT NULL,
            holds TEXT NOT NULL
        ) WITHOUT ROWID
        """,
        "CREATE INDEX leases_due ON leases (token, due)",
        """
        CREATE TABLE gates (
            token TEXT NOT NULL,
            key TEXT NOT NULL,
            until INTEGER NOT NULL,
            reason TEXT NOT NULL,
            PRIMARY KEY (token, key)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE watched (
            token TEXT NOT NULL,
            session TEXT NOT NULL,
            last INTEGER NOT NULL,
            state TEXT NOT NULL,
            PRIMARY KEY (token, session)
        )
        """,
        # row is NULL until the exchange is over. reserved and progress are JSON, pairs of key and amount.
        """
        CREATE TABLE intents (
            id TEXT PRIMARY KEY,
            token TEXT NOT NULL,
            owner TEXT NOT NULL,
            granted INTEGER NOT NULL,
            reserved TEXT NOT NULL,
            progress TEXT NOT NULL,
            record BLOB NOT NULL,
            row BLOB
        )
        """,
    ),
)


def open_database(path: Path, *, busy_timeout: float) -> sqlite3.Connection:
    """Opens the file as `open_file` does. busy_timeout: seconds, of the opening; from then on `begin` waits.

    The connection never checkpoints, which takes an fsync. Raises CountersUnavailable.
    """
    try:
        db = open_file(path, _MIGRATIONS, busy_timeout=busy_timeout, cached_statements=512)
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("PRAGMA busy_timeout = 0")
    except (OSError, sqlite3.Error) as error:
        raise unavailable(path, error) from error
    except NewerFile as error:
        raise CountersUnavailable(str(error)) from None
    return db


def open_for_reading(path: Path, *, busy_timeout: float) -> sqlite3.Connection:
    """Opens a file that is there. Raises CountersUnavailable."""
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=busy_timeout)
        db.execute("PRAGMA query_only = 1")
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    return db


def begin(db: sqlite3.Connection, patience: float) -> None:
    """Takes the write lock; waits up to patience (seconds) while a neighbour has it. Raises sqlite3.Error."""
    # SQLite's own waiting soon sleeps 25 to 100 ms at a time; a neighbour's transaction takes a tenth of one.
    deadline, pause = 0.0, 0.0001
    while True:
        try:
            db.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            now = time.monotonic()
            deadline = deadline or now + patience
            if now > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 0.002)


@contextmanager
def transaction(db: sqlite3.Connection, patience: float) -> Iterator[None]:
    """All that is done inside is done, or nothing is."""
    begin(db, patience)
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # SQLite itself has rolled back after some errors, such as a full disk.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def unavailable(path: Path, error: Exception) -> CountersUnavailable:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return CountersUnavailable(
        f"the counters in {path} cannot be used: {reason}; check its owner, mode and disk, then try again"
    )
