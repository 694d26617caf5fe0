"""The token database: one SQLite file that the proxy and any number of commands have open at once."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tokenomics_core.private_files import private_directory, private_file, tighten
from tokenomics_core.tokens.encryption import key_id
from tokenomics_core.tokens.keys import Keys

BUSY_SECONDS = 5.0
"""How long a write waits for another process's write."""

# One entry per schema version, applied in order; PRAGMA user_version counts those that are in. Never edit an
# entry that was released: add one. The triggers count every change of the table, also one made by hand.
MIGRATIONS = (
    """
    CREATE TABLE tokens (
        hash TEXT PRIMARY KEY,
        policy BLOB NOT NULL,
        key_id TEXT NOT NULL,
        created_at TEXT NOT NULL,
        expires_at TEXT NOT NULL DEFAULT '',
        label TEXT NOT NULL DEFAULT '',
        disabled INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    CREATE TABLE token_use (hash TEXT PRIMARY KEY, last_used_at TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE token_meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
    INSERT INTO token_meta VALUES ('revision', 1);
    CREATE TRIGGER tokens_inserted AFTER INSERT ON tokens BEGIN
        UPDATE token_meta SET value = value + 1 WHERE key = 'revision';
    END;
    CREATE TRIGGER tokens_updated AFTER UPDATE ON tokens BEGIN
        UPDATE token_meta SET value = value + 1 WHERE key = 'revision';
    END;
    CREATE TRIGGER tokens_deleted AFTER DELETE ON tokens BEGIN
        DELETE FROM token_use WHERE hash = old.hash;
        UPDATE token_meta SET value = value + 1 WHERE key = 'revision';
    END;
    """,
)


class StoreError(Exception):
    """The token store cannot do what was asked; the message is one line and holds no secret."""


class KeyMismatch(StoreError):
    """The database holds tokens that were made with other secrets."""


@contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """Turns SQLite's and the system's errors into StoreError with a remedy."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"token database {path}: {_remedy(error)}") from None


def _remedy(error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or type(error).__name__}; check the path and its permissions"
    text = str(error)
    if "locked" in text or "busy" in text:
        return "another process keeps it busy; try again"
    if "not a database" in text or "malformed" in text:
        return "not a token database, or damaged; restore a backup, or name another file with --db"
    if "readonly" in text or "unable to open" in text:
        return f"{text}; check its permissions"
    return text


def connect(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection in autocommit mode that any thread may use; waits that long for another process's lock."""
    connection = sqlite3.connect(
        path, timeout=busy_seconds, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    try:
        # NORMAL leaves the last commits to the next checkpoint; a new token must survive a power cut.
        connection.execute("PRAGMA synchronous=FULL")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction. Takes the write lock at once, so that what it reads is true until it commits."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def open_database(
    path: Path, keys: Keys, randomness: Callable[[int], bytes]
) -> tuple[sqlite3.Connection, bytes]:
    """Opens the file, making it (0600, missing folders 0700) and its tables when needed. Gives its salt, too.

    Raises StoreError, and KeyMismatch when tokens are there that these keys cannot know.
    """
    with plain_errors(path):
        private_directory(path.parent)
        private_file(path)
        for beside in (f"{path}-wal", f"{path}-shm"):
            if Path(beside).exists():
                tighten(Path(beside))
        connection = connect(path)
        try:
            _use_wal(connection)
            _migrate(connection, path)
            return connection, _take_keys(connection, path, keys, randomness)
        except BaseException:
            connection.close()
            raise


def _use_wal(connection: sqlite3.Connection) -> None:
    # The switch does not wait for a lock by itself, and several processes may meet here on a new file.
    patience = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            if connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal":
                return
            reason = "this file system cannot hold a database in WAL mode"
        except sqlite3.OperationalError as error:
            reason = str(error)
        if time.monotonic() > patience:
            raise sqlite3.OperationalError(reason)
        time.sleep(0.02)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _schema_version(connection) == len(MIGRATIONS):
        return
    with transaction(connection):
        version = _schema_version(connection)
        if version > len(MIGRATIONS):
            raise StoreError(f"token database {path} was made by a newer Tokenomics; upgrade this one")
        for script in MIGRATIONS[version:]:
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")


def _schema_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> Iterator[str]:
    # executescript would commit the transaction that it runs in.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@dataclass(frozen=True)
class Meta:
    """What the database says of itself. salt is empty until the first keys are taken."""

    salt: bytes
    hash_key_id: str
    encryption_key_id: str
    revision: int


def read_meta(connection: sqlite3.Connection) -> Meta:
    values = dict(connection.execute("SELECT key, value FROM token_meta"))
    return Meta(
        salt=values.get("salt", b""),
        hash_key_id=values.get("hash_key_id", ""),
        encryption_key_id=values.get("encryption_key_id", ""),
        revision=values["revision"],
    )


class KeyCheck:
    """Tells whether keys are those that a database's records were made with."""

    def __init__(self, keys: Keys, salt: bytes) -> None:
        self._keys = keys
        self._salt = salt
        self._hash_key_id = key_id(keys.hash_key, salt)
        self._encryption_key_id = key_id(keys.encryption_secret, salt)

    def trouble(self, meta: Meta) -> str:
        """What is wrong, and the remedy; empty when the keys fit."""
        if meta.hash_key_id != self._hash_key_id:
            return (
                f"its tokens were hashed with another key than {self._keys.hash_key_source}; restore that key"
            )
        if meta.encryption_key_id != self._encryption_key_id:
            return (
                f"its policies were encrypted with another secret than {self._keys.encryption_source}; "
                "restore that secret, or run token rekey"
            )
        return ""

    def store(self, connection: sqlite3.Connection) -> None:
        """Makes these keys the database's own; inside a transaction."""
        connection.executemany(
            "INSERT OR REPLACE INTO token_meta VALUES (?, ?)",
            [
                ("salt", self._salt),
                ("hash_key_id", self._hash_key_id),
                ("encryption_key_id", self._encryption_key_id),
            ],
        )
        connection.execute("UPDATE token_meta SET value = value + 1 WHERE key = 'revision'")


def _take_keys(
    connection: sqlite3.Connection, path: Path, keys: Keys, randomness: Callable[[int], bytes]
) -> bytes:
    """Checks the keys against those the records were made with, and gives the salt.

    A database without records takes any keys.
    """
    meta = read_meta(connection)
    if meta.salt and not KeyCheck(keys, meta.salt).trouble(meta):
        return meta.salt
    with transaction(connection):
        meta = read_meta(connection)
        salt = meta.salt or randomness(16)
        check = KeyCheck(keys, salt)
        trouble = check.trouble(meta)
        if trouble and connection.execute("SELECT 1 FROM tokens LIMIT 1").fetchone():
            raise KeyMismatch(f"token database {path}: {trouble}")
        if trouble:
            check.store(connection)
    return salt
