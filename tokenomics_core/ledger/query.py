"""Queries: sums, groups and single rows of a ledger, read while others write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tokenomics_core.ledger.database import cannot
from tokenomics_core.ledger.facts import EXACT, SUMS, TOTALS, Progress, current, facts, money, source
from tokenomics_core.ledger.filters import Filter
from tokenomics_core.ledger.groups import Group
from tokenomics_core.ledger.row import COLUMNS, Row

Order = Literal["cost", "tokens", "input", "output", "duration", "requests", "errors"]
_PAGE = 1_000


@dataclass(slots=True)
class Totals:
    """What rows come to. Money is exact, in USD.

    row_count: all rows; request_count: without upgrades to a WebSocket, whose requests are in its frames.
    error_count: status 400 and above; broken_count: answers that began well and ended in an error.
    unpriced_count: rows with tokens and no price, which cost_usd knows nothing of. duration_ms: added up.
    first, last: started_at of the earliest and the latest, empty for no rows.
    """

    row_count: int = 0
    request_count: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_creation_tokens: int = 0
    reasoning_tokens: int = 0
    error_count: int = 0
    broken_count: int = 0
    refused_count: int = 0
    rate_limit_count: int = 0
    retry_count: int = 0
    rule_violation_count: int = 0
    estimated_count: int = 0
    recovered_count: int = 0
    unpriced_count: int = 0
    duration_ms: int = 0
    cost_usd: Decimal = Decimal(0)
    first: str = ""
    last: str = ""

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def add(self, other: Totals) -> None:
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.cost_usd = EXACT.add(self.cost_usd, other.cost_usd)
        self.first = min(self.first or other.first, other.first or self.first)
        self.last = max(self.last, other.last)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: money as text."""
        told: dict[str, Any] = {}
        for name in (field.name for field in fields(self)):
            told[name] = getattr(self, name)
            if name == "output_tokens":
                told["total_tokens"] = self.total_tokens
        told["cost_usd"] = plain(self.cost_usd)
        told["first"], told["last"] = self.first or None, self.last or None
        return told


class Grouped(NamedTuple):
    """values: what the rows have in common, in the order of the groups; None where they have nothing."""

    values: tuple[str | int | None, ...]
    totals: Totals


def summed(
    path: Path,
    filter: Filter,
    groups: Sequence[Group] = (),
    *,
    progress: Progress | None = None,
) -> list[Grouped]:
    """The sums by group, in the order of the groups' values; one without groups, none for no rows.

    Raises LedgerError, and ValueError for a filter that makes no sense.
    """
    if not path.exists():
        return []
    text, values = source(filter)
    names = [f"g{place}" for place in range(len(groups))]
    keys = [f"{group.sql} AS {name}" for group, name in zip(groups, names, strict=True)]
    given = [value for group in groups for value in group.values]
    order = f" GROUP BY {', '.join(names)} ORDER BY {', '.join(names)}" if names else ""
    with facts(path, progress=progress) as db:
        found = db.execute(
            f"SELECT {', '.join([*keys, *TOTALS, 'min(first)', 'max(last)'])} FROM {text}{order}",
            [*given, *values],
        ).fetchall()
    count = len(groups)
    return [
        Grouped(tuple(record[:count]), _totals(record[count:]))
        for record in found
        if record[count] is not None
    ]


def plain(usd: Decimal) -> str:
    """The exact amount as text, without zeros at its end."""
    text = f"{usd:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def total(found: Sequence[Grouped]) -> Totals:
    """All of them together."""
    totals = Totals()
    for each in found:
        totals.add(each.totals)
    return totals


def by(found: Sequence[Grouped], place: int) -> dict[str | int | None, Totals]:
    """The sums by one of their groups, in the order in which its values come."""
    merged: dict[str | int | None, Totals] = {}
    for each in found:
        merged.setdefault(each.values[place], Totals()).add(each.totals)
    return merged


