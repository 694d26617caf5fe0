"""The child of `run`: in the foreground of the same terminal, with its signals and its exit code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

from tokenomics_cli.errors import CommandError

_FORWARDED = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
_BY_TERMINAL = ("SIGINT", "SIGQUIT")

EVERY = 3600.0
"""Seconds between two calls of what is to be kept up meanwhile."""


class NotFound(CommandError):
    exit_code = 127


class NotExecutable(CommandError):
    exit_code = 126


def located(word: str, environ: Mapping[str, str]) -> str:
    """The program's path. Raises NotFound or NotExecutable, with the exit codes that shells give."""
    found = shutil.which(word, path=environ.get("PATH"))
    if found is not None:
        return found
    if os.path.isdir(word) or os.path.exists(word):
        raise NotExecutable(f"start command: {word} cannot be executed; check its mode")
    raise NotFound(f"start command: {word} was not found; install it, or check PATH")


def run_child(
    words: Sequence[str], program: str, environ: Mapping[str, str], meanwhile: Callable[[], None]
) -> int:
    """Runs it until it ends; its exit code, or 128 and the number of the signal that ended it.

    A signal of the terminal reaches the child by itself: it is in the same process group, so this process
    only has to survive it. What others send to this process is passed on. Raises CommandError.
    """
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        if child is None:
            early.append(number)
        elif child.poll() is None:
            child.send_signal(number)

    def by_terminal(number: int, frame: FrameType | None) -> None:
        if child is None or not _in_foreground():
            forward(number, frame)

    # Handlers and not SIG_IGN, which the child would inherit. They stay: after the child there is tidying up,
    # which nobody should cut short by pressing Ctrl-C once more.
    for names, handler in ((_FORWARDED, forward), (_BY_TERMINAL, by_terminal)):
        for name in names:
            number = getattr(signal, name)
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)
    screen = _screen()
    try:
        child = subprocess.Popen(list(words), executable=program, env=dict(environ))
    except OSError as error:
        raise NotExecutable(f"start command: {words[0]}: {error.strerror}; check the file") from None
    for number in early:
        child.send_signal(number)
    while True:
        try:
            code = child.wait(EVERY)
        except subprocess.TimeoutExpired:
            meanwhile()
            continue
        if code < 0:
            _restore(screen)
        return 128 - code if code < 0 else code


def _screen() -> list[Any] | None:
    """How the terminal is set, to put it back after a command that could not do so itself."""
    try:
        return termios.tcgetattr(0)
    except termios.error:
        return None


def _restore(screen: list[Any] | None) -> None:
    if screen is not None and _in_foreground():
        with suppress(termios.error):
            termios.tcsetattr(0, termios.TCSADRAIN, screen)


def _in_foreground() -> bool:
    """Whether this process group is the one that the terminal sends its signals to."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
