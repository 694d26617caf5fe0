"""The session file: its form, its sums, and that neither a crash nor a reader at the wrong time harms it."""

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.build import START, TOKEN_HASH, a_row, an_exchange, row_of
from tests.ledger.json_schema import errors
from tokenomics_core.ledger import Ledger, LedgerError, read_rows, session_file
from tokenomics_core.ledger.database import insert_rows, open_for_writing
from tokenomics_core.ledger.git_context import Git, GitContext
from tokenomics_core.ledger.session_file import SessionFile, rebuild_missing, session_id
from tokenomics_core.ledger.session_reader import find_session, read_sessions

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "tokenomics_core/ledger/session.schema.json").read_bytes())
INSTANCE = "7e19c0a4" + "5d0e91be"
NEXT = "c40d7aa0" + "00000000"
STARTED = START - timedelta(seconds=70, microseconds=480113)
ONE, TWO = "91be2f0" + "0" * 33, "c40d7aa" + "0" * 33
GIT = GitContext("/srv/shop", "feat/invoice-export", ONE, False)


@pytest.fixture
def dir(tmp_path):
    return tmp_path / "data"


def served(number=0, **changes):
    """A row of the process."""
    values = {"run": session_id(INSTANCE), "repo": GIT.repo, "branch": GIT.branch, "commit_hash": ONE}
    return a_row(number, **(values | changes))


def write(dir, *rows):
    with closing(open_for_writing(dir / "ledger.db", busy_timeout=5)) as db:
        assert len(insert_rows(db, list(rows))) == len(rows)


def read(dir, name="2026-03-02_7e19c0a4.json"):
    return json.loads((dir / "sessions" / name).read_bytes())


def nobody(instance):
    return False


