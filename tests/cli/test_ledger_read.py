from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Program
from tests.ledger import synthetic
from tests.ledger.build import a_row
from tests.ledger.git_repository import Repository
from tests.support.environment import BIN
from tokenomics_core.ledger import Row, read_rows
from tokenomics_core.ledger.database import insert_rows, open_for_writing

A, B = "a" * 64, "b" * 64
READING = ("summary", "top", "cost", "sessions")


def ledger(program: Program, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return program.run("--dir", str(program.data), "ledger", *words, **more)


def ok(program: Program, *words: str) -> str:
    done = ledger(program, *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def told(program: Program, *words: str) -> Any:
    return json.loads(ok(program, *words, "--json"))


def write(program: Program, *rows: Row) -> None:
    with closing(open_for_writing(program.data / "ledger.db", busy_timeout=5)) as db:
        db.execute("BEGIN IMMEDIATE")
        insert_rows(db, list(rows))
        db.execute("COMMIT")


def cells(text: str) -> list[list[str]]:
    """The lines of the tables in it, as their cells."""
    return [
        [cell.strip() for cell in re.split("[│┃|]", line)[1:-1]]
        for line in text.splitlines()
        if line[:1] in "│┃|" and line
    ]


@pytest.fixture
def some(program: Program) -> Program:
    write(
        program,
        a_row(0, token_hash=A, model="gpt-4o", cost_usd=Decimal("1.25"), session_id="s", run="aa000000"),
        a_row(1, token_hash=B, model="o3", cost_usd=Decimal("0.000000000001"), metadata={"team": "[red]"}),
        a_row(
            2,
            token_hash=A,
            model="o3",
            status=429,
            refusal="budget_exceeded",
            cost_usd=None,
            input_tokens=0,
            output_tokens=0,
            cached_input_tokens=None,
            reasoning_tokens=None,
        ),
    )
    return program


def test_nothing_is_there_and_nothing_is_made(program: Program) -> None:
    assert ok(program, "summary") == ok(program, "top") == ok(program, "cost") == "No requests found.\n"
    assert ok(program, "sessions") == "No sessions found.\n"
    assert ok(program, "summary", "--group-by", "day") == "No requests found.\n"
    assert told(program, "sessions") == told(program, "top") == []
    empty = told(program, "summary")
    assert (empty["sessions"], empty["by_model"], empty["totals"]["request_count"]) == (0, {}, 0)
    assert told(program, "cost")["total"]["cost_usd"] == "0"
    assert ok(program, "export").count("\n") == 1
    for words in (("show", "x"), ("explain", "req_1")):
        done = ledger(program, *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(r"Error: .*(not found|no request).*\n", done.stderr)
    assert not program.data.exists()


TOTALS = (
    "row_count request_count input_tokens output_tokens total_tokens cached_input_tokens"
    " cache_creation_tokens reasoning_tokens error_count broken_count refused_count rate_limit_count"
    " retry_count rule_violation_count estimated_count recovered_count unpriced_count duration_ms cost_usd"
    " first last"
).split()


def test_summary(some: Program) -> None:
    found = told(some, "summary")
    assert list(found) == ["by_model", "by_provider", "by_token", "sessions", "totals"]
    assert list(found["totals"]) == TOTALS
    assert found["totals"]["cost_usd"] == "1.250000000001"
    assert (found["sessions"], found["totals"]["request_count"]) == (1, 3)
    assert {name: each["request_count"] for name, each in found["by_model"].items()} == {"gpt-4o": 1, "o3": 2}
    assert list(found["by_token"]) == [A, B]
    text = ok(some, "summary")
    assert text.startswith("Sessions: 1\n\nTotals:\n  Requests:                     3\n")
    assert "  Cost:                   $1.2500\n" in text
    assert ["gpt-4o", "1", "0", "1,500", "655", "2,155", "$1.2500", "██████████ 100.0%"] in cells(
        ledger(some, "summary", PYTHONUTF8="1").stdout
    )


def test_groups(some: Program) -> None:
    found = told(some, "summary", "--group-by", "tag:team,model")
    assert list(found) == ["group_by", "groups", "totals"]
    assert found["group_by"] == ["tag:team", "model"]
    assert list(found["groups"][0]) == ["tag:team", "model", *TOTALS]
    assert [(each["tag:team"], each["model"], each["cost_usd"]) for each in found["groups"]] == [
        ("[red]", "o3", "0.000000000001"),
        ("billing", "gpt-4o", "1.25"),
        ("billing", "o3", "0"),
    ]
    # What stands in a name is no markup.
    assert ["[red]", "o3"] in [
        line[:2] for line in cells(ok(some, "summary", "--group-by", "tag:team,model"))
    ]
    assert cells(ok(some, "summary", "--group-by", "day"))[1][0] == "2026-03-02"
    assert cells(ok(some, "summary", "--group-by", "refusal"))[1][0] == "-"


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--model", "o3"], 2),
        (["--model", "o3", "--model", "gpt-4o"], 3),
        (["--token", "aa", "--model", "o*"], 1),
        (["--refusal", "*"], 1),
        (["--status", "4xx"], 1),
        (["--tag", "team=billing"], 2),
        (["--session", "s"], 1),
        (["--provider", "mistral"], 0),
        (["--branch", ""], 3),
        (["--since", "1h"], 0),
        (["--since", "2026-03-02", "--until", "2026-03-02"], 3),
        (["--until", "2026-03-01"], 0),
        (["--since", "2026-03-02T08:16:12Z"], 1),
        (["--commit", "abcd"], 0),
    ],
)
def test_filters(words: list[str], count: int, some: Program) -> None:
    assert told(some, "summary", *words)["totals"]["request_count"] == count
    assert len(told(some, "top", *words)) == count
    assert ok(some, "export", "--format", "jsonl", *words).count("\n") == count


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["summary", "--since", "soon"], "'soon' is no time; write it like 7d"),
        (["summary", "--since", "1h", "--until", "2h"], "--since is not before --until"),
        (["summary", "--token", "xyz"], "'xyz' is not the beginning of a hash"),
        (["summary", "--status", "bad"], "'bad' is no status"),
        (["summary", "--tag", "=x"], "a tag has a name"),
        (["summary", "--group-by", "colour"], "nothing is grouped by 'colour'"),
        (["top", "--by", "beauty"], "--by beauty is not known"),
        (["top", "--by", "errors"], "--by errors is not known"),
        (["export", "--format", "parquet"], "--format parquet is not known; it is one of csv, jsonl, focus"),
        (["export", "--out", "no/where.csv"], "there is no folder no for --out"),
        (["cost", "--pr", "main"], "this folder is in no git repository"),
        (["cost", "--commit", "HEAD"], "this folder is in no git repository"),
        (["cost", "--commit", "HEAD", "--pr", "main"], "--commit and --pr"),
        (["summary", "--commit", "HEAD~2.."], "git: "),
        (["show", "nobody"], 'session "nobody" not found'),
        (["explain", "req_nobody"], "no request 'req_nobody' is in the ledger"),
    ],
)
def test_what_makes_no_sense(words: list[str], message: str, some: Program) -> None:
    done = ledger(some, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {message}")
    assert done.stderr.count("\n") == 1


def test_top(some: Program) -> None:
    assert [each["model"] for each in told(some, "top")] == ["gpt-4o", "o3", "o3"]
    assert [line[2] for line in cells(ok(some, "top", "-n", "1"))] == ["Model", "gpt-4o"]
    found = told(some, "top", "--group-by", "token", "--by", "requests", "-n", "1")
    assert [each["token"] for each in found["groups"]] == [A]
    assert found["totals"]["request_count"] == 3
    assert "(1 others)" in ok(some, "top", "--group-by", "token", "-n", "1")


def test_sessions(some: Program) -> None:
    [unknown, run] = sorted(told(some, "sessions"), key=lambda each: each["session_id"] or "")
    assert (unknown["session_id"], run["session_id"]) == (None, "aa000000")
    assert list(run) == [
        *("session_id", "started_at", "ended_at", "duration_ms", "git", "branches", "totals"),
        *("by_model", "by_provider", "by_token"),
    ]
    assert run["by_token"][A]["models_used"] == ["gpt-4o"]
    assert [each["session_id"] for each in told(some, "sessions", "--named")] == ["s"]
    assert told(some, "show", "aa0")["session_id"] == "aa000000"
    named = told(some, "show", "s")
    assert (named["session_id"], named["token_hash"], named["totals"]["cost_usd"]) == ("s", A, "1.25")
    assert ok(some, "show", "aa").startswith("Session:  aa000000\nStarted:  2026-03-02 08:16:10\n")
    write(some, a_row(9, token_hash=B, session_id="s"))
    done = ledger(some, "show", "s")
    assert (done.returncode, done.stderr.startswith("Error: 2 tokens have a session 's'")) == (1, True)
    assert told(some, "show", "s", "--token", "bb")["token_hash"] == B


def test_explain(program: Program) -> None:
    write(
        program,
        a_row(
            1,
            id="req_5d0e11",
            cost_usd=Decimal("0.0094595"),
            cost_by_class={"input": "0.004366", "output": "0.0050935"},
            cached_input_tokens=None,
            reasoning_tokens=None,
            price_id="genai-prices:openai/gpt-4o@2025-06-10",
            price_source="genai-prices 0.2",
            price_as_of=datetime(2025, 6, 10, tzinfo=UTC).date(),
            rule_matches=[{"name": "cards", "action": "warn", "message": "a card number"}],
            attempts=[
                {"model": "o3", "provider": "openai", "status": 503, "reason": "overloaded"},
                {"model": "gpt-4o", "provider": "openai", "status": 200, "reason": ""},
            ],
            timings={"admission": 0.25, "guardrails": 1.5},
            first_byte_ms=310,
            repo="/srv/shop",
            branch="main",
            commit_hash="c" * 40,
            dirty=True,
            reserved_tokens=4000,
            reserved_usd=Decimal("0.04"),
            session_id="night\u202erun",
        ),
        a_row(2, id="req_5d0e22"),
    )
    done = ledger(program, "explain", "req_5d0e")
    assert done.returncode == 1
    assert "2 or more requests begin with req_5d0e" in done.stderr
    text = ok(program, "explain", "req_5d0e1")
    for said in (
        "req_5d0e11",
        "first byte after 310ms",
        "attempt 1:   openai/o3: 503, overloaded",
        "warn:        cards: a card number",
        "genai-prices:openai/gpt-4o@2025-06-10",
        "genai-prices 0.2, from 2025-06-10",
        "4,000 tokens, $0.04 at most",
        "admission:     0.25 ms",
        "cccccccc with changes",
        "$OPENAI_API_KEY",
        "$0.0094595",
    ):
        assert said in text, said
    found = told(program, "explain", "req_5d0e11")
    assert found["timings"] == {"admission": 0.25, "guardrails": 1.5}
    assert [(each["class"], each["tokens"], each["cost_usd"]) for each in found["classes"]] == [
        ("input", 1500, "0.004366"),
        ("output", 655, "0.0050935"),
    ]


def test_export(some: Program) -> None:
    rows = list(read_rows(some.data / "ledger.db"))
    assert [line["id"] for line in csv.DictReader(io.StringIO(ok(some, "export")))] == [
        row.id for row in rows
    ]
    out = some.folder / "charges.csv"
    assert ok(some, "export", "--format", "focus", "--out", str(out)) == ""
    assert out.stat().st_mode & 0o777 == 0o600
    with out.open(newline="") as file:
        billed = sum(Decimal(line["BilledCost"]) for line in csv.DictReader(file))
    assert f"{billed:f}" == told(some, "summary")["totals"]["cost_usd"]
    assert [path.name for path in some.folder.glob("*charges*")] == ["charges.csv"]
    assert [path.name for path in some.folder.glob(".*charges*")] == []


def on_terminal(program: Program, *words: str, columns: int, **environ: str) -> str:
    """What a person sees who has a window of that width."""
    ours, theirs = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    done = subprocess.Popen(
        [BIN / "tokenomics-cli", "--dir", str(program.data), "ledger", *words],
        cwd=program.folder,
        env=program.environ | {"TERM": "xterm-256color"} | environ,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    text = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.close(ours)
    assert done.wait(30) == 0
    # Bold titles are no colour.
    return re.sub(r"\x1b\[[01]m", "", text.decode().replace("\r\n", "\n"))


def test_a_narrow_window_and_no_colour(some: Program) -> None:
    wide = on_terminal(some, "top", columns=140, NO_COLOR="1", PYTHONUTF8="1")
    narrow = on_terminal(some, "top", columns=60, NO_COLOR="1", PYTHONUTF8="1")
    assert "Duration" in wide
    assert "Duration" not in narrow
    assert "Cost" in narrow
    assert max(map(len, narrow.splitlines())) <= 60
    assert "\x1b" not in narrow


@pytest.mark.long
def test_a_large_ledger_is_added_up_once(program: Program) -> None:
    synthetic.write(program.data / "ledger.db", 20_000)
    first = told(program, "summary")
    assert (program.data / "ledger-summary.db").exists()
    assert told(program, "summary") == first
    some = told(
        program,
        "summary",
        "--group-by",
        "model",
        "--since",
        "2026-01-01T01:30",
        "--until",
        "2026-01-01T07:45:10",
    )
    since, until = (
        synthetic.START + timedelta(hours=1.5),
        synthetic.START + timedelta(hours=7, minutes=45, seconds=10),
    )
    rows = [row for row in read_rows(program.data / "ledger.db") if since <= row.started_at < until]
    assert some["totals"]["request_count"] == len(rows)
    assert Decimal(some["totals"]["cost_usd"]) == sum(row.cost_usd or 0 for row in rows)


@pytest.fixture
def repository(program: Program) -> tuple[Repository, list[str]]:
    """Three commits and two branches, and a request before and after each."""
    repo = Repository(program.folder)
    usd = iter(Decimal(2**number) / 100 for number in range(8))
    ids = iter(range(100, 200))

    def ask(branch: str, commit: str) -> None:
        write(program, a_row(next(ids), branch=branch, commit_hash=commit, cost_usd=next(usd)))

    ask("main", "")
    one = repo.commit("Start")
    ask("main", one)
    repo.git("switch", "--quiet", "-c", "topic")
    ask("topic", one)
    two = repo.commit("Invoices [bold]")
    ask("topic", two)
    three = repo.commit("Rounding")
    ask("topic", three)
    ask("", "")
    return repo, [one, two, three]


def _by_commit(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["subject"], each["cost_usd"]) for each in found["commits"]]


def test_cost_by_commit(program: Program, repository: tuple[Repository, list[str]]) -> None:
    found = told(program, "cost")
    assert _by_commit(found) == [("Start", "0.06"), ("Invoices [bold]", "0.08"), ("Rounding", "0.16")]
    assert (found["counted_to"], found["no_commit"]["cost_usd"], found["total"]["cost_usd"]) == (
        "head",
        "0.33",
        "0.63",
    )
    assert [(each["branch"], each["cost_usd"]) for each in found["branches"]] == [
        ("main", "0.03"),
        ("topic", "0.28"),
        (None, "0.32"),
    ]
    assert found["total"]["cost_usd"] == told(program, "summary")["totals"]["cost_usd"]
    parts = [*found["commits"], found["no_commit"], found["other"], found["uncommitted"]]
    assert sum(Decimal(each["cost_usd"]) for each in parts) == Decimal("0.63")
    text = ok(program, "cost", "--commit", "HEAD~1..")
    assert [line[2:] for line in cells(text)][1:4] == [
        ["Rounding", "1", "2,155", "$0.1600"],
        ["(other commits)", "3", "6,465", "$0.1400"],
        ["(no commit)", "2", "4,310", "$0.3300"],
    ]
    assert "1 commit: $0.1600 of $0.6300, counted to the commit checked out when a request began." in text
    assert "Invoices [bold]" in ok(program, "cost")


def test_cost_of_a_pull_request(program: Program, repository: tuple[Repository, list[str]]) -> None:
    found = told(program, "cost", "--pr", "main")
    # The work on the first commit of the branch was done on the commit it began at.
    assert found["counted_to"] == "next"
    assert _by_commit(found) == [("Invoices [bold]", "0.04"), ("Rounding", "0.08")]
    assert (found["uncommitted"]["cost_usd"], found["total"]["cost_usd"]) == ("0.18", "0.63")
    assert told(program, "cost", "--pr", "main", "--branch", "topic") == found
    at_head = told(program, "cost", "--pr", "main", "--at-head")
    assert _by_commit(at_head) == [("Invoices [bold]", "0.08"), ("Rounding", "0.16")]


def test_commits_as_a_filter(program: Program, repository: tuple[Repository, list[str]]) -> None:
    _, [_, two, three] = repository
    assert told(program, "summary", "--commit", two[:7])["totals"]["cost_usd"] == "0.08"
    assert told(program, "summary", "--commit", "HEAD~2..")["totals"]["cost_usd"] == "0.24"
    groups = told(program, "summary", "--commit", "HEAD", "--group-by", "commit")["groups"]
    assert [(each["commit"], each["cost_usd"]) for each in groups] == [(three, "0.16")]


@pytest.mark.parametrize("name", [*READING, "show", "explain", "export"])
def test_help(name: str, program: Program) -> None:
    text = ok(program, name, "--help")
    assert ("--since" in text) == (name != "explain")
    assert not (program.folder / Path("data")).exists()
