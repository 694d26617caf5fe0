"""Recorder: takes records from the event loop and writes them in threads of its own.

Nothing here holds up or fails a request. What cannot be written is lost, counted, and told of once a minute.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tokenomics_core.config.schema import Redis
from tokenomics_core.memory.archive import Packer
from tokenomics_core.memory.complaints import Complaints
from tokenomics_core.memory.entry import LIMIT, Role, Side, content, entry, pushed
from tokenomics_core.memory.event_log import EventLog
from tokenomics_core.memory.events import Event, event_content, event_line, members
from tokenomics_core.memory.files import Files
from tokenomics_core.memory.jsonl import line
from tokenomics_core.memory.lane import Lane
from tokenomics_core.memory.places import Writers, below
from tokenomics_core.memory.record import LINE_LIMIT, Record

CAPACITY = 64 * 1024 * 1024
"""Bytes that may wait to be written to files, and as many again to Redis."""

SYNC_EVERY = 1.0
"""Seconds between two times that the disk is asked to keep what was written."""


_Item = tuple[Record | Event, Writers]


def most_kept(writers: Writers) -> int:
    """Bytes of a body that these writers have a use for."""
    return LINE_LIMIT if writers.lines else LIMIT


class Recorder:
    """folder: of the ledger's files. session: the ledger's, which names its file. events: the file of its
    events.

    redis: None where there is none. most: entries that a list in Redis keeps, 0 for all.
    dropped: records for which there was no room. failed: entries that could not be written.
    """

    def __init__(
        self,
        folder: Path,
        session: str,
        events: Path | None = None,
        *,
        redis: Redis | None = None,
        most: int = 0,
        capacity: int = CAPACITY,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.dropped = 0
        self.failed = 0
        self._folder = folder
        self._session = session
        self._clock = clock
        self._capacity = capacity
        self._complaints = Complaints(clock)
        self._counting = threading.Lock()
        self._packer = Packer(self._not_packed)
        self._files = Files(now, self._packer)
        self._events = EventLog(events, self._files.append) if events is not None else None
        self._synced = clock()
        self._lane: Lane[_Item] = Lane(
            "memory",
            self._write,
            self._not_written,
            capacity=capacity,
            settle=self._settle,
            end=self._end,
        )
        self._redis: Lane[Record] | None = None
        if redis is not None:
            self._redis = self._redis_lane(redis, most)

    @property
    def backlog(self) -> int:
        """Bytes that wait to be written."""
        return self._lane.backlog + (self._redis.backlog if self._redis is not None else 0)

    def record(self, record: Record | None, writers: Writers) -> None:
        """Hands an exchange over. Never waits, never raises."""
        if writers.problem:
            self._complaints.say("settings", writers.problem)
        if record is None:
            return
        if writers.markdown or writers.lines or writers.place is not None:
            self._put(self._lane, (record, writers), record.size)
        if writers.redis and self._redis is not None:
            self._put(self._redis, record, record.size)

    def event(self, event: Event, writers: Writers) -> None:
        """Hands over an event, for the session's events and the ledger's file. Never waits, never raises."""
        if writers.events and not self._put(self._lane, (event, writers), event.weight):
            self.missed()

    def missed(self) -> None:
        """An event was left out."""
        if self._events is not None:
            self._events.missed()

    def flush(self, timeout: float) -> bool:
        """Waits until what was handed over is in the files and in Redis; False when that took too long."""
        ends = self._clock() + timeout
        return all([lane.flush(max(0.0, ends - self._clock())) for lane in self._lanes()])

    def close(self, timeout: float) -> bool:
        """Writes what waits and ends; False when something was left after so many seconds."""
        ends = self._clock() + timeout
        done = [lane.close(max(0.0, ends - self._clock())) for lane in self._lanes()]
        return all([*done, self._packer.wait(max(0.0, ends - self._clock()))])

    def _lanes(self) -> list[Lane[_Item] | Lane[Record]]:
        return [self._lane, *([self._redis] if self._redis is not None else [])]

    def _put[T](self, lane: Lane[T], item: T, size: int) -> bool:
        if lane.put(item, size):
            return True
        with self._counting:
            self.dropped += 1
        self._complaints.say(
            "dropped", "conversations come faster than they can be written; some are not recorded"
        )
        return False

    def _write(self, items: list[_Item]) -> None:
        """In the thread of the files."""
        lines: list[bytes] = []
        for item, writers in items:
            date = self._files.today()
            if isinstance(item, Event):
                lines.append(self._write_event(item, writers, date))
            else:
                self._write_record(item, writers, date)
        if (log := self._events) is not None and any(lines):
            self._try(log.path, lambda: log.write([each for each in lines if each]))

    def _write_event(self, event: Event, writers: Writers, date: str) -> bytes:
        """Its line in the log; empty where it could not be made."""
        try:
            told = members(event)
            line_of_log = event_line(told)
        except Exception as error:
            self.missed()
            self._not_written(error, 1)
            return b""
        if writers.markdown:
            self._append(
                self._ledger_file(date),
                lambda: entry(
                    event.at, self._session, "event", event.model, event_content(told), event.token
                ),
            )
        return line_of_log

    def _write_record(self, record: Record, writers: Writers, date: str) -> None:
        contents: list[str] = []

        def entries(key: str, token: str = "") -> bytes:
            # Both sides at once: nobody else's entry comes between them.
            sides = _sides(record)
            contents[:] = contents or [content(side, role) for role, side in sides]
            return b"".join(
                entry(side.at, key, role, record.model, text, token)
                for (role, side), text in zip(sides, contents, strict=True)
            )

        if writers.markdown:
            self._append(self._ledger_file(date), lambda: entries(self._session, record.token))
        if writers.lines:
            self._append(self._folder / f"{date}.jsonl", lambda: line(record))
        if (place := writers.place) is not None:
            try:
                path = place.path(record.token_hash, date)
            except OSError as error:
                self._not_written(error, 1)
                return
            self._append(path, lambda: entries(record.token), place.limit, place.compress)

    def _ledger_file(self, date: str) -> Path:
        return below(self._folder, f"{date}_{self._session}.md", "", date)

    def _append(
        self, path: Path, data: Callable[[], bytes], limit: int | None = None, compress: bool = False
    ) -> None:
        self._try(path, lambda: self._files.append(path, data(), limit, compress=compress))

    def _try(self, path: Path, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self._lost(1)
            self._complaints.say(
                f"file {error.errno}",
                f"{path} cannot be written: {error.strerror or error}; check its owner, mode and disk",
            )
        except Exception as error:
            self._not_written(error, 1)

    def _settle(self) -> float | None:
        """Has the disk keep what was written, at most once in a while."""
        log = self._events
        unsaid = log is not None and log.unsaid
        if not self._files.unsynced and not unsaid:
            return None
        due = self._synced + SYNC_EVERY - self._clock()
        if due > 0:
            return due
        self._synced = self._clock()
        if log is not None:
            self._try(log.path, log.settle)
        try:
            self._files.sync()
        except OSError as error:
            self._complaints.say("sync", f"the disk may lose conversations: {error.strerror or error}")
        return None

    def _end(self) -> None:
        if (log := self._events) is not None:
            self._try(log.path, log.settle)
        self._files.close()

    def _redis_lane(self, redis: Redis, most: int) -> Lane[Record]:
        # Only who asks for Redis pays for its client.
        from tokenomics_core.memory.redis_list import CountersUnavailable, RedisLists

        lists = RedisLists(redis, most)

        def write(records: list[Record]) -> None:
            texts: defaultdict[str, list[bytes]] = defaultdict(list)
            for record in records:
                for role, side in _sides(record):
                    texts[record.token_hash].append(pushed(side.at, role, record.model, content(side, role)))
            lists.push(texts)

        def failed(error: Exception, count: int) -> None:
            if not isinstance(error, CountersUnavailable):
                self._not_written(error, count)
                return
            self._lost(count)
            self._complaints.say("redis", f"{error}; conversations are not recorded there")

        return Lane("memory-redis", write, failed, capacity=self._capacity, end=lists.close)

    def _not_packed(self, archive: Path, error: OSError) -> None:
        reason = error.strerror or type(error).__name__
        self._complaints.say("packing", f"{archive} stays as it is, it cannot be packed: {reason}")

    def _not_written(self, error: Exception, count: int) -> None:
        self._lost(count)
        self._complaints.say("failure", f"{type(error).__name__} while conversations were written")

    def _lost(self, count: int) -> None:
        with self._counting:
            self.failed += count


def _sides(record: Record) -> list[tuple[Role, Side]]:
    sides: list[tuple[Role, Side]] = [("request", record.request)]
    return sides if record.response is None else [*sides, ("response", record.response)]
