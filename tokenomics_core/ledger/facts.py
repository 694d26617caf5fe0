"""Facts: what can be summed up of rows, fast for millions of them.

Rows are wide, and a million of them take seconds to read. So a file beside the ledger keeps them added up by
hour and by everything people ask for, a tenth of the rows or less. It is a cache and nothing else: it is made
when a ledger has grown large enough, advances with it, is made anew when the ledger is another one, and may
be deleted at any time. Rows that it does not have are read from the ledger itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Clamped, Context, Decimal, Inexact, InvalidOperation, Overflow
from functools import lru_cache
from pathlib import Path

from tokenomics_core.ledger.database import cannot, opened
from tokenomics_core.ledger.filters import Filter
from tokenomics_core.ledger.row import COLUMNS, timestamp
from tokenomics_core.private_files import private_file

FILE = "ledger-summary.db"
WORTH_IT = 20_000
"""Rows that are read from the ledger rather than added to the cache first."""

_BATCH = 50_000
_VERSION = 1
# Exact: more digits than sums of prices ever have, and no rounding.
EXACT = Context(prec=200, traps=[Clamped, Inexact, InvalidOperation, Overflow])

Progress = Callable[[int, int], None]
"""Told how many rows of how many are added up."""

KEYS = tuple(
    "hour run token_hash session_id provider model repo branch commit_hash status refusal metadata".split()
)
SUMS = {
    "row_count": "1",
    # What is asked for in the frames of a WebSocket are the requests; its upgrade is one when it failed.
    "request_count": "kind != 'upgrade' OR status >= 400 OR error IS NOT NULL",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cached_input_tokens": "ifnull(cached_input_tokens, 0)",
    "cache_creation_tokens": "ifnull(cache_creation_tokens, 0)",
    "reasoning_tokens": "ifnull(reasoning_tokens, 0)",
    "error_count": "status >= 400",
    "broken_count": "status < 400 AND error IS NOT NULL",
    "refused_count": "refusal IS NOT NULL",
    "rate_limit_count": "status = 429",
    "retry_count": "retry_count",
    "rule_violation_count": "CASE rule_matches WHEN '[]' THEN 0 ELSE (SELECT count(*) FROM"
    " json_each(rule_matches) WHERE json_extract(value, '$.action') = 'fail') END",
    "estimated_count": "estimated",
    "recovered_count": "recovered",
    "unpriced_count": "cost_usd IS NULL AND input_tokens + output_tokens > 0",
    "duration_ms": "duration_ms",
}
"""What is added up of each row, by its name: an expression on the columns of ``requests``."""

_ROW_KEYS = ", ".join(("substr(started_at, 1, 13) AS hour", *KEYS[1:]))
_ROW = (
    f"SELECT {_ROW_KEYS}, {', '.join(f'{sql} AS {name}' for name, sql in SUMS.items())},"
    " 0 AS nano_usd, 0 AS atto_usd, cost_usd, started_at AS first, started_at AS last FROM ledger.requests"
)
# Of a cell, money is numbers as far as they hold it, since SQLite adds those up itself: billionths of a US
# dollar, and billionths of these. What has more decimals or digits is text in cost_usd.
_CELL = (*KEYS, *SUMS, "nano_usd", "atto_usd", "cost_usd", "first", "last")
_TEXT_SUM = "exact_sum(cost_usd) FILTER (WHERE cost_usd IS NOT NULL)"
_ADDED = (
    f"SELECT {', '.join((*KEYS, *SUMS))}, nano(cost), atto(cost), beyond(cost), first, last FROM (SELECT"
    f" {', '.join(KEYS)}, {', '.join(f'sum({name}) AS {name}' for name in SUMS)}, {_TEXT_SUM} AS cost,"
    " min(first) AS first, max(last) AS last FROM ({rows}) GROUP BY "
    f"{', '.join(str(place + 1) for place in range(len(KEYS)))})"
)
TOTALS = (*(f"sum({name})" for name in SUMS), "sum(nano_usd)", "sum(atto_usd)", _TEXT_SUM)
"""What to select for `money` and the sums, in this order."""


class _ExactSum:
    """Adds up money that is text, exactly. NULL for nothing but NULLs."""

    def __init__(self) -> None:
        self.sum: Decimal | None = None

    def step(self, text: str | None) -> None:
        if text is not None:
            self.sum = Decimal(text) if self.sum is None else EXACT.add(self.sum, Decimal(text))

    def finalize(self) -> str | None:
        return None if self.sum is None else f"{self.sum:f}"


def nano(usd: str | None) -> int:
    """Whole billionths of an amount."""
    return _parts(usd)[0]


def atto(usd: str | None) -> int:
    """Billionths of a billionth of it, without the whole billionths."""
    return _parts(usd)[1]


def beyond(usd: str | None) -> str | None:
    """The amount itself, where those two do not hold it."""
    return _parts(usd)[2]


@lru_cache(maxsize=1)
def _parts(usd: str | None) -> tuple[int, int, str | None]:
    if usd is None:
        return 0, 0, None
    scaled = Decimal(usd).scaleb(18, EXACT)
    whole = int(scaled)
    # A million cells of this size still fit SQLite's numbers.
    if whole != scaled or abs(whole) >= 10**21:
        return 0, 0, usd
    return whole // 10**9, whole % 10**9, None


def money(nano: int, atto: int, text: str | None) -> Decimal:
    """US dollars, exactly."""
    return EXACT.add(Decimal(nano * 10**9 + atto).scaleb(-18, EXACT), Decimal(text or 0))


@contextmanager
def facts(path: Path, *, progress: Progress | None = None) -> Iterator[sqlite3.Connection]:
    """A connection with the ledger attached as ``ledger``, and the cache, as new as it is worth.

    `source` gives what to select from, TOTALS what to select. Raises LedgerError, also for what SQLite says
    to the statements.
    """
    try:
        current(path)
        with closing(_connected(path, progress)) as db:
            yield db
    except sqlite3.Error as error:
        raise cannot("read", path, error) from error


def keep_current(path: Path) -> None:
    """Adds up what is worth it, so that whoever asks next need not wait for it. Raises LedgerError."""
    with facts(path):
        pass


def source(filter: Filter) -> tuple[str, list[str | int]]:
    """What to select from: the facts that fit the filter, in parentheses, and its values. Raises ValueError.

    Whole hours come from the cache, what is before, after and not in there yet from the rows.
    """
    where, values = filter.where()
    times, bounds = filter.times()
    cached = "(SELECT seq FROM state)"
    first, last = _whole_hours(filter)
    parts = [
        (f"{_ROW} WHERE seq > {cached} AND {times} AND {where}", [*bounds, *values]),
        (
            f"SELECT {', '.join(_CELL)} FROM cells WHERE hour >= ? AND hour < ? AND {where}",
            [first, last, *values],
        ),
    ]
    edges = [Filter(since=filter.since, until=filter.until)] if first >= last else []
    if first < last:
        if filter.since is not None and timestamp(filter.since.astimezone(UTC)) < _begin(first):
            edges.append(Filter(since=filter.since, until=_moment(first)))
        if filter.until is not None and timestamp(filter.until.astimezone(UTC)) > _begin(last):
            edges.append(Filter(since=_moment(last), until=filter.until))
    for edge in edges:
        within, bounds = edge.times()
        parts.append((f"{_ROW} WHERE seq <= {cached} AND {within} AND {where}", [*bounds, *values]))
    text = " UNION ALL ".join(part for part, _ in parts)
    return f"({text})", [value for _, given in parts for value in given]


def current(path: Path) -> None:
    """Brings a ledger of an earlier version up to date. Raises LedgerError, sqlite3.Error."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        known = {column[1] for column in db.execute("PRAGMA table_info(requests)")}
    if not known.issuperset(COLUMNS):
        with opened(path):
            pass


