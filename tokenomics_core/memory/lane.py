"""Lane: a queue bounded by bytes, and one thread behind it that writes what stands in it.

Handing over costs microseconds and never waits. What finds no room is dropped and counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from itertools import islice

_BATCH = 64


class Lane[T]:
    """Every method may be called from any thread.

    write: writes a few items; what it raises loses them, is told to `failed` with their number, and stops
    nothing. settle: is called between batches and says after how many seconds it wants to be called again,
    None for not before the next one. end: is called when the thread ends.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[list[T]], None],
        failed: Callable[[Exception, int], None],
        *,
        capacity: int,
        settle: Callable[[], float | None] = lambda: None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._write = write
        self._failed = failed
        self._settle = settle
        self._end = end
        self._capacity = capacity
        self._queue: deque[tuple[T, int]] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._bytes = 0
        self._taken = 0
        self._written = 0
        self._idle = False
        self._closing = False
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Bytes that wait."""
        return self._bytes

    def put(self, item: T, size: int) -> bool:
        """False: there is no room, or the lane is closed. An item larger than the queue finds room in an
        empty one."""
        with self._changed:
            if self._closing or (self._queue and self._bytes + size > self._capacity):
                return False
            self._queue.append((item, size))
            self._bytes += size
            self._taken += 1
            if self._idle:
                self._changed.notify_all()
            return True

    def flush(self, timeout: float) -> bool:
        """Waits until all that was handed over before is written or lost; False when that took too long."""
        with self._changed:
            target = self._taken
            return self._changed.wait_for(lambda: self._written >= target, timeout)

    def close(self, timeout: float) -> bool:
        """Takes no more, writes what waits, ends the thread; False when something was left unwritten."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        with self._changed:
            self._abandoned = True
            return not self._queue and not self._thread.is_alive()

    def _run(self) -> None:
        pause: float | None = None
        while True:
            with self._changed:
                self._idle = True
                self._changed.wait_for(lambda: self._queue or self._closing, pause)
                self._idle = False
                if self._abandoned or (self._closing and not self._queue):
                    break
                batch = list(islice(self._queue, _BATCH))
            if batch:
                self._take(batch)
            pause = self._settle()
        self._end()

    def _take(self, batch: list[tuple[T, int]]) -> None:
        try:
            self._write([item for item, _ in batch])
        except Exception as error:  # A thread that died here would lose everything after it.
            self._failed(error, len(batch))
        with self._changed:
            for _, size in batch:
                self._queue.popleft()
                self._bytes -= size
            self._written += len(batch)
            self._changed.notify_all()
