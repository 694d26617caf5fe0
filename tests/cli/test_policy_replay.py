from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.cli.program import Program
from tests.ledger.build import TOKEN_HASH, a_row
from tokenomics_core.ledger import Row
from tokenomics_core.ledger.database import insert_rows, open_for_writing

pytestmark = pytest.mark.long

Json = dict[str, Any]
POLICY: Json = {"base_key_env": "OPENAI_API_KEY"}
BEGIN = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
OTHER_TOKEN = "c" * 64
MASKED = {"action": "mask", "message": "content redacted before forwarding"}


def row(number: int, model: str = "gpt-4o", usd: str | None = "0.01", **changes: Any) -> Row:
    """One minute after the other; 1,000 tokens of input and 500 of output."""
    moment = BEGIN + timedelta(minutes=number)
    fields: Json = {
        "id": f"req_{number:032x}",
        "started_at": moment,
        "ended_at": moment,
        "requested_model": model,
        "model": model,
        "cost_usd": None if usd is None else Decimal(usd),
        "input_tokens": 1000,
        "output_tokens": 500,
        "cached_input_tokens": None,
        "reasoning_tokens": None,
        "attempts": [{"model": model, "provider": "openai", "status": 200, "reason": ""}],
        "rule_matches": [],
    }
    return a_row(number, **(fields | changes))


def refused(number: int, code: str, model: str = "gpt-4o", **changes: Any) -> Row:
    fields: Json = {
        "status": 403,
        "refusal": code,
        "upstream_status": 0,
        "provider": "",
        "input_tokens": 0,
        "output_tokens": 0,
        "attempts": [],
    }
    return row(number, model, None, **(fields | changes))


def record(program: Program, *rows: Row, **bodies: str) -> None:
    """Rows of the ledger; bodies by the numbers of the rows: ``n1="text"``."""
    with closing(open_for_writing(program.data / "ledger.db", busy_timeout=5)) as db:
        db.execute("BEGIN IMMEDIATE")
        insert_rows(db, list(rows))
        db.execute("COMMIT")
    if bodies:
        (program.data / "memory").mkdir()
    for name, text in bodies.items():
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
        entry = {"id": f"req_{int(name[1:]):032x}", "request": body, "answer": {}}
        (program.data / "memory" / f"{name}.jsonl").write_text("no json\n[]\n" + json.dumps(entry) + "\n")


