"""Lookup: from hash to record on the path of every request, in microseconds, and never out of date.

SQLite tells for next to nothing whether any other connection has committed (PRAGMA data_version). If one has,
the count that triggers keep of changes to the table tells whether it was about tokens. If it was, each cached
record is compared with its row when it is next asked for, and only a row that changed is decrypted and
compiled again. So a commit of any process, this one included, holds for the very next request.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

from tokenomics_core.policy import PolicyError
from tokenomics_core.tokens.database import KeyCheck, StoreError, connect, plain_errors, read_meta
from tokenomics_core.tokens.encryption import Cipher
from tokenomics_core.tokens.record import COLUMNS, Row, TokenRecord, UnreadableRecord, open_row

_log = logging.getLogger(__name__)

_BUSY_SECONDS = 0.25
"""Readers of a WAL database wait almost never, and this one must not hold up an event loop when they do."""

_LIMIT = 50_000
"""Cached records; past it the cache starts anew, so that deleted tokens do not pile up in it."""

_SELECT = f"SELECT {COLUMNS} FROM tokens WHERE hash = ?"


@dataclass(slots=True)
class _Entry:
    row: Row
    record: TokenRecord | None
    """None when the row cannot be read."""
    revision: int


class Lookup:
    """The read side of a token database that exists. One lock, held for microseconds; no writer takes it."""

    def __init__(self, path: Path, check: KeyCheck, cipher: Cipher) -> None:
        self._path = path
        self._check = check
        self._cipher = cipher
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._data_version = -1
        self._revision = -1
        with plain_errors(path):
            status = os.stat(path)
            self._file = (status.st_dev, status.st_ino)
            self._connection = connect(path, busy_seconds=_BUSY_SECONDS)
            self._connection.execute("PRAGMA query_only=ON")

    def find(self, hash: str) -> TokenRecord | None:
        """The record, its policy compiled; None when there is none that can be read. Raises StoreError."""
        with self._lock:
            try:
                self._catch_up()
                entry = self._entries.get(hash)
                if entry is None or entry.revision != self._revision:
                    entry = self._load(hash, entry)
            except (sqlite3.Error, OSError):
                # Whatever is wrong, nothing of what was cached may be trusted until it reads well again.
                self._data_version = -1
                with plain_errors(self._path):
                    raise
            return entry.record if entry else None

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _catch_up(self) -> None:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            raise StoreError(f"token database {self._path} is gone; restore it and restart") from None
        if (status.st_dev, status.st_ino) != self._file:
            raise StoreError(f"token database {self._path} was replaced by another file; restart")
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._data_version:
            return
        meta = read_meta(self._connection)
        trouble = self._check.trouble(meta)
        if trouble:
            raise StoreError(f"token database {self._path}: {trouble}")
        self._revision = meta.revision
        self._data_version = version

    def _load(self, hash: str, known: _Entry | None) -> _Entry | None:
        found = self._connection.execute(_SELECT, (hash,)).fetchone()
        if found is None:
            self._entries.pop(hash, None)
            return None
        row = Row(*found)
        if known is not None and known.row == row:
            known.revision = self._revision
            return known
        if len(self._entries) >= _LIMIT:
            self._entries.clear()
        entry = _Entry(row, self._read(row), self._revision)
        self._entries[hash] = entry
        return entry

    def _read(self, row: Row) -> TokenRecord | None:
        try:
            record = open_row(self._cipher, row)
            _ = record.policy
        except (UnreadableRecord, PolicyError) as error:
            _log.warning("token %s is refused: %s", row.hash[:16], error)
            return None
        return record
