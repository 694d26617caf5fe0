from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger import synthetic
from tests.ledger.build import START, a_row
from tokenomics_core.ledger import LedgerError, Row, facts, timestamp
from tokenomics_core.ledger.database import insert_rows, open_for_writing
from tokenomics_core.ledger.filters import Filter, moment
from tokenomics_core.ledger.groups import groups
from tokenomics_core.ledger.query import Totals, by, each_row, find_rows, plain, summed, top_rows, total
from tokenomics_core.ledger.runs import runs

A, B = "a" * 64, "b" * 64


def write(path: Path, rows: Iterable[Row]) -> None:
    with closing(open_for_writing(path, busy_timeout=5)) as db:
        db.execute("BEGIN IMMEDIATE")
        insert_rows(db, list(rows))
        db.execute("COMMIT")


def expected(rows: Sequence[Row]) -> Totals:
    """The sums in plain Python."""
    return Totals(
        row_count=len(rows),
        request_count=sum(not (row.kind == "upgrade" and row.status < 400 and not row.error) for row in rows),
        input_tokens=sum(row.input_tokens for row in rows),
        output_tokens=sum(row.output_tokens for row in rows),
        cached_input_tokens=sum(row.cached_input_tokens or 0 for row in rows),
        cache_creation_tokens=sum(row.cache_creation_tokens or 0 for row in rows),
        reasoning_tokens=sum(row.reasoning_tokens or 0 for row in rows),
        error_count=sum(row.status >= 400 for row in rows),
        broken_count=sum(row.status < 400 and row.error != "" for row in rows),
        refused_count=sum(row.refusal != "" for row in rows),
        rate_limit_count=sum(row.status == 429 for row in rows),
        retry_count=sum(row.retry_count for row in rows),
        rule_violation_count=sum(match["action"] == "fail" for row in rows for match in row.rule_matches),
        estimated_count=sum(row.estimated for row in rows),
        recovered_count=sum(row.recovered for row in rows),
        unpriced_count=sum(row.cost_usd is None and row.input_tokens + row.output_tokens > 0 for row in rows),
        duration_ms=sum(row.duration_ms for row in rows),
        cost_usd=reduce(Context(prec=300).add, (row.cost_usd or Decimal(0) for row in rows), Decimal(0)),
        first=timestamp(min(row.started_at for row in rows)) if rows else "",
        last=timestamp(max(row.started_at for row in rows)) if rows else "",
    )


_KEYS = {
    "model": lambda row: row.model or None,
    "provider": lambda row: row.provider or None,
    "token": lambda row: row.token_hash or None,
    "branch": lambda row: row.branch or None,
    "commit": lambda row: row.commit_hash or None,
    "repo": lambda row: row.repo or None,
    "day": lambda row: timestamp(row.started_at)[:10],
    "hour": lambda row: timestamp(row.started_at)[:13],
    "session": lambda row: row.session_id or None,
    "run": lambda row: row.run or None,
    "status": lambda row: row.status,
    "refusal": lambda row: row.refusal or None,
    "tag:team": lambda row: row.metadata.get("team"),
}

_MATCHES = [
    [],
    [{"name": "cards", "action": "fail", "message": "m"}, {"action": "warn", "message": "m"}],
    [{"action": "fail", "message": "a"}, {"action": "fail", "message": "b"}],
]
_rows = st.lists(
    st.fixed_dictionaries(
        {
            "started_at": st.integers(0, 3 * 3600 * 4).map(lambda q: START + timedelta(seconds=q / 4)),
            "kind": st.sampled_from(["request", "request", "upgrade", "frame"]),
            "token_hash": st.sampled_from(["", A, B]),
            "model": st.sampled_from(["", "gpt-4o", "gpt-4o-mini", "o[3]?"]),
            "provider": st.sampled_from(["", "openai", "mistral"]),
            "branch": st.sampled_from(["", "main", "feat/x"]),
            "commit_hash": st.sampled_from(["", "1" * 40, "12" + "0" * 38]),
            "repo": st.sampled_from(["", "/srv/shop"]),
            "session_id": st.sampled_from(["", "s-1", "s*2"]),
            "run": st.sampled_from(["", "7e19c0a4"]),
            "status": st.sampled_from([0, 200, 404, 429, 500]),
            "refusal": st.sampled_from(["", "budget_exceeded"]),
            "error": st.sampled_from(["", "it broke off"]),
            "input_tokens": st.integers(0, 10**6),
            "output_tokens": st.integers(0, 10**6),
            "cached_input_tokens": st.none() | st.integers(0, 10**5),
            "cache_creation_tokens": st.none() | st.integers(0, 10**5),
            "reasoning_tokens": st.none() | st.integers(0, 10**5),
            "retry_count": st.integers(0, 3),
            "estimated": st.booleans(),
            "recovered": st.booleans(),
            "duration_ms": st.integers(0, 10**5),
            "rule_matches": st.sampled_from(_MATCHES),
            "metadata": st.sampled_from([{}, {"team": "red"}, {"team": "blue", "x": "1"}, {"Ü b": "1"}]),
            # Of a size that numbers hold, and of one that they do not.
            "cost_usd": st.none()
            | st.decimals(0, 10**4, places=18)
            | st.decimals(0, 1, places=25)
            | st.just(Decimal("12345678901234567890.5")),
        }
    ),
    max_size=25,
)


