"""What people and repair do to the counters of a token: pure, but for the list of what was used."""

from __future__ import annotations

import sqlite3

from tokenomics_core.counters.question import Unit, Used, Window
from tokenomics_core.counters.state import Bucket, Counter, TokenState, expire, roll
from tokenomics_core.counters.tables import Tables


def put(state: TokenState, key: str, settled: int, unit: Unit, window: Window, now: int) -> None:
    """Sets what was used in the window; what is reserved stays reserved."""
    expire(state, now)
    counter = state.counter(key, unit, window, now)
    _set(counter, settled, now)
    _uncharge(state, key)


def reset(state: TokenState, prefix: str, now: int) -> int:
    """Nothing was used. The number of counters that had something in them."""
    expire(state, now)
    count = 0
    for key, counter in state.counters.items():
        if not key.startswith(prefix):
            continue
        roll(counter, counter.window, now)
        count += counter.settled > 0
        _set(counter, 0, now)
        _uncharge(state, key)
    return count


def forget(state: TokenState, prefix: str) -> int:
    """Takes counters, freezes and what was watched away; with no prefix the leases too."""
    keys = [key for key in state.counters if key.startswith(prefix)]
    for key in keys:
        del state.counters[key]
    for key in [key for key in state.gates if key.startswith(prefix)]:
        del state.gates[key]
    for key in [key for key in state.watched if key.startswith(prefix)]:
        del state.watched[key]
    if not prefix:
        state.leases.clear()
    return len(keys)


def read_usage(db: sqlite3.Connection, token: str, now: int, prefix: str) -> list[Used]:
    """In the order of token and key. Raises sqlite3.Error."""
    tokens = [token]
    if not token:
        tokens = [each for (each,) in db.execute("SELECT DISTINCT token FROM counters ORDER BY token")]
    used = []
    for each in tokens:
        state = Tables().read_token(db, each)
        expire(state, now)
        for key, counter in sorted(state.counters.items()):
            if key.startswith(prefix):
                roll(counter, counter.window, now)
                over = counter.window.kind == "calendar" and counter.window.end <= now
                settled = 0 if over else counter.settled
                used.append(
                    Used(each, key, counter.unit, counter.window, settled, counter.reserved, counter.override)
                )
    return used


def _set(counter: Counter, settled: int, now: int) -> None:
    counter.settled = settled
    if counter.window.kind == "sliding":
        counter.buckets = [Bucket(now, now, settled)] if settled else []
    elif counter.window.kind == "fixed":
        counter.since = now if settled else 0


def _uncharge(state: TokenState, key: str) -> None:
    """Who settles late takes nothing back from a counter that was set anew since the lease was charged."""
    for lease in state.leases.values():
        if lease.charged:
            lease.holds = [hold for hold in lease.holds if hold.key != key]
