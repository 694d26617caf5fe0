"""`tokenomics-cli service print`: a unit for systemd, or a property list for launchd, on standard output."""

from __future__ import annotations

import os
import plistlib
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tokenomics_cli.command import Invocation, command, new_group
from tokenomics_cli.errors import CommandError

app = new_group("Print a unit that runs the gateway at login.")

LABEL = "dev.tokenomics.gateway"


class Manager(StrEnum):
    systemd = "systemd"
    launchd = "launchd"


ManagerArgument = Annotated[
    Manager | None, typer.Argument(metavar="[systemd|launchd]", help="This system's own without it.")
]


@command(app, "print")
def print_unit(invocation: Invocation, manager: ManagerArgument = None) -> None:
    """Print a systemd user unit or a launchd property list; nothing is installed.

    Real keys are read from .env in the data directory, which only you should be able to read.

    \b
    tokenomics-cli service print systemd > ~/tokenomics.service
    """
    chosen = manager or (Manager.launchd if sys.platform == "darwin" else Manager.systemd)
    words = [*_program(), *_flags(invocation), "serve"]
    data = invocation.config.dir
    if any(not word.isprintable() for word in (*words, str(data))):
        raise CommandError("a path holds a character that no unit can; choose another one with --dir")
    print(_systemd(words, data) if chosen is Manager.systemd else _launchd(words, data), end="")


def _program() -> list[str]:
    """Absolute: a service manager has a PATH of its own."""
    beside = Path(sys.executable).with_name("tokenomics-cli")
    return [str(beside)] if os.access(beside, os.X_OK) else [sys.executable, "-P", "-m", "tokenomics_cli"]


def _flags(invocation: Invocation) -> list[str]:
    flags = {**invocation.flags, "dir": str(invocation.config.dir)}
    named = {name: value for name, value in flags.items() if value}
    return [
        word
        for name, value in named.items()
        for word in (f"--{name}", str(Path(value).expanduser().absolute()))
    ]


def _systemd(words: list[str], data: Path) -> str:
    env = str(data / ".env").replace("%", "%%")
    return f"""\
# ~/.config/systemd/user/tokenomics.service
#   systemctl --user daemon-reload
#   systemctl --user enable --now tokenomics

[Unit]
Description=Tokenomics, a gateway between agents and LLM providers
After=network-online.target

[Service]
Type=exec
ExecStart={" ".join(map(_systemd_word, words))}
ExecReload=/bin/kill -HUP $MAINPID
EnvironmentFile=-{env}
WorkingDirectory=%h
Restart=on-failure
RestartSec=2
TimeoutStopSec=30
UMask=0077
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


def _systemd_word(word: str) -> str:
    """Quoted by systemd.syntax(7); % and $ would be filled in."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if any(sign in word for sign in " '\"\\;") else text


def _launchd(words: list[str], data: Path) -> str:
    log = str(data / "gateway.log")
    # launchd reads no file of variables.
    script = f"set -a; [ -r {shlex.quote(str(data / '.env'))} ] && . {shlex.quote(str(data / '.env'))}; exec "
    unit = {
        "Label": LABEL,
        "ProgramArguments": ["/bin/sh", "-c", script + shlex.join(words)],
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ExitTimeOut": 30,
        "Umask": 0o077,
        "StandardOutPath": log,
        "StandardErrorPath": log,
        "WorkingDirectory": str(Path.home()),
    }
    return plistlib.dumps(unit, sort_keys=False).decode()
