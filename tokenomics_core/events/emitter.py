"""Emitter: takes events from whoever has them, at once, and sees to it that they arrive.

An event goes into a queue in memory; a thread writes what waits there into the outbox, many at a time; a task
for each webhook delivers from the outbox. What is not delivered when the process ends is at the next start.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tokenomics_core.config import Webhook
from tokenomics_core.events.database import FILE, OutboxError
from tokenomics_core.events.envelope import Envelope, seal
from tokenomics_core.events.outbox import Addressed, Outbox, Queue
from tokenomics_core.events.receiver import Receiver, receivers
from tokenomics_core.events.throttle import Throttle
from tokenomics_core.events.types import Event
from tokenomics_core.ledger.writer import BatchWriter, QueueFull, WriterClosed

if TYPE_CHECKING:
    from tokenomics_core.events.worker import Worker

log = logging.getLogger("tokenomics")

CAPACITY = 20_000
"""Events that may wait for the disk."""

BUDGET = 5.0
"""Seconds that a stop gives to what is not delivered yet."""

_HOUR = 3600.0
_TELL_EVERY = 60.0


class Emitter:
    """The events of one process. Without webhooks it does nothing, and makes no file.

    webhooks: those of the configuration. folder: the data directory. Raises OutboxError when its file
    cannot be opened. nanoseconds: since 1970. clock: monotonic seconds. sleep: waits so many seconds.
    jitter: a random number in [0, 1). random_bytes: so many of them.
    """

    def __init__(
        self,
        webhooks: Sequence[Webhook],
        folder: Path,
        *,
        nanoseconds: Callable[[], int] = time.time_ns,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.receivers = receivers(webhooks)
        self.dropped = 0
        """Events that came while a queue was full, or after the end."""

        self._folder = folder
        self._nanoseconds = nanoseconds
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._random_bytes = random_bytes
        self._throttle = Throttle()
        self._workers: list[Worker] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._keeper: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = self._complained = -math.inf
        self._untold = 0
        self._counting = threading.Lock()
        self._outbox: Outbox | None = None
        self._writer: BatchWriter[Addressed] | None = None
        self._executor: ThreadPoolExecutor | None = None
        if self.receivers:
            self._outbox = Outbox(folder / FILE)
            self._writer = BatchWriter("events", self._write, capacity=CAPACITY)

    @property
    def backlog(self) -> int:
        """Events that are not in the outbox yet."""
        return self._writer.backlog if self._writer is not None else 0

    def emit(self, *events: Event) -> None:
        """Hands events over and returns at once. From any thread; raises nothing."""
        if self._writer is None:
            return
        for event in events:
            webhooks = tuple(each.key for each in self.receivers if each.wants(event.type))
            if not webhooks:
                continue
            admitted = self._throttle.admit(event, self._clock())
            if admitted is None:
                continue
            try:
                self._writer.put(Addressed(self._sealed(admitted), webhooks))
            except (QueueFull, WriterClosed):
                self._drop(1, "the outbox cannot keep up, or is closed")

    async def start(self) -> None:
        """Begins to deliver, also what earlier processes left."""
        if self._outbox is None:
            return
        # Only who has a webhook pays for the HTTP client.
        from tokenomics_core.events.delivery import Sender
        from tokenomics_core.events.worker import Worker

        self._loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(1, "deliveries")
        for receiver in self.receivers:
            if receiver.warning:
                log.warning("%s", receiver.warning)
            worker = Worker(
                receiver,
                self._outbox,
                Sender(receiver, now=self._now),
                self._folder / "run",
                self._executor,
                now=self._now,
                sleep=self._sleep,
                jitter=self._jitter,
                prune=self._prune,
            )
            self._workers.append(worker)
            self._tasks.append(asyncio.create_task(worker.run(), name=f"webhook {receiver.number}"))
        self._keeper = asyncio.create_task(self._keep(), name="events")

    async def close(self, budget: float = BUDGET) -> None:
        """Delivers what waits for at most so many seconds; the rest stays in the outbox."""
        if self._outbox is None or self._writer is None:
            return
        deadline = time.monotonic() + budget
        written = await asyncio.to_thread(self._writer.close, budget)
        if self._keeper is not None:
            self._keeper.cancel()
        for worker in self._workers:
            worker.finish(max(0.0, deadline - time.monotonic()))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(0.0, deadline - time.monotonic()))
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._executor is not None:
            await asyncio.to_thread(self._executor.shutdown)
        await asyncio.to_thread(self._close, written)

    def queues(self) -> list[Queue]:
        """What waits for each webhook, for people and metrics; blocks while it reads. Raises OutboxError."""
        return self._outbox.queues() if self._outbox is not None else []

    def _close(self, written: bool) -> None:
        assert self._outbox is not None
        try:
            waiting = sum(queue.pending for queue in self._outbox.queues())
        except OutboxError as error:
            log.error("%s", error)
            waiting = 0
        if waiting:
            log.warning("%d deliveries of events wait for the next start", waiting)
        if written:
            self._outbox.close()
        else:
            log.error("events were lost: the outbox could not be written")

    def _sealed(self, event: Event) -> Envelope:
        return seal(event, self._nanoseconds(), self._random_bytes)

    def _now(self) -> float:
        return self._nanoseconds() / 1e9

    def _write(self, batch: list[Addressed]) -> None:
        """On the writer's thread."""
        assert self._outbox is not None
        try:
            dropped = put(self._outbox, self.receivers, batch, int(self._now() * 1000))
        except OutboxError as error:
            self._complain(str(error))
            raise
        for receiver in self.receivers:
            if count := dropped.get(receiver.key):
                self._drop(count, f"the queue of webhook {receiver.number} ({receiver.shown}) is full")
        if self._loop is not None and not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self._wake)
            except RuntimeError:
                # It was closed just now; the next process delivers.
                self._loop = None

    def _wake(self) -> None:
        for worker in self._workers:
            worker.wake.set()

    def _complain(self, why: str) -> None:
        now = self._clock()
        if now - self._complained >= _TELL_EVERY:
            self._complained = now
            log.error("%s", why)

    def _drop(self, count: int, why: str) -> None:
        with self._counting:
            self.dropped += count
            self._untold += count
            now = self._clock()
            if now - self._told < _TELL_EVERY:
                return
            self._told, count, self._untold = now, self._untold, 0
        log.warning("%d events were dropped: %s", count, why)

    def _prune(self) -> None:
        assert self._outbox is not None
        self._outbox.prune([each.key for each in self.receivers], int(self._now() * 1000))

    async def _keep(self) -> None:
        while True:
            try:
                await asyncio.get_running_loop().run_in_executor(self._executor, self._prune)
            except OutboxError as error:
                log.error("%s", error)
            await asyncio.sleep(_HOUR)


def put(
    outbox: Outbox, receivers: Sequence[Receiver], batch: Sequence[Addressed], now: int
) -> dict[str, int]:
    """Writes events into the outbox, as many as the queues of their webhooks have room for."""
    room = {each.key: each.webhook.max_queue for each in receivers}
    return outbox.put(batch, room, {each.key: each.shown for each in receivers}, now)


def leave(webhooks: Sequence[Webhook], folder: Path, *events: Event) -> None:
    """Leaves events in the outbox for the gateway that runs, or the next one that does.

    For a process that soon ends. Makes nothing when no webhook wants them. Raises OutboxError.
    """
    known = receivers(webhooks)
    batch = []
    for event in events:
        keys = tuple(each.key for each in known if each.wants(event.type))
        if keys:
            batch.append(Addressed(seal(event, time.time_ns(), os.urandom), keys))
    if not batch:
        return
    outbox = Outbox(folder / FILE)
    try:
        put(outbox, known, batch, time.time_ns() // 1_000_000)
    finally:
        outbox.close()
