"""Outbox: events on disk until each webhook that wants them has them. Several processes share the file.

A delivery is pending, done or dead. Of the done ones the last are kept to be looked at, the dead ones until
somebody sends them again, or a month has passed.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from tokenomics_core.counters.database import transaction
from tokenomics_core.events.database import cannot, open_database
from tokenomics_core.events.envelope import Envelope

State = Literal["pending", "done", "dead"]

DONE_KEPT = 1000
"""Deliveries that were made, and are kept to be looked at, for each webhook."""

DEAD_KEPT = 10_000
"""Deliveries that were given up, and are kept, for each webhook."""

DAYS_KEPT = 30
"""Days for which a delivery is kept that was given up, or whose webhook is not configured any more."""

_DAY = 24 * 3600 * 1000
_COLUMNS = "e.id, e.type, e.timestamp, e.data, d.event, d.webhook, d.state, d.attempts, d.due, d.changed,"
_SELECT = f"SELECT {_COLUMNS} d.status, d.error FROM deliveries d JOIN events e ON e.seq = d.event"


@dataclass(frozen=True, slots=True)
class Addressed:
    """An event and the webhooks that want it, by key."""

    envelope: Envelope
    webhooks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """seq: the event's place in the order. due, changed: milliseconds since 1970.

    status: of the last answer, 0 for none. error: why the last attempt failed, for people.
    """

    envelope: Envelope
    seq: int
    webhook: str
    state: State
    attempts: int
    due: int
    changed: int
    status: int
    error: str


@dataclass(frozen=True, slots=True)
class Queue:
    """The deliveries of one webhook, counted. delivered, dropped: since the file was made."""

    webhook: str
    shown: str
    pending: int
    dead: int
    delivered: int
    dropped: int


class Outbox:
    """Every method may be called from any thread, blocks while it works, and raises OutboxError.

    busy_timeout: seconds that a call waits while another process writes.
    """

    def __init__(self, path: Path, *, busy_timeout: float = 5.0) -> None:
        self.path = path
        self._patience = busy_timeout
        self._lock = threading.Lock()
        self._counted: dict[str, tuple[int, int]] = {}
        # By webhook: its queue when it was counted last, and the number of the last event then.
        self._db = open_database(path, busy_timeout=busy_timeout)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def put(
        self, events: Sequence[Addressed], room: Mapping[str, int], shown: Mapping[str, str], now: int
    ) -> dict[str, int]:
        """Takes the events in, all or none, in their order; an id that is there is not taken twice.

        room: deliveries that may wait, by webhook. shown: how its URL is shown. now: milliseconds.
        Gives how many were dropped because a queue was full, by webhook.
        """
        with self._writing() as db:
            left = self._left(db, room, len(events))
            dropped: dict[str, int] = {}
            taken: list[tuple[Envelope, list[str]]] = []
            for each in events:
                keys = []
                for key in each.webhooks:
                    if left.get(key, 1) > 0:
                        left[key] = left.get(key, 1) - 1
                        keys.append(key)
                    else:
                        dropped[key] = dropped.get(key, 0) + 1
                if keys:
                    taken.append((each.envelope, keys))
            _insert(db, taken, now)
            for key, text in shown.items():
                db.execute(
                    "INSERT INTO webhooks (key, shown, dropped) VALUES (?, ?, ?) ON CONFLICT (key)"
                    " DO UPDATE SET shown = excluded.shown, dropped = dropped + excluded.dropped",
                    (key, text, dropped.get(key, 0)),
                )
        return dropped

    def heads(self, webhook: str, most: int) -> list[Delivery]:
        """The deliveries of a webhook that come next, in their order."""
        return self._read(
            f"{_SELECT} WHERE d.webhook = ? AND d.state = 'pending' ORDER BY d.event LIMIT ?", webhook, most
        )

    def done(self, delivery: Delivery, status: int, now: int) -> None:
        """The receiver has it."""
        with self._writing() as db:
            self._change(db, delivery, "done", delivery.attempts + 1, 0, now, status, "")
            db.execute("UPDATE webhooks SET delivered = delivered + 1 WHERE key = ?", (delivery.webhook,))

    def failed(self, delivery: Delivery, status: int, error: str, now: int, due: int | None) -> None:
        """An attempt failed. due: when the next one is made; None gives the delivery up."""
        state: State = "dead" if due is None else "pending"
        with self._writing() as db:
            self._change(db, delivery, state, delivery.attempts + 1, due or 0, now, status, error)

    def retry(self, now: int, *, webhook: str = "", id: str = "") -> int:
        """Has deliveries that were given up, or wait for another attempt, made at once; their number.

        webhook, id: only those; empty for all.
        """
        where, values = _where(webhook, id)
        with self._writing() as db:
            self._counted.clear()
            return db.execute(
                "UPDATE deliveries SET state = 'pending', attempts = 0, due = 0, changed = ?"
                f" WHERE (state = 'dead' OR state = 'pending' AND due > 0) AND {where}",
                (now, *values),
            ).rowcount

    def deliveries(
        self,
        *,
        states: Sequence[State] = ("pending", "dead"),
        webhook: str = "",
        id: str = "",
        most: int = 100,
    ) -> list[Delivery]:
        """The newest deliveries in these states, the oldest of them first."""
        where, values = _where(webhook, id)
        marks = ", ".join("?" * len(states))
        query = f"{_SELECT} WHERE d.state IN ({marks}) AND {where} ORDER BY d.event DESC, d.webhook LIMIT ?"
        return self._read(query, *states, *values, most)[::-1]

    def queues(self) -> list[Queue]:
        """All webhooks that ever had an event, counted."""
        query = """
            SELECT key, shown,
                (SELECT COUNT(*) FROM deliveries WHERE webhook = key AND state = 'pending'),
                (SELECT COUNT(*) FROM deliveries WHERE webhook = key AND state = 'dead'),
                delivered, dropped
            FROM webhooks ORDER BY key
        """
        with self._reading() as db:
            return [Queue(*record) for record in db.execute(query)]

    def prune(self, webhooks: Sequence[str], now: int) -> None:
        """Lets go of what is kept no longer. webhooks: those that are configured."""
        old = now - DAYS_KEPT * _DAY
        with self._writing() as db:
            for (key,) in db.execute("SELECT key FROM webhooks").fetchall():
                for state, most in (("done", DONE_KEPT), ("dead", DEAD_KEPT)):
                    db.execute(
                        "DELETE FROM deliveries WHERE webhook = ?1 AND state = ?2 AND event <= ("
                        "SELECT event FROM deliveries WHERE webhook = ?1 AND state = ?2"
                        " ORDER BY event DESC LIMIT 1 OFFSET ?3)",
                        (key, state, most),
                    )
                states = "('dead')" if key in webhooks else "('dead', 'pending')"
                db.execute(
                    f"DELETE FROM deliveries WHERE webhook = ? AND state IN {states} AND changed < ?",
                    (key, old),
                )
            db.execute(
                "DELETE FROM events WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE event = events.seq)"
            )

    def _left(self, db: sqlite3.Connection, room: Mapping[str, int], wanted: int) -> dict[str, int]:
        """Deliveries for which there is room, at least; exactly where so many more might not fit.

        To count a long queue takes a millisecond. Since it was counted last it has grown by no more events
        than were put in, by whichever process: their numbers tell.
        """
        found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
        last = int(found[0]) if found else 0
        left = {}
        for key, most in room.items():
            count, then = self._counted.get(key, (most, last))
            if count + last - then + wanted > most:
                count, then = self._counted[key] = self._pending(db, key), last
            left[key] = most - count - (last - then)
        return left

    @staticmethod
    def _pending(db: sqlite3.Connection, webhook: str) -> int:
        query = "SELECT COUNT(*) FROM deliveries WHERE webhook = ? AND state = 'pending'"
        (count,) = db.execute(query, (webhook,)).fetchone()
        return int(count)

    @staticmethod
    def _change(db: sqlite3.Connection, delivery: Delivery, *values: object) -> None:
        db.execute(
            "UPDATE deliveries SET state = ?, attempts = ?, due = ?, changed = ?, status = ?, error = ?"
            " WHERE webhook = ? AND event = ?",
            (*values, delivery.webhook, delivery.seq),
        )

    def _read(self, query: str, *values: object) -> list[Delivery]:
        with self._reading() as db:
            return [
                Delivery(Envelope(id, type, timestamp, json.loads(data)), *rest)
                for id, type, timestamp, data, *rest in db.execute(query, values)
            ]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise cannot("read", self.path, error) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                with transaction(self._db, self._patience):
                    yield self._db
            except sqlite3.Error as error:
                raise cannot("write", self.path, error) from error


def _insert(db: sqlite3.Connection, taken: Sequence[tuple[Envelope, list[str]]], now: int) -> None:
    # One statement for a batch: each one gives the interpreter lock up, and a busy event loop pays for that.
    # Without WHERE, SQLite would read ON as the condition of a join.
    told = [[each.id, each.type, each.timestamp, _data(each)] for each, _ in taken]
    columns = ", ".join(f"json_extract(value, '$[{index}]')" for index in range(4))
    db.execute(
        f"INSERT INTO events (id, type, timestamp, data) SELECT {columns} FROM json_each(?) WHERE true"
        " ON CONFLICT (id) DO NOTHING",
        (orjson.dumps(told).decode(),),
    )
    wanted = [[each.id, key] for each, keys in taken for key in keys]
    db.execute(
        "INSERT INTO deliveries (webhook, event, state, attempts, due, changed, status, error)"
        " SELECT json_extract(pair.value, '$[1]'), events.seq, 'pending', 0, 0, ?, 0, ''"
        " FROM json_each(?) AS pair CROSS JOIN events ON events.id = json_extract(pair.value, '$[0]')"
        " WHERE true ON CONFLICT (webhook, event) DO NOTHING",
        (now, orjson.dumps(wanted).decode()),
    )


def _data(envelope: Envelope) -> str:
    # Half of a surrogate pair has no bytes.
    text = json.dumps(dict(envelope.data), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()


def _where(webhook: str, id: str) -> tuple[str, list[str]]:
    parts, values = ["1"], []
    if webhook:
        parts.append("webhook = ?")
        values.append(webhook)
    if id:
        parts.append("event = (SELECT seq FROM events WHERE events.id = ?)")
        values.append(id)
    return " AND ".join(parts), values
