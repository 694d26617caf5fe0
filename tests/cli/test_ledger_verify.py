from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.cli import counted
from tests.cli.program import Program
from tests.counters.redis_servers import redis_server
from tests.support.ports import free_ports
from tokenomics_core.counters.question import Window

POLICY = '{"base_key_env":"K","budgets":[{"limit":10,"period":"month"}]}'
REDIS = {"TOKENOMICS_SESSION_BACKEND": "redis"}


def verify(program: Program, *words: str, **more: Any) -> Any:
    return program.run("--dir", str(program.data), "ledger", "verify", *words, **more)


def put(program: Program, token: str, key: str, amount: int) -> None:
    unit = "usd" if "usd" in key else "tokens"
    counted.with_counters(
        program,
        lambda counters: counters.put(token, key, amount, unit=unit, window=Window(), now=counted.now()),
    )


def test_nothing_is_there_and_nothing_is_made(program: Program) -> None:
    done = verify(program)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "The counters agree with the ledger: 0 counters of 0 tokens.\n"
    assert not program.data.exists()


def test_counters_that_agree(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    counted.spend(program, token, 12, "0.0000000011", session="s")
    counted.spend(program, token, 30, "2")
    done = verify(program)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "Not chained: 2 rows.\nThe counters agree with the ledger: 4 counters of 1 token.\n"
    )


def test_differences_are_shown_and_repaired(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    counted.spend(program, token, 1200, "2.5", session="s")
    put(program, token, "usd:total", 1_000_000_001)
    put(program, token, "tokens:total", 3000)
    done = verify(program)
    assert (done.returncode, done.stderr) == (1, "")
    cells = [re.findall(r"[^│┃|\s]+", line) for line in done.stdout.splitlines()]
    assert [token[:8], "tokens:total", "1,200", "3,000", "+1,800", "-"] in cells
    assert [token[:8], "usd:total", "$2.50", "$1.000000001", "-$1.499999999", "-"] in cells
    assert done.stdout.endswith("\n2 counters of 4 differ from the ledger; --repair sets them.\n")

    told = json.loads(verify(program, "--json").stdout)
    assert told == {
        "agree": False,
        "checked": 4,
        "repaired": 0,
        "differences": [
            {
                "token": token,
                "key": "tokens:total",
                "unit": "tokens",
                "ledger": 1200,
                "counter": 3000,
                "reserved": 0,
            },
            {
                "token": token,
                "key": "usd:total",
                "unit": "usd",
                "ledger": "2.50",
                "counter": "1.000000001",
                "reserved": "0.00",
            },
        ],
        "open": [],
        "left_out": [],
        "chain": {
            "holds": True,
            "rows": 0,
            "before_the_chain": 0,
            "not_chained": 1,
            "writers": 0,
            "heads": 0,
            "last_head": None,
            "findings": [],
        },
    }

    done = verify(program, "--repair")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\nRepaired 2 counters of 4.\n")
    assert {key: each.used for key, each in counted.used(program, token).items()} == {
        "session:s:usd:total": 2_500_000_000,
        "tokens:total": 1200,
        "usd:month": 2_500_000_000,
        "usd:total": 2_500_000_000,
    }
    assert verify(program).returncode == 0
    assert json.loads(verify(program, "--repair", "--json").stdout)["repaired"] == 0


def test_requests_under_way_are_told(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    counted.begin(program, token, 5, "1")
    done = verify(program)
    assert done.returncode == 0
    assert done.stdout.endswith("\nRequests of 1 token are under way; their rows come at their end.\n")
    put(program, token, "usd:total", 7)
    done = verify(program, "--repair")
    assert done.returncode == 0
    used = counted.used(program, token)["usd:total"]
    assert (used.used, used.reserved) == (0, 1_000_000_000)


def test_a_session_that_was_reset_stays_so(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    counted.spend(program, token, 5, "1", session="s")
    assert program.run("--dir", str(program.data), "session", "reset", "s", "--yes").returncode == 0
    assert verify(program).returncode == 0
    counted.spend(program, token, 5, "0.5", session="s")
    put(program, token, "session:s:usd:total", 7)
    assert verify(program, "--repair").returncode == 0
    used = counted.used(program, token)
    assert [used[key].used for key in ("session:s:usd:total", "usd:total")] == [500_000_000, 1_500_000_000]


def test_counters_that_are_lost_come_back(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    counted.spend(program, token, 12, "0.25", session="s")
    before = counted.used(program, token)
    for name in ("counters.db", "counters.db-wal", "counters.db-shm"):
        (program.data / name).unlink(missing_ok=True)
    assert verify(program).returncode == 1
    assert verify(program, "--repair").returncode == 0
    assert counted.used(program, token) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--also", "nowhere.db"], "there is no ledger at nowhere.db; check the path"),
        ([], "cannot read the ledger"),
        (["--counters"], "cannot open the ledger"),
        (["--chain", "--repair"], "--counters and --repair are about counters"),
        (["--counters", "--head", "x"], "--public-key and --head are about the chain"),
        (["--print-head"], "cannot read the ledger"),
    ],
)
def test_ledgers_that_cannot_be_read(program: Program, words: list[str], message: str) -> None:
    program.ok("create", "--policy", POLICY)
    ledger = program.data / "ledger.db"
    ledger.write_text("these are notes, not a database\n" * 100)
    ledger.chmod(0o600)
    done = verify(program, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_redis_away_is_one_line(program: Program) -> None:
    program.ok("create", "--policy", POLICY)
    [port] = free_ports(1)
    done = verify(program, **REDIS, TOKENOMICS_SESSION_REDIS_ADDR=f"127.0.0.1:{port}")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"Error: [^\n]*redis[^\n]*\n", done.stderr)


def test_machines_on_one_redis(program: Program) -> None:
    token = program.json("create", "--policy", POLICY)["hash"]
    counted.write_row(program, token, 10, "1")
    other = program.folder / "other.db"
    (program.data / "ledger.db").rename(other)
    counted.write_row(program, token, 5, "0.5")
    with redis_server(program.folder / "redis") as server:
        environ = {**REDIS, "TOKENOMICS_SESSION_REDIS_ADDR": f"127.0.0.1:{server.port}"}
        done = verify(program, "--repair", "--also", str(other), **environ)
        assert (done.returncode, done.stderr) == (0, "")
        assert "$1.50" in done.stdout
        # This machine alone knows of less, and leaves the rest to the others.
        assert verify(program, "--repair", **environ).returncode == 0
        assert json.loads(verify(program, "--also", str(other), "--json", **environ).stdout)["agree"]