def _fits(row: Row, filter: dict[str, Any]) -> bool:
    since, until = filter.get("since"), filter.get("until")
    return (
        (since is None or row.started_at >= since)
        and (until is None or row.started_at < until)
        and row.model.startswith("gpt-4o" if filter.get("models") else "")
        and row.token_hash.startswith("aa" if filter.get("tokens") else "")
        and ((400 <= row.status < 500) if filter.get("statuses") else True)
        and (row.metadata.get("team") == "red" if filter.get("tags") else True)
        and (row.session_id == "" if filter.get("sessions") else True)
    )


_filters = st.fixed_dictionaries(
    {},
    optional={
        "since": st.integers(-3600, 3 * 3600).map(lambda s: START + timedelta(seconds=s)),
        "until": st.integers(0, 4 * 3600).map(
            lambda s: START.replace(minute=0, second=0, microsecond=0) + timedelta(seconds=s // 900 * 900)
        ),
        "models": st.just(["gpt-4o*"]),
        "tokens": st.just(["AA"]),
        "statuses": st.just(["4xx"]),
        "tags": st.just(["team=red"]),
        "sessions": st.just([""]),
    },
)


@pytest.mark.parametrize("cached", [False, True], ids=["rows", "cache"])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    given_rows=_rows,
    later=_rows,
    filter=_filters,
    names=st.lists(st.sampled_from(list(_KEYS)), max_size=3, unique=True),
)
def test_every_number_is_the_plain_sum_over_the_rows(
    cached: bool,
    given_rows: list[dict[str, Any]],
    later: list[dict[str, Any]],
    filter: dict[str, Any],
    names: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    rows = [a_row(number, **changes) for number, changes in enumerate([*given_rows, *later])]
    asked = groups(",".join(names))
    worth, facts.WORTH_IT = facts.WORTH_IT, 1 if cached else 10**9
    try:
        write(path, rows[: len(given_rows)])
        summed(path, Filter())
        # What came after the cache was made is read from the rows.
        facts.WORTH_IT = 10**9
        write(path, rows[len(given_rows) :])
        found = summed(path, Filter(**filter), asked)
    finally:
        facts.WORTH_IT = worth
    assert path.with_name(facts.FILE).exists() == (cached and bool(given_rows))
    fitting = [row for row in rows if _fits(row, filter)]
    wanted: dict[tuple[Any, ...], list[Row]] = {}
    for row in fitting:
        wanted.setdefault(tuple(_KEYS[name](row) for name in names), []).append(row)
    assert {each.values: each.totals for each in found} == {
        values: expected(some) for values, some in wanted.items()
    }
    assert total(found) == expected(fitting)
    for place, name in enumerate(names):
        alone = by(found, place)
        assert alone == {
            value: expected([row for row in fitting if _KEYS[name](row) == value]) for value in alone
        }
    assert [row.id for row in each_row(path, Filter(**filter))] == [row.id for row in fitting]


def test_a_day_of_a_team_through_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    synthetic.write(path, 25_000)
    told: list[tuple[int, int]] = []
    found = summed(path, Filter(), groups("model,day"), progress=lambda *now: told.append(now))
    assert (tmp_path / facts.FILE).exists()
    assert (tmp_path / facts.FILE).stat().st_mode & 0o777 == 0o600
    assert told[-1] == (25_000, 25_000)
    rows = list(each_row(path, Filter()))
    assert total(found) == expected(rows)
    since = synthetic.START + timedelta(hours=2, minutes=17)
    until = synthetic.START + timedelta(hours=9, minutes=3, microseconds=5)
    some = Filter(since=since, until=until, tags=["team=billing"])
    wanted = [row for row in rows if since <= row.started_at < until and row.metadata["team"] == "billing"]
    assert total(summed(path, some, groups("session"))) == expected(wanted)
    # A second time there is nothing to add.
    told.clear()
    assert summed(path, Filter(), groups("model,day"), progress=lambda *now: told.append(now)) == found
    assert told == []


def _cut(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM requests WHERE seq > 20")


def _hole(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM requests WHERE seq = 7")


def _other(db: sqlite3.Connection) -> None:
    db.execute("UPDATE requests SET id = id || 'x', input_tokens = 1")


@pytest.mark.parametrize("change", [_cut, _hole, _other])
def test_a_ledger_that_is_another_one_is_added_up_anew(
    change: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "WORTH_IT", 5)
    path = tmp_path / "ledger.db"
    synthetic.write(path, 30)
    summed(path, Filter())
    with closing(sqlite3.connect(path)) as db, db:
        change(db)
    assert total(summed(path, Filter())) == expected(list(each_row(path, Filter())))


@pytest.mark.parametrize("content", [b"no database " * 400, b""])
def test_a_cache_that_is_none_does_no_harm(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "WORTH_IT", 5)
    path = tmp_path / "ledger.db"
    synthetic.write(path, 30)
    (tmp_path / facts.FILE).write_bytes(content)
    for _ in range(2):
        assert total(summed(path, Filter())) == expected(list(each_row(path, Filter())))
    with closing(sqlite3.connect(tmp_path / facts.FILE)) as db:
        assert db.execute("SELECT seq, row_count FROM state").fetchall() == [(30, 30)]


def test_reading_while_others_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "WORTH_IT", 50)
    path = tmp_path / "ledger.db"
    rows = list(synthetic.rows(3000))
    write(path, rows[:100])
    done = threading.Event()

    def work() -> None:
        for at in range(100, len(rows), 20):
            write(path, rows[at : at + 20])
        done.set()

    writer = threading.Thread(target=work)
    writer.start()
    counts = []
    while not done.is_set():
        totals = total(summed(path, Filter(), groups("model,status")))
        counts.append(totals.row_count)
        # What is read is a state that the ledger was in: a number of batches, and none by half.
        assert totals.row_count % 20 == 0
        assert totals == expected(rows[: totals.row_count])
    writer.join()
    assert counts == sorted(counts)
    assert total(summed(path, Filter())) == expected(rows)


def test_nothing_is_there(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    assert summed(path, Filter()) == summed(path, Filter(), groups("model")) == runs(path, Filter()) == []
    assert list(each_row(path, Filter())) == top_rows(path, Filter(), "cost", 3) == find_rows(path, "x") == []
    assert list(tmp_path.iterdir()) == []
    write(path, [])
    assert summed(path, Filter()) == []
    assert total([]).as_dict()["cost_usd"] == "0"


def test_a_file_that_is_no_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"notes, and no database " * 100)
    for ask in (
        lambda: summed(path, Filter()),
        lambda: list(each_row(path, Filter())),
        lambda: find_rows(path, "req"),
    ):
        with pytest.raises(LedgerError, match="cannot read the ledger"):
            ask()


def test_the_dearest_first(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    synthetic.write(path, 300)
    rows = list(each_row(path, Filter()))
    found = top_rows(path, Filter(), "cost", 5)
    assert [row.id for row in found] == [
        row.id for row in sorted(rows, key=lambda row: -(row.cost_usd or 0))[:5]
    ]
    slow = top_rows(path, Filter(models=["o3"]), "duration", 2)
    assert [row.duration_ms for row in slow] == sorted(
        (row.duration_ms for row in rows if row.model == "o3"), reverse=True
    )[:2]
    with pytest.raises(ValueError, match="no order by errors"):
        top_rows(path, Filter(), "errors", 1)


def test_a_row_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    write(path, [a_row(0, id="req_1"), a_row(1, id="req_12"), a_row(2, id="other")])
    assert [row.id for row in find_rows(path, "req_1")] == ["req_1"]
    assert [row.id for row in find_rows(path, "req_")] == ["req_1", "req_12"]
    assert [row.id for row in find_rows(path, "req_", limit=1)] == ["req_1"]
    assert find_rows(path, "req_2") == find_rows(path, "") == find_rows(path, "%") == []


def test_runs_and_named_sessions(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    write(
        path,
        [
            a_row(0, run="aa000000", session_id="s", token_hash=A, branch="main", cost_usd=Decimal("0.1")),
            a_row(1, run="aa000000", session_id="s", token_hash=B, model="o3", cost_usd=Decimal("0.2")),
            a_row(2, run="bb000000", session_id="", token_hash=A, cost_usd=None),
            a_row(3, run="", session_id="t", token_hash=A, cost_usd=Decimal(1)),
        ],
    )
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "INSERT INTO sessions (run, instance, started_at, git) VALUES (?, ?, ?, ?)",
            ("aa000000", "aa000000ff", "2026-03-02T08:00:00.000000Z", '{"branch":"main","commit":"c1"}'),
        )
    first, second, third = runs(path, Filter())
    assert (first.id, first.started_at, first.git) == (
        "aa000000",
        "2026-03-02T08:00:00.000000Z",
        {"branch": "main", "commit_start": "c1"},
    )
    assert (first.totals.cost_usd, second.id, third.id) == (Decimal("0.3"), "bb000000", "")
    assert {name: each.request_count for name, each in first.by_model.items()} == {"gpt-4o": 1, "o3": 1}
    named = runs(path, Filter(), named=True)
    assert [(run.id, run.token, run.totals.request_count) for run in named] == [
        ("s", A, 1),
        ("s", B, 1),
        ("t", A, 1),
    ]


NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "end", "wanted"),
    [
        ("7d", False, NOW - timedelta(days=7)),
        ("2w1d12h", False, NOW - timedelta(days=15, hours=12)),
        ("12h", True, NOW - timedelta(hours=12)),
        ("1h30m", False, NOW - timedelta(minutes=90)),
        ("2026-01-31", False, datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31", True, datetime(2026, 2, 1, tzinfo=UTC)),
        ("2026-01-31T08:00:00Z", True, datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00:00+02:00", False, datetime(2026, 1, 31, 6, tzinfo=UTC)),
        (" 2026-01-31 08:00 ", False, datetime(2026, 1, 31, 8, tzinfo=UTC)),
    ],
)
def test_times_as_people_write_them(text: str, end: bool, wanted: datetime) -> None:
    assert moment(text, NOW, end=end) == wanted


@pytest.mark.parametrize("text", ["", "yesterday", "-3h", "7", "2026-13-01", "999999w999999w", "3dd"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        moment(text, NOW)


@pytest.mark.parametrize(
    "filter",
    [
        Filter(tokens=["xyz"]),
        Filter(commits=["HEAD"]),
        Filter(statuses=["many"]),
        Filter(tags=["=x"]),
        Filter(tags=['a"b=x']),
    ],
)
def test_filters_that_make_no_sense(filter: Filter) -> None:
    with pytest.raises(ValueError, match=r"write it like|hash"):
        filter.where()


@pytest.mark.parametrize("text", ["colour", "model,model", "tag:", 'tag:a"b', "input_tokens; DROP TABLE x"])
def test_groups_that_make_no_sense(text: str) -> None:
    with pytest.raises(ValueError, match=r"grouped by|twice|a tag has"):
        groups(text)


@pytest.mark.parametrize(
    ("filter", "wanted"),
    [
        (Filter(models=["gpt-4o*"]), "ab"),
        (Filter(models=["gpt-4o"]), "a"),
        (Filter(models=["o[3]?"]), "c"),
        (Filter(models=["o[3*"]), "c"),
        (Filter(models=["O3"]), ""),
        (Filter(models=["gpt-4o", "o[3]?"]), "ac"),
        (Filter(branches=[""]), "bc"),
        (Filter(tokens=["AAA"]), "ab"),
        (Filter(tokens=["aaab"]), ""),
        (Filter(statuses=["5xx", "429"]), "bc"),
        (Filter(refusals=["*"]), "b"),
        (Filter(tags=["team"]), "ab"),
        (Filter(tags=["team=r*"]), "a"),
        (Filter(tags=["team="]), "c"),
        (Filter(tags=["a.b c=1"]), "c"),
        (Filter(providers=["' OR 1 --"]), ""),
        (Filter(sessions=["%"]), ""),
    ],
)
def test_filters(filter: Filter, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    write(
        path,
        [
            a_row(0, id="a", model="gpt-4o", branch="main", token_hash=A, metadata={"team": "red"}),
            a_row(
                1,
                id="b",
                model="gpt-4o-mini",
                status=429,
                refusal="x",
                token_hash=A,
                metadata={"team": "blue"},
            ),
            a_row(2, id="c", model="o[3]?", status=503, token_hash=B, metadata={"a.b c": "1"}),
        ],
    )
    assert "".join(row.id for row in each_row(path, filter)) == wanted
    assert total(summed(path, filter)).row_count == len(wanted)


@pytest.mark.parametrize(
    ("usd", "wanted"),
    [("0E-18", "0"), ("100", "100"), ("1.500", "1.5"), ("5E-8", "0.00000005"), ("1E+3", "1000")],
)
def test_money_as_text(usd: str, wanted: str) -> None:
    assert plain(Decimal(usd)) == wanted


def test_a_ledger_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    from tokenomics_core.ledger import database
    from tokenomics_core.sqlite_file import migrate

    path = tmp_path / "ledger.db"
    path.touch(0o600)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        migrate(db, path, database._MIGRATIONS[:2])
    assert summed(path, Filter(), groups("branch,run")) == []
    assert list(each_row(path, Filter())) == []
