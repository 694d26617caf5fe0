"""What token update, delete and purge do to what was used."""

from __future__ import annotations

import json
import re

from tests.cli import counted
from tests.cli.program import Program
from tests.support.ports import free_ports
from tokenomics_core.counters.question import NANO

POLICY = '{"base_key_env":"K","max_tokens":100,"budgets":[{"limit":10,"period":"month"}]}'


def verified(program: Program) -> bool:
    return program.run("--dir", str(program.data), "ledger", "verify").returncode == 0


def test_reset_usage_alone(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    counted.spend(program, token, 60, "2", session="s")
    assert (
        program.ok("update", "--hash", token, "--reset-usage") == "Token updated.\n  usage: reset to zero\n"
    )
    assert {each.used for each in counted.used(program, token).values()} == {0}
    # The ledger knows of it.
    assert verified(program)
    counted.spend(program, token, 7, "1")
    assert verified(program)
    assert counted.used(program, token)["tokens:total"].used == 7


def test_reset_usage_keeps_what_is_reserved(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    counted.spend(program, token, 60, "2")
    counted.begin(program, token, 30, "1")
    program.ok("update", "--hash", token, "--reset-usage")
    used = counted.used(program, token)["tokens:total"]
    assert (used.used, used.reserved) == (0, 30)


def test_reset_usage_together_with_other_changes(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    counted.spend(program, token, 60, "2")
    told = program.json(
        "update", "--hash", token, "--reset-usage", "--label", "new", "--policy", '{"max_tokens":50}'
    )
    assert (told["label"], told["reset_counters"]) == ("new", 3)
    assert told["changes"] == [{"path": "$.max_tokens", "old": 100, "new": 50}]
    assert counted.used(program, token)["tokens:total"].used == 0


def test_reset_usage_of_a_token_that_used_nothing(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    assert program.json("update", "--hash", token, "--reset-usage")["reset_counters"] == 0
    assert not (program.data / "counters.db").exists()
    assert not (program.data / "ledger.db").exists()


def test_reset_usage_without_a_change_is_not_in_the_output(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    assert "reset_counters" not in program.json("update", "--hash", token, "--label", "x")


def test_a_budget_added_later_knows_what_was_spent(program: Program) -> None:
    token = program.json("create", "--policy", '{"base_key_env":"K"}')["hash"]
    counted.spend(program, token, 60, "2.5", session="s")
    budgets = """{"budgets":[{"limit":10,"period":"month"},{"limit":9,"period":"24h","scope":"provider"},
        {"limit":500,"unit":"tokens","period":"day","scope":"session"}]}"""
    program.ok("update", "--hash", token, "--policy", budgets)
    assert {key: each.used for key, each in counted.used(program, token).items()} == {
        "provider:openai:usd:rolling:86400000": 2_500_000_000,
        "session:s:tokens:day": 60,
        "session:s:usd:total": 2_500_000_000,
        "tokens:total": 60,
        "usd:month": 2_500_000_000,
        "usd:total": 2_500_000_000,
    }


def test_a_budget_that_comes_back_is_not_behind(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    counted.spend(program, token, 1, "1")
    program.ok("update", "--hash", token, "--policy", '{"budgets":null}')
    counted.spend(program, token, 1, "2")
    program.ok("update", "--hash", token, "--policy", '{"budgets":[{"limit":10,"period":"month"}]}')
    assert counted.used(program, token)["usd:month"].used == 3 * NANO


def test_a_higher_limit_leaves_room_at_once(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    counted.spend(program, token, 90, "1")
    program.ok("update", "--hash", token, "--policy", '{"max_tokens":200}')
    counted.spend(program, token, 90, "1")
    done = program.run("--dir", str(program.data), "usage", token, "--json")
    line = next(each for each in json.loads(done.stdout) if each["key"] == "tokens:total")
    assert (line["budget"], line["spent"], line["remaining"]) == (200, 180, 20)


def test_a_deleted_token_leaves_no_counters(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    other = program.json("create", "--policy", POLICY)["hash"]
    gone = program.json("create", "--policy", POLICY)["hash"]
    for each in (token, other, gone):
        counted.spend(program, each, 1, "1", session="s")
    program.ok("delete", "--hash", token)
    program.ok("update", "--hash", gone, "--expires", "2020-01-01T00:00:00Z")
    program.ok("purge")
    assert counted.used(program, token) == counted.used(program, gone) == {}
    assert counted.used(program, other)["tokens:total"].used == 1


def test_redis_away_is_one_line(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    [port] = free_ports(1)
    redis = {
        "TOKENOMICS_SESSION_BACKEND": "redis",
        "TOKENOMICS_SESSION_REDIS_ADDR": f"127.0.0.1:{port}",
    }
    # What has nothing to do with counters goes on.
    program.ok("update", "--hash", token, "--label", "x", **redis)
    program.ok("update", "--hash", token, "--policy", '{"max_tokens":200}', **redis)
    for words, verb in ((["update", "--reset-usage"], "updated"), (["delete"], "deleted")):
        done = program.token(*words, "--hash", token, **redis)
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(rf"Error: {verb}, but what was used stays [^\n]*redis[^\n]*\n", done.stderr)
    assert program.json("list") == []
