"""Session: one process of the gateway is one session of the ledger, with a file of its own. Each of its
requests knows the commit it was made at. What reports add up is added up as it goes."""

from __future__ import annotations

import asyncio
import logging

from mitmproxy import http

from addons.answer import HEAD, exchange_of
from addons.services import Services, in_thread
from tokenomics_core.exchange import Exchange
from tokenomics_core.ledger import LedgerError
from tokenomics_core.ledger.facts import keep_current
from tokenomics_core.ledger.session_file import SessionFile, rebuild_missing

log = logging.getLogger("tokenomics")

REPO = "x-tokenomics-repo"
"""Header in which a client names the directory that it works in."""

EVERY = 30.0
"""Seconds between two writings of the file."""

ADD_UP = 300.0
"""Seconds between two times that what came is added up for reports."""


class Session:
    """file: None where the configuration wants none."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.file: SessionFile | None = None
        self.written = self.added_up = 0.0

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Says at which commit a request was made. What goes wrong here holds up nothing."""
        exchange = exchange_of(flow)
        if exchange is not None and exchange.token is not None and flow.response is None:
            named = flow.metadata[HEAD].get(REPO, "")
            self.place(exchange, named or exchange.token.policy.policy.session.directory)

    def place(self, exchange: Exchange, hint: str = "") -> None:
        """Gives the exchange its git context: at once where it is known, else as soon as git has answered."""
        services = self.services
        asked = services.git.context(services.directory, hint)
        task = asyncio.Task(asked, loop=asyncio.get_running_loop(), eager_start=True)
        if task.done():
            exchange.git = task.result()
            return

        def known(task: asyncio.Task[object]) -> None:
            if not task.cancelled():
                exchange.git = task.result()  # type: ignore[assignment]

        task.add_done_callback(known)
        services.placing[exchange.id] = task
        task.add_done_callback(lambda task: services.placing.pop(exchange.id, None))

    async def start(self) -> None:
        services = self.services
        if not services.config.ledger.enabled:
            return
        git = await services.git.context(services.directory)
        self.written = self.added_up = services.clock()
        self.file = SessionFile(services.config.dir, services.instance, services.now(), git)
        await self._do(self.file.start)

    async def rebuild(self) -> None:
        """The files of processes that ended before they could write them."""
        services = self.services
        if self.file is not None:
            await self._do(
                lambda: rebuild_missing(services.config.dir, services.instance, services.owners.alive)
            )

    async def keep(self) -> None:
        """To be called now and then."""
        now = self.services.clock()
        if self.file is not None and now - self.written >= EVERY:
            self.written = now
            file, moment = self.file, self.services.now()
            await self._do(lambda: file.write(moment))
        if self.file is not None and now - self.added_up >= ADD_UP:
            self.added_up = now
            await self._do(lambda: keep_current(self.services.config.dir / "ledger.db"))

    async def close(self) -> None:
        """After the last row is in the ledger, and before it is closed."""
        services = self.services
        if self.file is not None:
            git, file = await services.git.context(services.directory), self.file
            await self._do(lambda: file.close(services.now(), git))
        services.git.close()

    async def _do(self, work: object) -> None:
        assert callable(work)
        try:
            await in_thread(work)
        except LedgerError as error:
            log.error("session file: %s", error)
