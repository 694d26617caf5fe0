"""The store and the command line on one database, as processes of their own."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.program import Program
from tokenomics_core.config import Config
from tokenomics_core.tokens import Keys, TokenStore, load_keys

POLICY = '{"base_key_env":"K","model":"gpt-4o"}'


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def _keys(program: Program) -> Keys:
    return load_keys(Config(dir=program.data), {}, os.urandom)


def test_the_next_lookup_sees_what_the_command_line_did(program: Program) -> None:
    store = TokenStore(program.data / "tokenomics.db", _keys(program))
    now = datetime.now(UTC)
    assert store.lookup("0" * 64, now) is None

    first = program.json("create", "--policy", POLICY)["hash"]
    second = program.json("create", "--policy", POLICY, "--expires", "1h")["hash"]
    record = store.lookup(first, now)
    assert record is not None
    assert record.policy.policy.model == "gpt-4o"

    program.ok("update", "--hash", first, "--policy", '{"model":"o3"}')
    assert store.lookup(first, now).policy.policy.model == "o3"  # type: ignore[union-attr]
    assert store.lookup(second, now) is not None
    program.ok("update", "--hash", second, "--expires", "2020-01-01T00:00:00Z")
    assert store.lookup(second, now) is None
    program.ok("update", "--hash", second, "--expires", "clear")
    assert store.lookup(second, now) is not None
    program.ok("update", "--hash", first, "--disable")
    assert store.lookup(first, now) is None
    program.ok("update", "--hash", first, "--enable")
    assert store.lookup(first, now) is not None
    program.ok("delete", "--hash", first)
    assert store.lookup(first, now) is None

    store.touch({second: now})
    store.close()
    assert f"Last Used:  {now:%Y-%m-%dT%H:%M:%SZ}" in program.ok("get", "--hash", second)


def test_four_processes_create_at_once_on_nothing(program: Program) -> None:
    """Keys, database and schema are made by whoever comes first; every token works in the end."""
    words = ["--dir", str(program.data), "token", "create", "--policy", POLICY]
    running = [program.start(*words) for _ in range(4)]
    made = set()
    for process in running:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        made.add(re.search(r"Hash:    (\w{64})", out)[1])  # type: ignore[index]
    assert len(made) == 4
    store = TokenStore(program.data / "tokenomics.db", _keys(program))
    now = datetime.now(UTC)
    assert {record.hash for record in store.list()} == made
    assert all(store.lookup(hash, now) for hash in made)
    store.close()


def test_the_command_line_works_while_a_writer_is_busy(program: Program) -> None:
    """A write waits for another one instead of failing."""
    store = TokenStore(program.data / "tokenomics.db", _keys(program))
    with store._writing():
        process = program.start("--dir", str(program.data), "token", "create", "--policy", POLICY)
        assert program.ok("list") == "No tokens found.\n"
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert len(store.list()) == 1
    store.close()
