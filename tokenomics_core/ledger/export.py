"""Export: rows as CSV, as JSON lines, or as FOCUS charges; line by line, however many there are."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import orjson

from tokenomics_core.ledger import focus
from tokenomics_core.ledger.row import COLUMNS, Row, timestamp

Format = Literal["csv", "jsonl", "focus"]
FORMATS: tuple[Format, ...] = ("csv", "jsonl", "focus")

# What a spreadsheet takes for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def exported(rows: Iterable[Row], format: Format) -> Iterator[str]:
    """The text of the export, in pieces that end with a line.

    csv: the columns of the ledger; nothing for NULL, JSON in its columns. jsonl: `as_json` of each row.
    focus: CSV with a line for each charge. A text in CSV that a spreadsheet would calculate has a ``'`` in
    front.
    """
    if format == "jsonl":
        for row in rows:
            yield as_json(row) + "\n"
        return
    lines = _Lines()
    if format == "focus":
        yield lines.line(focus.COLUMNS)
        for row in rows:
            yield "".join([lines.line(charge.values()) for charge in focus.charges(row)])
    else:
        yield lines.line(COLUMNS)
        for row in rows:
            yield lines.line(getattr(row, name) for name in COLUMNS)


def as_json(row: Row) -> str:
    """A JSON object; times and money are text, as in the ledger, and what is not known is null."""
    told = {name: getattr(row, name) for name in COLUMNS}
    told = {name: None if value == "" else value for name, value in told.items()}
    return orjson.dumps(told, default=_cell, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()


class _Lines:
    """Lines of CSV, each as text of its own."""

    def __init__(self) -> None:
        self._text = io.StringIO()
        self._writer = csv.writer(self._text, lineterminator="\n")

    def line(self, values: Iterable[Any]) -> str:
        self._text.seek(0)
        self._text.truncate()
        self._writer.writerow([_cell(value) for value in values])
        return self._text.getvalue()


def _cell(value: Any) -> str:
    # Most are text: a chain of tests is faster here than a table.
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, date):
        return value.isoformat()
    return orjson.dumps(value).decode()
