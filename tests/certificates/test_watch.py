"""What the gateway does about its certificates as days go by."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy.test import taddons

from addons import certificates
from addons.certificates import DAY, CertificateWatch
from tests.support.proxy import Proxy
from tokenomics_core.certificates import ensure_certificates
from tokenomics_core.config import Config

MADE = datetime(2026, 1, 1, tzinfo=UTC)


class Days:
    """Services whose clock stands where the test puts it."""

    def __init__(self, folder: Path) -> None:
        self.config = Config(dir=folder)
        self.certificates = ensure_certificates(self.config.server.tls.cert_dir, [], MADE)
        self.passed = 0.0

    def now(self) -> datetime:
        return MADE + timedelta(days=self.passed)

    def clock(self) -> float:
        return self.passed * DAY


async def until(ready: Any) -> None:
    await asyncio.to_thread(Proxy.wait_for, ready, bool, 20)


async def test_each_day_everything_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(certificates, "LOOK", 0.01)
    caplog.set_level(logging.WARNING, "tokenomics")
    days: Any = Days(tmp_path)
    engine = SimpleNamespace(name="tlsconfig", certstore=None)
    with taddons.context(engine):
        watch = CertificateWatch(days)
        watch.running()
        try:
            await asyncio.sleep(0.05)
            assert engine.certstore is None
            # A day later what was issued for clients is issued anew; the leaf has time.
            days.passed = 1.1
            await until(lambda: engine.certstore is not None)
            assert not days.certificates.server_renewed
            days.passed = 340
            await until(lambda: days.certificates.server_renewed)
            assert days.certificates.server_expires > MADE + timedelta(days=700)
            assert not days.certificates.ca_created
            days.passed = 5 * 365 - 20
            await until(
                lambda: "the certificate authority expires on 2030-12-31; run ca renew" in caplog.text
            )
            expired = engine.certstore.default_ca.serial
            days.passed = 5 * 365 + 1
            await until(lambda: engine.certstore.default_ca.serial != expired)
            assert "had expired: clients have to trust the new one" in caplog.text
        finally:
            watch.done()
