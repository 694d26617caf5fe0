"""Session files: what one process of the gateway did, as JSON for people and their tools.

A file is made from the rows in the ledger that carry its process's id, from the lines of its events where it
keeps them, and from nothing else: what is in it is durable already. It is written anew every time and moved
into its place, so a reader never sees half a file. The text of the entries is kept in a file without a name
meanwhile, and their sums in memory: to write again costs the new rows and a copy.

``sessions/<date of the start>_<id>.json`` holds the first MOST requests. A process that serves more goes on
with ``..._<id>_002.json``; each part is complete by itself, and totals of all parts add up to the process's.
Which rows are in which part follows from their order alone, so a session that a crash left open comes out the
same when it is made again from its rows.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from tokenomics_core.ledger.array_text import ArrayText
from tokenomics_core.ledger.chain import SESSION_KEY, Head, covering
from tokenomics_core.ledger.database import LedgerError, opened
from tokenomics_core.ledger.git_context import GitContext
from tokenomics_core.ledger.row import timestamp
from tokenomics_core.ledger.session_entry import COLUMNS, ENTRIES, entry
from tokenomics_core.ledger.session_events import EventReader, PartEvents, events_path
from tokenomics_core.ledger.session_rollups import Rollups, seconds
from tokenomics_core.private_files import private_directory, tighten

log = logging.getLogger("tokenomics")

FOLDER = "sessions"
MOST = 20_000
"""Requests in one file."""

_BATCH = 100
_PAUSE = 0.0005
"""Seconds after each batch in which other threads go first: the event loop is one of them."""

_READ = f"SELECT seq, {', '.join(COLUMNS)} FROM requests WHERE run = ? AND seq > ? AND {ENTRIES} ORDER BY seq"


def session_id(instance: str) -> str:
    """The id of the session that a process keeps: the first 8 of the hex digits that name it."""
    return instance[:8]


@dataclass(slots=True)
class _Part:
    """started, ended: times as rows have them; ended: of the last request. commit_start, commit_end: in
    full."""

    number: int
    started: str
    ended: str
    commit_start: str
    commit_end: str
    entries: ArrayText
    events: PartEvents
    rollups: Rollups = field(default_factory=Rollups)
    seq: int = 0
    """Of the last request."""

    signed: Head | None = None
    """The first signed head that covers all requests."""

    @property
    def count(self) -> int:
        return self.entries.count

    @property
    def state(self) -> tuple[int, ...]:
        """It changes with every request and event."""
        return (self.count, *self.events.state)

    def close(self) -> None:
        self.entries.close()
        self.events.text.close()

    def add(self, new: Sequence[Mapping[str, Any]], repo: str) -> None:
        self.entries.add(new)
        for each in new:
            self.rollups.add(each)
            self.ended = max(self.ended, each["timestamp"])
            git = each.get("git", {})
            if repo and git.get("repo") == repo:
                self.commit_end = git.get("commit", self.commit_end)


class SessionFile:
    """The file of one process. Its methods take time and are for a thread; one at a time is at work.

    directory: the data directory, with ``ledger.db``. instance: the word that names the process; the rows it
    writes carry `session_id` of it. git: where it was started. most: requests in one file.
    All methods raise LedgerError, and may be called again after that.
    """

    def __init__(
        self,
        directory: Path,
        instance: str,
        started: datetime,
        git: GitContext | None = None,
        *,
        most: int = MOST,
    ) -> None:
        self.id = session_id(instance)
        self._ledger = directory / "ledger.db"
        self._folder = directory / FOLDER
        self._instance = instance
        self._started = timestamp(started.astimezone(UTC))
        self._git = git
        self._most = most
        self._writer = self.id
        self._seq = 0
        self._part: _Part | None = None
        self._stored: tuple[int, ...] = ()
        self._events = EventReader(events_path(self._folder, self.id))
        self._ended = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Writes the file, empty as it is."""
        with self._lock, self._errors():
            self._take()
            self._store(self._started)

    def write(self, now: datetime) -> bool:
        """Writes the file if this process has new rows or events; whether it had. Not after `close`."""
        with self._lock, self._errors():
            if self._ended:
                return False
            self._take()
            if self._current().state == self._stored:
                return False
            self._store(timestamp(now.astimezone(UTC)))
            return True

    def close(self, now: datetime, git: GitContext | None = None) -> None:
        """Writes the file for the last time. The ledger has been flushed before. git: as it is now."""
        with self._lock, self._errors():
            if self._ended:
                return
            self._take()
            part = self._current()
            if git is not None and self._git is not None and git.repo == self._git.repo and git.commit:
                part.commit_end = git.commit
            self._end(timestamp(now.astimezone(UTC)))

    def rebuild(self, writer: str, ended: str = "", commit_end: str = "") -> None:
        """Writes the files of a process that is gone. writer: id of the one that does.

        ended, commit_end: as the process told them at its end; nothing when it could not.
        """
        self._writer = writer
        with self._lock, self._errors():
            self._take()
            part = self._current()
            part.commit_end = commit_end or part.commit_end
            self._end(max(ended, part.ended))

    def _end(self, ended: str) -> None:
        part = self._current()
        self._store(ended)
        with opened(self._ledger) as db:
            db.execute(
                "UPDATE sessions SET ended_at = ?, commit_end = ?, last_seq = ? WHERE run = ?",
                (ended, part.commit_end, self._seq, self.id),
            )
        part.close()
        self._ended = True

    def _take(self) -> None:
        """Reads the rows that are new into parts."""
        part = self._current()
        repo = self._git.repo if self._git is not None else ""
        with opened(self._ledger) as db:
            if self._register(db):
                # The first time; or another file lies where the ledger was, and counts its rows from one.
                self._seq = 0
            rows = db.execute(_READ, (self.id, self._seq))
            while new := rows.fetchmany(min(_BATCH, (self._most - part.count) or self._most)):
                if part.count >= self._most:
                    self._events.take(part.events, part.ended)
                    part.signed = covering(db, part.seq)
                    self._store(part.ended)
                    part = self._next(part)
                part.add([entry(*values) for _, *values in new], repo)
                self._seq = part.seq = new[-1][0]
                time.sleep(_PAUSE)
            part.signed = covering(db, part.seq)
        self._events.take(part.events)

    def _register(self, db: sqlite3.Connection) -> bool:
        """Makes the session known to the ledger; whether it was not."""
        if db.execute("SELECT 1 FROM sessions WHERE run = ?", (self.id,)).fetchone():
            return False
        git = self._git
        start = {"repo": git.repo, "branch": git.branch, "commit": git.commit} if git is not None else {}
        db.execute(
            "INSERT OR IGNORE INTO sessions (run, instance, started_at, git) VALUES (?, ?, ?, ?)",
            (self.id, self._instance, self._started, orjson.dumps(start).decode()),
        )
        return True

    def _current(self) -> _Part:
        if self._part is None:
            commit = self._git.commit if self._git is not None else ""
            self._part = self._begin(1, self._started, commit)
        return self._part

    def _next(self, last: _Part) -> _Part:
        self._part = self._begin(last.number + 1, last.ended, last.commit_end)
        self._stored = ()
        last.close()
        return self._part

    def _begin(self, number: int, started: str, commit: str) -> _Part:
        self._make_folder()
        entries, events = ArrayText(self._folder), PartEvents(self._folder)
        return _Part(number, started, started, commit, commit, entries, events)

    def _make_folder(self) -> None:
        private_directory(self._folder)
        tighten(self._folder)

    def _store(self, ended: str) -> None:
        """Puts the current part into its place."""
        part = self._current()
        self._make_folder()
        suffix = f"_{part.number:03}" if part.number > 1 else ""
        path = self._folder / f"{self._started[:10]}_{self.id}{suffix}.json"
        temporary = path.with_name(f".{path.name}.{self._writer}.tmp")
        head = json.dumps(self._head(part, ended), indent=2, ensure_ascii=False).removesuffix("\n}")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            with open(os.open(temporary, flags, 0o600), "wb") as file:
                file.write(f'{head},\n  "requests": '.encode())
                file.writelines(part.entries.pieces())
                if part.events.text.count:
                    file.write(b',\n  "communication_events": ')
                    file.writelines(part.events.text.pieces())
                if part.events.left_out:
                    file.write(b',\n  "communication_events_left_out": %d' % part.events.left_out)
                file.write(b"\n}")
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._stored = part.state

    def _head(self, part: _Part, ended: str) -> dict[str, Any]:
        """The document without its requests and events."""
        ended = max(ended, part.started)
        lasted = datetime.fromisoformat(ended) - datetime.fromisoformat(part.started)
        git: dict[str, str] = {}
        if self._git is not None:
            git = {
                "branch": self._git.branch,
                "commit_start": part.commit_start[:7],
                "commit_end": part.commit_end[:7],
                "repo_root": self._git.repo,
            }
        return {
            "session_id": self.id,
            **({"part": part.number} if part.number > 1 else {}),
            "started_at": seconds(part.started),
            "ended_at": seconds(ended),
            "duration_ms": int(lasted.total_seconds() * 1000),
            "git": {name: value for name, value in git.items() if value},
            **part.rollups.as_dict(),
            **({SESSION_KEY: part.signed.as_dict()} if part.signed else {}),
        }

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LedgerError(
                f"the session file in {self._folder} cannot be written: {error.strerror or error};"
                " check its owner, mode and disk"
            ) from error


