"""The journal of one machine: an entry for each exchange that was let through, until the ledger has its row.

An entry whose process is gone says what that process had reserved and, as far as it knew, used. It lies in
the SQLite file of the counters, also where Redis keeps the counters themselves: there an entry is opened
after the grant, and the row is stored before the settlement.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from tokenomics_core.counters.database import open_database, transaction, unavailable
from tokenomics_core.counters.question import CountersUnavailable, Unsettled

Amounts = Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Opened:
    """record: the intent; an empty one opens no entry. granted: tokens of output. reserved: by key."""

    id: str
    token: str
    record: bytes
    granted: int
    reserved: Amounts = ()


@dataclass(frozen=True, slots=True)
class Extended:
    """granted, reserved: all that is reserved now, not what was added. progress: used up to now, by key."""

    id: str
    granted: int
    reserved: Amounts = ()
    progress: Amounts = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """The exchange is over, and this is its row. The first row stays; an empty one is none."""

    id: str
    row: bytes


@dataclass(frozen=True, slots=True)
class Written:
    """The ledger has the row: the entry goes."""

    id: str


Change = Opened | Extended | Ended | Written


def write_changes(db: sqlite3.Connection, owner: str, changes: Sequence[Change]) -> None:
    """Makes the changes in the order of an exchange's life, in the transaction that is open.

    Changes to an entry that is not there do nothing. Raises sqlite3.Error.
    """
    opened = [each for each in changes if isinstance(each, Opened) and each.record]
    extended = [each for each in changes if isinstance(each, Extended)]
    ended = [each for each in changes if isinstance(each, Ended) and each.row]
    written = [each.id for each in changes if isinstance(each, Written)]
    insert_many(
        db,
        # The same question may be granted twice, after an answer that was lost.
        "INSERT OR IGNORE INTO intents (id, token, owner, granted, reserved, progress, record)",
        [
            (each.id, each.token, owner, each.granted, _json(each.reserved), "[]", each.record)
            for each in opened
        ],
    )
    if extended:
        db.executemany(
            "UPDATE intents SET granted = ?, reserved = ?, progress = ? WHERE id = ?",
            [(each.granted, _json(each.reserved), _json(each.progress), each.id) for each in extended],
        )
    if ended:
        db.executemany(
            "UPDATE intents SET row = ? WHERE id = ? AND row IS NULL", [(each.row, each.id) for each in ended]
        )
    if written:
        db.execute("DELETE FROM intents WHERE id IN (SELECT value FROM json_each(?))", (_json(written),))


def insert_many(db: sqlite3.Connection, insert: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Runs the insert for up to 64 rows at a time: each step of SQLite gives the interpreter lock up.

    insert: the statement up to, without, VALUES.
    """
    for start in range(0, len(rows), 64):
        chunk = rows[start : start + 64]
        row = f"({', '.join('?' * len(chunk[0]))})"
        values = [value for each in chunk for value in each]
        db.execute(f"{insert} VALUES {', '.join([row] * len(chunk))}", values)


def read_unsettled(db: sqlite3.Connection, owner: str, alive: Callable[[str], bool]) -> list[Unsettled]:
    """The entries of other owners that are not alive, the oldest first. Raises sqlite3.Error."""
    owners = [
        other for (other,) in db.execute("SELECT DISTINCT owner FROM intents WHERE owner <> ?", (owner,))
    ]
    gone = [other for other in owners if not alive(other)]
    if not gone:
        return []
    entries = db.execute(
        "SELECT id, token, owner, record, row, granted, reserved, progress FROM intents"
        " WHERE owner IN (SELECT value FROM json_each(?)) ORDER BY rowid",
        (_json(gone),),
    )
    return [
        Unsettled(id, token, owner, record, row or b"", granted, _amounts(reserved), _amounts(progress))
        for id, token, owner, record, row, granted, reserved, progress in entries
    ]


class Journal:
    """The journal by itself, on a connection of its own. For stores that keep their counters elsewhere.

    Its methods block and may be called from any thread; each is one transaction, waits up to busy_timeout
    (seconds) for a neighbour, and raises CountersUnavailable. owner: this process's word.
    """

    def __init__(self, path: Path, owner: str, *, busy_timeout: float = 5.0) -> None:
        self.path = path
        self.owner = owner
        self._busy_timeout = busy_timeout
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        with self._lock:
            if self._db is None:
                self._db = open_database(self.path, busy_timeout=self._busy_timeout)
                # Nobody else's questions wait for this file, so it may checkpoint as it goes.
                self._db.execute("PRAGMA wal_autocheckpoint = 1000")

    def write(self, changes: Sequence[Change]) -> None:
        """All of the changes, or none. They are on disk when it returns."""
        with self._lock:
            db = self._opened()
            try:
                with transaction(db, self._busy_timeout):
                    write_changes(db, self.owner, changes)
            except sqlite3.Error as error:
                raise unavailable(self.path, error) from error

    def unsettled(self, alive: Callable[[str], bool]) -> list[Unsettled]:
        """The entries of processes that are gone; never this owner's. alive: of an owner."""
        with self._lock:
            db = self._opened()
            try:
                return read_unsettled(db, self.owner, alive)
            except sqlite3.Error as error:
                raise unavailable(self.path, error) from error

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            raise CountersUnavailable("the journal is not open; open it first")
        return self._db


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _amounts(text: str) -> tuple[tuple[str, int], ...]:
    return tuple((key, amount) for key, amount in orjson.loads(text))