def test_a_session(dir):
    session = SessionFile(dir, INSTANCE, STARTED, GIT)
    session.start()
    write(
        dir,
        served(
            2,
            retry_count=1,
            cost_usd=Decimal("0.00902"),
            dirty=False,
            rule_matches=[{"name": "cards", "action": "warn", "message": "a card"}],
            rate_limit_remaining_requests=88,
            rate_limit_reset="12ms",
        ),
        served(
            63,
            id="req_2",
            model="mistral-small-latest",
            provider="mistral",
            input_tokens=340,
            output_tokens=0,
            duration_ms=95,
            status=429,
            upstream_status=429,
            stream=False,
            upstream_id="",
            upstream_request_id="",
            metadata={},
            cached_input_tokens=None,
            reasoning_tokens=None,
            actual_model="",
            finish_reason="",
            commit_hash=TWO,
        ),
    )
    session.close(STARTED + timedelta(milliseconds=1950500), GitContext("/srv/shop", "main", TWO, None))
    first, second = "gpt-4o", "mistral-small-latest"
    counts = {"request_count": 1, "input_tokens": 1500, "output_tokens": 655, "total_tokens": 2155}
    counts |= {"cached_input_tokens": 1024, "reasoning_tokens": 192, "cost_usd": "0.00902"}
    limited = {"request_count": 1, "input_tokens": 340, "output_tokens": 0, "total_tokens": 340}
    limited |= {"cost_usd": "0", "unpriced_count": 1}
    document = {
        "session_id": "7e19c0a4",
        "started_at": "2026-03-02T08:15:00Z",
        "ended_at": "2026-03-02T08:47:30Z",
        "duration_ms": 1950500,
        "git": {
            "branch": "feat/invoice-export",
            "commit_start": "91be2f0",
            "commit_end": "c40d7aa",
            "repo_root": "/srv/shop",
        },
        "totals": {
            "request_count": 2,
            "input_tokens": 1840,
            "output_tokens": 655,
            "total_tokens": 2495,
            "cached_input_tokens": 1024,
            "reasoning_tokens": 192,
            "cost_usd": "0.00902",
            "unpriced_count": 1,
            "error_count": 1,
            "retry_count": 1,
            "rule_violation_count": 0,
            "rate_limit_count": 1,
        },
        "by_model": {first: counts, second: limited},
        "by_provider": {"mistral": limited, "openai": counts},
        "by_token": {
            TOKEN_HASH: {
                "request_count": 2,
                "input_tokens": 1840,
                "output_tokens": 655,
                "total_tokens": 2495,
                "cached_input_tokens": 1024,
                "reasoning_tokens": 192,
                "cost_usd": "0.00902",
                "unpriced_count": 1,
                "models_used": [first, second],
                "first_seen": "2026-03-02T08:16:12Z",
                "last_seen": "2026-03-02T08:17:13Z",
            }
        },
        "requests": [
            {
                "timestamp": "2026-03-02T08:16:12.480113Z",
                "token_hash": TOKEN_HASH,
                "model": first,
                "provider": "openai",
                "input_tokens": 1500,
                "output_tokens": 655,
                "duration_ms": 2310,
                "status_code": 200,
                "stream": True,
                "upstream_id": "chatcmpl-Zq81",
                "upstream_request_id": "req_5d0e",
                "retry_count": 1,
                "rule_matches": [{"name": "cards", "action": "warn", "message": "a card"}],
                "metadata": {"team": "billing", "cost_center": "cc-204"},
                "provider_meta": {
                    "cached_input_tokens": 1024,
                    "reasoning_tokens": 192,
                    "actual_model": "gpt-4o-2024-11-20",
                    "finish_reason": "stop",
                    "rate_limit_remaining_requests": 88,
                    "rate_limit_reset": "12ms",
                },
                "request_id": f"tkn_{2:032x}",
                "decision": "allowed",
                "cost_usd": "0.00902",
                "user_agent": "shop-bot/2.1",
                "git": {
                    "repo": "/srv/shop",
                    "branch": "feat/invoice-export",
                    "commit": ONE,
                    "dirty": False,
                },
            },
            {
                "timestamp": "2026-03-02T08:17:13.480113Z",
                "token_hash": TOKEN_HASH,
                "model": second,
                "provider": "mistral",
                "input_tokens": 340,
                "output_tokens": 0,
                "duration_ms": 95,
                "status_code": 429,
                "request_id": "req_2",
                "decision": "allowed",
                "user_agent": "shop-bot/2.1",
                "git": {"repo": "/srv/shop", "branch": "feat/invoice-export", "commit": TWO},
            },
        ],
    }
    # Keys and their order, two spaces, no newline at the end.
    text = (dir / "sessions" / "2026-03-02_7e19c0a4.json").read_bytes()
    assert text == orjson.dumps(document, option=orjson.OPT_INDENT_2)
    assert errors(document, SCHEMA) == []


