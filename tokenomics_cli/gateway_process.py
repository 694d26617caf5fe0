"""A gateway as a process: the one of a data directory found, started in a session of its own, stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from tokenomics_cli.command import Invocation
from tokenomics_cli.errors import CommandError
from tokenomics_cli.gateway_place import Place, elsewhere
from tokenomics_cli.gateway_probe import ask
from tokenomics_cli.pid_file import Record, pid_file, read_record, write_record
from tokenomics_core.private_files import private_directory
from tokenomics_core.process import Process

LOG = "gateway.log"
FULL = 10 * 2**20
"""Bytes of the log beyond which a start moves it aside."""

_TAKEN = re.compile(r"failed to listen on \S+:(\d+) with .*in use")

READY = 60.0
STOP = 12.0
_KILLED = 5.0
_POLL = 0.02

Ended = Literal["stopped", "killed", "gone"]


@dataclass
class Gateway:
    """One that runs and has proven to be of this data directory. Its record is the pid file's.

    started_here: by this very process.
    """

    record: Record
    pid_file: Path
    started_here: bool = False
    child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return self.record.url

    @property
    def process(self) -> Process:
        return self.record.process


def find(invocation: Invocation, named: str = "") -> Gateway | None:
    """The gateway that the pid file names, if it still is that process. Raises CommandError.

    named: the value of --pid-file.
    """
    config = invocation.config
    path = pid_file(config.dir, named)
    record = read_record(path)
    if record is None or not record.process.alive:
        return None
    answer = ask(record.url, invocation.keys.hash_key, config.dir)
    if answer.process != record.process:
        raise CommandError(
            f"the gateway (PID {record.pid}) does not answer at {record.url}; end it with tokenomics-cli stop"
        )
    return Gateway(record, path)


def find_at(invocation: Invocation, place: Place, named: str = "") -> Gateway | None:
    """The gateway of this data directory that listens there, though no pid file says so; it gets one again.

    Raises CommandError when somebody else listens there: nobody hands a token to those.
    """
    config = invocation.config
    answer = ask(place.url, invocation.keys.hash_key, config.dir)
    if answer.who == "nobody":
        return None
    if answer.process is None:
        raise PortTaken(place, answer.who)
    path = pid_file(config.dir, named)
    record = Record(answer.process.pid, answer.process.started, place.url, answer.instance)
    write_record(path, record)
    return Gateway(record, path)


class PortTaken(CommandError):
    def __init__(self, place: Place, who: str) -> None:
        said = "a gateway of another data directory" if who == "another gateway" else "another program"
        super().__init__(
            f"port {place.port} is taken by {said} ({place.url}); choose another one with --port"
        )


def find_or_start(
    invocation: Invocation,
    place: Place,
    *,
    named: str = "",
    log: Path | None = None,
    while_used: bool = False,
    anywhere: bool = False,
) -> Gateway:
    """To be called under the start lock. Raises CommandError, also with what a new gateway died of.

    anywhere: when somebody else has the port, another one will do.
    """
    if found := find(invocation, named):
        if place.asked and urlsplit(found.url).port != place.port:
            raise CommandError(
                f"the gateway of this data directory runs at {found.url}; leave --port out, or stop it first"
            )
        return found
    try:
        if found := find_at(invocation, place, named):
            return found
    except PortTaken:
        if not anywhere:
            raise
        place = elsewhere(invocation.config)
    return _start(invocation, place, pid_file(invocation.config.dir, named), log, while_used)


def _start(invocation: Invocation, place: Place, path: Path, log: Path | None, while_used: bool) -> Gateway:
    log = log or invocation.config.dir / LOG
    begins = _open_end(log)
    flags = [word for name, value in invocation.flags.items() if value for word in (f"--{name}", value)]
    own = ["--pid-file", str(path), "--log-file", str(log), *(["--while-used"] if while_used else [])]
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        child = subprocess.Popen(
            # -P: a program in the current directory is not ours, whatever its name.
            [sys.executable, "-P", "-m", "tokenomics_cli", *flags, "serve", *own],
            env={**os.environ, **place.environ},
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            start_new_session=True,
        )
    finally:
        os.close(handle)
    try:
        record = _ready(invocation, child, place, path)
    except BaseException:
        _end_child(child)
        raise
    if record is None:
        # Somebody's own `serve` may have been faster.
        try:
            if found := find(invocation) or find_at(invocation, place):
                return found
        except PortTaken:
            pass
        raise CommandError(f"the gateway did not start: {_last_words(log, begins)}", f"its log: {log}")
    return Gateway(record, path, started_here=True, child=child)


def _ready(invocation: Invocation, child: subprocess.Popen[bytes], place: Place, path: Path) -> Record | None:
    """The new gateway's own record, once it answers; None when it ended instead."""
    deadline = time.monotonic() + READY
    while time.monotonic() < deadline:
        if child.poll() is not None:
            return None
        record = read_record(path) if path.exists() else None
        if record is not None and record.pid == child.pid:
            answer = ask(record.url, invocation.keys.hash_key, invocation.config.dir)
            if answer.process == record.process:
                return record
        time.sleep(_POLL)
    raise CommandError(f"the gateway was not ready within {READY:.0f} seconds; look into its log")


def _end_child(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def keep(gateway: Gateway) -> None:
    """From now on it stays when no `run` uses it. To be called under the start lock."""
    record = read_record(gateway.pid_file)
    if record is not None and record.while_used and record.process == gateway.process:
        write_record(gateway.pid_file, replace(record, while_used=False))


def stop(process: Process, drain: float) -> Ended:
    """Ends this process and no other, even if its number is another's by now. Raises CommandError.

    drain: seconds for which it lets exchanges finish.
    """
    try:
        if not process.send(signal.SIGTERM):
            return "gone"
        # It needs a moment after the last exchange, to write everything down.
        if process.wait(max(STOP, drain + 4)):
            return "stopped"
        process.send(signal.SIGKILL)
    except PermissionError:
        raise CommandError(
            f"the gateway (PID {process.pid}) belongs to another user; ask its owner"
        ) from None
    if not process.wait(_KILLED):
        raise CommandError(f"the gateway (PID {process.pid}) does not end; look at what it waits for")
    return "killed"


def forget(path: Path, process: Process) -> None:
    """Removes the pid file, if it still names this process."""
    record = read_record(path)
    if record is not None and record.process == process:
        path.unlink(missing_ok=True)


def _open_end(log: Path) -> int:
    """Where the new gateway's words will begin. A full log is moved aside."""
    private_directory(log.parent)
    try:
        size = log.stat().st_size
    except FileNotFoundError:
        return 0
    if size > FULL:
        log.replace(log.with_name(log.name + ".1"))
        return 0
    return size


def _last_words(log: Path, begins: int) -> str:
    """The line in which a gateway that died says why."""
    with log.open("rb") as file:
        file.seek(begins)
        lines = file.read().decode(errors="replace").splitlines()
    said = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
    for line in lines:
        if taken := _TAKEN.search(line):
            return f"port {taken[1]} is taken by another program; set another one in the configuration"
    logged = [line.partition(" ERROR ")[2].partition(": ")[2] for line in lines if " ERROR " in line]
    return next(
        iter([*said[-1:], *logged[-1:], *[line for line in lines if line.strip()][-1:]]), "it said nothing"
    )
