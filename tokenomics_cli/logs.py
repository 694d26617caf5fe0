"""`tokenomics-cli logs`: what the gateway logged, and what it goes on to log."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated

import typer

from tokenomics_cli.command import Invocation, command, new_app
from tokenomics_cli.errors import CommandError

app = new_app("Show what the gateway logged, and follow it.")

FollowFlag = Annotated[bool, typer.Option("-f", "--follow", help="Go on with what is logged, until Ctrl-C.")]
LinesFlag = Annotated[
    int, typer.Option("-n", "--lines", metavar="N", min=0, help="The last N lines of each.")
]

_POLL = 0.2


@command(app, "logs")
def logs(invocation: Invocation, follow: FollowFlag = False, lines: LinesFlag = 50) -> None:
    """Show the last lines of the gateway's logs: its own output, and the log file of the configuration.

    \b
    tokenomics-cli logs -f -n 0
    """
    files = [Tail(path) for path in _files(invocation)]
    if not follow and not any(tail.path.exists() for tail in files):
        raise CommandError(
            f"there is no log yet at {files[0].path}; a gateway in the foreground logs to its terminal"
        )
    shown = _Output(named=len(files) > 1)
    for tail in files:
        shown.write(tail.path, tail.last(lines))
    while follow:
        for tail in files:
            shown.write(tail.path, tail.more())
        time.sleep(_POLL)


def _files(invocation: Invocation) -> list[Path]:
    from tokenomics_cli.gateway_process import LOG
    from tokenomics_cli.pid_file import pid_file, read_record

    config = invocation.config
    record = read_record(pid_file(config.dir))
    files = [Path(record.log) if record is not None and record.log else config.dir / LOG]
    if config.logging.file.enabled:
        files.append(config.logging.file.path)
    return files


class Tail:
    """A file that grows and is moved aside now and then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        self._rest = b""

    def last(self, count: int) -> list[str]:
        """Its last lines; from here on `more` goes on."""
        if not self._open():
            return []
        assert self._file is not None
        found: deque[bytes] = deque(self._file, maxlen=count or None)
        return [] if not count else [_text(line) for line in found]

    def more(self) -> list[str]:
        """The whole lines that have come since."""
        found = list(self._read())
        if self._moved():
            # What was still written before the move has just been read.
            found += list(self._read(to_end=True))
            self._close()
            if self._open():
                found += list(self._read())
        return found

    def _read(self, *, to_end: bool = False) -> Iterator[str]:
        if self._file is None:
            return
        *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
        yield from map(_text, whole)
        if to_end and self._rest:
            yield _text(self._rest)
            self._rest = b""

    def _moved(self) -> bool:
        if self._file is None:
            return True
        here = os.fstat(self._file.fileno())
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        return (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino) or there.st_size < self._file.tell()

    def _open(self) -> bool:
        try:
            self._file = self.path.open("rb")
        except FileNotFoundError:
            return False
        return True

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _Output:
    """Writes lines, and whose they are where there are several files."""

    def __init__(self, *, named: bool) -> None:
        self._named = named
        self._of: Path | None = None

    def write(self, path: Path, lines: list[str]) -> None:
        if not lines:
            return
        if self._named and path != self._of:
            print(f"==> {path} <==")
            self._of = path
        print("\n".join(lines), flush=True)


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r\n")