def run(program: Program, policy: Json, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    (program.folder / "new.json").write_text(json.dumps(policy))
    start = ["--dir", str(program.data), "policy", "replay", "--policy", "new.json", "--since", "all"]
    return program.run(*start, *words, **more)


def told(program: Program, policy: Json, *words: str) -> Json:
    done = run(program, policy, "--json", *words)
    assert (done.returncode, done.stderr) == (0, "")
    found: Json = json.loads(done.stdout)
    return found


def new(said: Json) -> list[tuple[Any, ...]]:
    """Of the rows that change: number, verdict, refusal, cost."""
    return [
        (int(one["id"][4:], 16), one["new"]["verdict"], one["new"]["refusal"], one["new"]["cost_usd"])
        for one in said["rows"]
    ]


def test_the_same_policy_changes_nothing(program: Program) -> None:
    record(program, row(1), row(2, "o3"), refused(3, "upstream_failed", status=502))
    said = told(program, POLICY)
    assert said["rows"] == said["exceeded"] == []
    assert said["summary"]["requests"] == 3
    assert (said["summary"]["cost_before_usd"], said["summary"]["cost_now_usd"]) == ("0.02", "0.02")
    every = told(program, POLICY, "--all")["rows"]
    assert [(one["changes"], one["new"]["status"]) for one in every] == [([], 200), ([], 200), ([], 502)]


def test_models_that_are_refused_and_allowed(program: Program) -> None:
    record(program, row(1), row(2, "o3"), refused(3, "model_not_allowed", "gpt-5"))
    said = told(program, {**POLICY, "model_regex": "^gpt-"})
    assert new(said) == [(2, "refused", "model_not_allowed", "0"), (3, "sent", None, None)]
    assert said["rows"][0]["new"]["message"] == 'model "o3" does not match policy regex "^gpt-"'
    summary = said["summary"]
    assert (summary["newly_refused"], summary["newly_sent"]) == ({"model_not_allowed": 1}, 1)
    assert (summary["cost_now_usd"], summary["cost_unknown_now"]) == ("0.01", 1)


def test_another_provider_has_another_price(program: Program) -> None:
    record(program, row(1, "gpt-4o"), row(2, "gpt-4o-mini", "0.0009"))
    entry = {"base_key_env": "OPENROUTER_API_KEY", "model": "gpt-4o-mini"}
    said = told(program, {**POLICY, "providers": {"openrouter": [entry]}})
    [one] = said["rows"]
    assert (one["old"]["provider"], one["new"]["provider"]) == ("openai", "openrouter")
    assert one["changes"] == ["model", "cost"]
    assert one["new"]["cost_usd"] != "0.0009"


def test_a_fallback_that_is_not_there_any_more(program: Program) -> None:
    attempts = [
        {"model": "o3", "provider": "openai", "status": 503, "reason": ""},
        {"model": "gpt-4o", "provider": "openai", "status": 200, "reason": ""},
    ]
    record(program, row(1, requested_model="o3", fallback_model="gpt-4o", attempts=attempts))
    assert new(told(program, {**POLICY, "retry": {"fallbacks": ["gpt-4o"]}})) == []
    assert new(told(program, POLICY)) == [(1, "failed", None, "0")]
    other = told(program, {**POLICY, "retry": {"fallbacks": ["gpt-4o-mini"]}})
    assert [(one["new"]["model"], one["changes"]) for one in other["rows"]] == [
        ("gpt-4o-mini", ["model", "cost"])
    ]
    # 1,000 tokens at 0.15 and 500 at 0.60 for a million.
    assert Decimal(other["rows"][0]["new"]["cost_usd"]) == Decimal("0.00045")


@pytest.mark.parametrize(
    ("limits", "first", "key", "message"),
    [
        ({"max_tokens": 4600}, 4, "tokens:total", "budget exceeded: used 4500 + input 1000 > limit 4600"),
        (
            {"budgets": [{"limit": "0.021", "name": "small"}]},
            3,
            "usd:total",
            'budget "small" exceeded: remaining $0.0010, required $0.0026 of $0.0210 (total)',
        ),
        (
            {"rate_limit": {"rules": [{"requests": 3, "window": "1h"}]}},
            4,
            "rate:requests:sliding:3600000",
            "rate limit exceeded: 3 requests in 1h window (max 3)",
        ),
    ],
)
def test_the_request_from_which_on_a_limit_refuses(
    program: Program, limits: Json, first: int, key: str, message: str
) -> None:
    others = [row(n, token_hash=OTHER_TOKEN) for n in (10, 11)]
    record(program, *[row(n) for n in range(1, 6)], *others)
    said = told(program, {**POLICY, **limits})
    assert [one[0] for one in new(said)] == list(range(first, 6))
    assert said["exceeded"] == [
        {
            "token": TOKEN_HASH,
            "limit": key,
            "message": message,
            "from": {"id": f"req_{first:032x}", "time": f"2026-03-02T12:0{first}:00Z"},
            "requests": 6 - first,
        }
    ]


def test_budgets_of_a_period_begin_anew(program: Program) -> None:
    hours = [row(n, started_at=BEGIN + timedelta(minutes=20 * n)) for n in range(6)]
    record(program, *hours)
    said = told(program, {**POLICY, "budgets": [{"limit": 3500, "unit": "tokens", "period": "hour"}]})
    # The third of an hour has 500 tokens left of what it asks for.
    assert [one[:2] for one in new(said)] == [(2, "refused"), (5, "refused")]


def test_an_answer_that_is_cut(program: Program) -> None:
    record(program, row(1), row(2))
    said = told(program, {**POLICY, "max_tokens": 2700})
    [one] = said["rows"]
    assert (one["new"]["verdict"], one["new"]["output_tokens"]) == ("cut", 200)
    # At 2.50 and 10 USD for a million tokens.
    assert Decimal(one["new"]["cost_usd"]) == Decimal("0.0045")


def test_prices_that_nobody_knows(program: Program) -> None:
    record(program, row(1, "nobody-knows-me", None))
    said = told(program, {**POLICY, "budgets": [{"limit": 5}]})
    assert new(said) == [(1, "refused", "price_unknown", None)]
    assert new(told(program, {**POLICY, "budgets": [{"limit": 5}], "unknown_price": "allow"})) == []


RULES: Json = {
    **POLICY,
    "rules": [
        {"type": "pii", "detect": ["email"], "action": "mask"},
        {"name": "words", "type": "keyword", "keywords": ["forbidden"]},
    ],
}


def test_rules_where_the_body_was_recorded(program: Program) -> None:
    old = {"name": "old", "action": "warn", "message": "matched"}
    record(
        program,
        row(1, rule_matches=[old]),
        row(2),
        row(3),
        row(4),
        n1="to ada@example.com",
        n2="forbidden",
        n3="hello",
    )
    said = told(program, RULES)
    assert new(said) == [(1, "as before", None, "0.01"), (2, "refused", "rule_violation", "0")]
    masked = {"action": "mask", "message": 'detected PII in rule "pii": Email Address'}
    assert said["rows"][0]["rules"] == {"added": [masked, MASKED], "gone": [old]}
    assert said["rows"][0]["changes"] == ["rules"]
    message = 'request blocked by rule 1: matched keyword rule "words": forbidden'
    assert said["rows"][1]["new"]["message"] == message
    assert said["summary"]["without_body"] == 1
    shown = run(program, RULES).stdout
    assert "1 request without a recorded body: content rules were not run on them.\n" in shown
    assert "ada@example.com" not in shown + json.dumps(said)


def test_what_only_the_body_could_tell(program: Program) -> None:
    record(
        program,
        refused(1, "rule_violation"),
        refused(2, "rule_violation"),
        refused(3, "rule_violation"),
        n2="x",
    )
    assert new(told(program, RULES)) == [
        (1, "unknown", None, None),
        (2, "sent", None, None),
        (3, "unknown", None, None),
    ]
    assert [one[1] for one in new(told(program, POLICY))] == ["sent"] * 3


def test_only_some_requests(program: Program) -> None:
    rows = [row(n, token_hash=TOKEN_HASH if n % 2 else OTHER_TOKEN) for n in range(1, 7)]
    record(program, *rows, row(7, kind="upgrade"))
    for words, numbers in [
        ([], [1, 2, 3, 4, 5, 6]),
        (["--token", OTHER_TOKEN[:8]], [2, 4, 6]),
        (["--limit", "2"], [5, 6]),
        (["--limit", "1", "--token", OTHER_TOKEN], [6]),
        (["--since", "2026-03-02T12:05:00Z"], [5, 6]),
        (["--since", "1h"], []),
    ]:
        said = told(program, POLICY, "--all", *words)
        assert [int(one["id"][4:], 16) for one in said["rows"]] == numbers


def test_the_table(program: Program) -> None:
    record(program, row(1), row(2, "o3"), refused(3, "model_not_allowed", "gpt-5"))
    policy = {**POLICY, "model_regex": "^gpt-"}
    done = run(program, policy)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines()]
    assert [
        "2026-03-02T12:02:00Z",
        "req_00000000",
        "o3",
        "200",
        '403 model_not_allowed: model "o3" does not match policy regex "^gpt-"',
        "no body",
        "$0.01",
        "$0.00",
    ] in cells
    assert done.stdout.endswith(
        "3 requests, 2 would change.\n"
        "  1 would be refused: 403 model_not_allowed\n"
        "  1 refused before, would be sent\n"
        "Cost: $0.02 before, $0.01 and 1 unknown one now.\n"
        "3 requests without a recorded body: content rules were not run on them.\n"
    )