def test_a_session_without_requests_outside_of_a_repository(dir):
    session = SessionFile(dir, INSTANCE, STARTED)
    session.start()
    document = read(dir)
    assert document == {
        "session_id": "7e19c0a4",
        "started_at": "2026-03-02T08:15:00Z",
        "ended_at": "2026-03-02T08:15:00Z",
        "duration_ms": 0,
        "git": {},
        "totals": {
            name: "0" if name == "cost_usd" else 0
            for name in (
                *("request_count", "input_tokens", "output_tokens", "total_tokens", "cost_usd"),
                *("error_count", "retry_count", "rule_violation_count", "rate_limit_count"),
            )
        },
        "by_model": {},
        "by_provider": {},
        "by_token": {},
        "requests": [],
    }
    text = (dir / "sessions" / "2026-03-02_7e19c0a4.json").read_bytes()
    assert text == orjson.dumps(document, option=orjson.OPT_INDENT_2)
    assert errors(document, SCHEMA) == []
    assert not session.write(START)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"decision": "allowed"}),
        (
            {
                "status": 403,
                "upstream_status": 0,
                "refusal": "rule_violation",
                "error": "a card",
                "provider": "",
                "rule_matches": [{"action": "fail", "message": "a card"}],
            },
            {"decision": "refused", "refusal": "rule_violation", "status_code": 403, "provider": ""},
        ),
        (
            {"status": 502, "upstream_status": 503, "refusal": "upstream_failed", "retry_count": 3},
            {"decision": "allowed", "refusal": "upstream_failed", "upstream_status": 503, "retry_count": 3},
        ),
        ({"status": 429, "upstream_status": 0, "refusal": "budget_exceeded"}, {"decision": "refused"}),
        (
            {"status": 403, "refusal": "rule_violation"},
            {"decision": "refused", "upstream_status": 200, "status_code": 403},
        ),
        ({"kind": "frame", "parent_id": "req_1"}, {"kind": "frame"}),
        ({"kind": "upgrade", "status": 403, "upstream_status": 0}, {"kind": "upgrade"}),
        ({"recovered": True, "estimated": True}, {"recovered": True, "estimated": True}),
        ({"session_id": "refactor-7"}, {"conversation": "refactor-7"}),
        ({"status": 0, "error": "the client left"}, {"status_code": 0, "error": "the client left"}),
        ({"cost_usd": Decimal("0")}, {"cost_usd": "0"}),
        ({"cost_usd": Decimal("1E-12")}, {"cost_usd": "0.000000000001"}),
        ({"fallback_model": "gpt-4o-mini"}, {"fallback_model": "gpt-4o-mini"}),
        ({"dirty": True}, {"git": {"repo": "/srv/shop", "branch": GIT.branch, "commit": ONE, "dirty": True}}),
    ],
)
def test_an_entry(dir, changes, expected):
    write(dir, served(1, **changes))
    SessionFile(dir, INSTANCE, STARTED).close(START)
    document = read(dir)
    (entry,) = document["requests"]
    assert {name: entry.get(name) for name in expected} == expected
    assert errors(document, SCHEMA) == []
    violations = sum(match["action"] == "fail" for match in changes.get("rule_matches", []))
    assert document["totals"]["rule_violation_count"] == violations


def test_the_schema_can_fail(dir):
    write(dir, served(1))
    SessionFile(dir, INSTANCE, STARTED).close(START)
    good = read(dir)
    for path, value in (
        (("session_id",), "7E19C0A4"),
        (("totals", "request_count"), "1"),
        (("totals", "cost_usd"), 0.5),
        (("by_token",), {"short": {}}),
        (("requests", 0, "decision"), "perhaps"),
        (("requests", 0, "stream"), False),
        (("requests", 0, "headers"), {}),
    ):
        broken = json.loads(json.dumps(good))
        place = broken
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value
        assert len(errors(broken, SCHEMA)) >= 1, path


def test_whose_rows_are_in_it(dir):
    write(
        dir,
        served(1),
        served(2, run="ffffffff"),
        served(3, run=""),
        served(4, token_hash=""),
        served(5, kind="upgrade", status=101),
        served(6, kind="upgrade", status=101, error="the exchange broke off"),
    )
    SessionFile(dir, INSTANCE, STARTED).close(START)
    assert [each["request_id"] for each in read(dir)["requests"]] == [served(1).id, served(6).id]


def test_it_grows_with_the_ledger(dir):
    session = SessionFile(dir, INSTANCE, STARTED, GIT)
    session.start()
    for number in range(1, 6):
        write(dir, served(number))
        assert session.write(START + timedelta(seconds=number))
        assert not session.write(START + timedelta(seconds=number + 1))
        document = read(dir)
        assert document["totals"]["request_count"] == len(document["requests"]) == number
        assert document["ended_at"] == f"2026-03-02T08:16:{10 + number}Z"
    grown = (dir / "sessions" / "2026-03-02_7e19c0a4.json").read_bytes()
    SessionFile(dir, INSTANCE, STARTED, GIT).write(START + timedelta(seconds=5))
    assert (dir / "sessions" / "2026-03-02_7e19c0a4.json").read_bytes() == grown


