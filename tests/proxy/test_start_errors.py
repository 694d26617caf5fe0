"""An error while starting ends the gateway; one that a request logs meanwhile does not."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mitmproxy import ctx
from mitmproxy.addons.errorcheck import ErrorCheck

from addons import engine

log = logging.getLogger("tokenomics")


async def test_whose_errors_count(monkeypatch: pytest.MonkeyPatch) -> None:
    check = ErrorCheck()
    addons = SimpleNamespace(get=lambda name: check if name == "errorcheck" else None)
    monkeypatch.setattr(ctx, "master", cast("Any", SimpleNamespace(addons=addons)), raising=False)

    async def request() -> None:
        log.error("of a request")

    try:
        log.error("before")
        engine.serving()
        await asyncio.create_task(request())
        await asyncio.to_thread(log.error, "of a thread")
        log.error("of starting")
        assert [each.getMessage() for each in check.logger.has_errored] == ["before", "of starting"]
    finally:
        check.finish()
