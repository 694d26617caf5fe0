"""How amounts, limits and tables read for people, and amounts as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenomics_core.counters import Unit
    from tokenomics_core.meter.overview import Line

_WIDTH = 10


def amount(number: int | None, unit: Unit, *, sign: bool = False) -> str:
    """Exactly: dollars with two decimals or as many as it takes, all else with thousands apart."""
    from tokenomics_core.counters import NANO

    if number is None:
        return "-"
    before = "-" if number < 0 else "+" if sign else ""
    if unit != "usd":
        return f"{before}{abs(number):,}"
    whole, part = divmod(abs(number), NANO)
    return f"{before}${whole:,}.{f'{part:09d}'.rstrip('0'):0<2}"


def plain(number: int | None, unit: Unit) -> str | int | None:
    """For JSON: dollars as text of an exact decimal, all else as a number."""
    if number is None or unit != "usd":
        return number
    return amount(number, unit).replace("$", "").replace(",", "")


def about(line: Line) -> str:
    """What a limit is, such as ``team: usd per month, Europe/Berlin``."""
    kind = line.period if line.period in ("total", "in flight") else f"per {line.period}"
    what = "requests" if line.limit.unit == "parallel" else line.limit.unit
    told = f"{what} {kind}"
    if line.timezone not in ("", "UTC"):
        told += f", {line.timezone}"
    if line.scope != "token":
        # Requests that go to the server's own upstream URL have no provider.
        told += f", {line.scope} {line.of or '(unnamed)'}"
    # The name of a rate limit is its window, which is said already.
    named = line.limit.name and not line.limit.key.startswith("rate:")
    return f"{line.limit.name}: {told}" if named else told


def bar(percent: float | None) -> str:
    """Ten places, and the number."""
    if percent is None:
        return "-"
    full, empty = "█░" if (sys.stdout.encoding or "").lower().startswith("utf") else "#."
    # Something that was used shows, and what is left shows.
    places = min(_WIDTH, int(percent * _WIDTH / 100))
    return f"{full * places}{empty * (_WIDTH - places)} {percent:.1f}%"


def resets(line: Line) -> str:
    if line.resets_at is not None:
        return moment(line.resets_at)
    if line.limit.unit == "parallel":
        return "-"
    return {"sliding": "rolling", "fixed": f"every {line.period}"}.get(line.limit.window.kind, "never")


def moment(milliseconds: int) -> str:
    from tokenomics_core.tokens import format_timestamp

    return format_timestamp(datetime.fromtimestamp(milliseconds / 1000, UTC))


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, text: int) -> None:
    """text: so many columns at the left are words, the others amounts."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for index, title in enumerate(titles):
        table.add_column(
            title, justify="left" if index < text else "right", overflow="fold", no_wrap=index >= text
        )
    for row in rows:
        # Text: what stands in a name is no markup.
        table.add_row(*map(Text, row))
    # For a file or a program nothing is cut to fit a window.
    Console(width=None if sys.stdout.isatty() else 300).print(table)
