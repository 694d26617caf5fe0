"""Which store of counters the configuration asks for."""

from __future__ import annotations

from tokenomics_core.config.schema import Config
from tokenomics_core.counters.store import Counters

FILE = "counters.db"
"""In the data directory: the counters and the journal, or with Redis the journal alone."""


def open_counters(config: Config, owner: str) -> Counters:
    """The store, not opened yet. owner: this process's word, under which it keeps its journal."""
    # Here, because many need the words of this package, and few a store.
    from tokenomics_core.counters.sqlite import SqliteCounters

    path = config.dir / FILE
    local = SqliteCounters(path, owner)
    if config.session.backend != "redis":
        return local
    # Only who asks for Redis pays for its client.
    from tokenomics_core.counters.journal import Journal
    from tokenomics_core.counters.redis import RedisCounters

    return RedisCounters(
        config.session.redis,
        Journal(path, owner),
        on_error=config.session.on_store_error,
        local=local,
    )
