"""What happens when the disk, another process or a signal is against us."""

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.ledger.build import a_row
from tokenomics_core.ledger import Ledger, LedgerError, read_rows

ROOT = Path(__file__).parents[2]


def blocked_by_a_file(path):
    path.parent.write_text("in the way")


def a_directory(path):
    path.mkdir(parents=True)


def not_a_database(path):
    path.parent.mkdir()
    path.write_text("these are notes, not a database\n" * 100)


def from_the_future(path):
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (blocked_by_a_file, "cannot open the ledger"),
        (a_directory, "cannot open the ledger"),
        (not_a_database, "file is not a database"),
        (from_the_future, "newer Tokenomics"),
    ],
)
def test_a_ledger_that_cannot_be_opened(tmp_path, prepare, words):
    path = tmp_path / "data" / "ledger.db"
    prepare(path)
    with pytest.raises(LedgerError, match=words) as raised:
        Ledger(path, busy_timeout=0.01)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


@contextmanager
def as_an_ordinary_user():
    """Root may write everywhere, so as root the test becomes nobody for a moment."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_read_only_folder(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir(0o500)
    with as_an_ordinary_user(), pytest.raises(LedgerError, match="Permission denied"):
        Ledger(folder / "ledger.db")


@pytest.mark.parametrize("name", ["missing.db", "folder"])
def test_a_ledger_that_cannot_be_read(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(LedgerError, match="cannot read the ledger"):
        list(read_rows(tmp_path / name))


def wait_for_failure(ledger):
    for _ in range(1000):
        if ledger.failed:
            return
        assert not ledger.flush(0.01)
    pytest.fail("the failure was not noticed")


def test_while_another_holds_the_file_it_says_so_and_loses_nothing(tmp_path):
    path = tmp_path / "ledger.db"
    ledger = Ledger(path, busy_timeout=0.01, retry=0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ledger.record(a_row(1))
        wait_for_failure(ledger)
        assert "database is locked" in ledger.failed
        assert ledger.unavailable == ledger.failed
        assert "\n" not in ledger.failed
        other.execute("ROLLBACK")
    assert ledger.flush()
    assert ledger.failed == ""
    ledger.close()
    assert list(read_rows(path)) == [a_row(1)]


def test_what_cannot_be_written_at_the_end_is_told(tmp_path):
    path = tmp_path / "ledger.db"
    ledger = Ledger(path, busy_timeout=0.01, retry=0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ledger.record(a_row(1))
        assert not ledger.close(0.1)
        assert ledger.backlog == 1


FULL_DISK = """
import resource, sys
from pathlib import Path
from tests.ledger.build import a_row
from tokenomics_core.ledger import Ledger, read_rows

path = Path(sys.argv[1])
ledger = Ledger(path, retry=0.01)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
for number in range(2000):
    ledger.record(a_row(number))
while not ledger.failed:
    assert not ledger.flush(0.01), "the disk was never full"
assert ledger.unavailable
print(ledger.failed)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
assert ledger.flush(30), ledger.failed
assert not ledger.unavailable
ledger.close()
assert [row.id for row in read_rows(path)] == [a_row(number).id for number in range(2000)]
"""


def test_a_full_disk_is_noticed_and_survived(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "ledger.db")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "cannot be written" in done.stdout


KILLED = """
import itertools, os, sys, threading
from pathlib import Path
from tests.ledger.build import a_row
from tokenomics_core.ledger import Ledger

room = threading.Semaphore(1000)

def report(rows):
    os.write(1, "".join(f"{row.id}\\n" for row in rows).encode())
    room.release(len(rows))

ledger = Ledger(Path(sys.argv[1]), on_written=report)
for number in itertools.count():
    room.acquire()
    ledger.record(a_row(number))
"""


@pytest.mark.parametrize("reported", [1, 700, 3000])
def test_a_killed_process_leaves_every_row_that_it_reported(tmp_path, reported):
    path = tmp_path / "ledger.db"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    ids = [process.stdout.readline().strip() for _ in range(reported)]
    process.kill()
    rest, _ = process.communicate()
    ids += [line for line in rest.splitlines() if len(line) == len(ids[0])]

    kept = [row.id for row in read_rows(path)]
    assert kept[: len(ids)] == ids
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    ledger = Ledger(path)
    ledger.record(a_row(10**9))
    assert ledger.close()
    assert [row.id for row in read_rows(path)] == [*kept, a_row(10**9).id]


def test_recording_does_not_wait_for_the_disk(tmp_path):
    path = tmp_path / "ledger.db"
    ledger = Ledger(path, busy_timeout=30)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        recorded = threading.Thread(target=lambda: [ledger.record(a_row(number)) for number in range(1000)])
        recorded.start()
        recorded.join(20)
        assert not recorded.is_alive()
        assert ledger.backlog == 1000
        other.execute("ROLLBACK")
    assert ledger.close()
