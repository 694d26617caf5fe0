"""AllTime: what all rows of a ledger add up to, of every process that wrote into it, each row read once."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import datetime
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

from tokenomics_core.ledger.database import LedgerError
from tokenomics_core.meter.stats import NOT_COUNTED, Counters, Part, Tally

BATCH = 20_000
"""Rows that are added up by one statement: between two of them, other threads have their turn."""

_EXACT = Context(prec=200)

# What `stats.counts` says of a row, and what `Row.failed` says.
_FAILED = "(status >= 400 OR error IS NOT NULL)"
_COUNTS = (
    "NOT (refusal IS NOT NULL AND upstream_status = 0"
    f" AND status IN ({', '.join(str(status) for status in sorted(NOT_COUNTED))}))"
    f" AND (kind != 'upgrade' OR {_FAILED})"
)
_QUERY = (
    "SELECT ifnull(token_hash, ''), ifnull(session_id, ''), ifnull(model, ''), ifnull(base_key_env, ''),"
    f" count(*), sum(input_tokens), sum(output_tokens), sum({_FAILED}), exact_sum(cost_usd),"
    " min(ended_at), max(ended_at)"
    f" FROM requests WHERE seq > ? AND seq <= ? AND {_COUNTS}"
    " GROUP BY token_hash, session_id, model, base_key_env ORDER BY max(seq)"
)


class _ExactSum:
    """Adds up money that is text."""

    def __init__(self) -> None:
        self.sum = Decimal(0)

    def step(self, text: str | None) -> None:
        if text:
            self.sum = _EXACT.add(self.sum, Decimal(text))

    def finalize(self) -> str:
        return f"{self.sum:f}"


class AllTime:
    """path: the ledger, which may not be there yet. Its methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._tally = Tally()
        self._first: datetime | None = None
        self._file = (0, 0)
        self._seq = 0

    def advance(self) -> None:
        """Adds the rows that were written since the last time. Reads the disk. Raises LedgerError.

        The first time reads all rows: some seconds for a million, and others have their turns meanwhile.
        """
        with self._lock:
            try:
                self._advance()
            except (OSError, sqlite3.Error) as error:
                raise LedgerError(
                    f"cannot add up the ledger {self._path}: {error}; check that it is a ledger, its owner"
                    " and its mode"
                ) from error

    def as_dict(self) -> dict[str, Any]:
        """As `Tally.as_dict`, and ``since``: the end of the first exchange, the empty string for none."""
        with self._lock:
            since = f"{self._first:%Y-%m-%dT%H:%M:%SZ}" if self._first else ""
            return {**self._tally.as_dict(), "since": since}

    def totals(self) -> Counters:
        with self._lock:
            totals = Counters()
            totals.add(self._tally.totals)
            return totals

    def _advance(self) -> None:
        if not self._path.exists():
            return
        status = self._path.stat()
        with closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            (last,) = db.execute("SELECT ifnull(max(seq), 0) FROM requests").fetchone()
            if self._file != (status.st_dev, status.st_ino) or last < self._seq:
                # Another ledger has taken its place.
                self._file = (status.st_dev, status.st_ino)
                self._tally, self._first, self._seq = Tally(), None, 0
            db.create_aggregate("exact_sum", 1, _ExactSum)  # type: ignore[arg-type]
            while self._seq < last:
                until = min(self._seq + BATCH, last)
                # As a whole: what fails in the middle must not be added twice.
                records = db.execute(_QUERY, (self._seq, until)).fetchall()
                for record in records:
                    self._add(*record)
                self._seq = until

    def _add(
        self,
        token: str,
        session: str,
        model: str,
        key: str,
        requests: int,
        inputs: int,
        outputs: int,
        errors: int,
        cost: str,
        first: str,
        last: str,
    ) -> None:
        counters = Counters(requests, inputs, outputs, errors, Decimal(cost))
        begin, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
        self._first = min(self._first, begin) if self._first else begin
        self._tally.add(Part(counters, token, session, model, key, begin, end))
