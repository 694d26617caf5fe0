"""The SQLite file of the outbox: its schema, and how it is opened.

A migration is a list of statements that is never edited once released; ``PRAGMA user_version`` counts how
many a file has had.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tokenomics_core.sqlite_file import NewerFile, open_file

FILE = "events.db"
"""The outbox in the data directory."""

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # seq is the order in which events came, and is never given twice. data is a JSON object.
        """
        CREATE TABLE events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            type TEXT NOT NULL,
            timestamp TEXT NOT NULL,
            data TEXT NOT NULL
        )
        """,
        # state: pending, done or dead. due, changed: milliseconds since 1970; no attempt is made before due.
        # status: of the last answer, 0 for none.
        """
        CREATE TABLE deliveries (
            webhook TEXT NOT NULL,
            event INTEGER NOT NULL,
            state TEXT NOT NULL,
            attempts INTEGER NOT NULL,
            due INTEGER NOT NULL,
            changed INTEGER NOT NULL,
            status INTEGER NOT NULL,
            error TEXT NOT NULL,
            PRIMARY KEY (webhook, event)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX deliveries_pending ON deliveries (webhook, event) WHERE state = 'pending'",
        "CREATE INDEX deliveries_dead ON deliveries (webhook, event) WHERE state = 'dead'",
        "CREATE INDEX deliveries_event ON deliveries (event)",
        """
        CREATE TABLE webhooks (
            key TEXT PRIMARY KEY,
            shown TEXT NOT NULL,
            delivered INTEGER NOT NULL DEFAULT 0,
            dropped INTEGER NOT NULL DEFAULT 0
        ) WITHOUT ROWID
        """,
    ),
)


class OutboxError(Exception):
    """The outbox cannot be opened, read or written; the message is one line with a remedy."""


def open_database(path: Path, *, busy_timeout: float) -> sqlite3.Connection:
    """Opens the file as `open_file` does. busy_timeout: seconds. Raises OutboxError."""
    try:
        return open_file(path, _MIGRATIONS, busy_timeout=busy_timeout)
    except (OSError, sqlite3.Error) as error:
        raise cannot("open", path, error) from error
    except NewerFile as error:
        raise OutboxError(str(error)) from None


def cannot(verb: str, path: Path, error: Exception) -> OutboxError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return OutboxError(f"cannot {verb} the outbox {path}: {reason}; check its owner, mode and disk")