def _connected(path: Path, progress: Progress | None) -> sqlite3.Connection:
    cache = path.with_name(FILE)
    db = _attached(None, path)
    (last,) = db.execute("SELECT ifnull(max(seq), 0) FROM ledger.requests").fetchone()
    if last < WORTH_IT and not cache.exists():
        return db
    try:
        private_file(cache)
        kept = _attached(cache, path)
    except (OSError, sqlite3.OperationalError):
        # What cannot be kept is read from the ledger each time.
        return db
    except sqlite3.DatabaseError:
        # It is no database. The next time there will be none, and a new one is made.
        cache.unlink(missing_ok=True)
        return db
    try:
        _advance(kept, progress)
    except sqlite3.Error:
        kept.close()
        return db
    db.close()
    return kept


def _attached(cache: Path | None, path: Path) -> sqlite3.Connection:
    name = ":memory:" if cache is None else cache.absolute().as_uri()
    db = sqlite3.connect(name, uri=True, isolation_level=None, timeout=5)
    try:
        # typeshed has the aggregate return a number.
        db.create_aggregate("exact_sum", 1, _ExactSum)  # type: ignore[arg-type]
        for part in (nano, atto, beyond):
            db.create_function(part.__name__, 1, part, deterministic=True)
        db.execute("PRAGMA synchronous = OFF" if cache is None else "PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA cache_size = -65536")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            _create(db)
        db.execute("ATTACH ? AS ledger", (f"{path.absolute().as_uri()}?mode=ro",))
    except sqlite3.Error:
        db.close()
        raise
    return db


