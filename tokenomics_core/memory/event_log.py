"""Event log: the events of one process on disk, line by line as they come, for its session file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

MOST = 1024 * 1024 * 1024
"""Bytes that the events of one process take on disk."""


class EventLog:
    """append: writes all of some bytes at the end of the log's file, or raises.

    Events that find no room are counted, and the count is written: ``{"left_out": 7}``, the last such line
    counts.
    """

    def __init__(self, path: Path, append: Callable[[Path, bytes], None], most: int = MOST) -> None:
        self.path = path
        self._append = append
        self._room = most
        self._lock = threading.Lock()
        self._left_out = 0
        self._said = 0

    def missed(self, count: int = 1) -> None:
        """So many events are not in the log. For any thread."""
        with self._lock:
            self._left_out += count

    def write(self, lines: Sequence[bytes]) -> None:
        """All at once. For one thread, as `settle` is."""
        kept, room = [], self._room
        for line in lines:
            # What is smaller does not go in behind what is not: a log with gaps would look whole.
            room = room - len(line) if len(line) <= room else 0
            if not room:
                break
            kept.append(line)
        try:
            if kept:
                self._append(self.path, b"".join(kept))
        except Exception:
            self.missed(len(lines))
            raise
        self._room = room
        self.missed(len(lines) - len(kept))

    @property
    def unsaid(self) -> bool:
        """Whether more events were left out than the file says."""
        return self._left_out != self._said

    def settle(self) -> None:
        """Writes how many events were left out, if that has changed."""
        if self.unsaid:
            left_out = self._left_out
            self._append(self.path, b'{"left_out":%d}\n' % left_out)
            self._said = left_out
