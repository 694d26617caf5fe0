"""The parts of tokens' states that questions touch: read in one statement, written back where they changed.

A step of SQLite gives the interpreter lock up and takes it back, which on a busy process costs more than the
step. So what is read comes as one row of JSON, and what is written goes many rows to a statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from tokenomics_core.counters.journal import insert_many
from tokenomics_core.counters.question import Window
from tokenomics_core.counters.state import KEPT, Bucket, Counter, Gate, Hold, Lease, TokenState, Watched

type Pair = tuple[str, str]
"""A token, and a key of something of it."""

_LEASE = "json_array(token, id, expires, tokens, charged, json(holds))"
_COUNTER = (
    'json_array(token, key, unit, kind, length, start, "end", since, settled, reserved, override,'
    " json(buckets))"
)
_GATE = "json_array(token, gates.key, until, reason)"
_WATCHED = "json_array(token, session, json(state))"
_READ = f"""
WITH
  held AS MATERIALIZED (
    SELECT * FROM leases WHERE id IN (SELECT value FROM json_each(:leases))
    UNION
    SELECT leases.* FROM json_each(:due) AS asked CROSS JOIN leases
    ON token = json_extract(asked.value, '$[0]') AND due <= json_extract(asked.value, '$[1]')
  ),
  wanted (token, key) AS (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:counters)
    UNION
    SELECT held.token, json_extract(hold.value, '$[0]') FROM held, json_each(held.holds) AS hold
  )
SELECT
  (SELECT json_group_array({_LEASE}) FROM held),
  (SELECT json_group_array({_COUNTER}) FROM wanted CROSS JOIN counters USING (token, key)),
  (SELECT json_group_array({_GATE}) FROM json_each(:gates) AS asked
    CROSS JOIN gates ON token = json_extract(asked.value, '$[0]')
    AND gates.key = json_extract(asked.value, '$[1]')),
  (SELECT json_group_array({_WATCHED}) FROM json_each(:watched) AS asked
    CROSS JOIN watched ON token = json_extract(asked.value, '$[0]')
    AND session = json_extract(asked.value, '$[1]'))
"""


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
        values = {
            "leases": orjson.dumps(list(wanted.leases)).decode(),
            "due": orjson.dumps(list(wanted.due.items())).decode(),
            "counters": orjson.dumps(list(wanted.counters)).decode(),
            "gates": orjson.dumps(list(wanted.gates)).decode(),
            "watched": orjson.dumps(list(wanted.watched)).decode(),
        }
        self._take(*map(orjson.loads, db.execute(_READ, values).fetchone()))

    def read_token(self, db: sqlite3.Connection, token: str) -> TokenState:
        """All that there is of a token."""
        # A token may have thousands of sessions: row by row, so that nobody waits long for the interpreter.
        self._take(
            *(
                (orjson.loads(row) for (row,) in db.execute(f"SELECT {what} WHERE token = ?", (token,)))
                for what in (
                    f"{_LEASE} FROM leases",
                    f"{_COUNTER} FROM counters",
                    f"{_GATE} FROM gates",
                    f"{_WATCHED} FROM watched",
                )
            )
        )
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

    def _take(
        self, leases: Iterable[Any], counters: Iterable[Any], gates: Iterable[Any], watched: Iterable[Any]
    ) -> None:
        for token, id, expires, tokens, charged, holds in leases:
            lease = Lease(
                id,
                expires,
                tokens,
                [
                    Hold(key, unit, Window(kind, length, start, end), amount, progress)
                    for key, unit, kind, length, start, end, amount, progress in holds
                ],
                charged,
            )
            self.state(token).leases[id] = lease
            self._leases[id] = _lease_row(token, lease)
        for row in counters:
            token, key, unit, kind, length, start, end, since, settled, reserved, override, buckets = row
            counter = Counter(
                unit,
                Window(kind, length, start, end),
                since,
                settled,
                reserved,
                override,
                [Bucket(*each) for each in buckets],
            )
            self.state(token).counters[key] = counter
            self._read[token, key] = _counter_row(token, key, counter)
        for token, key, until, reason in gates:
            self.state(token).gates[key] = Gate(until, reason)
            self._gates[token, key] = (token, key, until, reason)
        for token, session, state in watched:
            seen = _watched(state)
            self.state(token).watched[session] = seen
            self._watched[token, session] = _watched_row(token, session, seen)


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