def test_a_file_that_was_taken_away_comes_back(dir):
    session = SessionFile(dir, INSTANCE, STARTED)
    session.start()
    write(dir, served(1))
    (dir / "sessions" / "2026-03-02_7e19c0a4.json").unlink()
    (dir / "sessions").rmdir()
    assert session.write(START)
    assert read(dir)["totals"]["request_count"] == 1


def test_a_ledger_that_begins_anew_goes_on_in_the_same_session(dir):
    session = SessionFile(dir, INSTANCE, STARTED)
    write(dir, served(1), served(2))
    session.write(START)
    for file in dir.glob("ledger.db*"):
        file.unlink()
    write(dir, served(3))
    session.write(START)
    assert read(dir)["totals"]["request_count"] == 3


def test_parts(dir):
    rows = [served(number, cost_usd=Decimal("0.1")) for number in range(8)]
    session = SessionFile(dir, INSTANCE, STARTED, GIT, most=3)
    session.start()
    write(dir, *rows[:3])
    session.write(START)
    assert not (dir / "sessions" / "2026-03-02_7e19c0a4_002.json").exists()
    write(dir, *rows[3:])
    session.write(START + timedelta(seconds=9))
    session.close(START + timedelta(seconds=9))
    parts = [each.summary for each in read_sessions(dir)]
    assert [each.get("part") for each in parts] == [None, 2, 3]
    assert [each["totals"]["request_count"] for each in parts] == [3, 3, 2]
    assert [each["totals"]["cost_usd"] for each in parts] == ["0.3", "0.3", "0.2"]
    assert [each["started_at"][17:19] for each in parts] == ["00", "12", "15"]
    assert [each["ended_at"][17:19] for each in parts] == ["12", "15", "19"]
    found = find_session(dir, "7e19")
    assert [entry["request_id"] for part in found for entry in part.requests()] == [row.id for row in rows]
    for name in os.listdir(dir / "sessions"):
        assert errors(read(dir, name), SCHEMA) == []


def test_a_part_that_is_as_long_as_the_one_before(dir):
    session = SessionFile(dir, INSTANCE, STARTED, most=2)
    for number in (0, 2):
        write(dir, served(number), served(number + 1))
        assert session.write(START)
    assert [each.summary["totals"]["request_count"] for each in read_sessions(dir)] == [2, 2]


hashes = st.sampled_from(["ab" * 32, "cd" * 32, "ef" * 32])
names = st.sampled_from(["", "gpt-4o", "o3", "größe", 'a"b\\'])
amounts = st.none() | st.decimals(0, 10**6, places=12)
some = st.none() | st.integers(0, 2**40)
changes = st.fixed_dictionaries(
    {
        "token_hash": hashes,
        "model": names,
        "provider": names,
        "input_tokens": st.integers(0, 2**40),
        "output_tokens": st.integers(0, 2**40),
        "cached_input_tokens": some,
        "cache_creation_tokens": some,
        "reasoning_tokens": some,
        "cost_usd": amounts,
        "status": st.sampled_from([0, 200, 400, 403, 429, 500]),
        "retry_count": st.integers(0, 4),
        "rule_matches": st.lists(
            st.sampled_from([{"action": word, "message": "m"} for word in ("fail", "warn", "mask")]),
            max_size=3,
        ),
        "metadata": st.dictionaries(names, names, max_size=2),
        "error": names,
        "ended_at": st.integers(0, 100_000).map(lambda seconds: START + timedelta(seconds=seconds)),
    }
)


def sums(rows):
    """What a rollup of these rows says, added up in the plainest way."""
    found = {
        "request_count": len(rows),
        "input_tokens": sum(row.input_tokens for row in rows),
        "output_tokens": sum(row.output_tokens for row in rows),
        "total_tokens": sum(row.input_tokens + row.output_tokens for row in rows),
        "cached_input_tokens": sum(row.cached_input_tokens or 0 for row in rows),
        "cache_creation_tokens": sum(row.cache_creation_tokens or 0 for row in rows),
        "reasoning_tokens": sum(row.reasoning_tokens or 0 for row in rows),
        "unpriced_count": sum(
            row.cost_usd is None and row.input_tokens + row.output_tokens > 0 for row in rows
        ),
    }
    optional = {"cached_input_tokens", "cache_creation_tokens", "reasoning_tokens", "unpriced_count"}
    return {name: value for name, value in found.items() if value or name not in optional}, sum(
        (int((row.cost_usd or 0) * 10**12) for row in rows), 0
    )


