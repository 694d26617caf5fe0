"""Checks the chain of a ledger file: reads every row, needs the public key only, and names what is wrong.

The heads are read from the last one back. One whose digest the next good head covers is good, whatever it
says; any other must have a good signature of its own. The rows are read in their order, and each must have
the hash that follows from the row before it. A hash that does not follow names its row; the row after it is
checked against every hash that the wrong one may have had, so that one edit makes one finding.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from tokenomics_core.ledger.chain import HEAD, Head, Older, chunks
from tokenomics_core.ledger.chain_state import Writer
from tokenomics_core.ledger.database import cannot

Kind = Literal["edited", "dropped", "reordered", "cut", "added", "signature", "replaced"]
Progress = Callable[[int, int], None]
Verifies = Callable[[object, bytes], bool]
"""Whether a signature, in hex, is one of that message under the public key."""

MOST_SIGNATURES = 100
"""Bad ones, after which the key is taken for the wrong one and no more are tried."""

_CHAIN = ("writer", "number", "hash")


@dataclass(frozen=True, slots=True)
class Finding:
    """writer, number, id: of a row, where it is about one. text: one line for people."""

    kind: Kind
    text: str
    writer: str = ""
    number: int | None = None
    id: str = ""


@dataclass(slots=True)
class Checked:
    """rows: in the chain. older: from before it, covered by the first head. unchained: where no head is.

    last: the last good head.
    """

    rows: int = 0
    older: int = 0
    unchained: int = 0
    writers: int = 0
    heads: int = 0
    last: Head | None = None
    findings: list[Finding] = field(default_factory=list)


def check(path: Path, verifies: Verifies | None, progress: Progress | None = None) -> Checked:
    """Checks the file as it is at this moment; others may write meanwhile. Raises LedgerError.

    verifies: None where there is no key yet; then nothing may be signed.
    """
    with reading(path) as db:
        return _Check(db, verifies, progress).run()


class _Check:
    def __init__(self, db: sqlite3.Connection, verifies: Verifies | None, progress: Progress | None) -> None:
        self._db = db
        self._verifies = verifies
        self._progress = progress
        there = [column[1] for column in db.execute("PRAGMA table_info(requests)")]
        if "id" not in there:
            raise sqlite3.DatabaseError("it has no table of requests")
        self._columns = [name for name in there if name not in ("seq", *_CHAIN)]
        self._id = self._columns.index("id")
        self._chained = set(_CHAIN) <= set(there) and has_heads(db)
        self._writers: dict[str, Writer] = {}
        self._bad: set[int] = set()
        self._doubtful: set[str] = set()
        """Writers with bad heads."""
        self._covered: dict[str, Any] | None = None
        self._covered_places: list[int] = []
        self._older = Older()
        self._said = Checked()

    def run(self) -> Checked:
        said = self._said
        if self._chained:
            self._read_heads()
        if said.last is None:
            # Of no row can anything be said. One line says so, not one for each row.
            (rows,) = self._db.execute("SELECT count(*) FROM requests").fetchone()
            said.unchained = rows
            if rows and not said.heads and self._verifies is not None:
                self._find("dropped", f"dropped: no head is there, and so nothing vouches for {rows} rows")
            return said
        self._read_rows()
        for writer in self._writers.values():
            self._end(writer)
        self._compare_older()
        said.writers = len(self._writers)
        return said

    def _find(self, kind: Kind, text: str, writer: str = "", number: int | None = None, id: str = "") -> None:
        self._said.findings.append(Finding(kind, text, writer, number, id))

    # Heads.

    def _read_heads(self) -> None:
        after: Head | None = None
        trusted = False
        for values in self._db.execute(f"SELECT {HEAD} FROM heads ORDER BY number DESC"):
            head = Head(*values)
            self._said.heads += 1
            follows = after is not None and after.previous == head.digest and after.number == head.number + 1
            good = (trusted and follows) or self._signed(head)
            if after is not None and after.number != head.number + 1:
                self._missing(head.number + 1, after.number - 1)
            elif trusted and good and not follows and after is not None:
                self._find("replaced", f"replaced: head {after.number} does not follow head {head.number}")
            if good:
                self._take(head)
            after, trusted = head, good
        if after is not None and after.number > 1:
            self._missing(1, after.number - 1)

    def _signed(self, head: Head) -> bool:
        verifies = self._verifies
        if verifies and len(self._bad) < MOST_SIGNATURES and verifies(head.signature, head.message):
            return True
        self._bad.add(head.number)
        self._doubtful.add(head.writer)
        if len(self._bad) < MOST_SIGNATURES:
            where = f"of writer {str(head.writer)[:8]}, which names number {head.row}"
            text = f"bad signature: head {head.number} {where}"
            self._find("signature", text, str(head.writer))
        elif len(self._bad) == MOST_SIGNATURES:
            self._find("signature", "bad signature: many more heads; is this the gateway's public key?")
        return False

    def _missing(self, first: int, last: int) -> None:
        what = f"head {first} is" if first == last else f"heads {first} to {last} are"
        self._find("dropped", f"dropped: {what} missing")

    def _take(self, head: Head) -> None:
        self._said.last = self._said.last or head
        writer = self._writers.get(head.writer)
        if writer is None:
            writer = self._writers[head.writer] = Writer(head.writer, head, self._columns, self._defaults())
        elif head.row > writer.head.row:
            writer.head = head
        if head.opening is not None:
            opening: dict[str, Any] = orjson.loads(head.opening)
            writer.open(head.digest, opening["columns"])
            if "older" in opening:
                self._covered, self._covered_places = opening["older"], writer.places

    def _defaults(self) -> dict[str, Any]:
        """What a column says in rows that were there before it was."""
        return {
            name: self._db.execute(f"SELECT {default}").fetchone()[0] if default is not None else None
            for _, name, _, _, default, _ in self._db.execute("PRAGMA table_info(requests)")
        }

    # Rows.

    def _read_rows(self) -> None:
        (total,) = self._db.execute("SELECT count(*) FROM requests").fetchone()
        # What a head says of the row, if one does.
        signed = "(SELECT hash FROM heads WHERE writer = r.writer AND row = r.number ORDER BY number LIMIT 1)"
        names = ", ".join(f'"{name}"' for name in self._columns)
        done = 0
        for found in chunks(
            self._db, f"SELECT seq, writer, number, hash, {signed}, {names} FROM requests AS r WHERE 1"
        ):
            for seq, writer, number, hash, head, *values in found:
                if writer is None and number is None and hash is None:
                    self._unchained(seq, values)
                else:
                    self._said.rows += 1
                    self._row(seq, writer, number, hash, head, values)
            done += len(found)
            if self._progress is not None:
                self._progress(done, total)

    def _row(self, seq: int, name: Any, number: Any, hash: Any, head: Any, values: list[Any]) -> None:
        id = str(values[self._id])
        writer = self._writers.get(name) if isinstance(name, str) else None
        if writer is None or number != writer.last + 1:
            # Only its writer or its number may have been changed: then it is the next row of one.
            true = next((each for each in self._writers.values() if each.fits(seq, hash, values)), None)
            if true is not None:
                self._edited(true, true.last + 1, id)
                true.advance(true.last + 1, id, [hash])
                return
        if writer is None or not isinstance(number, int):
            self._find("added", f"added: row {id} names a writer or a number that no head knows", id=id)
            return
        if number > writer.head.row and writer.name not in self._doubtful:
            text = f"added: row {id} (writer {writer.short}, number {number}) is in no head"
            self._find("added", text, writer.name, number, id)
            return
        if number <= writer.last:
            after = writer.late(number)
            if after is None:
                text = f"added: row {id} (writer {writer.short}) has number {number}, as another one has"
                self._find("added", text, writer.name, number, id)
            else:
                text = f"reordered: row {id} (writer {writer.short}, number {number}) stands after {after}"
                self._find("reordered", text, writer.name, number, id)
            return
        expected = writer.expected(seq, number, values)
        if expected and hash not in expected:
            self._edited(writer, number, id)
        elif head is not None and head != hash and not self._in_bad_head(writer.name, number):
            self._edited(writer, number, id, "; its hash is not the one that was signed")
        candidates = [hash, head, *expected[:1]]
        writer.advance(number, id, [each for each in candidates if isinstance(each, str) and each.isascii()])

    def _edited(self, writer: Writer, number: int, id: str, more: str = "") -> None:
        text = f"row {id} (writer {writer.short}, number {number}): edited{more}"
        self._find("edited", text, writer.name, number, id)

    def _in_bad_head(self, writer: str, number: int) -> bool:
        query = "SELECT number FROM heads WHERE writer = ? AND row = ?"
        return any(each in self._bad for (each,) in self._db.execute(query, (writer, number)))

    def _end(self, writer: Writer) -> None:
        for first, last, before, after in writer.missing:
            numbers = f"number {first}" if first == last else f"numbers {first} to {last}"
            place = f"between {before} and {after}" if before else f"before {after}"
            text = f"dropped: {numbers} of writer {writer.short}, {place}"
            self._find("dropped", text, writer.name, first)
        if writer.last < writer.head.row:
            left = f"the last row is {writer.last} ({writer.last_id})" if writer.last else "no row is left"
            said = f"the head signed at {writer.head.at} names number {writer.head.row}"
            text = f"cut: {said} of writer {writer.short}, {left}"
            self._find("cut", text, writer.name, writer.last + 1)

    # Rows from before the chain.

    def _unchained(self, seq: int, values: list[Any]) -> None:
        if self._covered is not None and seq <= self._covered["seq"]:
            self._older.add([seq, *(values[place] for place in self._covered_places)])
        else:
            id = str(values[self._id])
            self._find("added", f"added: row {id} is not in the chain", id=id)

    def _compare_older(self) -> None:
        if self._covered is None:
            return
        self._said.older, rows = self._older.rows, self._covered["rows"]
        if self._older.rows != rows:
            text = f"there were {rows} rows from before the chain, and {self._older.rows} are there"
            kind: Kind = "dropped" if self._older.rows < rows else "added"
            self._find(kind, f"{kind}: {text}")
        elif self._older.as_dict() != self._covered:
            self._find("edited", f"edited: one or more of the {rows} rows from before the chain")


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as it is at this moment, read-only. Raises LedgerError."""
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
            db.execute("BEGIN")
            yield db
    except sqlite3.Error as error:
        raise cannot("read", path, error) from error


def has_heads(db: sqlite3.Connection) -> bool:
    return db.execute("PRAGMA table_info(heads)").fetchone() is not None
