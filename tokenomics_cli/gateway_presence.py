"""Presence: what `serve` shows of itself to other commands: the pid file, and an end when nobody uses it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tokenomics_cli.errors import CommandError
from tokenomics_cli.gateway_users import Users
from tokenomics_cli.pid_file import Record, read_record, try_lock, write_record

log = logging.getLogger("tokenomics")

EVERY = 1.0
"""Seconds between two looks at who uses the gateway."""


class Presence:
    """An addon of mitmproxy's. path: the pid file. shutdown: ends the gateway, as SIGTERM does."""

    def __init__(self, record: Record, path: Path, data_dir: Path, shutdown: Callable[[], None]) -> None:
        self.record = record
        self.path = path
        self.data_dir = data_dir
        self.shutdown = shutdown
        self.watcher: asyncio.Task[None] | None = None
        self.lock = -1

    def running(self) -> None:
        """The listeners are open."""
        try:
            before = read_record(self.path)
            if before is None or not before.process.alive:
                write_record(self.path, self.record)
        except (CommandError, OSError) as error:
            log.warning("no PID file: %s", error)
        if self.record.while_used:
            self.watcher = asyncio.create_task(self._watch(), name="users")

    def done(self) -> None:
        if self.watcher is not None:
            self.watcher.cancel()
        try:
            now = read_record(self.path)
            if now is not None and now.process == self.record.process:
                self.path.unlink(missing_ok=True)
        except (CommandError, OSError) as error:
            log.warning("the PID file stays: %s", error)

    async def _watch(self) -> None:
        """Ends the gateway when nobody uses it, also when the last `run` could not say so."""
        while self.record.while_used:
            await asyncio.sleep(EVERY)
            if await asyncio.to_thread(self._unused):
                self.shutdown()
                return

    def _unused(self) -> bool:
        """Whether nobody uses it. Then the start lock stays taken: who comes now waits for the end."""
        lock = try_lock(self.data_dir)
        if lock is None:
            return False
        now = read_record(self.path)
        if now is not None and now.process == self.record.process:
            self.record = replace(self.record, while_used=now.while_used)
        if self.record.while_used and not Users(self.data_dir).any():
            self.lock = lock
            return True
        os.close(lock)
        return False
