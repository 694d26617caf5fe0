from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from tests.cli import counted
from tests.cli.program import Program
from tests.support.ports import free_ports

POLICY = """{"base_key_env": "K", "max_tokens": 10000,
    "rate_limit": {"max_parallel": 4, "rules": [{"requests": 60, "window": "1m", "strategy": "fixed"}]},
    "budgets": [
        {"limit": "12.50", "period": "month", "name": "team", "timezone": "Europe/Berlin"},
        {"limit": 3, "period": "24h", "scope": "provider"},
        {"limit": 900, "unit": "tokens", "period": "hour", "scope": "session"}
    ],
    "session": {"budget_usd": 2}}"""


def usage(program: Program, *words: str, **more: Any) -> Any:
    return program.run("--dir", str(program.data), "usage", *words, **more)


def lines(program: Program, *words: str) -> dict[str, dict[str, Any]]:
    done = usage(program, *words, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return {each["key"]: each for each in json.loads(done.stdout)}


def test_nothing_is_there_and_nothing_is_made(program: Program) -> None:
    assert usage(program).stdout == "No tokens found.\n"
    assert json.loads(usage(program, "--json").stdout) == []
    assert not program.data.exists()
    done = usage(program, "3f8592ba")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: no token begins with 3f8592ba; token list shows the hashes\n"


def test_a_token_that_used_nothing(program: Program) -> None:
    program.ok("create", "--policy", POLICY)
    assert {key: each["spent"] for key, each in lines(program).items()} == {
        "parallel": 0,
        "rate:requests:fixed:60000": 0,
        "tokens:total": 0,
        "usd:month:Europe/Berlin": "0.00",
        "usd:total": "0.00",
    }
    assert not (program.data / "counters.db").exists()


def test_every_limit_as_it_stands(program: Program) -> None:
    token = program.json("create", "--policy", POLICY, "--label", "team [red]")["hash"]
    counted.spend(program, token, 600, "1.250000001", session="s:1")
    counted.begin(program, token, 100, "0.5", session="s:1")
    found = lines(program, token[:8])
    assert list(found) == [
        "parallel",
        "rate:requests:fixed:60000",
        "tokens:total",
        "usd:month:Europe/Berlin",
        "usd:total",
        "provider:openai:usd:rolling:86400000",
    ]
    month = found["usd:month:Europe/Berlin"]
    resets_at = datetime.fromisoformat(month.pop("resets_at"))
    assert resets_at > datetime.now(UTC)
    assert month == {
        "token": token,
        "label": "team [red]",
        "key": "usd:month:Europe/Berlin",
        "name": "team",
        "unit": "usd",
        "period": "month",
        "timezone": "Europe/Berlin",
        "scope": "token",
        "provider": None,
        "session": None,
        "action": "refuse",
        "set_by_hand": False,
        "budget": "12.50",
        "spent": "1.250000001",
        "reserved": "0.50",
        "remaining": "10.749999999",
        "percent": 14.0,
    }
    provider = found["provider:openai:usd:rolling:86400000"]
    assert (provider["provider"], provider["period"], provider["resets_at"]) == ("openai", "24h", None)
    assert (found["parallel"]["budget"], found["parallel"]["reserved"]) == (4, 1)
    assert (found["rate:requests:fixed:60000"]["spent"], found["tokens:total"]["remaining"]) == (2, 9300)
    assert (found["usd:total"]["budget"], found["usd:total"]["percent"]) == (None, None)

    sessions = lines(program, "--sessions")
    assert list(sessions)[len(found) :] == ["session:s:1:tokens:hour", "session:s:1:usd:total"]
    assert sessions["session:s:1:usd:total"]["remaining"] == "0.249999999"
    assert sessions["session:s:1:tokens:hour"]["session"] == "s:1"

    shown = usage(program, "--sessions").stdout
    [row] = [line for line in shown.splitlines() if "team: usd" in line]
    cells = [cell.strip() for cell in re.split("[│|]", row)[1:-1]]
    assert cells == [
        "",
        "team: usd per month, Europe/Berlin",
        "$12.50",
        "$1.250000001",
        "$0.50",
        "$10.749999999",
        "█░░░░░░░░░ 14.0%",
        resets_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    ]
    assert f"{token[:8]} team [red]" in shown
    assert "usd per 24h, provider openai" in shown
    assert "usd total, session s:1" in shown
    assert "10,000" in shown


def test_a_limit_set_by_hand_wins(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    counted.spend(program, token, 1, "1", session="s")
    done = program.run("--dir", str(program.data), "session", "set-budget", "s", "1.25")
    assert done.returncode == 0
    line = lines(program, "--sessions")["session:s:usd:total"]
    assert (line["budget"], line["remaining"], line["set_by_hand"]) == ("1.25", "0.25", True)


def test_a_provider_with_a_cap_of_its_own(program: Program) -> None:
    policy = (
        '{"base_key_env":"K","max_tokens":100,"providers":{"OpenAI":[{"base_key_env":"J","max_tokens":7}]}}'
    )
    program.ok("create", "--policy", policy)
    found = json.loads(usage(program, "--json").stdout)
    assert [(each["key"], each["provider"], each["budget"]) for each in found] == [
        ("tokens:total", None, 100),
        ("usd:total", None, None),
        ("tokens:total", "openai", 7),
    ]


def test_what_went_to_no_named_provider(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    counted.spend(program, token, 1, "1", provider="")
    line = lines(program)["provider::usd:rolling:86400000"]
    assert (line["scope"], line["provider"], line["spent"]) == ("provider", "", "1.00")
    assert "usd per 24h, provider (unnamed)" in usage(program).stdout
    assert program.run("--dir", str(program.data), "ledger", "verify").returncode == 0


def test_redis_away_is_one_line(program: Program) -> None:
    program.ok("create", "--policy", POLICY)
    [port] = free_ports(1)
    redis = {
        "TOKENOMICS_SESSION_BACKEND": "redis",
        "TOKENOMICS_SESSION_REDIS_ADDR": f"127.0.0.1:{port}",
        "TOKENOMICS_SESSION_ON_STORE_ERROR": "local",
    }
    done = usage(program, **redis)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"Error: [^\n]*redis[^\n]*\n", done.stderr)
