"""Chain: each row's hash covers the row before it, and signed heads cover the last one.

A writer is one process. Its rows are numbered 1, 2, 3 and so on. The hash of a row covers all that the table
holds of it, and the hash of its writer's row before. Each batch ends in a head, in the same transaction: the
writer's last number and hash, signed. The heads of a file are one chain, whoever writes them: each covers the
one before with its signature, so a single good signature vouches for all that was written until then.

A writer's first head is its opening. It names the columns that are hashed, so that later columns do not make
older rows look edited, and row 1 is linked to it. The first opening of a file also covers the rows that were
there before there was a chain.
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

import orjson

from tokenomics_core.ledger.row import COLUMNS, timestamp

_ROW = b"tokenomics ledger row 1\n"
_HEAD = b"tokenomics ledger head 1\n"
_OLDER = b"tokenomics ledger older 1\n"

SESSION_KEY = "ledger_head"
"""Where a session file has a head."""

_CHUNK = 200
HEAD = "number, writer, row, hash, at, opening, previous, signature"
_WRITE = f"INSERT INTO heads ({HEAD}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class Signs(Protocol):
    def sign(self, message: bytes) -> str: ...


@dataclass(frozen=True, slots=True)
class Head:
    """number: 1, 2, 3 in the file. row, hash: of the writer's last row; 0 and empty in an opening.

    at: when it was signed. opening: JSON. previous: `digest` of the head before, empty in the first one.
    """

    number: int
    writer: str
    row: int
    hash: str
    at: str
    opening: str | None
    previous: str
    signature: str = ""

    @property
    def message(self) -> bytes:
        """What is signed."""
        return _HEAD + packed(self._values())

    @property
    def digest(self) -> str:
        """What the next head covers."""
        return hashlib.sha256(_HEAD + packed([*self._values(), self.signature])).hexdigest()

    def _values(self) -> list[Any]:
        return [self.number, self.writer, self.row, self.hash, self.at, self.opening, self.previous]

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


def row_hash(previous: str, writer: str, number: int, line: bytes) -> str:
    """The hash of a row. line: its seq and its values as JSON, with commas between, without brackets."""
    text = b'["%b","%b",%d,%b]' % (previous.encode(), writer.encode(), number, line)
    return hashlib.sha256(_ROW + text).hexdigest()


def packed(values: Sequence[Any]) -> bytes:
    """Values of SQLite's as a JSON array, each list another one."""
    # JSON has no infinity, and what is no text in UTF-8 was not written by us.
    if math.inf in values or -math.inf in values:
        values = [repr(value).encode() if isinstance(value, float) else value for value in values]
    try:
        return orjson.dumps(values)
    except TypeError:
        return orjson.dumps([_strange(value) for value in values])


def _strange(value: object) -> object:
    if isinstance(value, bytes):
        return {"blob": value.hex()}
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return {"text": value.encode(errors="surrogateescape").hex()}
    return value


def chunks(db: sqlite3.Connection, query: str) -> Iterator[list[tuple[Any, ...]]]:
    """The records of a query on `requests` in the order of seq, its first column, some at a time.

    query: without its ORDER BY, ends in a condition.
    """
    text, after = f"{query} AND seq > ? ORDER BY seq LIMIT {_CHUNK}", -math.inf
    while True:
        try:
            found = db.execute(text, (after,)).fetchall()
        except sqlite3.OperationalError:
            # It may be text that is not in UTF-8. A function of our own for every text would take its time.
            factory = db.text_factory
            db.text_factory = lambda raw: raw.decode(errors="surrogateescape")
            try:
                found = db.execute(text, (after,)).fetchall()
            finally:
                db.text_factory = factory
        if not found:
            return
        yield found
        after = found[-1][0]


class Older:
    """A hash over rows without a chain."""

    def __init__(self) -> None:
        self.rows, self.seq = 0, 0
        self._hash = hashlib.sha256(_OLDER)

    def add(self, record: Sequence[Any]) -> None:
        """record: seq, and the values."""
        self._hash.update(packed(list(record)) + b"\n")
        self.rows += 1
        self.seq = record[0]

    def as_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "seq": self.seq, "hash": self._hash.hexdigest()}


