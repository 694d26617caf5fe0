"""The ledger's SQLite file: its schema, and how it is opened for writing and for reading.

A migration is a list of statements that is never edited once released; ``PRAGMA user_version`` counts how
many a file has had.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from tokenomics_core.ledger.row import COLUMNS, Row, stored, timestamp
from tokenomics_core.sqlite_file import NewerFile, open_file

if TYPE_CHECKING:
    from tokenomics_core.ledger.chain import Chain

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # seq is the order of writing. Text is NULL where nothing is known; flags are 0 or 1; times are
        # RFC 3339 in UTC with microseconds, so they compare as text.
        """
        CREATE TABLE requests (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            started_at TEXT NOT NULL,
            ended_at TEXT NOT NULL,
            duration_ms INTEGER NOT NULL,
            kind TEXT NOT NULL,
            parent_id TEXT,
            token_hash TEXT,
            ingress TEXT,
            method TEXT,
            path TEXT,
            dialect TEXT,
            operation TEXT,
            stream INTEGER NOT NULL,
            requested_model TEXT,
            model TEXT,
            fallback_model TEXT,
            provider TEXT,
            base_key_env TEXT,
            upstream_host TEXT,
            upstream_url TEXT,
            status INTEGER NOT NULL,
            upstream_status INTEGER NOT NULL,
            refusal TEXT,
            error TEXT,
            input_tokens INTEGER NOT NULL,
            output_tokens INTEGER NOT NULL,
            estimated INTEGER NOT NULL,
            cached_input_tokens INTEGER,
            cache_creation_tokens INTEGER,
            reasoning_tokens INTEGER,
            actual_model TEXT,
            finish_reason TEXT,
            rate_limit_remaining_requests INTEGER,
            rate_limit_remaining_tokens INTEGER,
            rate_limit_reset TEXT,
            upstream_id TEXT,
            upstream_request_id TEXT,
            retry_count INTEGER NOT NULL,
            attempts TEXT NOT NULL,
            rule_matches TEXT NOT NULL,
            metadata TEXT NOT NULL,
            request_bytes INTEGER NOT NULL,
            response_bytes INTEGER NOT NULL,
            remote_addr TEXT,
            user_agent TEXT
        )
        """,
        "CREATE INDEX requests_started_at ON requests (started_at)",
        "CREATE INDEX requests_token_hash ON requests (token_hash, started_at)",
    ),
    (
        # Money is text: an exact decimal, which no number of SQLite's holds. cost_by_class is a JSON object.
        "ALTER TABLE requests ADD COLUMN session_id TEXT",
        "ALTER TABLE requests ADD COLUMN cost_usd TEXT",
        "ALTER TABLE requests ADD COLUMN cost_by_class TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE requests ADD COLUMN price_id TEXT",
        "ALTER TABLE requests ADD COLUMN price_source TEXT",
        "ALTER TABLE requests ADD COLUMN price_as_of TEXT",
        "ALTER TABLE requests ADD COLUMN reserved_tokens INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE requests ADD COLUMN reserved_usd TEXT",
        "ALTER TABLE requests ADD COLUMN recovered INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX requests_session_id ON requests (session_id, started_at) WHERE session_id IS NOT NULL",
    ),
    (
        # From when on what a token or one of its sessions used counts: `token update --reset-usage` and
        # `session reset` write here, so that counters that are made anew from the rows come out the same.
        """
        CREATE TABLE resets (
            token_hash TEXT NOT NULL,
            session_id TEXT NOT NULL,
            at TEXT NOT NULL,
            PRIMARY KEY (token_hash, session_id)
        )
        """,
    ),
    (
        # dirty is NULL where nobody could tell. timings is a JSON object. run names the process that served.
        "ALTER TABLE requests ADD COLUMN repo TEXT",
        "ALTER TABLE requests ADD COLUMN branch TEXT",
        "ALTER TABLE requests ADD COLUMN commit_hash TEXT",
        "ALTER TABLE requests ADD COLUMN dirty INTEGER",
        "ALTER TABLE requests ADD COLUMN first_byte_ms INTEGER",
        "ALTER TABLE requests ADD COLUMN timings TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE requests ADD COLUMN run TEXT",
        "CREATE INDEX requests_run ON requests (run) WHERE run IS NOT NULL",
        # One line for each process that keeps a session file. git is a JSON object, as it was at the start.
        # ended_at is NULL until the file is complete; last_seq is the last row that it then held.
        """
        CREATE TABLE sessions (
            run TEXT PRIMARY KEY,
            instance TEXT NOT NULL,
            started_at TEXT NOT NULL,
            git TEXT NOT NULL,
            ended_at TEXT,
            commit_end TEXT,
            last_seq INTEGER NOT NULL DEFAULT 0
        )
        """,
    ),
    (
        # See `ledger.chain`. NULL in rows that were there before there was a chain.
        "ALTER TABLE requests ADD COLUMN writer TEXT",
        "ALTER TABLE requests ADD COLUMN number INTEGER",
        "ALTER TABLE requests ADD COLUMN hash TEXT",
        """
        CREATE TABLE heads (
            number INTEGER PRIMARY KEY,
            writer TEXT NOT NULL,
            row INTEGER NOT NULL,
            hash TEXT NOT NULL,
            at TEXT NOT NULL,
            opening TEXT,
            previous TEXT NOT NULL,
            signature TEXT NOT NULL
        )
        """,
        "CREATE INDEX heads_row ON heads (writer, row)",
    ),
)

# One statement for a whole batch, its rows as one JSON text: each statement gives the interpreter lock up and
# takes it again, which costs a busy event loop more than the rows do. LIMIT -1 has each row taken out of the
# text once, not once per column. Nothing is in conflict, but with that clause SQLite is three times as fast;
# without WHERE it would read its ON as the condition of a join.
_PLACES = ("seq", *COLUMNS, "writer", "number", "hash")
_VALUES = ", ".join(f"json_extract(value, '$[{index}]')" for index in range(len(_PLACES)))
_INSERT = (
    f"INSERT INTO requests ({', '.join(_PLACES)})"
    f" SELECT {_VALUES} FROM (SELECT value FROM json_each(?) LIMIT -1) WHERE true"
    " ON CONFLICT (id) DO NOTHING"
)
_KNOWN = "SELECT id FROM requests WHERE id IN (SELECT value FROM json_each(?))"


class LedgerError(Exception):
    """The ledger cannot be opened, read or written; the message is one line with a remedy."""


def open_for_writing(path: Path, *, busy_timeout: float) -> sqlite3.Connection:
    """Opens the file as `open_file` does. busy_timeout: seconds. Raises LedgerError."""
    try:
        return open_file(path, _MIGRATIONS, busy_timeout=busy_timeout)
    except (OSError, sqlite3.Error) as error:
        raise cannot("open", path, error) from error
    except NewerFile as error:
        raise LedgerError(str(error)) from None


def insert_rows(db: sqlite3.Connection, rows: list[Row], chain: Chain | None = None) -> list[Row]:
    """Inserts the rows in their order and returns them, without those whose id was there already.

    To be called in a transaction that has the write lock. chain: of this process; None leaves the rows out of
    any. Raises KeyFileError.
    """
    known = {id for (id,) in db.execute(_KNOWN, (orjson.dumps([row.id for row in rows]).decode(),))}
    unique: dict[str, Row] = {}
    for row in rows:
        if row.id not in known:
            unique.setdefault(row.id, row)
    new = list(unique.values())
    if not new:
        return []
    (last,) = db.execute("SELECT ifnull(max(seq), 0) FROM requests").fetchone()
    lines = [b"%d,%b" % (last + place, _packed(row)[1:-1]) for place, row in enumerate(new, 1)]
    links = chain.extend(db, lines) if chain else [b"null,null,null"] * len(lines)
    text = b",".join(b"[%b,%b]" % each for each in zip(lines, links, strict=True))
    if db.execute(_INSERT, (f"[{text.decode()}]",)).rowcount != len(new):
        raise sqlite3.IntegrityError("rows were added by somebody who had no lock")
    return new


def _packed(row: Row) -> bytes:
    values = stored(row)
    packed = orjson.dumps(values)
    if b"\\u0000" in packed:
        # SQLite ends a text of JSON there.
        packed = orjson.dumps([v.replace("\0", "\ufffd") if isinstance(v, str) else v for v in values])
    return packed


def read_rows(
    path: Path,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    token_hash: str = "",
    id: str = "",
    limit: int | None = None,
) -> Iterator[Row]:
    """Rows in the order of writing, while others write. Raises LedgerError.

    since, until: bounds of started_at, aware, the second one exclusive. limit: the last so many rows.
    """
    where, values = ["1"], list[str | int]()
    if since is not None:
        where.append("started_at >= ?")
        values.append(timestamp(since.astimezone(UTC)))
    if until is not None:
        where.append("started_at < ?")
        values.append(timestamp(until.astimezone(UTC)))
    if token_hash:
        where.append("token_hash = ?")
        values.append(token_hash)
    if id:
        where.append("id = ?")
        values.append(id)
    values.append(-1 if limit is None else limit)
    columns = ", ".join(COLUMNS)
    query = (
        f"SELECT {columns} FROM (SELECT * FROM requests WHERE {' AND '.join(where)}"
        " ORDER BY seq DESC LIMIT ?) ORDER BY seq"
    )
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            for record in db.execute(query, values):
                yield Row.from_record(record)
    except sqlite3.Error as error:
        raise cannot("read", path, error) from error


@contextmanager
def opened(path: Path, *, busy_timeout: float = 5.0) -> Iterator[sqlite3.Connection]:
    """The file, migrated, for a few statements. Raises LedgerError, also for what SQLite says to them."""
    with closing(open_for_writing(path, busy_timeout=busy_timeout)) as db:
        try:
            yield db
        except sqlite3.Error as error:
            raise cannot("use", path, error) from error


def cannot(verb: str, path: Path, error: Exception) -> LedgerError:
    """What to raise for an error of SQLite or the system; verb: what was tried with the file."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return LedgerError(
        f"cannot {verb} the ledger {path}: {reason}; check that it is a ledger, and its owner, mode and disk"
    )
