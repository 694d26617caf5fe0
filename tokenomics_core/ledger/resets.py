"""Resets: from when on what a token, or one of its sessions, used counts. Rows that ended before do not.

Whoever sets counters to zero writes it here too, so that counters made anew from the rows come out the same.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tokenomics_core.ledger.database import opened
from tokenomics_core.ledger.row import timestamp

type Resets = dict[tuple[str, str], str]
"""Token hash and session id, empty for the whole token -> a time as the rows have it."""


def record_reset(path: Path, token_hash: str, session_id: str, at: datetime) -> None:
    """Writes a reset down; an earlier one than the file has changes nothing. Raises LedgerError.

    path: of the ledger, made when it is missing. session_id: the empty string for the whole token.
    """
    with opened(path) as db:
        db.execute(
            "INSERT INTO resets (token_hash, session_id, at) VALUES (?, ?, ?)"
            " ON CONFLICT (token_hash, session_id) DO UPDATE SET at = max(at, excluded.at)",
            (token_hash, session_id, timestamp(at.astimezone(UTC))),
        )


def read_resets(*paths: Path) -> Resets:
    """The last resets in all these ledgers; none in a file that is not there. Raises LedgerError."""
    resets: Resets = {}
    for path in paths:
        if path.exists():
            with opened(path) as db:
                for token, session, at in db.execute("SELECT token_hash, session_id, at FROM resets"):
                    resets[token, session] = max(at, resets.get((token, session), ""))
    return resets
