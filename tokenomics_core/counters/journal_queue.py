"""The journal, written from the event loop: what comes while one batch is written becomes the next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tokenomics_core.counters.journal import Change, Journal
from tokenomics_core.counters.question import CountersUnavailable


class JournalQueue:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[tuple[Sequence[Change], asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    @property
    def backlog(self) -> int:
        """Writes that wait for the one that is under way."""
        return len(self._waiting)

    async def write(self, *changes: Change) -> None:
        """Returns when they are on disk. Raises CountersUnavailable."""
        if changes:
            await self._put(changes)

    def post(self, *changes: Change) -> None:
        """Nobody waits for them, and nobody hears when they cannot be written."""
        # What is never asked for its exception would be reported as forgotten.
        self._put(changes).add_done_callback(lambda done: done.cancelled() or done.exception())

    async def drain(self) -> None:
        """Returns when all is written that came before."""
        if self._writer is not None:
            await asyncio.wait([self._writer])

    def _put(self, changes: Sequence[Change]) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((changes, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        return future

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            failure: CountersUnavailable | None = None
            try:
                changes = [change for each, _ in batch for change in each]
                await asyncio.to_thread(self._journal.write, changes)
            except CountersUnavailable as error:
                failure = error
            for _, future in batch:
                if future.done():
                    continue
                if failure is None:
                    future.set_result(None)
                else:
                    future.set_exception(failure)