def told(rollup):
    own = {"error_count", "retry_count", "rule_violation_count", "rate_limit_count", "cost_usd"}
    own |= {"models_used", "first_seen", "last_seen"}
    return {name: value for name, value in rollup.items() if name not in own}, int(
        Decimal(rollup["cost_usd"]) * 10**12
    )


@settings(max_examples=60)
@given(drawn=st.lists(changes, max_size=12), cuts=st.sets(st.integers(0, 12)), most=st.integers(1, 13))
def test_totals_are_the_sums_of_the_rows(tmp_path_factory, drawn, cuts, most):
    dir = tmp_path_factory.mktemp("data")
    rows = [served(number, **each) for number, each in enumerate(drawn)]
    session = SessionFile(dir, INSTANCE, STARTED, most=most)
    session.start()
    for number, row in enumerate(rows):
        write(dir, row)
        if number in cuts:
            session.write(START)
    session.close(START)
    documents = [read(dir, name) for name in sorted(os.listdir(dir / "sessions"))]
    for number, document in enumerate(documents):
        part = rows[number * most : (number + 1) * most]
        assert errors(document, SCHEMA) == []
        assert told(document["totals"]) == sums(part)
        assert document["totals"]["error_count"] == sum(row.status >= 400 for row in part)
        assert document["totals"]["rate_limit_count"] == sum(row.status == 429 for row in part)
        assert document["totals"]["retry_count"] == sum(row.retry_count for row in part)
        assert document["totals"]["rule_violation_count"] == sum(
            match["action"] == "fail" for row in part for match in row.rule_matches
        )
        for key, field in (("by_model", "model"), ("by_provider", "provider"), ("by_token", "token_hash")):
            groups = defaultdict(list)
            for row in part:
                groups[getattr(row, field)].append(row)
            if key == "by_provider":
                groups.pop("", None)
            assert {name: told(each) for name, each in document[key].items()} == {
                name: sums(group) for name, group in groups.items()
            }
        for token, rollup in document["by_token"].items():
            seen = [f"{row.ended_at:%Y-%m-%dT%H:%M:%SZ}" for row in part if row.token_hash == token]
            assert (rollup["first_seen"], rollup["last_seen"]) == (min(seen), max(seen))
        assert [each["request_id"] for each in document["requests"]] == [row.id for row in part]
    assert len(documents) == max(1, -(-len(rows) // most))


def test_money_is_added_exactly(dir):
    amounts = [Decimal("123456789012345.000000000000000000000001"), Decimal("1E-30"), Decimal("0.1")]
    write(dir, *(served(number, cost_usd=amount) for number, amount in enumerate(amounts)))
    SessionFile(dir, INSTANCE, STARTED).close(START)
    total = "123456789012345.100000000000000000000001000001"
    assert read(dir)["totals"]["cost_usd"] == total


def test_only_the_owner_can_read_it(dir):
    old = os.umask(0)
    try:
        SessionFile(dir, INSTANCE, STARTED).start()
    finally:
        os.umask(old)
    folder = dir / "sessions"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}


def test_a_folder_that_others_could_read_is_closed_to_them(dir):
    (dir / "sessions").mkdir(parents=True)
    (dir / "sessions").chmod(0o755)
    SessionFile(dir, INSTANCE, STARTED).start()
    assert stat.S_IMODE((dir / "sessions").stat().st_mode) == 0o700


@pytest.mark.long
def test_a_reader_never_sees_half_a_file(dir):
    session = SessionFile(dir, INSTANCE, STARTED)
    session.start()
    path = dir / "sessions" / "2026-03-02_7e19c0a4.json"
    done = threading.Event()
    seen = []

    def look():
        while not done.is_set():
            document = orjson.loads(path.read_bytes())
            seen.append((document["totals"]["request_count"], len(document["requests"])))

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(30):
        write(dir, *(served(100 * number + each) for each in range(100)))
        session.write(START)
    done.set()
    reader.join()
    session.close(START)
    assert len(seen) > 10
    assert all(total == held for total, held in seen)
    assert read(dir)["totals"]["request_count"] == 3000
    assert os.listdir(dir / "sessions") == [path.name]


def test_a_disk_that_is_full_for_a_while(dir, monkeypatch):
    session = SessionFile(dir, INSTANCE, STARTED)
    session.start()
    before = read(dir)
    write(dir, *(served(number) for number in range(250)))
    real = os.fsync

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LedgerError, match="No space left on device"):
        session.write(START)
    assert read(dir) == before
    assert len(os.listdir(dir / "sessions")) == 1
    monkeypatch.setattr(os, "fsync", real)
    assert session.write(START)
    assert [each["request_id"] for each in read(dir)["requests"]] == [served(n).id for n in range(250)]


def test_a_part_that_was_written_only_partly_is_written_again(dir, monkeypatch):
    session = SessionFile(dir, INSTANCE, STARTED)
    session.start()
    write(dir, *(served(number) for number in range(250)))
    real = session_file.entry
    left = [150]

    def fails_once(*values):
        left[0] -= 1
        if left[0] == 0:
            raise OSError(5, "Input/output error")
        return real(*values)

    monkeypatch.setattr(session_file, "entry", fails_once)
    with pytest.raises(LedgerError, match="Input/output error"):
        session.write(START)
    session.write(START)
    document = read(dir)
    assert [each["request_id"] for each in document["requests"]] == [served(n).id for n in range(250)]
    assert document["totals"]["request_count"] == 250


class FullOnce:
    """A file on a disk that is full in the middle of one write."""

    def __init__(self, file):
        self.file = file
        self.full = True

    def write(self, text):
        if self.full:
            self.full = False
            self.file.write(text[:77])
            raise OSError(28, "No space left on device")
        return self.file.write(text)

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_what_a_full_disk_cut_is_written_over(dir):
    session = SessionFile(dir, INSTANCE, STARTED)
    write(dir, served(1))
    session.write(START)
    session._part.entries._file = FullOnce(session._part.entries._file)
    write(dir, served(2))
    with pytest.raises(LedgerError, match="No space left on device"):
        session.write(START)
    session.write(START)
    assert [each["request_id"] for each in read(dir)["requests"]] == [served(1).id, served(2).id]
    assert read(dir)["totals"]["request_count"] == 2


# After a crash.

SERVES = """
import itertools, sys
from datetime import timedelta
from pathlib import Path
from tests.ledger.test_session_file import GIT, INSTANCE, START, STARTED, served
from tokenomics_core.ledger import Ledger
from tokenomics_core.ledger.session_file import SessionFile

directory = Path(sys.argv[1])
ledger = Ledger(directory / "ledger.db")
session = SessionFile(directory, INSTANCE, STARTED, GIT, most=400)
session.start()
for number in itertools.count():
    ledger.record(served(number, output_tokens=number))
    if number % 100 == 99:
        ledger.flush()
        session.write(START + timedelta(days=1))
        print(number, flush=True)
"""


