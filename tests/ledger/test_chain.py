"""The chain of the ledger: rows that were changed by hand are named, and nothing else is."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.ledger.build import START, a_row
from tests.ledger.synthetic import rows as synthetic_rows
from tests.ledger.test_ledger import make_first_version
from tokenomics_core.ledger import Ledger, Row
from tokenomics_core.ledger.chain import Chain
from tokenomics_core.ledger.chain_anchor import compare_anchor, last_head
from tokenomics_core.ledger.chain_check import Checked, check
from tokenomics_core.ledger.row import COLUMNS
from tokenomics_core.ledger.signing import PUBLIC, PublicKey, Signer
from tokenomics_core.tokens.keys import KeyFileError

A, B = "7e19c0a4" * 2, "b0b0b0b0" * 2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.db"


def chain(path: Path, writer: str = A) -> Chain:
    return Chain(writer, Signer(path.parent / "keys", os.urandom), lambda: START)


def write(path: Path, *batches: list[Row], writer: str = A) -> None:
    """Each batch in a transaction of its own."""
    ledger = Ledger(path, chain=chain(path, writer))
    for batch in batches:
        for row in batch:
            ledger.record(row)
        assert ledger.flush()
    assert ledger.close()


def numbered(first: int, last: int) -> list[Row]:
    return [a_row(number) for number in range(first, last + 1)]


def verify(path: Path, key: Path | None = None) -> Checked:
    return check(path, PublicKey(key or path.parent / "keys" / PUBLIC).verifies)


def found(path: Path) -> list[str]:
    return [each.text for each in verify(path).findings]


@contextmanager
def by_hand(path: Path) -> Iterator[Callable[..., Any]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        yield db.execute


def id_of(number: int) -> str:
    return a_row(number).id


@pytest.fixture
def ledger(path: Path) -> Path:
    """Two writers take turns: A has the rows 1 to 5 and 8 to 10, B has 6 and 7."""
    a, b = Ledger(path, chain=chain(path, A)), Ledger(path, chain=chain(path, B))
    for which, first, last in ((a, 1, 5), (b, 6, 7), (a, 8, 10)):
        for row in numbered(first, last):
            which.record(row)
        assert which.flush()
    assert a.close()
    assert b.close()
    return path


def test_what_nobody_touched_is_clean(ledger: Path) -> None:
    said = verify(ledger)
    assert said.findings == []
    assert (said.rows, said.older, said.unchained, said.writers) == (10, 0, 0, 2)
    assert said.last is not None
    assert (said.last.writer, said.last.row, said.last.at) == (A, 8, "2026-03-02T08:16:10.480113Z")


def test_every_row_that_a_gateway_writes_is_as_it_was_hashed(path: Path) -> None:
    rows = list(synthetic_rows(600))
    rows[3] = replace(rows[3], metadata={"team": 'a "b" \\ \u2028 é 😀'}, error="\u0000\x7f")
    write(path, rows[:300], rows[300:])
    assert verify(path).rows == 600
    assert found(path) == []


@pytest.mark.parametrize("number", [1, 3, 5, 6, 8, 10])
def test_an_edited_row(ledger: Path, number: int) -> None:
    with by_hand(ledger) as execute:
        execute("UPDATE requests SET cost_usd = '0.01' WHERE id = ?", (id_of(number),))
    writer, place = ("b0b0b0b0", number - 5) if number in (6, 7) else (A[:8], min(number, abs(number - 2)))
    place = number if number < 6 else place
    assert found(ledger) == [f"row {id_of(number)} (writer {writer}, number {place}): edited"]


@pytest.mark.parametrize("number", [5, 7, 10])
def test_a_row_hashed_anew(path: Path, ledger: Path, number: int) -> None:
    """The last row of a batch: its hash is signed, so an edit that has its own hash is found at this row."""
    with by_hand(ledger) as execute:
        execute("UPDATE requests SET hash = ? WHERE id = ?", ("ab" * 32, id_of(number)))
    [text] = found(ledger)
    assert text.startswith(f"row {id_of(number)} (writer ")


@pytest.mark.parametrize(
    ("gone", "text"),
    [
        ([3], "dropped: number 3 of writer 7e19c0a4, between {2} and {4}"),
        ([2, 3, 4], "dropped: numbers 2 to 4 of writer 7e19c0a4, between {1} and {5}"),
        ([1], "dropped: number 1 of writer 7e19c0a4, before {2}"),
        ([5], "dropped: number 5 of writer 7e19c0a4, between {4} and {8}"),
        (
            [9, 10],
            "cut: the head signed at 2026-03-02T08:16:10.480113Z names number 8 of writer 7e19c0a4,"
            " the last row is 6 ({8})",
        ),
        (
            [6, 7],
            "cut: the head signed at 2026-03-02T08:16:10.480113Z names number 2 of writer b0b0b0b0,"
            " no row is left",
        ),
    ],
)
def test_rows_that_are_gone(ledger: Path, gone: list[int], text: str) -> None:
    with by_hand(ledger) as execute:
        for number in gone:
            execute("DELETE FROM requests WHERE id = ?", (id_of(number),))
    expected = re.sub(r"\{(\d+)\}", lambda match: id_of(int(match[1])), text)
    assert found(ledger) == [expected]


def test_rows_in_another_order(ledger: Path) -> None:
    with by_hand(ledger) as execute:
        execute("UPDATE requests SET seq = 100 WHERE seq = 3")
        execute("UPDATE requests SET seq = 3 WHERE seq = 4")
        execute("UPDATE requests SET seq = 4 WHERE seq = 100")
    text = f"reordered: row {id_of(3)} (writer 7e19c0a4, number 3) stands after {id_of(4)}"
    assert found(ledger) == [text]


def test_a_row_moved_to_the_end(ledger: Path) -> None:
    with by_hand(ledger) as execute:
        execute("UPDATE requests SET seq = 100 WHERE seq = 3")
    text = f"reordered: row {id_of(3)} (writer 7e19c0a4, number 3) stands after {id_of(10)}"
    assert found(ledger) == [text]


@pytest.mark.parametrize("seq", [-4, 11])
def test_a_row_added_by_hand(ledger: Path, seq: int) -> None:
    columns = ", ".join(COLUMNS[1:])
    with by_hand(ledger) as execute:
        execute(
            f"INSERT INTO requests (seq, id, {columns}) SELECT ?, 'x', {columns} FROM requests WHERE seq = 2",
            (seq,),
        )
    assert found(ledger) == ["added: row x is not in the chain"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((A, 9, "ab" * 32), "added: row x (writer 7e19c0a4, number 9) is in no head"),
        ((A, 4, "ab" * 32), "added: row x (writer 7e19c0a4) has number 4, as another one has"),
        (("c" * 16, 1, "ab" * 32), "added: row x names a writer or a number that no head knows"),
        ((A, "one", None), "added: row x names a writer or a number that no head knows"),
    ],
)
def test_a_row_added_with_a_chain(ledger: Path, values: tuple[Any, ...], text: str) -> None:
    columns = ", ".join(COLUMNS[1:])
    with by_hand(ledger) as execute:
        execute(
            f"INSERT INTO requests (id, {columns}, writer, number, hash)"
            f" SELECT 'x', {columns}, ?, ?, ? FROM requests WHERE seq = 2",
            values,
        )
    assert found(ledger) == [text]


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (
            "UPDATE heads SET at = 'x' WHERE number = 2",
            ["bad signature: head 2 of writer 7e19c0a4, which names number 5"],
        ),
        (
            "UPDATE heads SET row = 7 WHERE number = 5",
            ["bad signature: head 5 of writer 7e19c0a4, which names number 7"],
        ),
        (
            "UPDATE heads SET signature = 'no hex' WHERE number = 3",
            ["bad signature: head 3 of writer b0b0b0b0, which names number 0"],
        ),
        ("DELETE FROM heads WHERE number = 2", ["dropped: head 2 is missing"]),
        ("DELETE FROM heads WHERE number < 3", ["dropped: heads 1 to 2 are missing"]),
        ("DELETE FROM heads", ["dropped: no head is there, and so nothing vouches for 10 rows"]),
    ],
)
def test_heads_that_were_changed(ledger: Path, change: str, texts: list[str]) -> None:
    with by_hand(ledger) as execute:
        execute(change)
    assert found(ledger) == texts


def test_the_key_of_another(ledger: Path, tmp_path: Path) -> None:
    other = Signer(tmp_path / "other", os.urandom)
    other.sign(b"")
    said = verify(ledger, tmp_path / "other" / PUBLIC)
    assert [each.kind for each in said.findings] == ["signature"] * 5
    assert said.last is None


def test_rows_and_heads_cut_off_together(ledger: Path) -> None:
    """Only who kept a head can tell."""
    anchor = last_head(ledger)
    assert anchor is not None
    key = PublicKey(ledger.parent / "keys" / PUBLIC)
    assert compare_anchor("kept", anchor, [ledger], key.verifies) is None
    with by_hand(ledger) as execute:
        execute("DELETE FROM requests WHERE seq > 7")
        execute("DELETE FROM heads WHERE number = 5")
    assert found(ledger) == []
    finding = compare_anchor("kept", anchor, [ledger], key.verifies)
    assert finding is not None
    assert finding.text == (
        "cut: in kept, head 5, signed at 2026-03-02T08:16:10.480113Z, names number 8 of writer 7e19c0a4;"
        " the last head here is 4"
    )
    write(ledger, [a_row(20)], writer="c" * 16)
    assert found(ledger) == []
    finding = compare_anchor("kept", anchor, [ledger], key.verifies)
    assert finding is not None
    assert finding.text.endswith("; head 5 here is another one")
    finding = compare_anchor("kept", replace(anchor, row=3), [ledger], key.verifies)
    assert finding is not None
    assert finding.text == "bad signature: the head in kept"


def test_a_process_at_work_remembers_what_was_cut(path: Path) -> None:
    ledger = Ledger(path, chain=chain(path))
    for number in (1, 2, 3):
        ledger.record(a_row(number))
        assert ledger.flush()
    with by_hand(path) as execute:
        execute("DELETE FROM requests WHERE seq = 3")
        execute("DELETE FROM heads WHERE number = 4")
    assert found(path) == []
    ledger.record(a_row(4))
    assert ledger.close()
    assert found(path) == [
        "dropped: head 4 is missing",
        f"dropped: number 3 of writer 7e19c0a4, between {id_of(2)} and {id_of(4)}",
    ]


def test_rows_of_older_files_are_covered_by_the_first_head(path: Path) -> None:
    make_first_version(path, numbered(1, 4))
    said = check(path, None)
    assert (said.unchained, said.rows, said.findings) == (4, 0, [])
    write(path, numbered(5, 6))
    write(path, numbered(7, 7), writer=B)
    said = verify(path)
    assert (said.older, said.unchained, said.rows, said.findings) == (4, 0, 3, [])
    with by_hand(path) as execute:
        execute("UPDATE requests SET status = 500 WHERE seq = 2")
        assert found(path) == ["edited: one or more of the 4 rows from before the chain"]
        execute("DELETE FROM requests WHERE seq = 2")
    assert found(path) == ["dropped: there were 4 rows from before the chain, and 3 are there"]


def test_the_same_id_leaves_no_hole(path: Path) -> None:
    write(path, [*numbered(1, 3), *numbered(2, 4), *numbered(1, 1)], numbered(3, 6))
    assert (verify(path).rows, found(path)) == (6, [])


def test_two_processes_that_write_the_same_rows(path: Path) -> None:
    ledgers = [Ledger(path, chain=chain(path, writer)) for writer in (A, B, "c" * 16)]
    for ledger in ledgers:
        for row in numbered(1, 300):
            ledger.record(row)
    assert all([ledger.close() for ledger in ledgers])
    assert (verify(path).rows, found(path)) == (300, [])


def test_a_write_that_failed_leaves_no_hole(path: Path) -> None:
    ledger = Ledger(path, chain=chain(path), busy_timeout=0.01, retry=0.01)
    ledger.record(a_row(1))
    assert ledger.flush()
    with by_hand(path) as execute:
        execute("BEGIN IMMEDIATE")
        ledger.record(a_row(2))
        while not ledger.failed:
            assert not ledger.flush(0.01)
        execute("ROLLBACK")
    assert ledger.close()
    assert (verify(path).rows, found(path)) == (2, [])


def test_a_ledger_that_was_moved_away(path: Path, tmp_path: Path) -> None:
    ledger = Ledger(path, chain=chain(path))
    ledger.record(a_row(1))
    assert ledger.flush()
    for file in path.parent.glob("ledger.db*"):
        file.rename(tmp_path / file.name)
    ledger.record(a_row(2))
    assert ledger.close()
    key = path.parent / "keys" / PUBLIC
    for each in (path, tmp_path / "ledger.db"):
        said = verify(each, key)
        assert (said.rows, said.heads, said.findings) == (1, 2, [])


def test_a_column_that_came_later(ledger: Path) -> None:
    with by_hand(ledger) as execute:
        execute("ALTER TABLE requests ADD COLUMN later TEXT NOT NULL DEFAULT 'no'")
        execute("ALTER TABLE requests ADD COLUMN latest INTEGER")
        assert found(ledger) == []
        execute("UPDATE requests SET latest = 0 WHERE seq = 7")
        assert found(ledger) == [f"row {id_of(7)} (writer b0b0b0b0, number 2): edited"]


KILLED = """
import itertools, os, sys
from datetime import UTC, datetime
from pathlib import Path
from tests.ledger.build import a_row
from tokenomics_core.ledger import Ledger
from tokenomics_core.ledger.chain import Chain
from tokenomics_core.ledger.signing import Signer

