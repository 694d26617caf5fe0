"""Keeps a Python process on loopback: whatever tries to reach another machine gets an OSError.

It is an audit hook, so it sees every connection that Python opens, by whatever library, and cannot be taken
out again. An address is judged as it is written: 127.0.0.0/8 and ::1 are loopback, nothing else is. Of names,
only ``localhost`` is looked up.

`install` does it for this process. A folder with a ``sitecustomize.py`` that calls it (tests/support/guard)
does it, through PYTHONPATH, for a process that is started and for the processes that one starts in turn.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import Any

LOG_VARIABLE = "LOOPBACK_GUARD_LOG"
"""Names the file with a line for every guarded process and for every refusal."""

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_ADDRESSED = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_NAMED = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})


class RefusedByGuard(OSError):
    """The address is not on loopback."""


def is_loopback(host: str) -> bool:
    """Whether the text is a literal loopback address."""
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped is None and address.is_loopback


def install(log: Path | None = None) -> None:
    """Guards this process from now on. log: file that takes a line for the process and for each refusal."""
    _note(log, f"guarded {os.getpid()}")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _ADDRESSED:
            _judge_address(event, *arguments[:2], log=log)
        elif event in _NAMED:
            _judge_name(arguments[0], log)

    sys.addaudithook(hook)


def _judge_address(event: str, sock: socket.socket, address: Any, *, log: Path | None) -> None:
    if sock.family not in _INTERNET or address is None:
        return
    host = _text(address[0])
    if not is_loopback(host) and host.lower() != "localhost":
        _note(log, f"refused {event} {host} {address[1]}")
        raise RefusedByGuard(f"{host} is refused by the loopback guard")


def _judge_name(host: Any, log: Path | None) -> None:
    name = _text(host)
    if host is None or name.lower() == "localhost" or _is_literal(name):
        return
    _note(log, f"refused lookup {name}")
    raise socket.gaierror(socket.EAI_NONAME, f"{name} is refused by the loopback guard")


def _is_literal(host: str) -> bool:
    """To look up an address asks nobody; it is judged when something connects to it."""
    try:
        ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    return True


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _note(log: Path | None, line: str) -> None:
    if log is not None:
        with log.open("a") as file:
            file.write(line + "\n")


def guarded(log: Path) -> set[int]:
    """Process ids that have said they are guarded."""
    return {int(line.split()[1]) for line in _lines(log) if line.startswith("guarded ")}


def refusals(log: Path) -> list[str]:
    """What was refused, as ``socket.connect 192.0.2.1 443`` or ``lookup example.com``."""
    return [line.removeprefix("refused ") for line in _lines(log) if line.startswith("refused ")]


def _lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []
