"""BatchWriter: one thread that writes what others hand it, many at a time.

Handing over costs microseconds; what it costs to write is the thread's business. Items leave the queue only
when they are written, in the order in which they came.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from itertools import islice


class QueueFull(Exception):
    """As many items wait as may."""


class WriterClosed(Exception):
    """The writer takes no more items."""


class BatchWriter[T]:
    """A bounded queue with a thread behind it. Every method may be called from any thread.

    write: writes a batch, all of it or none, and raises when it cannot; the batch is then tried again.
    capacity: items that may wait. batch: the most items written at once. linger: seconds that the first item
    waits for company. retry: seconds before a failed batch is tried again, doubled up to longest_retry.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[list[T]], None],
        *,
        capacity: int,
        batch: int = 512,
        linger: float = 0.02,
        retry: float = 0.1,
        longest_retry: float = 2.0,
    ) -> None:
        self._write = write
        self._capacity = capacity
        self._batch = batch
        self._linger = linger
        self._retry = retry
        self._longest_retry = longest_retry
        self._queue: deque[T] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._taken = 0
        self._written = 0
        self._flushing = 0
        self._idle = False
        self._closing = False
        self._abandoned = False
        self.failure: Exception | None = None
        """Why the last batch could not be written; None when it could."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Items not yet written."""
        return len(self._queue)

    def put(self, item: T) -> None:
        """Hands an item over; raises QueueFull or WriterClosed."""
        with self._changed:
            if self._closing:
                raise WriterClosed
            waiting = len(self._queue)
            if waiting >= self._capacity:
                raise QueueFull
            self._queue.append(item)
            self._taken += 1
            # Otherwise the thread is at work, or counts the milliseconds, and looks by itself.
            if self._idle or waiting + 1 == self._batch:
                self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Waits until all that was handed over before is written; False when that took too long (seconds)."""
        with self._changed:
            target = self._taken
            self._flushing += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: self._written >= target, timeout)
            finally:
                self._flushing -= 1

    def close(self, timeout: float) -> bool:
        """Takes no more, writes what waits, ends the thread; False when something was left unwritten."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
            return not self._queue

    def _run(self) -> None:
        delay = self._retry
        while batch := self._next():
            try:
                self._write(batch)
            except Exception as error:  # A thread that died here would lose everything after it.
                self.failure = error
                with self._changed:
                    self._changed.wait_for(lambda: self._abandoned, delay)
                delay = min(2 * delay, self._longest_retry)
                continue
            self.failure = None
            delay = self._retry
            with self._changed:
                for _ in batch:
                    self._queue.popleft()
                self._written += len(batch)
                self._changed.notify_all()

    def _next(self) -> list[T]:
        """The next batch; empty when there will be none any more."""
        with self._changed:
            # Under load this is all: one wake-up for a batch. A busy thread pays dearly for each of them.
            self._changed.wait_for(self._due, self._linger)
            if not self._queue:
                self._idle = True
                self._changed.wait_for(lambda: self._queue or self._closing)
                self._idle = False
                self._changed.wait_for(self._due, self._linger)
            return [] if self._abandoned else list(islice(self._queue, self._batch))

    def _due(self) -> bool:
        return len(self._queue) >= self._batch or self._flushing > 0 or self._closing
