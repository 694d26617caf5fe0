"""Figures: `/stats` for people, `/metrics` for Prometheus. Both read what the ledger and the counters say.

`/api/settled/HASH` answers as soon as all that a token has asked for is in the ledger: `run` waits for it.
"""

from __future__ import annotations

import logging
from datetime import datetime

import orjson
from mitmproxy import http

from addons.answer import fields_of
from addons.guarded import guarded
from addons.services import Services, in_thread
from tokenomics_core import __version__
from tokenomics_core.counters import CountersUnavailable
from tokenomics_core.counters.question import Used
from tokenomics_core.events import OutboxError
from tokenomics_core.ledger import LedgerError
from tokenomics_core.metrics import Moment, Remaining, remaining
from tokenomics_core.tokens import StoreError

log = logging.getLogger("tokenomics")

STATS = "/stats"
METRICS = "/metrics"
SETTLED = "/api/settled/"

SETTLE = 5.0
"""Seconds that exchanges may take to end whose client is gone."""

_BUDGETS = ("tokens:", "usd:", "provider:")


class Figures:
    def __init__(self, services: Services) -> None:
        self.services = services

    @guarded
    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        route = flow.metadata.get("own_route")
        if route not in (STATS, METRICS, SETTLED):
            return
        # The answer says all; a body is not waited for.
        flow.request.stream = False
        flow.request.headers.pop("expect", None)
        if route == STATS:
            kind, body = "application/json", await self._stats()
        elif route == SETTLED:
            hash = flow.request.path.removeprefix(SETTLED)
            kind, body = "application/json", await self._settled(hash)
        elif self.services.config.metrics.enabled:
            kind, body = await self._metrics(fields_of(flow.request.headers).get("accept", ""))
        else:
            flow.response = http.Response.make(404, b"metrics are switched off (metrics.enabled)\n")
            return
        headers = {
            "content-type": kind,
            "x-tokenomics-version": __version__,
            "x-tokenomics-instance": self.services.instance,
        }
        flow.response = http.Response.make(200, b"" if flow.request.method == "HEAD" else body, headers)

    async def _stats(self) -> bytes:
        services = self.services

        def read() -> bytes:
            told = services.stats.snapshot(services.all_time.as_dict() if self._advanced() else None)
            return orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n"

        return await in_thread(read)

    async def _settled(self, hash: str) -> bytes:
        services = self.services
        ended = await services.ended(hash, SETTLE)
        written = await in_thread(services.ledger.flush)
        return orjson.dumps({"settled": ended and written})

    async def _metrics(self, accept: str) -> tuple[str, bytes]:
        services = self.services
        now = services.now()
        used: list[Used] = []
        try:
            for prefix in _BUDGETS:
                used += await services.counters.usage(now=int(now.timestamp() * 1000), prefix=prefix)
        except CountersUnavailable as error:
            log.warning("metrics without budgets: %s", error)

        return await in_thread(lambda: services.metrics.expose(accept, self._moment(used, now)))

    def _moment(self, used: list[Used], now: datetime) -> Moment:
        """What is so now. Reads the disk; what cannot be read is left out, and said."""
        services = self.services
        telemetry = services.telemetry
        budgets: list[Remaining] = []
        webhooks: dict[tuple[str, str], int] = {}
        try:
            budgets = remaining(services.store.list(), used, now) if used else []
            numbers = {each.key: str(each.number) for each in services.events.receivers}
            for queue in services.events.queues():
                if number := numbers.get(queue.webhook):
                    webhooks |= {(number, "waiting"): queue.pending, (number, "given_up"): queue.dead}
        except (StoreError, OutboxError) as error:
            log.warning("metrics: %s", error)
        return Moment(
            in_flight=services.in_flight,
            open_streams=dict(services.streams),
            queues={
                "ledger": services.ledger.backlog,
                "counters": services.counters.backlog,
                "events": services.events.backlog,
                "request_log": services.request_log.backlog,
                "telemetry": telemetry.backlog if telemetry else 0,
            },
            queued_bytes={"memory": services.recorder.backlog},
            dropped={
                "events": services.events.dropped,
                "memory": services.recorder.dropped,
                "request_log": services.request_log.dropped,
                "telemetry": telemetry.dropped if telemetry else 0,
            },
            budgets=budgets,
            webhooks=webhooks,
            ledger=services.all_time.totals() if self._advanced() else None,
        )

    def _advanced(self) -> bool:
        """Whether the sums over the ledger are as new as its rows. Reads the disk."""
        try:
            self.services.all_time.advance()
        except LedgerError as error:
            log.warning("%s", error)
            return False
        return True