def test_a_process_killed_in_the_middle(dir):
    dir.mkdir()
    process = subprocess.Popen([sys.executable, "-c", SERVES, str(dir)], cwd=ROOT, stdout=subprocess.PIPE)
    with process:
        for _ in range(10):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    # What a killed write leaves behind.
    (dir / "sessions" / ".2026-03-02_7e19c0a4.json.7e19c0a4.tmp").write_text('{"session')
    rows = list(read_rows(dir / "ledger.db"))
    assert len(rows) >= 1000

    own = SessionFile(dir, NEXT, START)
    own.start()
    assert rebuild_missing(dir, NEXT, nobody, most=400) == ["7e19c0a4"]
    parts = [each for each in read_sessions(dir) if each.id == "7e19c0a4"]
    requests = [entry for part in parts for entry in part.requests()]
    assert [each["request_id"] for each in requests] == [row.id for row in rows]
    assert sum(part.summary["totals"]["output_tokens"] for part in parts) == sum(
        row.output_tokens for row in rows
    )
    assert parts[-1].summary["ended_at"] == f"{rows[-1].ended_at:%Y-%m-%dT%H:%M:%SZ}"
    assert parts[0].summary["git"]["commit_start"] == "91be2f0"
    assert not list((dir / "sessions").glob(".*"))
    made = {path.name: path.read_bytes() for path in (dir / "sessions").iterdir()}
    # As if it had come to its end in peace, and it is done once.
    last = rows[-1].ended_at
    with closing(sqlite3.connect(dir / "ledger.db")) as db, db:
        db.execute("DELETE FROM sessions WHERE run = '7e19c0a4'")
    SessionFile(dir, INSTANCE, STARTED, GIT, most=400).close(last)
    assert {path.name: path.read_bytes() for path in (dir / "sessions").iterdir()} == made
    assert rebuild_missing(dir, NEXT, nobody, most=400) == []


def test_who_is_alive_is_left_alone(dir):
    SessionFile(dir, INSTANCE, STARTED).start()
    write(dir, served(1))
    temporary = dir / "sessions" / ".2026-03-02_7e19c0a4.json.7e19c0a4.tmp"
    temporary.write_text("{")
    assert rebuild_missing(dir, NEXT, lambda instance: instance == INSTANCE) == []
    assert temporary.exists()
    assert read(dir)["totals"]["request_count"] == 0
    assert rebuild_missing(dir, INSTANCE, nobody) == []
    assert rebuild_missing(dir, NEXT, nobody) == ["7e19c0a4"]
    assert not temporary.exists()
    assert read(dir)["totals"]["request_count"] == 1


def test_rows_that_come_after_the_end_are_added(dir):
    session = SessionFile(dir, INSTANCE, STARTED, GIT)
    write(dir, served(1))
    session.close(START + timedelta(seconds=600), replace(GIT, commit=TWO))
    assert rebuild_missing(dir, NEXT, nobody) == []
    before = read(dir)
    write(dir, served(2, kind="upgrade", status=101), served(3, run="ffffffff"))
    assert rebuild_missing(dir, NEXT, nobody) == []
    write(dir, served(4, recovered=True, error="the gateway ended before the exchange did"))
    assert rebuild_missing(dir, NEXT, nobody) == ["7e19c0a4"]
    after = read(dir)
    assert after["totals"]["request_count"] == 2
    assert [after[key] for key in ("ended_at", "git")] == [before[key] for key in ("ended_at", "git")]
    assert rebuild_missing(dir, NEXT, nobody) == []


def test_a_file_that_somebody_deleted_stays_deleted(dir):
    SessionFile(dir, INSTANCE, STARTED).close(START)
    (dir / "sessions" / "2026-03-02_7e19c0a4.json").unlink()
    assert rebuild_missing(dir, NEXT, nobody) == []


