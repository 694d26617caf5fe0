"""What the last minute came to: every request of it, however many, and nothing older."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.ledger.build import START, TOKEN_HASH, a_row
from tokenomics_core.ledger import LedgerError
from tokenomics_core.ledger.database import insert_rows, open_for_writing
from tokenomics_core.ledger.recent import Recent, recent


def test_all_that_ended_since(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    price = Decimal("0.000000000000000001")
    rows = [a_row(number, session_id=f"s{number % 2}", cost_usd=price) for number in range(3000)]
    # Written late, by another process.
    rows.append(rows.pop(2990))
    rows.append(a_row(3001, ended_at=START, session_id="old"))
    with closing(open_for_writing(path, busy_timeout=1)) as db:
        insert_rows(db, rows)
    found = recent(path, START + timedelta(seconds=1000))
    assert dict(found.requests) == {(TOKEN_HASH, "s0"): 1000, (TOKEN_HASH, "s1"): 1000}
    assert (found.tokens, found.cost) == (2000 * 2155, 2000 * price)
    assert recent(path, START + timedelta(hours=2)) == Recent()


def test_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"no database at all, but long enough to be one" * 100)
    with pytest.raises(LedgerError, match="cannot read the ledger"):
        recent(tmp_path / "ledger.db", START)
