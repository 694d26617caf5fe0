"""Lifecycle: mitmproxy's options as this gateway needs them, a graceful stop, records flushed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal

from mitmproxy import ctx

from addons import engine
from addons.services import Services, in_thread
from addons.session import Session
from tokenomics_core.certificates import combine_own_certificate, ensure_bundle
from tokenomics_core.config import ConfigError
from tokenomics_core.counters import CountersUnavailable
from tokenomics_core.events import server_start
from tokenomics_core.heap import settle_collector, settle_heap
from tokenomics_core.ledger import clean

log = logging.getLogger("tokenomics")

TICK = 0.5
"""Seconds between two looks at what is to be kept up."""

TRIM = 10.0
"""Seconds between two times that freed memory is given back: a short walk, when it is taken often."""


class Lifecycle:
    def __init__(self, services: Services, session: Session) -> None:
        self.services = services
        self.session = session
        self.configured = False
        self.keeper: asyncio.Task[None] | None = None
        self.give_back = settle_heap()

    def load(self, loader: object) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        server = self.services.config.server
        engine.install(
            engine.Limits(
                header_timeout=server.header_timeout,
                body_timeout=server.body_timeout,
                idle_timeout=server.idle_timeout,
                max_body=int(server.max_body_mb * 1024 * 1024),
            )
        )

    def _reload(self) -> None:
        """A broken file leaves what was in force."""
        try:
            self.services.reload()
        except ConfigError as error:
            log.error("not reloaded: %s", error)
        else:
            log.warning("providers, defaults and log settings were reloaded")

    def configure(self, updated: set[str]) -> None:
        """Setting options calls this again: once is enough."""
        if self.configured:
            return
        self.configured = True
        server, certificates = self.services.config.server, self.services.certificates
        wanted: dict[str, object] = {
            # Eager opens an upstream connection before any step has run.
            "connection_strategy": "lazy",
            # Otherwise arbitrary bytes inside CONNECT become a TCP tunnel.
            "rawtcp": False,
            "tcp_timeout": 3600,
            "stream_large_bodies": None,
            "body_size_limit": None,
            "store_streamed_bodies": False,
            "validate_inbound_headers": True,
            "proxy_debug": False,
            "http3": False,
            # What mitmdump prints of a flow holds its URL.
            "flow_detail": 0,
            "confdir": str(certificates.directory),
            "ssl_verify_upstream_trusted_ca": self._upstream_ca(),
        }
        if server.tls.cert_file and server.tls.key_file:
            own = combine_own_certificate(server.tls.cert_file, server.tls.key_file, certificates.directory)
            # Without a name of its own it would be shown for every host; its own names count by themselves.
            wanted["certs"] = [f"own-certificate.invalid={own}"]
        known = ctx.options.keys()
        ctx.options.update(**{name: value for name, value in wanted.items() if name in known})

    async def running(self) -> None:
        """mitmdump opens its listener before it loads a script; where none was named, ours follow it."""
        if ctx.options.mode == ["regular"] and ctx.options.listen_port is None:
            await engine.listen(listeners(self.services))
        engine.serving()
        # Not before: the interpreter does one thing at a time, and somebody waits for the listener.
        self.services.warm_up()
        await self.session.start()
        await self._open_counters()
        await self.session.rebuild()
        await self._announce()
        settle_collector()
        self.keeper = asyncio.create_task(self._keep(), name="leases")

    async def _announce(self) -> None:
        services = self.services
        server = services.config.server
        await services.events.start()
        if not engine.listen_addresses():
            # mitmdump ends itself a moment later.
            return
        upstream = clean.path(server.upstream_url)
        tls = server.tls.enabled
        services.events.emit(
            server_start(
                http_port=server.http_port,
                https_port=server.https_port if tls else 0,
                tls=tls,
                upstream=upstream,
            )
        )

    async def _open_counters(self) -> None:
        """What processes left that are gone is settled before the first question is asked."""
        services = self.services
        try:
            await services.counters.open()
            await services.recover()
        except CountersUnavailable as error:
            # Requests are refused one by one, until the store answers. At an error mitmproxy would end here.
            log.warning("%s", error)
        except Exception as error:
            # What was reserved stays reserved, and `_keep` tries again.
            log.warning("%s while exchanges that a crash left open were settled", type(error).__name__)
        services.opened.set()

    async def _keep(self) -> None:
        """Renews the leases of what is under way, and settles for processes that are gone."""
        services = self.services
        every = services.budget.settings.lease / 4
        renewed = recovered = trimmed = services.clock()
        while True:
            await asyncio.sleep(min(TICK, every))
            now = services.clock()
            try:
                await services.forget_written()
                await self.session.keep()
                if now - renewed >= every:
                    renewed = now
                    await services.budget.renew()
                if now - trimmed >= TRIM:
                    trimmed = now
                    await in_thread(self.give_back)
                if now - recovered >= 2 * every:
                    recovered = now
                    await services.recover()
            except CountersUnavailable as error:
                log.error("%s", error)
            except Exception as error:
                # Without it leases would run out under those who hold them.
                log.error("%s while leases were renewed", type(error).__name__)

    async def done(self) -> None:
        """No new connections; running exchanges finish, within bounds; every record is on disk.

        It is async for a second reason: mitmdump cannot unload an addon whose `done` is, so that an edit of
        the script never leaves the port open without its policy.
        """
        await engine.stop_listening()
        if not await self._drained(self.services.config.server.drain_timeout):
            log.warning("%d exchanges were cut at the stop", self.services.in_flight)
            self.services.stopping = True
            engine.close_all_clients()
            await self._drained(2.0)
        await self.services.events.close()
        # Before the session file, which is made from what it wrote, too.
        await in_thread(lambda: self.services.recorder.close(5))
        await self._close_counters()
        await in_thread(self._close)

    async def _close_counters(self) -> None:
        services = self.services
        if self.keeper is not None:
            self.keeper.cancel()
        try:
            if await in_thread(services.ledger.flush):
                await services.forget_written()
            await self.session.close()
            await services.counters.close()
            if services.shared_vaults is not None:
                await services.shared_vaults.close()
        except CountersUnavailable as error:
            log.error("%s", error)
        services.owners.release()

    async def _drained(self, seconds: float) -> bool:
        if self.services.in_flight:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.services.idle.wait(), seconds)
        return self.services.in_flight == 0

    def _close(self) -> None:
        if self.services.telemetry is not None:
            self.services.telemetry.close()
        self.services.ledger.close()
        self.services.request_log.close()
        self.services.store.close()

    def _upstream_ca(self) -> str | None:
        extra = self.services.config.server.upstream_ca
        if extra is None:
            return None
        return str(ensure_bundle(self.services.certificates.directory / "upstream-bundle.pem", extra))


def listeners(services: Services) -> list[str]:
    """mitmproxy's modes: one port for everything, and a second one by the name of TLS."""
    server = services.config.server
    ports = [server.http_port]
    if server.tls.enabled:
        ports.append(server.https_port)
    host = f"[{server.host}]" if ":" in server.host else server.host
    return [f"regular@{host}:{port}" for port in dict.fromkeys(ports) if port]