def test_the_same_twice_is_the_same_bytes_and_nothing_is_written(program: Program) -> None:
    record(program, *[row(n, "gpt-4o" if n % 3 else "o3") for n in range(1, 9)], n1="to ada@example.com")
    policy = {**RULES, "model": "gpt-4o", "max_tokens": 5000}
    files = sorted(path for path in program.data.rglob("*") if path.suffix != ".db-shm")
    before = [path.read_bytes() for path in files if path.is_file()]
    for words in (["--json"], []):
        first, second = (run(program, policy, *words, PYTHONHASHSEED=str(seed)) for seed in (1, 2))
        assert first.returncode == 0
        assert first.stdout == second.stdout
    assert [path.read_bytes() for path in files if path.is_file()] == before


def test_a_ledger_that_is_being_written(program: Program) -> None:
    record(program, row(1))
    with closing(sqlite3.connect(program.data / "ledger.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE requests SET error = 'x'")
        assert told(program, POLICY)["summary"]["requests"] == 1
        db.execute("ROLLBACK")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--since", "last week"], 'invalid --since "last week"; use 24h, 7d, 2w, a timestamp'),
        (["--since", "-7d"], 'invalid --since "-7d"; use'),
        (["--dir", "elsewhere"], "there is no ledger at "),
    ],
)
def test_errors_are_one_line(program: Program, words: list[str], error: str) -> None:
    record(program, row(1))
    done = run(program, POLICY, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {error}")
    assert done.stderr.count("\n") == 1
    assert not (program.folder / "elsewhere").exists()