path, writer, first = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
chain = Chain(writer, Signer(path.parent / "keys", os.urandom), lambda: datetime.now(UTC))
ledger = Ledger(path, chain=chain, on_written=lambda rows: os.write(1, b"x" * len(rows)))
for number in itertools.count(first, 2):
    ledger.record(a_row(number))
    if ledger.backlog > 500:
        ledger.flush()
"""


def test_processes_that_are_killed(path: Path) -> None:
    path.parent.mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path), writer, str(first)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
        )
        for first, writer in enumerate((A, B))
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.read(2000)
        assert found(path) == []
    for process in processes:
        process.kill()
        process.communicate()
    write(path, [a_row(10**9)], writer="c" * 16)
    said = verify(path)
    assert said.findings == []
    assert (said.rows > 4000, said.writers) == (True, 3)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chain") / "ledger.db"
    rows = list(synthetic_rows(30))
    write(path, rows[:7], rows[7:8], rows[8:20])
    write(path, rows[20:], writer=B)
    return path


VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.binary(max_size=20),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seq=st.integers(1, 30),
    column=st.sampled_from(["seq", *COLUMNS, "writer", "number", "hash"]),
    value=VALUES,
    as_text=st.booleans(),
)
def test_whatever_is_changed_in_whatever_row_is_found(
    original: Path, tmp_path: Path, seq: int, column: str, value: Any, as_text: bool
) -> None:
    path = tmp_path / "ledger.db"
    shutil.copy(original, path)
    key = original.parent / "keys" / PUBLIC
    read = f'SELECT hex("{column}"), typeof("{column}") FROM requests WHERE seq = ?'
    with by_hand(path) as execute:
        [(id,)] = execute("SELECT id FROM requests WHERE seq = ?", (seq,))
        before = execute(read, (seq,)).fetchall()
        place = "CAST(? AS TEXT)" if as_text else "?"
        try:
            # Also what is no text in UTF-8.
            execute(f'UPDATE requests SET "{column}" = {place} WHERE seq = ?', (value, seq))
        except (sqlite3.IntegrityError, sqlite3.OperationalError):
            assume(False)
        after = execute(read, (seq if column != "seq" else value,)).fetchall()
        assume(before != after)
    said = verify(path, key)
    assert said.findings
    if column not in ("seq", "id", "writer", "number", "hash"):
        assert [(each.kind, each.id) for each in said.findings] == [("edited", id)]
    elif column in ("number", "writer", "hash") and value is not None:
        assert {each.id for each in said.findings} == {id}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gone=st.sets(st.integers(1, 30), min_size=1, max_size=30))
def test_whatever_is_dropped_is_found(original: Path, tmp_path: Path, gone: set[int]) -> None:
    path = tmp_path / "ledger.db"
    shutil.copy(original, path)
    with by_hand(path) as execute:
        execute(f"DELETE FROM requests WHERE seq IN ({', '.join(map(str, gone))})")
    said = verify(path, original.parent / "keys" / PUBLIC)
    assert {each.kind for each in said.findings} <= {"dropped", "cut"}
    assert said.findings


def test_the_key_files(tmp_path: Path) -> None:
    signer = Signer(tmp_path / "keys", os.urandom)
    signer.check()
    assert not (tmp_path / "keys").exists()
    signature = signer.sign(b"text")
    files = sorted((tmp_path / "keys").iterdir())
    assert [(file.name, file.stat().st_mode & 0o777) for file in files] == [
        ("ledger_signing.key", 0o600),
        ("ledger_signing.pub", 0o600),
    ]
    public = PublicKey(tmp_path / "keys" / PUBLIC)
    assert public.verifies(Signer(tmp_path / "keys", os.urandom).sign(b"text"), b"text")
    assert public.verifies(signature, b"text")
    assert not public.verifies(signature, b"test")
    other = Signer(tmp_path / "other", os.urandom)
    other.sign(b"")
    shutil.copy(tmp_path / "other" / PUBLIC, tmp_path / "keys" / PUBLIC)
    with pytest.raises(KeyFileError, match=r"does not belong to ledger_signing\.key"):
        Signer(tmp_path / "keys", os.urandom).check()
    (tmp_path / "keys" / PUBLIC).write_text("x")
    with pytest.raises(KeyFileError, match="holds no public Ed25519 key"):
        PublicKey(tmp_path / "keys" / PUBLIC)
    (tmp_path / "keys" / "ledger_signing.key").write_text("x")
    with pytest.raises(KeyFileError, match="is damaged"):
        Signer(tmp_path / "keys", os.urandom).check()
