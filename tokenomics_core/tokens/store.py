"""TokenStore: the wrapper tokens of a database, for people to manage and for requests to look up."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tokenomics_core.tokens.database import (
    KeyCheck,
    KeyMismatch,
    StoreError,
    open_database,
    plain_errors,
    read_meta,
    transaction,
)
from tokenomics_core.tokens.encryption import Cipher
from tokenomics_core.tokens.expiry import CLEAR, Expiry, format_timestamp, parse_timestamp
from tokenomics_core.tokens.keys import Keys
from tokenomics_core.tokens.last_used import LastUsed
from tokenomics_core.tokens.record import COLUMNS, Row, TokenRecord, UnreadableRecord, open_row, seal_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenomics_core.tokens.lookup import Lookup

_log = logging.getLogger(__name__)

# The store's own `list` hides the type's name inside the class.
TokenRecords = list[TokenRecord]
Hashes = list[str]

_PLACES = ", ".join("?" * len(Row._fields))
_CHANGE = ", ".join(f"{column} = ?" for column in Row._fields[1:])


class TokenNotFound(StoreError):
    """No record has this hash."""

    def __init__(self) -> None:
        super().__init__("token not found")


class TokenExists(StoreError):
    """A record with this hash is there already."""

    def __init__(self) -> None:
        super().__init__("token hash already exists")


class TokenStore:
    """One token database. Safe to use from several threads, beside any number of other processes.

    path: the SQLite file; made when missing.
    randomness: for salt and nonces.
    use_interval: seconds between two writes of last use times.

    Every method may raise StoreError. Changes are on disk when a method returns, and hold for the next
    `lookup` in every process.
    """

    def __init__(
        self,
        path: Path,
        keys: Keys,
        *,
        randomness: Callable[[int], bytes] = os.urandom,
        use_interval: float = 30.0,
    ) -> None:
        self._path = Path(path)
        self._keys = keys
        self._randomness = randomness
        self._lock = threading.RLock()
        self._connection, self._salt = open_database(self._path, keys, randomness)
        self._cipher = Cipher(keys.encryption_secret, self._salt, randomness)
        self._check = KeyCheck(keys, self._salt)
        self._lookup: Lookup | None = None
        self._last_used = LastUsed(self._write_use, use_interval)
        self._closed = False

    @property
    def keys(self) -> Keys:
        return self._keys

    def create(
        self, hash: str, policy: str, *, now: datetime, expires: Expiry | None = None, label: str = ""
    ) -> TokenRecord:
        """Stores a new token's record; raises TokenExists, and PolicyError when the policy is not valid."""
        _check_policy(policy)
        _check_label(label)
        ends = expires.text if expires else ""
        row = seal_row(self._cipher, hash, policy, format_timestamp(now), ends, label, False)
        with self._writing():
            if self._row(hash):
                raise TokenExists
            self._connection.execute(f"INSERT INTO tokens ({COLUMNS}) VALUES ({_PLACES})", row)
        return open_row(self._cipher, row)

    def get(self, hash: str) -> TokenRecord | None:
        """The record whether or not it is expired or disabled; raises StoreError when it cannot be read."""
        with self._lock, plain_errors(self._path):
            row = self._row(hash)
            used = self._use(hash)
        return replace(self._open(row), last_used_at=used) if row else None

    def update(
        self,
        hash: str,
        *,
        policy: str | Callable[[TokenRecord], str | None] | None = None,
        expires: Expiry | None = None,
        label: str | None = None,
        disabled: bool | None = None,
    ) -> TokenRecord:
        """Changes what is given and keeps the rest; encrypts anew and gives the record as it now is.

        policy: the new text, or a function that makes it from the record as it was (None keeps the old text);
        it runs inside the transaction, so nobody else can change the record in between.
        expires: `CLEAR` takes the expiry away.
        Raises TokenNotFound, and PolicyError when the new policy is not valid.
        """
        _check_label(label or "")
        with self._writing():
            row = self._row(hash)
            if row is None:
                raise TokenNotFound
            old = self._open(row)
            text = policy(old) if callable(policy) else policy
            if text is not None:
                _check_policy(text)
            new = seal_row(
                self._cipher,
                hash,
                old.policy_text if text is None else text,
                row.created_at,
                row.expires_at if expires is None else "" if expires is CLEAR else expires.text,
                old.label if label is None else label,
                old.disabled if disabled is None else disabled,
            )
            self._connection.execute(f"UPDATE tokens SET {_CHANGE} WHERE hash = ?", (*new[1:], hash))
        return open_row(self._cipher, new)

    def delete(self, hash: str) -> None:
        """Removes the record; its token is unknown from the next request on. Raises TokenNotFound."""
        with self._writing():
            if self._connection.execute("DELETE FROM tokens WHERE hash = ?", (hash,)).rowcount == 0:
                raise TokenNotFound

    def purge(self, now: datetime) -> Hashes:
        """Deletes every record that is expired at that time, and gives their hashes in order."""
        with self._writing():
            ends = self._connection.execute(
                "SELECT hash, expires_at FROM tokens WHERE typeof(expires_at) = 'text' ORDER BY hash"
            ).fetchall()
            gone = [hash for hash, text in ends if (at := parse_timestamp(text)) is not None and now > at]
            self._connection.executemany("DELETE FROM tokens WHERE hash = ?", [(hash,) for hash in gone])
        return gone

    def rekey(self, secret: bytes) -> int:
        """Encrypts every policy anew with another secret, in one transaction, and gives their number.

        This store goes on with the new secret; other processes refuse to answer until they have it too.
        Raises StoreError, and changes nothing, when a record cannot be read.
        """
        keys = replace(self._keys, encryption_secret=secret)
        cipher, check = Cipher(secret, self._salt, self._randomness), KeyCheck(keys, self._salt)
        with self._writing():
            rows = [Row(*row) for row in self._connection.execute(f"SELECT {COLUMNS} FROM tokens")]
            for row in rows:
                text = self._open(row).policy_text
                new = seal_row(
                    cipher, row.hash, text, row.created_at, row.expires_at, row.label, bool(row.disabled)
                )
                self._connection.execute(f"UPDATE tokens SET {_CHANGE} WHERE hash = ?", (*new[1:], row.hash))
            check.store(self._connection)
        with self._lock:
            self._keys, self._cipher, self._check = keys, cipher, check
            lookup, self._lookup = self._lookup, None
        if lookup is not None:
            lookup.close()
        return len(rows)

    def hashes(self, prefix: str) -> Hashes:
        """The hashes that begin with these hex characters, in order."""
        with self._lock, plain_errors(self._path):
            found = self._connection.execute(
                "SELECT hash FROM tokens WHERE hash >= ? AND hash < ? ORDER BY hash", (prefix, prefix + "g")
            )
            return [hash for (hash,) in found]

    def list(self) -> TokenRecords:
        """All records that can be read, by hash; for each other one a warning is logged."""
        with self._lock, plain_errors(self._path):
            rows = [
                Row(*row) for row in self._connection.execute(f"SELECT {COLUMNS} FROM tokens ORDER BY hash")
            ]
            used = dict(self._connection.execute("SELECT hash, last_used_at FROM token_use"))
        records = []
        for row in rows:
            try:
                record = open_row(self._cipher, row)
            except UnreadableRecord as error:
                _log.warning("token %s cannot be read: %s", row.hash[:16], error)
                continue
            records.append(replace(record, last_used_at=parse_timestamp(used.get(row.hash, ""))))
        return records

    def lookup(self, hash: str, now: datetime) -> TokenRecord | None:
        """The record of a token that may be used now, its policy compiled; None for every other hash.

        For the path of requests: a cached answer takes some microseconds, and a change by any process is seen
        by the next call. A record that is expired, disabled, altered, or whose policy is no longer valid is
        as good as unknown.
        """
        lookup = self._lookup
        if lookup is None:
            lookup = self._start_lookup()
        record = lookup.find(hash)
        if record is None or record.disabled or record.expired(now):
            return None
        return record

    def expired(self, hash: str, now: datetime) -> str:
        """When a token's time ran out, RFC 3339; the empty string for every other. As fast as `lookup`."""
        record = (self._lookup or self._start_lookup()).find(hash)
        return record.expires_text if record is not None and record.expired(now) else ""

    def touch(self, times: Mapping[str, datetime]) -> None:
        """Notes that these tokens were used. Returns at once; a thread writes it within `use_interval`."""
        self._last_used.note(times)

    def revision(self) -> int:
        """Grows with every change of any token, in whichever process."""
        with self._lock, plain_errors(self._path):
            found = self._connection.execute("SELECT value FROM token_meta WHERE key = 'revision'").fetchone()
            return int(found[0])

    def close(self) -> None:
        """Writes what `touch` noted and closes the file; the second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._last_used.close()
        with self._lock:
            if self._lookup is not None:
                self._lookup.close()
            self._connection.close()

    def _start_lookup(self) -> Lookup:
        # Here, because the policy engine that it needs is slow to load, and few commands look tokens up.
        from tokenomics_core.tokens.lookup import Lookup

        with self._lock:
            if self._closed:
                raise StoreError(f"token database {self._path} is closed")
            if self._lookup is None:
                self._lookup = Lookup(self._path, self._check, self._cipher)
            return self._lookup

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, plain_errors(self._path), transaction(self._connection):
            trouble = self._check.trouble(read_meta(self._connection))
            if trouble:
                raise KeyMismatch(f"token database {self._path}: {trouble}")
            yield

    def _row(self, hash: str) -> Row | None:
        found = self._connection.execute(f"SELECT {COLUMNS} FROM tokens WHERE hash = ?", (hash,)).fetchone()
        return Row(*found) if found else None

    def _use(self, hash: str) -> datetime | None:
        found = self._connection.execute(
            "SELECT last_used_at FROM token_use WHERE hash = ?", (hash,)
        ).fetchone()
        return parse_timestamp(found[0]) if found else None

    def _open(self, row: Row) -> TokenRecord:
        try:
            return open_row(self._cipher, row)
        except UnreadableRecord as error:
            raise StoreError(
                f"token {row.hash[:16]} cannot be read: {error}; delete it and make a new one"
            ) from None

    def _write_use(self, times: Mapping[str, datetime]) -> None:
        with self._writing():
            self._connection.executemany(
                "INSERT INTO token_use SELECT :hash, :at "
                "WHERE EXISTS (SELECT 1 FROM tokens WHERE hash = :hash) "
                "ON CONFLICT (hash) DO UPDATE SET last_used_at = max(last_used_at, excluded.last_used_at)",
                [{"hash": hash, "at": format_timestamp(at)} for hash, at in times.items()],
            )


def _check_label(label: str) -> None:
    if len(label) > 200 or not label.isprintable():
        raise StoreError("a label is one line of at most 200 printable characters; shorten or retype it")


def _check_policy(text: str) -> None:
    # Here, because the policy engine is slow to load, and listing or deleting tokens does not need it.
    from tokenomics_core.policy import parse

    parse(text)
