"""Ledger: one durable row per exchange, written exactly once, without making the request wait."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from tokenomics_core.ledger.chain import Chain
from tokenomics_core.ledger.database import LedgerError, insert_rows, open_for_writing, read_rows
from tokenomics_core.ledger.row import Row
from tokenomics_core.ledger.writer import BatchWriter, QueueFull, WriterClosed
from tokenomics_core.tokens.keys import KeyFileError

logger = logging.getLogger(__name__)


class LedgerFull(LedgerError):
    """As many rows wait for the disk as may."""


class Ledger:
    """The ledger file of one process; several processes may share the file.

    path: the SQLite file, created when missing. capacity: rows that may wait for the disk.
    chain: what links this process's rows and signs them; None leaves them out of any chain.
    on_written: called on the writer's thread with the rows that are now in the file, each once.
    busy_timeout: seconds that a write waits for another process's. Raises LedgerError when the file
    cannot be opened; when it can later no longer be written, `unavailable` says so and writing is retried.
    """

    def __init__(
        self,
        path: Path,
        *,
        chain: Chain | None = None,
        capacity: int = 50_000,
        on_written: Callable[[list[Row]], None] | None = None,
        busy_timeout: float = 5.0,
        retry: float = 0.1,
    ) -> None:
        self._path = path
        self._chain = chain
        self._capacity = capacity
        self._on_written = on_written
        self._busy_timeout = busy_timeout
        self._db: sqlite3.Connection | None = open_for_writing(path, busy_timeout=busy_timeout)
        self._file, self._log = _identity(path), _identity(_log_of(path))
        self._writer = BatchWriter[Row]("ledger", self._write, capacity=capacity, retry=retry)

    @property
    def backlog(self) -> int:
        """Rows not yet in the file."""
        return self._writer.backlog

    @property
    def failed(self) -> str:
        """Why rows cannot be written now, with a remedy; the empty string when they can."""
        failure = self._writer.failure
        if failure is None:
            return ""
        if isinstance(failure, LedgerError | KeyFileError):
            return str(failure)
        return f"the ledger {self._path} cannot be written ({failure}): check its disk, owner and mode"

    @property
    def unavailable(self) -> str:
        """Why no new request may be let in; the empty string when it may.

        Half of the queue is kept for the requests that are under way, so that no row of theirs is lost.
        """
        if self.backlog * 2 > self._capacity:
            return (
                self.failed
                or f"the ledger {self._path} is behind by {self.backlog} rows: wait, or use a faster disk"
            )
        return self.failed

    def record(self, row: Row) -> None:
        """Hands the row to the writer and returns at once; a second row of the same id is ignored.

        Raises LedgerFull when too many rows wait, LedgerError after `close`.
        """
        try:
            self._writer.put(row)
        except QueueFull:
            raise LedgerFull(
                f"{self._capacity} rows wait for the ledger {self._path}: check its disk"
            ) from None
        except WriterClosed:
            raise LedgerError(f"the ledger {self._path} is closed") from None

    def rows(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        token_hash: str = "",
        limit: int | None = None,
    ) -> Iterator[Row]:
        """The rows in the file, as `read_rows` gives them; those still waiting are not among them."""
        return read_rows(self._path, since=since, until=until, token_hash=token_hash, limit=limit)

    def find(self, id: str) -> Row | None:
        """The row of that id in the file; None when there is none, or when it still waits."""
        return next(read_rows(self._path, id=id), None)

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until every row recorded so far is in the file; False when that took longer than timeout."""
        return self._writer.flush(timeout)

    def close(self, timeout: float = 10.0) -> bool:
        """Writes what waits and closes the file; False when rows were left that could not be written."""
        complete = self._writer.close(timeout)
        if complete and self._db is not None:
            self._db.close()
            self._db = None
        return complete

    def _write(self, rows: list[Row]) -> None:
        db = self._connection()
        try:
            if self._chain is not None:
                self._chain.prepare(db)
            db.execute("BEGIN IMMEDIATE")
            new = insert_rows(db, rows, self._chain)
            db.commit()
        except BaseException:
            # Closing rolls back. The next try opens the file anew, whatever has become of it.
            self._db = None
            db.close()
            if self._chain is not None:
                self._chain.doubt()
            raise
        if self._chain is not None:
            self._chain.committed()
        if self._on_written is not None and new:
            try:
                self._on_written(new)
            except Exception:
                logger.exception("the ledger has written %d rows, and its listener failed", len(new))

    def _connection(self) -> sqlite3.Connection:
        if self._db is not None and _identity(self._path) != self._file:
            # Rows written to a file that was moved or deleted would not be found again. SQLite keeps the
            # last of them in the -wal file: beside a new database it would be taken for that one's.
            if _identity(_log_of(self._path)) == self._log:
                raise LedgerError(
                    f"the ledger {self._path} was moved or deleted without its -wal file; put it back"
                )
            self._db.close()
            self._db = None
        if self._db is None:
            if self._chain is not None and _identity(self._path) != self._file:
                self._chain.forget()
            self._db = open_for_writing(self._path, busy_timeout=self._busy_timeout)
            self._file, self._log = _identity(self._path), _identity(_log_of(self._path))
        return self._db


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from others of the same name; None where there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_dev, stat.st_ino