def measure(totals: Totals, order: Order) -> Decimal:
    """What groups are ordered by."""
    return {
        "cost": totals.cost_usd,
        "tokens": Decimal(totals.total_tokens),
        "input": Decimal(totals.input_tokens),
        "output": Decimal(totals.output_tokens),
        "duration": Decimal(totals.duration_ms),
        "requests": Decimal(totals.request_count),
        "errors": Decimal(totals.error_count),
    }[order]


_ORDERS: dict[Order, str] = {
    "cost": "CAST(ifnull(cost_usd, 0) AS REAL)",
    "tokens": "input_tokens + output_tokens",
    "input": "input_tokens",
    "output": "output_tokens",
    "duration": "duration_ms",
}


def top_rows(path: Path, filter: Filter, order: Order, limit: int) -> list[Row]:
    """The rows with the highest amounts, the highest first; of equal ones the earlier. Raises LedgerError.

    Of amounts of money that differ in the sixteenth digit, either may come first.
    """
    if order not in _ORDERS:
        raise ValueError(f"single requests have no order by {order}; there are {', '.join(_ORDERS)}")
    if not path.exists():
        return []
    condition, values = _condition(filter)
    with closing(_reading(path)) as db:
        records = _all(
            db,
            path,
            f"SELECT {', '.join(COLUMNS)} FROM requests WHERE {condition}"
            f" ORDER BY {_ORDERS[order]} DESC, seq LIMIT ?",
            [*values, limit],
        )
    return [Row.from_record(record) for record in records]


def find_rows(path: Path, prefix: str, limit: int = 10) -> list[Row]:
    """The rows whose id is that, or begins with it. Raises LedgerError."""
    if not path.exists() or not prefix:
        return []
    with closing(_reading(path)) as db:
        columns = ", ".join(COLUMNS)
        records = _all(db, path, f"SELECT {columns} FROM requests WHERE id = ?", [prefix]) or _all(
            db,
            path,
            # A range, which the index of the ids serves.
            f"SELECT {columns} FROM requests WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
            [prefix, prefix + "\U0010ffff", limit],
        )
    return [Row.from_record(record) for record in records]


def each_row(
    path: Path, filter: Filter, *, limit: int | None = None, progress: Progress | None = None
) -> Iterator[Row]:
    """The rows that fit, in the order of writing, in pages: however many there are, few are in memory, and
    nobody who writes has to wait. Rows that come meanwhile are not among them. Raises LedgerError.
    """
    if not path.exists():
        return
    condition, values = _condition(filter)
    query = (
        f"SELECT seq, {', '.join(COLUMNS)} FROM requests NOT INDEXED"
        f" WHERE seq > ? AND seq <= ? AND {condition} ORDER BY seq LIMIT ?"
    )
    with closing(_reading(path)) as db:
        [(first, last)] = _all(db, path, "SELECT ifnull(min(seq), 0), ifnull(max(seq), 0) FROM requests", [])
        seq, left = first - 1, limit
        while seq < last and left != 0:
            size = _PAGE if left is None else min(_PAGE, left)
            page = _all(db, path, query, [seq, last, *values, size])
            for record in page:
                yield Row.from_record(record[1:])
            if left is not None:
                left -= len(page)
            seq = page[-1][0] if len(page) == size else last
            if progress is not None:
                progress(seq - first + 1, last - first + 1)


def _condition(filter: Filter) -> tuple[str, list[str | int]]:
    where, values = filter.where()
    times, bounds = filter.times()
    return f"{times} AND {where}", [*bounds, *values]


def _totals(record: Sequence[Any]) -> Totals:
    *numbers, nano, atto, text, first, last = record
    cost = money(nano, atto, text)
    return Totals(**dict(zip(SUMS, numbers, strict=True)), cost_usd=cost, first=first, last=last)


def _reading(path: Path) -> sqlite3.Connection:
    try:
        current(path)
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise cannot("read", path, error) from error


def _all(db: sqlite3.Connection, path: Path, query: str, values: Sequence[str | int]) -> list[Any]:
    try:
        return db.execute(query, values).fetchall()
    except sqlite3.Error as error:
        raise cannot("read", path, error) from error
