"""`tokenomics-cli stop`: ends the gateway of the data directory, and no other process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tokenomics_cli.command import Invocation, command, new_app
from tokenomics_cli.place_flags import PidFileFlag

if TYPE_CHECKING:
    from tokenomics_core.process import Process

app = new_app("Stop the gateway.")


@command(app, "stop")
def stop(invocation: Invocation, pid_file: PidFileFlag = "") -> None:
    """Stop the gateway of this data directory.

    What is under way may finish. A process that merely got the number of a gateway is left alone.
    """
    from tokenomics_cli.pid_file import starting

    # Nothing is made where nothing ever ran.
    if not invocation.config.dir.exists():
        _say(f"Proxy not running (no data directory {invocation.config.dir})")
        return
    with starting(invocation.config.dir):
        _say(_stop(invocation, pid_file))


def _stop(invocation: Invocation, named: str) -> str:
    from tokenomics_cli import gateway_process
    from tokenomics_cli.pid_file import pid_file, read_record

    path = pid_file(invocation.config.dir, named)
    record = read_record(path)
    if record is not None and record.process.alive:
        ended = _end(invocation, record.process)
        gateway_process.forget(path, record.process)
        return f"Proxy {ended} (PID {record.pid})"
    path.unlink(missing_ok=True)
    if process := _unnamed(invocation, named):
        ended = _end(invocation, process)
        path.unlink(missing_ok=True)
        said = f"stale PID {record.pid}" if record else "stale or missing PID file"
        return f"Proxy {ended} (recovered from {said})"
    if record is None:
        return f"Proxy not running (no PID file at {path})"
    return f"Proxy not running (PID {record.pid} is gone, or another process by now)"


def _unnamed(invocation: Invocation, named: str) -> Process | None:
    """The gateway of this data directory that listens where the configuration says, without a pid file."""
    from tokenomics_cli.gateway_place import place
    from tokenomics_cli.gateway_process import PortTaken, find_at

    if not (invocation.config.dir / "keys").exists():
        return None
    try:
        found = find_at(invocation, place(invocation.config), named)
    except PortTaken:
        return None
    return found.process if found else None


def _end(invocation: Invocation, process: Process) -> str:
    from tokenomics_cli import gateway_process

    ended = gateway_process.stop(process, invocation.config.server.drain_timeout)
    return "stopped" if ended == "gone" else ended


def _say(text: str) -> None:
    print(text, file=sys.stderr)
