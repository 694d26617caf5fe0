from __future__ import annotations

import csv
import io
import json
import tracemalloc
from decimal import Decimal
from pathlib import Path

import pytest

from tests.ledger import synthetic
from tests.ledger.build import a_row
from tokenomics_core.ledger import Row
from tokenomics_core.ledger.export import exported
from tokenomics_core.ledger.filters import Filter
from tokenomics_core.ledger.query import each_row
from tokenomics_core.ledger.row import COLUMNS, unpack


def rows() -> list[Row]:
    return [
        *synthetic.rows(200),
        a_row(1, metadata={"note": 'a "quoted", text', "Ü": "ä\n"}, user_agent='=HYPERLINK("x")', dirty=None),
        a_row(2, recovered=True, cost_usd=Decimal("0.000000000000000001"), first_byte_ms=12),
    ]


def test_json_lines_are_the_rows() -> None:
    written = list(exported(rows(), "jsonl"))
    assert all(line.endswith("}\n") and line.count("\n") == 1 for line in written)
    assert [unpack(line.encode()) for line in written] == rows()


def test_csv_is_the_rows() -> None:
    text = "".join(exported(rows(), "csv"))
    assert text.startswith("id,started_at,")
    read = list(csv.DictReader(io.StringIO(text)))
    assert len(read) == len(rows())
    for record, row in zip(read, rows(), strict=True):
        assert tuple(record) == COLUMNS
        packed = json.loads("".join(exported([row], "jsonl")))
        for name, value in packed.items():
            cell = record[name]
            if isinstance(value, dict | list):
                assert json.loads(cell) == value
            elif isinstance(value, bool):
                assert cell == str(value).lower()
            elif value is None or value == "":
                assert cell == ""
            elif name == "user_agent" and value.startswith("="):
                assert cell == f"'{value}"
            else:
                assert cell == str(value)


def test_no_rows_are_a_head_and_nothing_else() -> None:
    assert "".join(exported([], "csv")).count("\n") == 1
    assert "".join(exported([], "focus")).count("\n") == 1
    assert "".join(exported([], "jsonl")) == ""


@pytest.mark.long
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    synthetic.write(path, 12_000)
    peaks = []
    for limit in (4_000, 12_000):
        tracemalloc.start()
        assert sum(1 for _ in exported(each_row(path, Filter(), limit=limit), "csv")) == limit + 1
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
