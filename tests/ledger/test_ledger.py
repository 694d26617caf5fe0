import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.ledger.build import START, TOKEN_HASH, a_row
from tokenomics_core.ledger import Ledger, LedgerError, LedgerFull, Row, read_rows
from tokenomics_core.ledger.database import insert_rows, open_for_writing, opened
from tokenomics_core.ledger.row import COLUMNS, stored

FIRST_VERSION = (
    """CREATE TABLE requests (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, started_at TEXT NOT NULL, ended_at TEXT NOT NULL,
        duration_ms INTEGER NOT NULL, kind TEXT NOT NULL, parent_id TEXT, token_hash TEXT, ingress TEXT,
        method TEXT, path TEXT, dialect TEXT, operation TEXT, stream INTEGER NOT NULL, requested_model TEXT,
        model TEXT, fallback_model TEXT, provider TEXT, base_key_env TEXT, upstream_host TEXT, upstream_url
        TEXT, status INTEGER NOT NULL, upstream_status INTEGER NOT NULL, refusal TEXT, error TEXT,
        input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, estimated INTEGER NOT NULL,
        cached_input_tokens INTEGER, cache_creation_tokens INTEGER, reasoning_tokens INTEGER, actual_model
        TEXT, finish_reason TEXT, rate_limit_remaining_requests INTEGER, rate_limit_remaining_tokens
        INTEGER, rate_limit_reset TEXT, upstream_id TEXT, upstream_request_id TEXT, retry_count INTEGER NOT
        NULL, attempts TEXT NOT NULL, rule_matches TEXT NOT NULL, metadata TEXT NOT NULL, request_bytes
        INTEGER NOT NULL, response_bytes INTEGER NOT NULL, remote_addr TEXT, user_agent TEXT
    )""",
    "CREATE INDEX requests_started_at ON requests (started_at)",
    "CREATE INDEX requests_token_hash ON requests (token_hash, started_at)",
)
"""The schema of the first version, as it was released."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "ledger.db"


def test_a_row_comes_back_as_it_was(path):
    ledger = Ledger(path)
    rows = [a_row(1), a_row(2, kind="frame", parent_id=a_row(1).id, token_hash="", estimated=True)]
    for row in rows:
        ledger.record(row)
    assert ledger.close()
    assert list(read_rows(path)) == rows


def test_the_columns_are_the_fields_of_a_row(path):
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as db:
        columns = [record[1] for record in db.execute("PRAGMA table_info(requests)")]
        assert columns == ["seq", *COLUMNS, "writer", "number", "hash"]
        assert db.execute("PRAGMA user_version").fetchone() == (5,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


NEW_COLUMNS = {
    "session_id": "",
    "cost_usd": None,
    "cost_by_class": {},
    "price_id": "",
    "price_source": "",
    "price_as_of": None,
    "reserved_tokens": 0,
    "reserved_usd": None,
    "recovered": False,
    "repo": "",
    "branch": "",
    "commit_hash": "",
    "dirty": None,
    "first_byte_ms": None,
    "timings": {},
    "run": "",
}
"""What a row of the first version says in the columns that came later."""


def test_a_file_of_the_first_version_keeps_its_rows(path):
    make_first_version(path, [a_row(1), a_row(2, kind="frame", estimated=True)])
    ledger = Ledger(path)
    assert list(ledger.rows()) == [a_row(1, **NEW_COLUMNS), a_row(2, kind="frame", estimated=True)]
    assert ledger.find(a_row(2).id) == a_row(2, kind="frame", estimated=True)
    ledger.record(a_row(1, output_tokens=7))
    priced = a_row(3, session_id="s-1", cost_usd=Decimal("0.000000001"), price_as_of=date(2026, 3, 1))
    ledger.record(priced)
    assert ledger.close()
    first, _, last = read_rows(path)
    assert (first, last) == (a_row(1), priced)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (5,)
        assert [record[1] for record in db.execute("PRAGMA table_info(requests)")] == [
            "seq",
            *COLUMNS,
            "writer",
            "number",
            "hash",
        ]


def test_a_file_is_migrated_by_one_of_two_that_open_it(path):
    make_first_version(path, [a_row(1)])
    ledgers = []
    threads = [threading.Thread(target=lambda: ledgers.append(Ledger(path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledgers) == 4
    assert all(list(ledger.rows()) == [a_row(1)] for ledger in ledgers)
    assert all([ledger.close() for ledger in ledgers])


def test_a_file_of_a_later_version_is_left_alone(path):
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 6")
    with pytest.raises(LedgerError, match="newer Tokenomics"):
        Ledger(path)


def make_first_version(path, rows):
    """A ledger as the first version left it, with these rows."""
    path.parent.mkdir()
    old = [column for column in COLUMNS if column not in NEW_COLUMNS]
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in FIRST_VERSION:
            db.execute(statement)
        db.execute("PRAGMA user_version = 1")
        for row in rows:
            values = dict(zip(COLUMNS, stored(row), strict=True))
            db.execute(
                f"INSERT INTO requests ({', '.join(old)}) VALUES ({', '.join('?' * len(old))})",
                [values[column] for column in old],
            )


def test_types_as_sqlite_sees_them(path):
    ledger = Ledger(path)
    ledger.record(a_row(1))
    ledger.flush()
    query = """
        SELECT typeof(input_tokens), typeof(stream), typeof(started_at), typeof(error), started_at,
            json_extract(metadata, '$.team'), json_extract(attempts, '$[0].status') FROM requests
    """
    with closing(sqlite3.connect(path)) as db:
        (found,) = db.execute(query)
    ledger.close()
    assert found == ("integer", "integer", "text", "null", "2026-03-02T08:16:11.480113Z", "billing", 200)


def test_what_is_not_known_is_null(path):
    ledger = Ledger(path)
    row = Row(id="tkn_1", started_at=START, ended_at=START)
    ledger.record(row)
    ledger.close()
    with closing(sqlite3.connect(path)) as db:
        (record,) = db.execute(f"SELECT {', '.join(COLUMNS)} FROM requests")
    found = dict(zip(COLUMNS, record, strict=True))
    assert {column for column, value in found.items() if value is None} == {
        column for column in COLUMNS if getattr(row, column) in ("", None)
    }
    assert (found["status"], found["stream"], found["attempts"], found["metadata"]) == (0, 0, "[]", "{}")
    assert list(read_rows(path)) == [row]


def test_only_the_owner_can_read_it(path):
    ledger = Ledger(path)
    ledger.record(a_row(1))
    ledger.flush()
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    ledger.close()
    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_closed_to_them(path):
    path.parent.mkdir()
    path.touch(0o644)
    Ledger(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_same_id_is_written_once(path):
    written = []
    ledger = Ledger(path, on_written=written.extend)
    ledger.record(a_row(1))
    ledger.record(a_row(1, output_tokens=7))
    ledger.flush()
    ledger.record(a_row(1, output_tokens=8))
    ledger.close()
    assert list(read_rows(path)) == [a_row(1)] == written


@pytest.mark.parametrize(
    ("numbers", "new"),
    [
        ([], []),
        ([4], [4]),
        ([1], []),
        ([2, 1, 2, 1], []),
        ([4, 5, 6], [4, 5, 6]),
        ([6, 1, 5, 2, 4], [6, 5, 4]),
        ([4, 5, 4, 5, 6, 4], [4, 5, 6]),
        ([5, 1, 5, 4, 1], [5, 4]),
    ],
)
def test_what_is_new_in_a_batch(path, numbers, new):
    with closing(open_for_writing(path, busy_timeout=1)) as db:
        for number in (1, 2, 3):
            insert_rows(db, [a_row(number)])
        rows = [a_row(number, output_tokens=place) for place, number in enumerate(numbers)]
        expected = [rows[numbers.index(number)] for number in new]
        assert insert_rows(db, rows) == expected
    assert list(read_rows(path)) == [a_row(1), a_row(2), a_row(3), *expected]


def test_the_same_id_of_another_process_is_written_once(path):
    ledgers = [Ledger(path), Ledger(path)]
    for ledger in ledgers:
        for number in range(300):
            ledger.record(a_row(number))
    assert all([ledger.close() for ledger in ledgers])
    assert len(list(read_rows(path))) == 300


def test_a_ledger_is_continued(path):
    for number in range(3):
        ledger = Ledger(path)
        ledger.record(a_row(number))
        ledger.close()
    assert [row.id for row in read_rows(path)] == [a_row(number).id for number in range(3)]


def test_many_start_at_once(path):
    barrier = threading.Barrier(8)
    ledgers = []

    def start():
        barrier.wait()
        ledgers.append(Ledger(path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, ledger in enumerate(ledgers):
        ledger.record(a_row(number))
    assert [ledger.close() for ledger in ledgers] == [True] * 8
    assert len(list(read_rows(path))) == 8


@pytest.mark.long
def test_twenty_thousand_rows_with_readers_beside(path):
    written = []
    ledger = Ledger(path, on_written=lambda rows: written.extend(row.id for row in rows))
    counts = []
    done = threading.Event()

    def read():
        while not done.is_set():
            counts.append(sum(1 for _ in read_rows(path)))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    ids = [a_row(number).id for number in range(20_000)]
    row = a_row()
    for number in range(20_000):
        ledger.record(replace(row, id=ids[number]))
    assert ledger.flush(60)
    done.set()
    for reader in readers:
        reader.join()
    assert ledger.backlog == 0
    ledger.close()
    assert written == ids
    assert [row.id for row in read_rows(path)] == ids
    assert all(0 <= count <= 20_000 for count in counts)


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({}, [0, 1, 2, 3]),
        ({"limit": 2}, [2, 3]),
        ({"since": START + timedelta(seconds=2)}, [2, 3]),
        ({"until": START + timedelta(seconds=2)}, [0, 1]),
        ({"since": START + timedelta(seconds=1), "until": START + timedelta(seconds=3)}, [1, 2]),
        ({"token_hash": TOKEN_HASH}, [0, 1, 2]),
        ({"token_hash": "f" * 64, "limit": 5}, [3]),
        ({"token_hash": "nobody"}, []),
    ],
)
def test_reading_a_part(path, filters, numbers):
    ledger = Ledger(path)
    for number in range(4):
        ledger.record(a_row(number, token_hash="f" * 64 if number == 3 else TOKEN_HASH))
    ledger.flush()
    found = [row.id for row in ledger.rows(**filters)]
    ledger.close()
    assert found == [a_row(number).id for number in numbers]


def test_a_listener_that_fails_costs_no_row(path, caplog):
    def listener(rows):
        raise RuntimeError("listener is broken")

    ledger = Ledger(path, on_written=listener)
    ledger.record(a_row(1))
    assert ledger.flush()
    assert ledger.failed == ""
    ledger.close()
    assert len(list(read_rows(path))) == 1
    assert "listener" in caplog.text


def test_nothing_is_recorded_after_the_end(path):
    ledger = Ledger(path)
    ledger.close()
    with pytest.raises(LedgerError, match="is closed"):
        ledger.record(a_row(1))
    assert ledger.close()


def test_a_full_queue_refuses(path):
    ledger = Ledger(path, capacity=4, busy_timeout=0.01, retry=0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(3):
            assert "behind" not in ledger.unavailable
            ledger.record(a_row(number))
        assert ledger.unavailable
        ledger.record(a_row(3))
        with pytest.raises(LedgerFull, match="4 rows wait"):
            ledger.record(a_row(4))
        assert ledger.backlog == 4
        other.execute("ROLLBACK")
    assert ledger.flush()
    assert (ledger.backlog, ledger.unavailable) == (0, "")
    ledger.record(a_row(4))
    assert ledger.close()
    assert len(list(read_rows(path))) == 5


def test_a_ledger_moved_away_keeps_its_rows_and_a_new_one_begins(path, tmp_path):
    ledger = Ledger(path)
    ledger.record(a_row(1))
    ledger.flush()
    old = tmp_path / "ledger.db"
    for file in path.parent.iterdir():
        file.rename(tmp_path / file.name)
    ledger.record(a_row(2))
    assert ledger.close()
    assert list(read_rows(old)) == [a_row(1)]
    assert list(read_rows(path)) == [a_row(2)]


def test_a_ledger_moved_away_without_its_wal_file_is_missed(path):
    ledger = Ledger(path, retry=0.01)
    ledger.record(a_row(1))
    ledger.flush()
    old = path.with_name("2026-02.db")
    path.rename(old)
    ledger.record(a_row(2))
    while not ledger.failed:
        assert not ledger.flush(0.01)
    assert "was moved or deleted" in ledger.unavailable
    assert not path.exists()
    old.rename(path)
    assert ledger.flush()
    ledger.close()
    assert list(read_rows(path)) == [a_row(1), a_row(2)]


def test_a_ledger_deleted_begins_anew(path):
    ledger = Ledger(path)
    ledger.record(a_row(1))
    ledger.flush()
    for file in path.parent.iterdir():
        file.unlink()
    ledger.record(a_row(2))
    assert ledger.close()
    assert list(read_rows(path)) == [a_row(2)]


def test_a_second_opening_does_not_take_the_file_away(tmp_path: Path) -> None:
    """SQLite's locks go when its process closes the file by any other way: then somebody else who closes it
    takes the write-ahead log for nobody's."""
    path = tmp_path / "ledger.db"
    ledger = Ledger(path)
    ledger.record(a_row(1))
    assert ledger.flush()
    with opened(path):
        pass
    script = (
        "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('CREATE TABLE x (y)').connection.close()"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=30)
    ledger.record(a_row(2))
    assert ledger.flush()
    assert len(list(read_rows(path))) == 2
    assert ledger.close()
