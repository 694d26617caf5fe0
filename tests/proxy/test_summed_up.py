"""What came is added up by the gateway as it goes, so that nobody waits for a report."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from addons.session import ADD_UP, Session
from tests.ledger import synthetic
from tokenomics_core.ledger import facts


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def kept(folder: Path) -> int:
    """Rows that are added up."""
    with closing(sqlite3.connect(folder / facts.FILE)) as db:
        count: int = db.execute("SELECT row_count FROM state").fetchone()[0]
    return count


def test_added_up_every_five_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "WORTH_IT", 50)
    synthetic.write(tmp_path / "ledger.db", 60)
    clock = Clock()
    services = SimpleNamespace(config=SimpleNamespace(dir=tmp_path), clock=clock, now=lambda: None)
    session = Session(cast("Any", services))
    session.file = cast("Any", SimpleNamespace(write=lambda moment: None))
    session.added_up = clock.now

    def keep() -> None:
        asyncio.run(session.keep())

    clock.now += ADD_UP - 1
    keep()
    assert not (tmp_path / facts.FILE).exists()
    clock.now += 1
    keep()
    assert kept(tmp_path) == 60
