"""The chain of a ledger that gateways wrote: it holds through kills, and names what was changed by hand."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Program
from tests.fake_provider import FakeProvider
from tests.ledger import json_schema
from tests.money.files import entries
from tests.money.governed import POLICY, create
from tests.money.test_gone import ask, killed_with_one_open
from tests.proxy.conftest import StartProxy
from tests.support.proxy import Proxy
from tokenomics_core.ledger.chain_check import check
from tokenomics_core.ledger.row import COLUMNS
from tokenomics_core.ledger.signing import PublicKey

SCHEMA = json.loads(Path("tokenomics_core/ledger/session.schema.json").read_text())


def told(proxy: Proxy, *words: str) -> tuple[int, Any]:
    done = proxy.cli("ledger", "verify", *words, "--json")
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def by_hand(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def session_file(proxy: Proxy, run: str) -> dict[str, Any]:
    (file,) = (proxy.dir / "sessions").glob(f"*_{run}.json")
    said: dict[str, Any] = json.loads(file.read_text())
    assert json_schema.errors(said, SCHEMA) == []
    return said


@pytest.mark.long
def test_gateways_that_share_a_ledger(
    start_proxy: StartProxy, make_proxy: StartProxy, fake_provider: FakeProvider, tmp_path: Path
) -> None:
    first, second = start_proxy(), make_proxy()
    second.dir = first.dir
    with second:
        token = create(first, POLICY)
        for proxy in (first, first, second, first, second):
            assert ask(proxy, token.key) == 200
        first.rows(5)
        # The kill waits for a record: it has to be that of the request which is left open.
        fake_provider.reset()
        with killed_with_one_open(first, fake_provider, token.key, "JSON") as entry:
            assert ask(second, token.key) == 200
        second.rows(6)
        assert told(second)[0] == 0
        first.restart()
        first.wait_for(lambda: entries(first), lambda found: not found)
        rows = first.rows(7)
        assert ask(first, token.key) == 200
        rows = first.rows(8)
    first.stop()
    # Of the killed process, the last row was written by whoever came after it.
    recovered = next(row for row in rows if row["recovered"])
    killed = [row for row in rows if row["writer"].startswith(recovered["run"])]
    assert (recovered["id"], len(killed)) == (entry["id"], 3)
    assert recovered not in killed
    numbers: dict[str, list[int]] = {}
    for row in rows:
        numbers.setdefault(row["writer"], []).append(row["number"])
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())
    assert len(numbers) == 3

    status, said = told(first)
    assert (status, said["agree"]) == (0, True)
    assert said["chain"] | {"heads": 0, "last_head": {}} == {
        "holds": True,
        "rows": 8,
        "before_the_chain": 0,
        "not_chained": 0,
        "writers": 3,
        "heads": 0,
        "last_head": {},
        "findings": [],
    }
    for run in {row["run"] for row in rows}:
        assert session_file(first, run)["ledger_head"]["signature"]

    whole = tmp_path / "whole.db"
    shutil.copy(first.dir / "ledger.db", whole)
    key = tmp_path / "ledger_signing.pub"
    shutil.copy(first.dir / "keys" / key.name, key)
    a, b, c = killed
    short = a["writer"][:8]
    at = said["chain"]["last_head"]["at"]
    last = rows[-1]
    columns = ", ".join(COLUMNS[1:])
    copy = tmp_path / "copy.db"
    auditor = Program(tmp_path / "auditor")

    def verify(*statements: str) -> list[str]:
        """With a copy of the ledger and the public key, and nothing else."""
        shutil.copy(whole, copy)
        by_hand(copy, *statements)
        return [each.text for each in check(copy, PublicKey(key).verifies).findings]

    assert verify() == []
    assert verify(f"UPDATE requests SET cost_usd = '0.000001' WHERE id = '{b['id']}'") == [
        f"row {b['id']} (writer {short}, number 2): edited",
    ]
    assert verify(f"DELETE FROM requests WHERE id = '{b['id']}'") == [
        f"dropped: number 2 of writer {short}, between {a['id']} and {c['id']}",
    ]
    assert verify(
        f"UPDATE requests SET seq = 100 WHERE seq = {a['seq']}",
        f"UPDATE requests SET seq = {a['seq']} WHERE seq = {b['seq']}",
        f"UPDATE requests SET seq = {b['seq']} WHERE seq = 100",
    ) == [f"reordered: row {a['id']} (writer {short}, number 1) stands after {b['id']}"]
    before = [row for row in rows if row["writer"] == last["writer"]][-2:][0]
    left = (
        f"the last row is {last['number'] - 1} ({before['id']})" if last["number"] > 1 else "no row is left"
    )
    assert verify(f"DELETE FROM requests WHERE id = '{last['id']}'") == [
        f"cut: the head signed at {at} names number {last['number']} of writer {last['writer'][:8]}, {left}",
    ]
    assert verify(
        f"INSERT INTO requests (id, {columns}) SELECT 'req_x', {columns} FROM requests WHERE seq = 1"
    ) == ["added: row req_x is not in the chain"]

    # Rows cut off together with their heads are missed by whoever kept a head: the session files do.
    kept = tmp_path / "kept.json"
    kept.write_text(first.cli("ledger", "verify", "--print-head").stdout)
    number = said["chain"]["last_head"]["number"]
    cut = (
        f"DELETE FROM requests WHERE id = '{last['id']}'",
        f"DELETE FROM heads WHERE number = {number}",
    )
    words = ("ledger", "verify", "--ledger", str(copy), "--public-key", str(key))
    assert verify(*cut) == []
    done = auditor.run(*words, "--head", str(kept))
    assert (done.returncode, done.stderr) == (1, "")
    assert not auditor.data.exists()
    assert done.stdout.endswith("\nThe chain does not hold: 1 finding in 7 rows of 3 writers.\n")
    assert f"cut: in {kept}, head {number}, signed at {at}, names number {last['number']}" in done.stdout
    by_hand(first.dir / "ledger.db", *cut)
    status, said = told(first, "--chain")
    assert status == 1
    [finding] = said["chain"]["findings"]
    assert finding["kind"] == "cut"
    assert f"_{last['run']}.json, head {number}" in finding["text"]

    # Nobody goes on with a key that is not the one.
    signing = first.dir / "keys" / "ledger_signing.key"
    assert signing.stat().st_mode & 0o777 == 0o600
    signing.write_text("no key")
    done = first.cli("serve")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"Error: key file {signing} is damaged; restore it")
