"""Session events: what a process sent and was answered, event by event, out of the file in which they came.

``sessions/<id>.events.jsonl`` has one event in a line. It is written as they come, so it survives what the
process does not. The session file takes them from there, up to MOST bytes of lines for each of its parts; how
many it does not take, it says.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from tokenomics_core.ledger.array_text import ArrayText

MOST = 32 * 1024 * 1024
"""Bytes of lines in one session file: it must stay what a program can load."""

_LONGEST = 8 * 1024 * 1024
_BATCH = 50
_PAUSE = 0.0005
"""Seconds after each batch in which other threads go first: the event loop is one of them."""


def events_path(folder: Path, session: str) -> Path:
    """folder: of the session files."""
    return folder / f"{session}.events.jsonl"


class PartEvents:
    """The events in one part of a session. most: bytes of lines.

    left_out: events that are not in it.
    """

    def __init__(self, folder: Path, most: int = MOST) -> None:
        self.text = ArrayText(folder)
        self.left_out = 0
        self._room = most

    @property
    def state(self) -> tuple[int, int]:
        """It changes with every event."""
        return self.text.count, self.left_out

    def add(self, new: list[tuple[int, dict[str, Any]]]) -> None:
        """new: events with the bytes of their lines. Where it raises, nothing was added."""
        kept, room = [], self._room
        for size, event in new:
            # What is smaller does not go in behind what is not: a list with gaps would look whole.
            room = room - size if size <= room else 0
            if room:
                kept.append(event)
        if kept:
            self.text.add(kept)
        self._room = room
        self.left_out += len(new) - len(kept)


class EventReader:
    """Reads the lines of a session that it has not read yet. A file that is not there has none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._left_out = 0

    def take(self, part: PartEvents, until: str = "") -> None:
        """Gives a part what is new. until: a time as rows have it; what came later stays. Raises OSError."""
        batch: list[tuple[int, dict[str, Any]]] = []
        at, left_out = self._at, self._left_out

        def give() -> None:
            part.add(batch)
            part.left_out += left_out - self._left_out
            self._at, self._left_out = at, left_out
            batch.clear()

        for size, told in self._lines():
            if until and told.get("timestamp", "") > until:
                break
            at += size
            if "type" in told:
                batch.append((size, told))
            elif isinstance(said := told.get("left_out"), int):
                left_out = max(left_out, said)
            if len(batch) >= _BATCH:
                give()
                time.sleep(_PAUSE)
        give()

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The lines with their sizes; one that is no event is empty, and one that has no end yet is none."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(self._at)
            while (line := file.readline(_LONGEST)).endswith(b"\n"):
                try:
                    told = orjson.loads(line)
                except orjson.JSONDecodeError:
                    told = {}
                yield len(line), told if isinstance(told, dict) else {}
