"""Certificates: renewed in time, and taken up without a restart when their files change."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from pathlib import Path

from mitmproxy import ctx
from mitmproxy.certs import CertStore

from addons.services import Services, in_thread
from tokenomics_core.certificates import CertificateError, combine_own_certificate, ensure_certificates

log = logging.getLogger("tokenomics")

LOOK = 2.0
"""Seconds between two looks at the files."""

DAY = 24 * 3600.0

_WARN_BEFORE = timedelta(days=30)

type _Seen = tuple[tuple[int, int, int] | None, ...]


class CertificateWatch:
    """The CA's files, and the operator's own pair where there is one.

    What mitmproxy has issued lives as long as its store: a new store each day issues anew, long before
    anything expires.
    """

    def __init__(self, services: Services) -> None:
        self.services = services
        tls = services.config.server.tls
        self.own = (tls.cert_file, tls.key_file) if tls.cert_file and tls.key_file else None
        # Before anything is read: what changes while the gateway starts is a change, too.
        self.seen = self._look()
        self.task: asyncio.Task[None] | None = None

    def running(self) -> None:
        self.task = asyncio.create_task(self._watch(), name="certificates")

    def done(self) -> None:
        if self.task is not None:
            self.task.cancel()

    async def _watch(self) -> None:
        renewed = self.services.clock()
        while True:
            await asyncio.sleep(LOOK)
            now = await in_thread(self._look)
            changed = now != self.seen
            if not changed and self.services.clock() - renewed < DAY:
                continue
            renewed = self.services.clock()
            try:
                store = await in_thread(self._renew)
            except (CertificateError, OSError, ValueError) as error:
                # What is in force stays: a half-written pair is complete at the next look.
                text = str(error) if isinstance(error, CertificateError) else type(error).__name__
                log.error("certificates were not taken up: %s", text)
            else:
                ctx.master.addons.get("tlsconfig").certstore = store
                if changed:
                    log.warning("certificates were read anew")
            # Not as it is by now: what changed while it was read is read at the next look.
            self.seen = now

    def _look(self) -> _Seen:
        folder = self.services.certificates.directory
        return tuple(map(_stamp, (folder / "mitmproxy-ca.pem", folder / "ca.crt", *(self.own or ()))))

    def _renew(self) -> CertStore:
        services = self.services
        found = ensure_certificates(
            services.certificates.directory, services.config.server.tls.hosts, services.now()
        )
        services.certificates = found
        if found.ca_created:
            log.warning("the certificate authority had expired: clients have to trust the new one")
        elif found.ca_expires - services.now() < _WARN_BEFORE:
            log.warning("the certificate authority expires on %s; run ca renew", found.ca_expires.date())
        store = CertStore.from_store(found.directory, "mitmproxy", 2048)
        if self.own is not None:
            combined = combine_own_certificate(*self.own, found.directory)
            store.add_cert_file("own-certificate.invalid", combined)
        return store


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
