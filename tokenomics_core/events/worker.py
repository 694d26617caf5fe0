"""Worker: delivers the queue of one webhook, one event after the other, in their order.

Of all processes that share the outbox, one does so: the one that holds the webhook's lock in the folder of
locks. The system takes it away when that process ends, and the next one goes on. What was sent and not yet
noted as sent then is sent again, with the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path

from tokenomics_core.counters.owners import Owners
from tokenomics_core.events.database import OutboxError
from tokenomics_core.events.delivery import Sender, wait
from tokenomics_core.events.outbox import Delivery, Outbox
from tokenomics_core.events.receiver import Receiver

log = logging.getLogger("tokenomics")

POLL = 1.0
"""Seconds between two looks for what other processes have put in, or left behind."""

_AT_ONCE = 64
"""Deliveries that are read in one go."""

_PRUNE_AFTER = 5000
"""Deliveries, made or given up, after which old ones are let go."""

_TELL_EVERY = 60.0


class Worker:
    """wake: to be set, in the loop, when there is something new.

    now: seconds since 1970. sleep: waits so many seconds. jitter: a random number in [0, 1).
    prune: called in the executor after many deliveries.
    """

    def __init__(
        self,
        receiver: Receiver,
        outbox: Outbox,
        sender: Sender,
        locks: Path,
        executor: Executor,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        jitter: Callable[[], float],
        prune: Callable[[], None],
    ) -> None:
        self.wake = asyncio.Event()
        self._receiver = receiver
        self._outbox = outbox
        self._sender = sender
        self._owners = Owners(locks)
        self._executor = executor
        self._now = now
        self._sleep = sleep
        self._jitter = jitter
        self._prune = prune
        self._owns = False
        self._stop_at: float | None = None
        self._count = 0
        self._told = -math.inf
        self._untold = 0

    def finish(self, patience: float) -> None:
        """Ends the worker once its queue is empty, or its next attempt is more than so many seconds away."""
        self._stop_at = self._now() + patience
        self.wake.set()

    async def run(self) -> None:
        """Until it is told to finish, or cancelled."""
        try:
            while True:
                try:
                    if await self._turn():
                        return
                except Exception as error:
                    # It must not end: everything after it would wait for the next start.
                    told = str(error) if isinstance(error, OutboxError) else type(error).__name__
                    log.error("webhook %d: %s", self._receiver.number, told)
                    if self._stop_at is not None:
                        return
                    await self._pause(POLL)
        finally:
            await self._sender.close()
            self._owners.release()

    async def _turn(self) -> bool:
        """Delivers what is due, or waits a little. True: it is over."""
        self.wake.clear()
        # What was put in before the end was asked for is seen below.
        ending = self._stop_at is not None
        if not self._owned():
            if not ending:
                await self._pause(POLL)
            return ending
        heads = await self._do(lambda: self._outbox.heads(self._receiver.key, _AT_ONCE))
        for delivery in heads:
            due = delivery.due / 1000
            if due > self._now():
                # The order holds: what comes after it waits too.
                if self._stop_at is not None and due > self._stop_at:
                    return True
                await self._pause(min(due - self._now(), POLL))
                return False
            if not await self._deliver(delivery):
                return False
        if not heads and not ending:
            await self._pause(POLL)
        return ending and not heads

    async def _deliver(self, delivery: Delivery) -> bool:
        """One attempt, noted on disk. True: the next event may follow."""
        result = await self._sender.send(delivery.envelope)
        now, attempts = int(self._now() * 1000), delivery.attempts + 1
        if result.outcome == "delivered":
            await self._do(lambda: self._outbox.done(delivery, result.status, now))
            await self._ended()
            return True
        if result.outcome == "again" and attempts < self._receiver.webhook.attempts:
            due = now + int(wait(attempts, result.retry_after, self._jitter()) * 1000)
            await self._do(lambda: self._outbox.failed(delivery, result.status, result.error, now, due))
            return False
        await self._do(lambda: self._outbox.failed(delivery, result.status, result.error, now, None))
        self._tell(delivery, attempts, result.error)
        await self._ended()
        return True

    async def _ended(self) -> None:
        self._count += 1
        if self._count % _PRUNE_AFTER == 0:
            await self._do(self._prune)

    def _tell(self, delivery: Delivery, attempts: int, why: str) -> None:
        # A receiver that is gone refuses all that comes; one line a minute says so.
        if self._now() - self._told < _TELL_EVERY:
            self._untold += 1
            return
        more = f", and {self._untold} events before it" if self._untold else ""
        self._told, self._untold = self._now(), 0
        log.warning(
            "webhook %d (%s): %s %s was given up after %s%s: %s; events retry sends again",
            self._receiver.number,
            self._receiver.shown,
            delivery.envelope.type,
            delivery.envelope.id,
            "1 attempt" if attempts == 1 else f"{attempts} attempts",
            more,
            why,
        )

    def _owned(self) -> bool:
        if not self._owns:
            with contextlib.suppress(ValueError):
                self._owners.claim(f"webhook-{self._receiver.key}")
                self._owns = True
        return self._owns

    async def _do[T](self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def _pause(self, seconds: float) -> None:
        """Waits, unless there is something new."""
        woken = asyncio.ensure_future(self.wake.wait())
        slept = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait((woken, slept), return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            slept.cancel()
