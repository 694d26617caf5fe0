"""How sessions read for people."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenomics_core.meter.dashboard import SessionView


def money(amount: Decimal, places: int = 4) -> str:
    """Dollars with that many decimals, or as many more as it takes to say them exactly."""
    exponent = amount.normalize().as_tuple().exponent
    return f"${amount:.{max(places, -exponent if isinstance(exponent, int) else 0)}f}"


def done(text: str) -> None:
    mark = "✓ " if (sys.stdout.encoding or "").lower().startswith("utf") else ""
    print(mark + text)


def print_budget(view: SessionView) -> None:
    print(f"Session:   {view.name}")
    print(f"Token:     {view.token[:16]}")
    print(f"Budget:    {_dollars(view.budget)}")
    print(f"Spent:     {_dollars(view.spent)}")
    if view.reserved:
        print(f"Reserved:  {_dollars(view.reserved)}")
    print(f"Remaining: {_dollars(view.remaining)}")
    if view.budget is not None:
        print(f"Used:      {view.percentage_used:.1f}%")


def print_table(views: list[SessionView]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("Session ID", "Token")
    for title in ("Budget", "Spent", "Remaining", "Used %"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("Status", overflow="fold")
    table.columns[0].overflow = "fold"
    table.columns[1].no_wrap = True
    for view in views:
        used = f"{view.percentage_used:.1f}%" if view.budget is not None else "-"
        amounts = [_dollars(view.budget), _dollars(view.spent), _dollars(view.remaining), used]
        status = f"frozen: {view.freeze.reason}" if view.freeze else "active"
        # Text: what stands in an id is no markup.
        table.add_row(*(Text(cell) for cell in (view.name, view.token[:8], *amounts, status)))
    # For a file or a program nothing is cut to fit a window.
    Console(width=None if sys.stdout.isatty() else 300).print(table)


def print_stats(view: SessionView) -> None:
    print(f"Anomaly Stats for: {view.name}")
    print(f"  Frozen: {'Yes' if view.freeze else 'No'}")
    if view.freeze:
        print(f"  Reason: {view.freeze.reason}")
        print(f"  Until: {_time(view.freeze.until)}")
    print(f"  Requests (last minute): {view.requests}")


def _dollars(amount: int | None) -> str:
    """Four decimals; of more, what is cut off is rounded."""
    return "none" if amount is None else f"${Decimal(amount).scaleb(-9):.4f}"


def _time(until: int | None) -> str:
    from tokenomics_core.tokens import format_timestamp

    return "for good" if until is None else format_timestamp(datetime.fromtimestamp(until / 1000, UTC))