def _create(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.execute("DROP TABLE IF EXISTS cells")
    db.execute("DROP TABLE IF EXISTS state")
    db.execute(f"CREATE TABLE cells ({', '.join(_CELL)})")
    # seq: of the last row that is in the cells; id: which one that was; row_count: how many there are.
    db.execute("CREATE TABLE state (seq INTEGER NOT NULL, id TEXT, row_count INTEGER NOT NULL)")
    db.execute("INSERT INTO state VALUES (0, NULL, 0)")
    db.execute(f"PRAGMA user_version = {_VERSION}")
    db.execute("COMMIT")


def _advance(db: sqlite3.Connection, progress: Progress | None) -> None:
    """Adds the rows that came since, if they are many; begins anew if the ledger is not the same any more."""
    db.execute("BEGIN IMMEDIATE")
    try:
        seq, id, held = db.execute("SELECT seq, id, row_count FROM state").fetchone()
        (last,) = db.execute("SELECT ifnull(max(seq), 0) FROM ledger.requests").fetchone()
        (rows,) = db.execute("SELECT count(*) FROM ledger.requests").fetchone()
        (new,) = db.execute("SELECT count(*) FROM ledger.requests WHERE seq > ?", (seq,)).fetchone()
        same = db.execute("SELECT id FROM ledger.requests WHERE seq = ?", (seq,)).fetchone()
        if seq and (same != (id,) or held != rows - new):
            db.execute("DELETE FROM cells")
            seq, held, new = 0, 0, rows
        if new >= WORTH_IT:
            before = held
            while seq < last:
                upto = min(seq + _BATCH, last)
                db.execute(
                    f"INSERT INTO cells {_ADDED.format(rows=f'{_ROW} WHERE seq > ? AND seq <= ?')}",
                    (seq, upto),
                )
                seq = upto
                if progress is not None:
                    progress(min(seq, before + new), before + new)
            held = rows
        found = db.execute(
            "SELECT seq, id FROM ledger.requests WHERE seq <= ? ORDER BY seq DESC LIMIT 1", (seq,)
        ).fetchone() or (0, None)
        db.execute("UPDATE state SET seq = ?, id = ?, row_count = ?", (*found, held))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _whole_hours(filter: Filter) -> tuple[str, str]:
    """The first hour that is in the filter as a whole, and the first one after that is not."""
    first, last = "", "~"
    if filter.since is not None:
        since = filter.since.astimezone(UTC)
        begin = since.replace(minute=0, second=0, microsecond=0)
        first = timestamp(begin if begin == since else begin + timedelta(hours=1))[:13]
    if filter.until is not None:
        last = timestamp(filter.until.astimezone(UTC))[:13]
    return first, last


def _begin(hour: str) -> str:
    return f"{hour}:00:00.000000Z"


def _moment(hour: str) -> datetime:
    return datetime.fromisoformat(_begin(hour))
