"""LastUsed: when each token was used last, gathered in memory and written rarely."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from tokenomics_core.tokens.database import StoreError

_log = logging.getLogger(__name__)


class LastUsed:
    """Collects times and hands them to `write` at most every `interval` seconds, from a thread of its own.

    Every write makes all processes ask the database once more, hence rarely. The thread starts with the first
    time that is noted.
    """

    def __init__(self, write: Callable[[Mapping[str, datetime]], None], interval: float) -> None:
        self._write = write
        self._interval = interval
        self._lock = threading.Lock()
        self._times: dict[str, datetime] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, times: Mapping[str, datetime]) -> None:
        """Remembers the later of the known and the given time of each hash. Returns at once."""
        with self._lock:
            for hash, time in times.items():
                known = self._times.get(hash)
                if known is None or time > known:
                    self._times[hash] = time
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="token-last-used", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Writes what is known now. A failure is logged; the times are kept for the next try."""
        with self._lock:
            times, self._times = self._times, {}
        if not times:
            return
        try:
            self._write(times)
        except StoreError as error:
            _log.warning("last use of %d tokens is not saved yet: %s", len(times), error)
            with self._lock:
                self._times = times | self._times

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self.flush()
