from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.cli.program import Program
from tokenomics_core.counters.question import NANO, Claim, Freeze, Limit, Question, Settlement, Used, Watch
from tokenomics_core.counters.sqlite import SqliteCounters

POLICY = '{"base_key_env":"K"}'
CAPPED = '{"base_key_env":"K","session":{"budget_usd":2}}'


def now() -> int:
    return int(time.time() * 1000)


class Sessions:
    """The session commands on a data directory, and what the gateway would do beside them."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def run(self, *words: str, **more: Any) -> Any:
        return self.program.run("--dir", str(self.program.data), "session", *words, **more)

    def ok(self, *words: str, **more: Any) -> str:
        done = self.run(*words, **more)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "--json"))

    def error(self, *words: str, **more: Any) -> str:
        done = self.run(*words, **more)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
        return done.stderr

    def token(self, policy: str = POLICY) -> str:
        hash: str = self.program.json("create", "--policy", policy)["hash"]
        return hash

    def counters[T](self, work: Callable[[SqliteCounters], Awaitable[T]]) -> T:
        async def run() -> T:
            counters = SqliteCounters(self.program.data / "counters.db", "test")
            await counters.open()
            try:
                return await work(counters)
            finally:
                await counters.close()

        return asyncio.run(run())

    def spend(self, token: str, session: str, amount: int, watched: bool = False) -> None:
        keys = ["usd:total", *([f"session:{session}:usd:total"] if session else [])]
        limits = [Limit(key, "usd") for key in keys]
        gate = f"session:{session}" if session else "token"
        watch = Watch(gate, "f", "m", 1) if watched else None

        async def work(counters: SqliteCounters) -> None:
            id = f"req_{time.monotonic_ns()}"
            claims = tuple(Claim(limit, amount) for limit in limits)
            await counters.ask(Question(id, token, now(), now() + 60_000, claims, watch=watch))
            amounts = tuple((limit, amount) for limit in limits)
            await counters.settle(Settlement(id, token, now(), amounts))

        self.counters(work)

    def usage(self) -> list[Used]:
        return self.counters(lambda counters: counters.usage(now=now()))

    def frozen(self) -> list[Freeze]:
        return self.counters(lambda counters: counters.frozen(now=now()))


@pytest.fixture
def sessions(program: Program) -> Sessions:
    return Sessions(program)


def test_nothing_is_there_and_nothing_is_made(sessions: Sessions) -> None:
    assert sessions.ok("list") == "No active sessions found.\n"
    assert sessions.json("list") == []
    assert "no token" in sessions.error("set-budget", "s", "1")
    assert "not found" in sessions.error("get-budget", "s")
    assert not sessions.program.data.exists()


def test_a_budget_is_set_and_shown(sessions: Sessions) -> None:
    token = sessions.token()
    assert sessions.ok("set-budget", "team:a", "25.50") == "✓ Budget set for 'team:a': $25.50\n"
    sessions.spend(token, "team:a", 12_342_000_000)
    assert sessions.ok("get-budget", "team:a") == (
        "Session:   team:a\n"
        f"Token:     {token[:16]}\n"
        "Budget:    $25.5000\n"
        "Spent:     $12.3420\n"
        "Remaining: $13.1580\n"
        "Used:      48.4%\n"
    )
    assert sessions.json("get-budget", "team:a") == {
        "session_id": "team:a",
        "token": token,
        "budget": 25.5,
        "spent": 12.342,
        "remaining": 13.158,
        "percentage_used": 48.4,
        "is_frozen": False,
    }
    [used] = [each for each in sessions.usage() if each.key.startswith("session:")]
    assert (used.key, used.override) == ("session:team:a:usd:total", 25_500_000_000)


def test_budgets_of_policy_and_configuration(sessions: Sessions) -> None:
    token = sessions.token(CAPPED)
    sessions.spend(token, "s", NANO)
    assert sessions.json("get-budget", "s")["budget"] == 2.0
    other = sessions.token()
    sessions.spend(other, "t", NANO)
    assert sessions.json("get-budget", "t")["budget"] is None
    assert "Budget:    none\n" in sessions.ok("get-budget", "t")
    assert "Used:" not in sessions.ok("get-budget", "t")
    told = sessions.ok("get-budget", "t", TOKENOMICS_SESSION_DEFAULT_BUDGET_USD="10")
    assert "Budget:    $10.0000\n" in told


def test_a_bad_amount(sessions: Sessions) -> None:
    for amount in ("x", "nan", "-1", "9000001"):
        assert "AMOUNT is a number" in sessions.error("set-budget", "s", "--", amount)


def test_a_bad_id(sessions: Sessions) -> None:
    for id in (" ", "a<b", "x" * 129):
        assert "session id" in sessions.error("set-budget", id, "1")
    assert "session id" in sessions.error("freeze", "a\tb")


def test_unknown_sessions_are_not_found(sessions: Sessions) -> None:
    sessions.token()
    for words in (["get-budget"], ["unfreeze"], ["stats"], ["reset", "--yes"]):
        assert sessions.error(*words, "nope") == (
            "Error: Session 'nope' not found; session list shows those that are known\n"
        )


def test_freeze_and_unfreeze(sessions: Sessions) -> None:
    token = sessions.token()
    before = now()
    told = sessions.ok("freeze", "s")
    assert re.fullmatch(r"✓ Session 's' frozen\n  until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n", told)
    [freeze] = sessions.frozen()
    assert (freeze.token, freeze.key, freeze.reason) == (token, "session:s", "Manual freeze")
    assert freeze.until is not None
    assert before + 3_600_000 <= freeze.until <= now() + 3_600_000
    shown = sessions.ok("stats", "s").splitlines()
    assert shown[:3] == ["Anomaly Stats for: s", "  Frozen: Yes", "  Reason: Manual freeze"]
    assert shown[-1] == "  Requests (last minute): 0"
    sessions.ok("freeze", "s", "--reason", "looks wrong", "--for", "90s")
    [freeze] = sessions.frozen()
    assert freeze.reason == "looks wrong"
    assert freeze.until is not None
    assert freeze.until <= now() + 90_000
    assert sessions.ok("unfreeze", "s") == "✓ Session 's' unfrozen\n"
    assert sessions.frozen() == []


def test_unfreezing_what_is_not_frozen(sessions: Sessions) -> None:
    sessions.spend(sessions.token(), "s", 1)
    assert sessions.ok("unfreeze", "s") == "✓ Session 's' was not frozen\n"


def test_a_bad_freeze(sessions: Sessions) -> None:
    for words in (["--for", "0"], ["--for", "-1h"], ["--for", "soon"], ["--reason", " "]):
        assert words[0] in sessions.error("freeze", "s", *words)


def test_requests_of_a_watched_session_are_counted(sessions: Sessions) -> None:
    token = sessions.token()
    for _ in range(2):
        sessions.spend(token, "s", 1, watched=True)
    assert sessions.ok("stats", "s") == ("Anomaly Stats for: s\n  Frozen: No\n  Requests (last minute): 2\n")
    assert sessions.json("stats", "s") == {
        "session_id": "s",
        "token": token,
        "is_frozen": False,
        "freeze_reason": None,
        "requests_last_minute": 2,
    }


@pytest.mark.long
def test_reset(sessions: Sessions) -> None:
    token = sessions.token(CAPPED)
    for id in ("a", "a:b", "a:usd"):
        sessions.ok("set-budget", id, "9")
        sessions.spend(token, id, NANO)
    assert "nothing was reset" in sessions.run("reset", "a", stdin="n\n").stderr
    assert sessions.json("get-budget", "a")["spent"] == 1.0
    done = sessions.run("reset", "a", "--keep-budget", stdin="y\n")
    assert (done.returncode, done.stdout) == (0, "✓ Session 'a' reset successfully\n")
    assert done.stderr == "Are you sure you want to reset this session? [y/N]: "
    told = sessions.json("get-budget", "a")
    assert (told["budget"], told["spent"]) == (9.0, 0.0)
    sessions.spend(token, "a", NANO)
    sessions.ok("reset", "a", "--yes")
    # Now it is as if nobody had heard of it, and the next use has the policy's budget.
    assert [each["session_id"] for each in sessions.json("list")] == ["a:b", "a:usd"]
    assert {each["spent"] for each in sessions.json("list")} == {1.0}
    sessions.spend(token, "a", NANO // 2)
    told = sessions.json("get-budget", "a")
    assert (told["budget"], told["spent"]) == (2.0, 0.5)


def test_a_closed_stdin_is_a_no(sessions: Sessions) -> None:
    sessions.spend(sessions.token(), "s", NANO)
    done = sessions.run("reset", "s", stdin="")
    assert (done.returncode, done.stdout) == (1, "")
    assert sessions.json("get-budget", "s")["spent"] == 1.0


def test_list(sessions: Sessions) -> None:
    token = sessions.token(CAPPED)
    long = "[red]" + "x" * 120
    sessions.spend(token, long, NANO)
    sessions.ok("freeze", "frozen", "--reason", "because")
    lines = sessions.ok("list").splitlines()
    assert re.split(r"\s*┃\s*", lines[1])[1:-1] == [
        "Session ID",
        "Token",
        "Budget",
        "Spent",
        "Remaining",
        "Used %",
        "Status",
    ]
    rows = [re.split(r"\s*│\s*", line)[1:-1] for line in lines[3:-1]]
    assert rows == [
        [long, token[:8], "$2.0000", "$1.0000", "$1.0000", "50.0%", "active"],
        ["frozen", token[:8], "$2.0000", "$0.0000", "$2.0000", "0.0%", "frozen: because"],
    ]


@pytest.mark.long
def test_the_same_id_under_two_tokens(sessions: Sessions) -> None:
    one, other = sessions.token(), sessions.token()
    assert "--token" in sessions.error("set-budget", "s", "1")
    sessions.ok("set-budget", "s", "1", "--token", one[:8])
    sessions.ok("set-budget", "s", "2")
    assert sessions.json("get-budget", "s")["token"] == one
    sessions.ok("set-budget", "s", "3", "--token", other)
    for words in (["get-budget"], ["set-budget", "4"], ["freeze"], ["reset", "--yes"]):
        told = sessions.error(words[0], "s", *words[1:])
        assert "2 tokens have a session 's'" in told
        assert "--token" in told
    assert sessions.json("get-budget", "s", "--token", one[:12])["budget"] == 2.0
    assert sessions.json("get-budget", "s", "--token", other)["budget"] == 3.0
    assert "at least 8" in sessions.error("get-budget", "s", "--token", other[:7])
    assert "no token has" in sessions.error("get-budget", "s", "--token", "z" * 8)


def test_a_session_of_a_deleted_token(sessions: Sessions) -> None:
    gone = sessions.token()
    sessions.program.ok("delete", "--hash", gone)
    # A request that was under way ends after that.
    sessions.spend(gone, "s", NANO)
    assert sessions.json("get-budget", "s")["token"] == gone
    sessions.ok("reset", "s", "--yes", "--token", gone[:8])
    # What is left is the token itself.
    assert [each["session_id"] for each in sessions.json("list")] == ["default"]


def test_requests_without_a_session(sessions: Sessions) -> None:
    token = sessions.token()
    sessions.spend(token, "", NANO)
    assert [each["session_id"] for each in sessions.json("list")] == ["default"]
    assert "--reset-usage" in sessions.error("reset", "default", "--yes")
    freeze = Freeze(token, "token", None, "for good")
    sessions.counters(lambda counters: counters.freeze(freeze))
    assert "Until: for good" in sessions.ok("stats", "default")
    assert sessions.ok("unfreeze", "default") == "✓ Session 'default' unfrozen\n"
    assert sessions.frozen() == []


def test_a_store_that_cannot_be_read(sessions: Sessions) -> None:
    sessions.spend(sessions.token(), "s", NANO)
    (sessions.program.data / "counters.db").write_bytes(b"no database" * 100)
    assert sessions.error("list").startswith("Error: ")


def test_json_words_and_a_plain_terminal(sessions: Sessions) -> None:
    token = sessions.token()
    assert sessions.json("set-budget", "s", "$1.123456789") == {
        "session_id": "s",
        "token": token,
        "budget": 1.123456789,
    }
    assert sessions.json("freeze", "s")["reason"] == "Manual freeze"
    assert sessions.json("unfreeze", "s") == {"session_id": "s", "token": token, "was_frozen": True}
    assert sessions.json("reset", "s", "--yes", "--keep-budget")["kept_budget"] is True
    assert sessions.ok("set-budget", "s", "1", PYTHONIOENCODING="ascii") == "Budget set for 's': $1.00\n"
