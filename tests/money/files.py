"""What stands in the files of a data directory, read while gateways write or after they died."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.proxy import Proxy

Json = dict[str, Any]


def read(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    database.row_factory = sqlite3.Row
    return database


def rows(proxy: Proxy, token: str) -> list[Json]:
    """The ledger's rows of a token, oldest first."""
    return [row for row in proxy.rows(0) if row["token_hash"] == token]


def entries(proxy: Proxy) -> list[Json]:
    """The journal: what was let through and has no row yet."""
    return _table(proxy, "intents")


def leases(proxy: Proxy) -> list[Json]:
    return _table(proxy, "leases")


def counted(proxy: Proxy) -> dict[str, tuple[int, int]]:
    """Used and reserved, by key, where there is one token."""
    return {each["key"]: (each["settled"], each["reserved"]) for each in _table(proxy, "counters")}


def delete_entries(proxy: Proxy) -> None:
    """The journal is lost; no gateway runs."""
    with closing(sqlite3.connect(proxy.dir / "counters.db", timeout=5)) as database, database:
        database.execute("DELETE FROM intents")


def spoil_entries(proxy: Proxy) -> None:
    """No intent of the journal can be read any more; no gateway runs."""
    with closing(sqlite3.connect(proxy.dir / "counters.db", timeout=5)) as database, database:
        database.execute("UPDATE intents SET record = substr(record, 1, 40)")


def _table(proxy: Proxy, name: str) -> list[Json]:
    path = proxy.dir / "counters.db"
    # A gateway that has only just opened its listener makes file and tables a moment later.
    if not path.exists():
        return []
    with closing(read(path)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone():
            return []
        return [dict(each) for each in database.execute(f"SELECT * FROM {name}")]
