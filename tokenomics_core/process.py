"""A process named by more than its number, so that a number that is used again is another process."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_POLL = 0.05


@dataclass(frozen=True, slots=True)
class Process:
    """pid with the moment of its start, as this system writes it; comparable on this machine only."""

    pid: int
    started: str

    @classmethod
    def own(cls) -> Process:
        return cls(os.getpid(), started(os.getpid()))

    @property
    def alive(self) -> bool:
        """Whether it runs. One that ended and was not waited for yet does not."""
        return bool(self.started) and started(self.pid) == self.started

    def send(self, number: signal.Signals) -> bool:
        """Signals this process and no other; False when it is gone. Raises PermissionError."""
        with _held(self.pid) as handle:
            # Looked at while the number is held, so it cannot become another process's in between.
            if not self.alive:
                return False
            try:
                if handle is None:
                    os.kill(self.pid, number)
                else:
                    signal.pidfd_send_signal(handle, number)
            except ProcessLookupError:
                return False
        return True

    def wait(self, seconds: float) -> bool:
        """Waits until it is gone, whoever's child it is; False when it still runs."""
        deadline = time.monotonic() + seconds
        with _held(self.pid) as handle:
            while self.alive:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                if handle is None:
                    time.sleep(min(_POLL, left))
                else:
                    select.select([handle], [], [], left)
        return True


def started(pid: int) -> str:
    """When the process began, as the system writes it; the empty string when there is none that runs."""
    if sys.platform == "linux":
        try:
            text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            return ""
        # The name before it is in brackets and may hold anything. Fields 3 (state) and 22 (start) of proc(5).
        fields = text.rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    asked = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, begun = asked.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else begun.strip()


@contextmanager
def _held(pid: int) -> Iterator[int | None]:
    """A handle on the process that has this number now; None where there is none, or no such handles."""
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError):
        handle = None
    try:
        yield handle
    finally:
        if handle is not None:
            os.close(handle)
