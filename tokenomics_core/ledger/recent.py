"""Recent: what the last moments came to, read from the end of a ledger of any size."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from tokenomics_core.ledger.database import cannot
from tokenomics_core.ledger.facts import EXACT
from tokenomics_core.ledger.row import timestamp

MOST = 100_000
"""Rows that are looked at, the latest first."""

_OLD = 1000
"""Older rows, one after the other, at which it ends: rows are in the order of writing, and some come late."""


@dataclass
class Recent:
    """requests: by token hash and session; None for no session. tokens: in and out. cost: in US dollars."""

    requests: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    tokens: int = 0
    cost: Decimal = Decimal(0)


def recent(path: Path, since: datetime) -> Recent:
    """The requests that ended since then, an aware time. Raises LedgerError."""
    found = Recent()
    begin, old = timestamp(since.astimezone(UTC)), 0
    query = (
        "SELECT ended_at, token_hash, session_id, input_tokens + output_tokens, cost_usd FROM requests"
        " ORDER BY seq DESC LIMIT ?"
    )
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            for ended, token, session, tokens, cost in db.execute(query, (MOST,)):
                if ended < begin:
                    old += 1
                    if old == _OLD:
                        break
                    continue
                old = 0
                found.requests[token, session] += 1
                found.tokens += tokens
                found.cost = EXACT.add(found.cost, Decimal(cost or 0))
    except sqlite3.Error as error:
        raise cannot("read", path, error) from error
    return found