class Chain:
    """The chain of one process. Used by one thread at a time.

    writer: names the process, at least 8 hex digits. pause: called now and then in long work.
    """

    def __init__(
        self,
        writer: str,
        signer: Signs,
        now: Callable[[], datetime],
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._writer = writer
        self._signer = signer
        self._now = now
        self._pause = pause
        self._last: Head | None = None
        self._next: Head | None = None
        self._look = True
        self._older = Older()

    def forget(self) -> None:
        """Another file lies where the ledger was."""
        self._last, self._older = None, Older()
        self.doubt()

    def doubt(self) -> None:
        """Nobody knows whether the last batch was written."""
        self._look = True

    def prepare(self, db: sqlite3.Connection) -> None:
        """Reads the rows that were there before there was a chain, if that is to be done, without a lock."""
        if self._look and _last(db) is None:
            self._read_older(db)

    def extend(self, db: sqlite3.Connection, lines: Sequence[bytes]) -> list[bytes]:
        """Links new rows, and signs the last one. For each row: writer, number and hash, as JSON.

        lines: as `row_hash` takes them. To be called in a transaction that has the write lock; after it,
        `committed` or `doubt`. Raises KeyFileError.
        """
        self._next = None
        file, own = _last(db), self._last
        if self._look:
            # What this process remembers counts more than what the file says: it may have been cut.
            own = _later(own, _last(db, "WHERE writer = ?", self._writer))
        if own is None:
            own = file = self._open(db, file)
        number, link = own.row, own.hash or own.digest
        links = []
        for line in lines:
            number += 1
            link = row_hash(link, self._writer, number, line)
            links.append(b'"%b",%d,"%b"' % (self._writer.encode(), number, link.encode()))
        self._next = self._write(db, _later(own, file), number, link, None)
        return links

    def committed(self) -> None:
        """The transaction is done."""
        if self._next is not None:
            self._last, self._next, self._look = self._next, None, False

    def _open(self, db: sqlite3.Connection, before: Head | None) -> Head:
        opening: dict[str, Any] = {"columns": COLUMNS}
        if before is None:
            self._read_older(db)
            if self._older.rows:
                opening["older"] = self._older.as_dict()
        return self._write(db, before, 0, "", orjson.dumps(opening).decode())

    def _write(
        self, db: sqlite3.Connection, before: Head | None, row: int, hash: str, opening: str | None
    ) -> Head:
        number, previous = (before.number + 1, before.digest) if before else (1, "")
        values = (number, self._writer, row, hash, timestamp(self._now()), opening, previous)
        head = Head(*values, self._signer.sign(Head(*values).message))
        db.execute(_WRITE, (*values, head.signature))
        return head

    def _read_older(self, db: sqlite3.Connection) -> None:
        query = f"SELECT seq, {', '.join(COLUMNS)} FROM requests WHERE seq > {self._older.seq}"
        for found in chunks(db, query):
            for record in found:
                self._older.add(record)
            if not db.in_transaction:
                self._pause()


def covering(db: sqlite3.Connection, seq: int) -> Head | None:
    """The first head that covers the row; None for a row without a chain."""
    names = ", ".join(f"heads.{name}" for name in HEAD.split(", "))
    found = db.execute(
        f"SELECT {names} FROM requests AS r JOIN heads ON heads.writer = r.writer AND row >= r.number"
        " WHERE seq = ? ORDER BY row LIMIT 1",
        (seq,),
    ).fetchone()
    return Head(*found) if found else None


def _last(db: sqlite3.Connection, where: str = "", *values: str) -> Head | None:
    text = f"SELECT {HEAD} FROM heads {where} ORDER BY {'row DESC, ' if where else ''}number DESC LIMIT 1"
    found = db.execute(text, values).fetchone()
    return Head(*found) if found else None


def _later(one: Head | None, other: Head | None) -> Head | None:
    if one is None or other is None:
        return one or other
    return one if one.number >= other.number else other