def rebuild_missing(
    directory: Path, instance: str, alive: Callable[[str], bool], *, most: int = MOST
) -> list[str]:
    """Writes the session files that processes left unfinished which are gone, and those to which rows were
    added since. The ids of these sessions. Raises LedgerError.

    directory: the data directory. instance: the word that names this process. alive: whether a process of
    that word runs. To be called when the rows that a crash left open have been written.
    """
    ledger, writer = directory / "ledger.db", session_id(instance)
    with opened(ledger) as db:
        running = {run for run, each in db.execute("SELECT run, instance FROM sessions") if alive(each)}
        left = db.execute(
            "SELECT run, instance, started_at, git, ended_at, commit_end FROM sessions"
            " WHERE ended_at IS NULL OR EXISTS (SELECT 1 FROM requests WHERE requests.run = sessions.run"
            f" AND seq > last_seq AND {ENTRIES})"
        ).fetchall()
    for temporary in (directory / FOLDER).glob(".*.tmp"):
        if temporary.name.split(".")[-2] not in running | {writer}:
            temporary.unlink(missing_ok=True)
    rebuilt: list[str] = []
    for run, owner, started, git, ended, commit_end in left:
        if run in running or run == writer:
            continue
        said = orjson.loads(git)
        start = GitContext(said["repo"], said["branch"], said["commit"], None) if said else None
        session = SessionFile(directory, owner, datetime.fromisoformat(started), start, most=most)
        session.rebuild(writer, ended or "", commit_end or "")
        rebuilt.append(run)
    if rebuilt:
        log.warning("%d session files that a crash had left open were completed", len(rebuilt))
    return rebuilt