def test_two_start_at_once_after_a_crash(dir):
    SessionFile(dir, INSTANCE, STARTED).start()
    write(dir, *(served(number) for number in range(500)))
    others = [f"{number:08x}" + "0" * 8 for number in range(4)]
    for other in others:
        SessionFile(dir, other, START).start()
    threads = [
        threading.Thread(target=rebuild_missing, args=(dir, other, lambda word: word != INSTANCE))
        for other in others
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(dir)["totals"]["request_count"] == 500
    assert len(os.listdir(dir / "sessions")) == 5


def test_with_a_ledger_that_writes_meanwhile(dir):
    ledger = Ledger(dir / "ledger.db")
    session = SessionFile(dir, INSTANCE, STARTED)
    session.start()
    for number in range(3000):
        ledger.record(served(number))
        if number % 500 == 0:
            session.write(START)
    assert ledger.close()
    session.close(START)
    assert [each["request_id"] for each in read(dir)["requests"]] == [served(n).id for n in range(3000)]


# Readers.


def test_reading_sessions(dir, caplog):
    assert read_sessions(dir) == []
    write(dir, served(1), served(2, run="c40d7aa0"))
    SessionFile(dir, INSTANCE, STARTED).close(START)
    SessionFile(dir, NEXT, START - timedelta(days=1)).close(START)
    folder = dir / "sessions"
    for name, text in (
        ("2026-03-04_00000000.json", '{"session_id": "0000'),
        ("2026-03-05_00000000.json", "[]"),
        ("2026-03-06_00000000.json", '{"session_id": "00000000"}'),
        (".2026-03-07_00000000.json.x.tmp", "{"),
        ("notes.txt", "{"),
    ):
        (folder / name).write_text(text)
    (folder / "folder.json").mkdir()
    found = read_sessions(dir)
    assert [each.id for each in found] == ["c40d7aa0", "7e19c0a4"]
    assert "requests" not in found[0].summary
    assert len(found[0].requests()) == 1
    assert len(caplog.records) == 4
    assert [each.id for each in find_session(dir, "7e19c0a4")] == ["7e19c0a4"]
    assert [each.id for each in find_session(dir, "c4")] == ["c40d7aa0"]
    assert find_session(dir, "7e19c0a45") == find_session(dir, "") == find_session(dir, "9") == []


def test_what_has_not_changed_is_not_read_again(dir, monkeypatch):
    session = SessionFile(dir, INSTANCE, STARTED)
    session.start()
    SessionFile(dir, NEXT, STARTED).close(START)
    before = read_sessions(dir)
    read_files = []
    real = Path.read_bytes

    def counted(path):
        read_files.append(path.name)
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    assert read_sessions(dir) == before
    assert read_files == []
    write(dir, served(1))
    session.write(START)
    assert [each.summary["totals"]["request_count"] for each in read_sessions(dir)] == [1, 0]
    assert read_files == ["2026-03-02_7e19c0a4.json"]
    (dir / "sessions" / "2026-03-02_c40d7aa0.json").unlink()
    assert [each.id for each in read_sessions(dir)] == ["7e19c0a4"]


async def test_a_commit_between_two_requests_moves_the_cost(dir, repository):
    git = Git()
    prices = {}

    async def request(number, cost):
        context = await git.context(dir.parent, str(repository.top))
        exchange = an_exchange(id=f"req_{number}", git=context)
        row = replace(row_of(exchange, run=session_id(INSTANCE)), cost_usd=Decimal(cost))
        write(dir, row)
        prices[row.commit_hash] = prices.get(row.commit_hash, 0) + row.cost_usd

    commits = [repository.commit("one")]
    session = SessionFile(dir, INSTANCE, STARTED, await git.context(repository.top))
    await request(1, "0.25")
    await request(2, "0.000001")
    repository.git("checkout", "-q", "-b", "side")
    commits.append(repository.commit("two"))
    await request(3, "1.5")
    repository.git("checkout", "-q", "main")
    commits.append(repository.commit("three"))
    await request(4, "0.1")
    session.close(START, await git.context(repository.top))
    git.close()

    document = read(dir)
    first, second, third = commits
    told = [(each["git"]["branch"], each["git"]["commit"]) for each in document["requests"]]
    assert told == [("main", first), ("main", first), ("side", second), ("main", third)]
    assert document["git"]["commit_start"] == first[:7]
    assert document["git"]["commit_end"] == third[:7]
    assert prices == {first: Decimal("0.250001"), second: Decimal("1.5"), third: Decimal("0.1")}
    assert Decimal(document["totals"]["cost_usd"]) == sum(prices.values())
    assert errors(document, SCHEMA) == []
