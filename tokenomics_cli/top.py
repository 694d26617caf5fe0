"""tokenomics-cli top: what goes on, live, with keys to stop it."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenomics_cli.command import Invocation, JsonFlag, command, new_app, print_json
from tokenomics_cli.errors import CommandError

if TYPE_CHECKING:
    from tokenomics_cli.top_view import Ask, Item, View

app = new_app("Watch requests, money and budgets live; freeze and unfreeze.")

OnceFlag = Annotated[bool, typer.Option("--once", help="Print one picture and end.")]
EveryFlag = Annotated[
    float, typer.Option("--every", metavar="SECONDS", min=0.2, max=60, help="Between two pictures.")
]

FREEZE = 3600
"""Seconds for which the key freezes."""

_UP, _DOWN = ("\x1b[A", "\x1bOA", "k"), ("\x1b[B", "\x1bOB", "j")


@command(app, "top")
def top(
    invocation: Invocation, once: OnceFlag = False, every: EveryFlag = 1.0, as_json: JsonFlag = False
) -> None:
    """Watch requests, money and budgets live.

    up, down  choose a token or a session     f  freeze it for an hour
    q         quit                            u  unfreeze it

    Money is what the counters say, the last minute what the ledger says.

    \b
    tokenomics-cli top --once
    """
    from tokenomics_cli.counting import counters_at_hand

    watched = not (once or as_json) and sys.stdin.isatty() and sys.stdout.isatty()
    with counters_at_hand(invocation) as ask:
        if as_json:
            from tokenomics_cli.top_view import read_view

            print_json(read_view(invocation, ask).as_dict())
        elif watched:
            _watch(invocation, ask, every)
        else:
            _print_once(invocation, ask)


def _print_once(invocation: Invocation, ask: Ask) -> None:
    from rich.console import Console

    from tokenomics_cli.top_frame import frame
    from tokenomics_cli.top_view import read_view

    # For a file or a program nothing is cut to fit a window.
    Console(width=None if sys.stdout.isatty() else 300, highlight=False).print(
        frame(read_view(invocation, ask))
    )


def _watch(invocation: Invocation, ask: Ask, every: float) -> None:
    from rich.console import Console
    from rich.live import Live

    from tokenomics_cli.top_frame import frame
    from tokenomics_cli.top_view import read_view
    from tokenomics_core.counters import CountersUnavailable
    from tokenomics_core.tokens import StoreError

    console = Console(highlight=False)
    view, chosen, message = read_view(invocation, ask), _identity(None), ""
    due = time.monotonic() + every
    with _keys() as read_keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            at = _place(view, chosen)
            size = console.size
            shown = frame(view, chosen=at, rows=size.height, columns=size.width, message=message)
            live.update(shown, refresh=True)
            for key in read_keys(max(0.0, due - time.monotonic())):
                if key in ("q", "\x03", "\x04"):
                    return
                if key in _UP or key in _DOWN:
                    at = max(0, min(at + (1 if key in _DOWN else -1), len(view.items) - 1))
                    chosen, message = _identity(view.items[at] if view.items else None), ""
                elif key in ("f", "u") and view.items:
                    try:
                        message = _change(ask, view.items[at], freeze=key == "f")
                    except CountersUnavailable as error:
                        message = str(error)
                    chosen, due = _identity(view.items[at]), 0.0
            if time.monotonic() >= due:
                try:
                    view = read_view(invocation, ask)
                except (CountersUnavailable, StoreError) as error:
                    # What was read last stays on the screen, and the next moment may be better.
                    message = str(error)
                due = time.monotonic() + every


def _identity(item: Item | None) -> tuple[str, str]:
    """What stays the same when the order changes."""
    return (item.token, item.session) if item else ("", "")


def _place(view: View, chosen: tuple[str, str]) -> int:
    return next((at for at, item in enumerate(view.items) if _identity(item) == chosen), 0)


def _change(ask: Ask, item: Item, *, freeze: bool) -> str:
    from tokenomics_core.counters.question import Freeze
    from tokenomics_core.meter.dashboard import gate_key

    gate = gate_key(item.session)
    name = f"session {item.session}" if item.session else f"token {item.token[:8]}"
    if not freeze:
        was = ask(lambda counters: counters.thaw(item.token, gate))
        return f"{name} unfrozen" if was else f"{name} was not frozen"
    until = int((time.time() + FREEZE) * 1000)
    ask(lambda counters: counters.freeze(Freeze(item.token, gate, until, "Manual freeze")))
    return f"{name} frozen for 1h"


@contextmanager
def _keys() -> Iterator[Any]:
    """A function that waits for keys up to so many seconds, and gives those that were pressed."""
    try:
        import termios
        import tty
    except ImportError:
        raise CommandError("this system has no terminal of that kind; use top --once") from None

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)

    def read(seconds: float) -> list[str]:
        if not select.select([number], [], [], seconds)[0]:
            return []
        text = os.read(number, 1024).decode(errors="replace")
        # The terminal is gone.
        return _split(text) if text else ["q"]

    tty.setcbreak(number)
    try:
        yield read
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _split(text: str) -> list[str]:
    """The keys in what came: an arrow is three characters."""
    keys = []
    while text:
        size = 3 if text[:2] in ("\x1b[", "\x1bO") and len(text) >= 3 else 1
        keys.append(text[:size])
        text = text[size:]
    return keys
