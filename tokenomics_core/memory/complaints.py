"""Complaints: warnings about what goes on and on, told once in a while."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger("tokenomics")

EVERY = 60.0


class Complaints:
    """Of each kind one warning in `every` seconds, with how many there were meanwhile. For any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, every: float = EVERY) -> None:
        self._clock = clock
        self._every = every
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        self._since: dict[str, int] = {}

    def say(self, kind: str, text: str) -> None:
        with self._lock:
            now, last = self._clock(), self._last.get(kind)
            if last is not None and now - last < self._every:
                self._since[kind] = self._since.get(kind, 0) + 1
                return
            self._last[kind] = now
            more = self._since.pop(kind, 0)
        log.warning("memory: %s%s", text, f" ({more} times more since it was last said)" if more else "")
