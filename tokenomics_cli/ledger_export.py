"""tokenomics-cli ledger export: rows as CSV, JSON lines or FOCUS."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from tokenomics_cli.command import Invocation
from tokenomics_cli.errors import CommandError
from tokenomics_cli.ledger_filters import filtered
from tokenomics_cli.ledger_text import progress

if TYPE_CHECKING:
    from tokenomics_core.ledger.filters import Filter

FormatFlag = Annotated[str, typer.Option("--format", metavar="FORMAT", help="csv, jsonl or focus.")]
OutFlag = Annotated[
    str, typer.Option("--out", metavar="FILE", help="Write there, readable by you only, instead of stdout.")
]


@filtered()
def export(invocation: Invocation, filter: Filter, format: FormatFlag = "csv", out: OutFlag = "") -> None:
    """Write the rows of the ledger out, in the order of writing.

    csv: a line for each request, with the columns of the ledger. jsonl: an object for each. focus: CSV with
    the columns of FOCUS 1.2, a line for each request and class of tokens; BilledCost adds up to the cost.

    \b
    tokenomics-cli ledger export --format focus --since 7d --out week.csv
    """
    from tokenomics_core.ledger.export import FORMATS, exported
    from tokenomics_core.ledger.query import each_row

    if format not in FORMATS:
        raise CommandError(f"--format {format[:40]} is not known; it is one of {', '.join(FORMATS)}")
    path = invocation.config.dir / "ledger.db"
    with _target(out) as target, progress("Exporting the ledger") as shown:
        rows = each_row(path, filter, progress=shown)
        for text in exported(rows, format):
            target.write(text)


@contextmanager
def _target(out: str) -> Iterator[IO[str]]:
    """Where to write. A file is in its place when all of it is written, and not before."""
    if not out:
        yield sys.stdout
        return
    path = Path(out).expanduser()
    if not path.parent.is_dir():
        raise CommandError(f"there is no folder {path.parent} for --out; make it, or name another one")
    # mkstemp: for the owner only.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
