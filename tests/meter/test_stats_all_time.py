import threading
from decimal import Decimal

import pytest

from tests.ledger.build import TOKEN_HASH, a_row
from tokenomics_core.ledger import Ledger, LedgerError
from tokenomics_core.meter import all_time
from tokenomics_core.meter.all_time import AllTime
from tokenomics_core.meter.stats import Stats

ROWS = [
    a_row(1, session_id="s1", cost_usd=Decimal("0.1")),
    a_row(2, session_id="s2", model="o3", cost_usd=Decimal("0.0000000000000000000000000000002")),
    a_row(3, session_id="s1", token_hash="f" * 64, status=429, upstream_status=0, refusal="rate_limited"),
    a_row(4, error="the stream broke off"),
    # Not counted.
    a_row(5, status=400, upstream_status=0, refusal="invalid_json", error="no"),
    a_row(6, status=500, upstream_status=0, refusal="key_not_set", error="no"),
    a_row(7, status=101, upstream_status=101, kind="upgrade"),
    # Counted all the same.
    a_row(8, status=403, upstream_status=403, kind="upgrade"),
    a_row(9, status=500, upstream_status=200, refusal="rule_failed", error="no"),
    a_row(10, kind="frame", cost_usd=Decimal(0)),
]


def written(path, rows):
    ledger = Ledger(path)
    for row in rows:
        ledger.record(row)
    assert ledger.close()


def snapshot_of(rows):
    stats = Stats()
    for row in rows:
        stats.add(row)
    return stats.tally.as_dict()


def sorted_lists(told):
    return {
        name: sorted(map(str, part)) if isinstance(part, list) else part
        for name, part in told.items()
        if name != "since"
    }


def test_the_ledger_says_what_the_statistics_say(tmp_path, monkeypatch):
    monkeypatch.setattr(all_time, "BATCH", 3)
    written(tmp_path / "ledger.db", ROWS)
    sums = AllTime(tmp_path / "ledger.db")
    sums.advance()
    told = sums.as_dict()
    assert sorted_lists(told) == sorted_lists(snapshot_of(ROWS))
    assert told["since"] == "2026-03-02T08:16:11Z"
    assert told["totals"]["cost_usd"] == "0.1000000000000000000000000000002"
    assert sums.totals().cost == Decimal("0.1000000000000000000000000000002")
    assert told["by_token"][0]["token_hash"] == TOKEN_HASH[:16]


def test_each_row_is_added_once(tmp_path):
    sums = AllTime(tmp_path / "ledger.db")
    sums.advance()
    assert sums.as_dict()["totals"]["request_count"] == 0
    assert sums.as_dict()["since"] == ""
    for count in (1, 4, 4, 10):
        written(tmp_path / "ledger.db", ROWS[:count])
        sums.advance()
        sums.advance()
        assert sorted_lists(sums.as_dict()) == sorted_lists(snapshot_of(ROWS[:count]))


def test_another_ledger_begins_anew(tmp_path):
    written(tmp_path / "ledger.db", ROWS)
    sums = AllTime(tmp_path / "ledger.db")
    sums.advance()
    for file in tmp_path.iterdir():
        file.unlink()
    written(tmp_path / "ledger.db", ROWS[:1])
    sums.advance()
    assert sorted_lists(sums.as_dict()) == sorted_lists(snapshot_of(ROWS[:1]))


def test_many_readers_at_once(tmp_path):
    written(tmp_path / "ledger.db", ROWS)
    sums = AllTime(tmp_path / "ledger.db")
    threads = [threading.Thread(target=sums.advance) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums.totals().request_count == 7


def test_what_is_no_ledger(tmp_path):
    (tmp_path / "ledger.db").write_text("nothing of the kind, and long enough to be looked at by SQLite" * 20)
    with pytest.raises(LedgerError, match="cannot add up the ledger"):
        AllTime(tmp_path / "ledger.db").advance()


def test_what_several_processes_wrote_is_added_up(tmp_path):
    """Each has its own counters since its start; the ledger has those of all."""
    path = tmp_path / "ledger.db"
    processes = [(Ledger(path), Stats()) for _ in range(3)]
    for number in range(30):
        ledger, stats = processes[number % 3]
        row = a_row(number, cost_usd=Decimal(number) / 10**6)
        ledger.record(row)
        stats.add(row)
    assert all(ledger.close() for ledger, _ in processes)
    sums = AllTime(path)
    sums.advance()
    own = [stats.tally.totals for _, stats in processes]
    assert sums.totals().request_count == sum(each.request_count for each in own) == 30
    assert sums.totals().total_tokens == sum(each.total_tokens for each in own)
    assert sums.totals().cost == sum(each.cost for each in own)
