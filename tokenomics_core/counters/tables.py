"""The parts of tokens' states that questions touch: read at once, written back where they changed.

A step of SQLite gives the interpreter lock up and takes it back, which on a busy process costs more than the
step. So a statement reads or writes many rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from tokenomics_core.counters.journal import insert_many
from tokenomics_core.counters.question import Window
from tokenomics_core.counters.state import KEPT, Bucket, Counter, Gate, Hold, Lease, TokenState, Watched

type Pair = tuple[str, str]
"""A token, and a key of something of it."""

_LEASE = "SELECT token, id, expires, tokens, charged, holds FROM leases WHERE "
_COUNTER = (
    'SELECT token, key, unit, kind, length, start, "end", since, settled, reserved, override, buckets'
    " FROM counters WHERE "
)
_GATE = "SELECT token, key, until, reason FROM gates WHERE "
_WATCHED = "SELECT token, session, state FROM watched WHERE "

_AT_ONCE = 64
"""Values of one statement. They are filled up to a power of two: there are few statements to prepare."""


@dataclass(slots=True)
class Wanted:
    """What to read. leases: ids. due: by token, the time up to which leases that expired are wanted too.

    With a lease come the counters that it holds.
    """

    leases: set[str] = field(default_factory=set)
    due: dict[str, int] = field(default_factory=dict)
    counters: set[Pair] = field(default_factory=set)
    gates: set[Pair] = field(default_factory=set)
    watched: set[Pair] = field(default_factory=set)


class Tables:
    """States as they were read, and what must be written for them. For one transaction."""

    def __init__(self) -> None:
        self.states: dict[str, TokenState] = {}
        self._read: dict[Pair, tuple[object, ...]] = {}
        self._leases: dict[str, tuple[object, ...]] = {}
        self._gates: dict[Pair, tuple[object, ...]] = {}
        self._watched: dict[Pair, tuple[object, ...]] = {}

    def state(self, token: str) -> TokenState:
        state = self.states.get(token)
        if state is None:
            state = self.states[token] = TokenState()
        return state

    def read(self, db: sqlite3.Connection, wanted: Wanted) -> None:
        for ids in _chunks([(id,) for id in wanted.leases]):
            self._take_leases(_rows(db, _LEASE + "id", ids))
        for token, due in wanted.due.items():
            self._take_leases(db.execute(_LEASE + "token = ? AND due <= ?", (token, due)))
        counters = set(wanted.counters)
        for token, state in self.states.items():
            for lease in state.leases.values():
                counters.update((token, hold.key) for hold in lease.holds)
        for values in _chunks(list(counters)):
            self._take_counters(_rows(db, _COUNTER + "(token, key)", values))
        for values in _chunks(list(wanted.gates)):
            self._take_gates(_rows(db, _GATE + "(token, key)", values))
        for values in _chunks(list(wanted.watched)):
            self._take_watched(_rows(db, _WATCHED + "(token, session)", values))

    def read_token(self, db: sqlite3.Connection, token: str) -> TokenState:
        """All that there is of a token."""
        # A token may have thousands of sessions: row by row, so that nobody waits long for the interpreter.
        self._take_leases(db.execute(_LEASE + "token = ?", (token,)))
        self._take_counters(db.execute(_COUNTER + "token = ?", (token,)))
        self._take_gates(db.execute(_GATE + "token = ?", (token,)))
        self._take_watched(db.execute(_WATCHED + "token = ?", (token,)))
        return self.state(token)

    def write(self, db: sqlite3.Connection) -> None:
        """Writes what changed since it was read."""
        counters: list[tuple[object, ...]] = []
        gates: list[tuple[object, ...]] = []
        watched: list[tuple[object, ...]] = []
        leases: list[tuple[object, ...]] = []
        new: list[tuple[object, ...]] = []
        lost_counters, lost_gates, lost_watched = set(self._read), set(self._gates), set(self._watched)
        lost_leases = set(self._leases)
        for token, state in self.states.items():
            for key, counter in state.counters.items():
                lost_counters.discard((token, key))
                row = _counter_row(token, key, counter)
                known = self._read.get((token, key))
                if row != known and (known or not _nothing(counter)):
                    counters.append(row)
            for lease in state.leases.values():
                lost_leases.discard(lease.id)
                row, known = _lease_row(token, lease), self._leases.get(lease.id)
                if row != known:
                    (leases if known else new).append(row)
            for key, gate in state.gates.items():
                lost_gates.discard((token, key))
                row = (token, key, gate.until, gate.reason)
                if row != self._gates.get((token, key)):
                    gates.append(row)
            for session, seen in state.watched.items():
                lost_watched.discard((token, session))
                row = _watched_row(token, session, seen)
                if row != self._watched.get((token, session)):
                    watched.append(row)
        insert_many(db, "REPLACE INTO counters", counters)
        # Not REPLACE: an id of another token's lease would lose what that one holds.
        insert_many(db, "INSERT INTO leases", new)
        insert_many(db, "REPLACE INTO leases", leases)
        insert_many(db, "REPLACE INTO gates", gates)
        insert_many(db, "REPLACE INTO watched", watched)
        if lost_leases:
            values = orjson.dumps(list(lost_leases)).decode()
            db.execute("DELETE FROM leases WHERE id IN (SELECT value FROM json_each(?))", (values,))
        for table, column, lost in (
            ("counters", "key", lost_counters),
            ("gates", "key", lost_gates),
            ("watched", "session", lost_watched),
        ):
            if lost:
                db.executemany(f"DELETE FROM {table} WHERE token = ? AND {column} = ?", list(lost))

    def _take_leases(self, rows: Iterable[Any]) -> None:
        for token, id, expires, tokens, charged, holds in rows:
            lease = Lease(
                id,
                expires,
                tokens,
                [
                    Hold(key, unit, Window(kind, length, start, end), amount, progress)
                    for key, unit, kind, length, start, end, amount, progress in orjson.loads(holds)
                ],
                charged,
            )
            self.state(token).leases[id] = lease
            self._leases[id] = _lease_row(token, lease)

    def _take_counters(self, rows: Iterable[Any]) -> None:
        for row in rows:
            token, key, unit, kind, length, start, end, since, settled, reserved, override, buckets = row
            self.state(token).counters[key] = Counter(
                unit,
                Window(kind, length, start, end),
                since,
                settled,
                reserved,
                override,
                [Bucket(*each) for each in orjson.loads(buckets)] if buckets != "[]" else [],
            )
            self._read[token, key] = row

    def _take_gates(self, rows: Iterable[Any]) -> None:
        for token, key, until, reason in rows:
            self.state(token).gates[key] = Gate(until, reason)
            self._gates[token, key] = (token, key, until, reason)

    def _take_watched(self, rows: Iterable[Any]) -> None:
        for token, session, state in rows:
            seen = _watched(orjson.loads(state))
            self.state(token).watched[session] = seen
            self._watched[token, session] = _watched_row(token, session, seen)


def _chunks[T: tuple[Any, ...]](values: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(values), _AT_ONCE):
        chunk = values[start : start + _AT_ONCE]
        yield chunk + chunk[-1:] * (_power_of_two(len(chunk)) - len(chunk))


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()


def _rows(db: sqlite3.Connection, select: str, values: Sequence[tuple[Any, ...]]) -> Iterable[Any]:
    """The rows whose columns, those at the end of the statement, are one of the values."""
    if len(values[0]) == 1:
        marks = ", ".join("?" * len(values))
    else:
        marks = "VALUES " + ", ".join(["(?, ?)"] * len(values))
    return db.execute(f"{select} IN ({marks})", [each for value in values for each in value])


def _nothing(counter: Counter) -> bool:
    return not (counter.settled or counter.reserved or counter.buckets) and counter.override is None


def _counter_row(token: str, key: str, counter: Counter) -> tuple[object, ...]:
    window = counter.window
    buckets = [(each.first, each.last, each.amount) for each in counter.buckets]
    return (
        token,
        key,
        counter.unit,
        window.kind,
        window.length,
        window.start,
        window.end,
        counter.since,
        counter.settled,
        counter.reserved,
        counter.override,
        orjson.dumps(buckets).decode() if buckets else "[]",
    )


def _lease_row(token: str, lease: Lease) -> tuple[object, ...]:
    holds = [
        (
            hold.key,
            hold.unit,
            hold.window.kind,
            hold.window.length,
            hold.window.start,
            hold.window.end,
            hold.amount,
            hold.progress,
        )
        for hold in lease.holds
    ]
    due = lease.expires + KEPT if lease.charged else lease.expires
    return (
        lease.id,
        token,
        due,
        lease.expires,
        lease.tokens,
        lease.charged,
        orjson.dumps(holds).decode(),
    )


def _watched_row(token: str, session: str, seen: Watched) -> tuple[object, ...]:
    state = (
        seen.fingerprint,
        seen.repeats,
        seen.last,
        seen.requests.window.length,
        [(each.first, each.last, each.amount) for each in seen.requests.buckets],
        [(each.first, each.last, each.amount) for each in seen.spend.buckets],
        seen.history,
    )
    return (token, session, seen.last, orjson.dumps(state).decode())


def _watched(state: Any) -> Watched:
    fingerprint, repeats, last, length, requests, spend, history = state
    seen = Watched(fingerprint, repeats, last, history=[(at, model, cost) for at, model, cost in history])
    for counter, buckets in ((seen.requests, requests), (seen.spend, spend)):
        counter.window = Window("sliding", length)
        counter.buckets = [Bucket(*each) for each in buckets]
        counter.settled = sum(each.amount for each in counter.buckets)
    return seen
