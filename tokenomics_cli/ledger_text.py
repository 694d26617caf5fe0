"""How sums of the ledger read for people."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tokenomics_cli.usage_text import print_table

if TYPE_CHECKING:
    from tokenomics_core.ledger.facts import Progress
    from tokenomics_core.ledger.query import Order, Totals

NONE = "-"
_LEAST = 12
_WIDTH = 10


def dollars(usd: Decimal) -> str:
    """Four decimals; what is less than half of the last one shows as less."""
    if usd and abs(usd) < Decimal("0.00005"):
        return "<$0.0001"
    return f"${usd:,.4f}"


def label(name: str, value: object) -> str:
    """A group's value; hashes are cut as people cut them."""
    if value is None or value == "":
        return NONE
    text = str(value)
    return {"token": text[:8], "commit": text[:10], "hour": text.replace("T", " ")}.get(name, text)


def moment(text: str) -> str:
    """A time of a row, to the second."""
    return text[:19].replace("T", " ") if text else NONE


def span(milliseconds: int) -> str:
    """Such as ``850ms``, ``12.3s``, ``5m03s``, ``2h04m``."""
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    seconds = milliseconds / 1000
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def print_totals(totals: Totals) -> None:
    """What is always there, and what is not zero."""
    lines: list[tuple[str, int]] = [
        ("Requests", totals.request_count),
        ("Input tokens", totals.input_tokens),
        ("Output tokens", totals.output_tokens),
        ("Total tokens", totals.total_tokens),
    ]
    lines += [
        (title, number)
        for title, number in (
            ("Cached input", totals.cached_input_tokens),
            ("Cache creation", totals.cache_creation_tokens),
            ("Reasoning", totals.reasoning_tokens),
            ("Errors", totals.error_count),
            ("Broken off", totals.broken_count),
            ("Refused", totals.refused_count),
            ("Retries", totals.retry_count),
            ("Without price", totals.unpriced_count),
        )
        if number
    ]
    print("Totals:")
    for title, number in lines:
        print(f"  {title + ':':<16}{number:>15,}")
    print(f"  {'Cost:':<16}{dollars(totals.cost_usd):>15}")


def print_groups(
    titles: Sequence[str], lines: Sequence[tuple[Sequence[str], Totals]], order: Order = "cost"
) -> None:
    """A table with a line for each group, and its part of the whole. titles: of the groups."""
    from tokenomics_core.ledger.query import measure

    whole = sum((measure(totals, order) for _, totals in lines), Decimal(0))
    shown: Order = order if whole else "tokens"
    whole = whole or sum((measure(totals, shown) for _, totals in lines), Decimal(0))
    most = max((measure(totals, shown) for _, totals in lines), default=whole)
    rows = [
        (
            *names,
            f"{totals.request_count:,}",
            f"{totals.error_count:,}",
            f"{totals.input_tokens:,}",
            f"{totals.output_tokens:,}",
            f"{totals.total_tokens:,}",
            dollars(totals.cost_usd),
            _share(measure(totals, shown), most, whole),
        )
        for names, totals in lines
    ]
    amounts = ("Requests", "Errors", "Input", "Output", "Total", "Cost", f"Share of {shown}")
    first = len(titles)
    print_fitting(
        (*titles, *amounts), rows, text=first, optional=[first + place for place in (1, 3, 2, 6, 4)]
    )


def _share(amount: Decimal, most: Decimal, whole: Decimal) -> str:
    """A bar as long as the amount is beside the largest one, and its part of the whole."""
    if not whole:
        return NONE
    full, empty = "█░" if (sys.stdout.encoding or "").lower().startswith("utf") else "#."
    places = round(_WIDTH * amount / most)
    return f"{full * places}{empty * (_WIDTH - places)} {100 * amount / whole:>5.1f}%"


def print_fitting(
    titles: Sequence[str], rows: Sequence[Sequence[str]], *, text: int, optional: Sequence[int]
) -> None:
    """A table; in a narrow window it does without optional columns, the first ones first."""
    places = list(range(len(titles)))
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        left_out = iter(optional)
        while _width(titles, rows, places, text) > width:
            gone = next(left_out, None)
            if gone is None:
                break
            places.remove(gone)
    print_table(
        [titles[place] for place in places],
        [[row[place] for place in places] for row in rows],
        text=sum(place < text for place in places),
    )


def _width(titles: Sequence[str], rows: Sequence[Sequence[str]], places: Sequence[int], text: int) -> int:
    total = 1
    for place in places:
        widest = max(len(titles[place]), *(len(row[place]) for row in rows)) if rows else len(titles[place])
        total += 3 + (min(widest, _LEAST) if place < text else widest)
    return total


@contextmanager
def progress(what: str) -> Iterator[Progress | None]:
    """A bar on stderr, for work that takes a while, when a person looks at it; gone when the work is done."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns: tuple[Any, ...] = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=None, visible=False)

        def told(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total, visible=True)

        yield told
