from __future__ import annotations

import os
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.tokens.conftest import KEYS, NOW, POLICY
from tokenomics_core.tokens import StoreError, TokenStore
from tokenomics_core.tokens.database import MIGRATIONS, connect

A = "a" * 64


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_and_folders_are_private(path: Path) -> None:
    old = os.umask(0)
    try:
        store = TokenStore(path, KEYS)
        store.create(A, POLICY, now=NOW)
        store.lookup(A, NOW)
        assert {file.name: _mode(file) for file in path.parent.iterdir()} == {
            "tokenomics.db": 0o600,
            "tokenomics.db-wal": 0o600,
            "tokenomics.db-shm": 0o600,
        }
        assert _mode(path.parent) == 0o700
        store.close()
    finally:
        os.umask(old)


def test_a_database_that_others_can_read_is_made_private(path: Path) -> None:
    first = TokenStore(path, KEYS)
    for file in path.parent.iterdir():
        file.chmod(0o666)
    second = TokenStore(path, KEYS)
    assert {_mode(file) for file in path.parent.iterdir()} == {0o600}
    first.close()
    second.close()


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    TokenStore(tmp_path / "tokens.db", KEYS).close()
    assert _mode(tmp_path) == 0o755


def test_nothing_readable_is_in_the_file(path: Path) -> None:
    store = TokenStore(path, KEYS)
    store.create(A, '{"base_key_env":"VERY_SECRET_NAME","model":"gpt-secret"}', now=NOW)
    store.update(A, policy='{"base_key_env":"VERY_SECRET_NAME","model":"other-secret"}')
    files = [file.read_bytes() for file in path.parent.iterdir()]
    store.close()
    files.append(path.read_bytes())
    assert len(files) == 4
    for content in files:
        for word in (b"SECRET", b"secret", b"base_key_env", KEYS.hash_key, KEYS.encryption_secret):
            assert word not in content


def test_commits_are_synced_and_in_the_log(path: Path) -> None:
    TokenStore(path, KEYS).close()
    connection = connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA busy_timeout").fetchone() == (5000,)
    connection.close()


def test_many_open_a_new_database_at_once(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda _: TokenStore(path, KEYS), range(16)))
    for number, store in enumerate(stores):
        store.create(f"{number:064x}", POLICY, now=NOW)
    assert all(len(store.list()) == 16 for store in stores)
    for store in stores:
        store.close()


def test_the_schema_has_a_version(path: Path) -> None:
    TokenStore(path, KEYS).close()
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(StoreError, match="made by a newer Tokenomics; upgrade this one"):
        TokenStore(path, KEYS)


def test_a_migration_that_fails_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (*MIGRATIONS, "CREATE TABLE more (x);\nCREATE TABLE more (x);\n")
    monkeypatch.setattr("tokenomics_core.tokens.database.MIGRATIONS", broken)
    with pytest.raises(StoreError, match="table more already exists"):
        TokenStore(path, KEYS)
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA user_version").fetchone() == (0,)
    assert raw.execute("SELECT name FROM sqlite_master").fetchall() == []
    raw.close()
    monkeypatch.undo()
    TokenStore(path, KEYS).close()


def test_other_tables_may_live_in_the_same_file(path: Path) -> None:
    path.parent.mkdir()
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE counters (name TEXT)")
    raw.commit()
    raw.close()
    store = TokenStore(path, KEYS)
    store.create(A, POLICY, now=NOW)
    assert store.lookup(A, NOW) is not None
    store.close()


def test_what_is_no_database_is_told_in_one_line(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("this is not a database, " * 100)
    with pytest.raises(StoreError, match="not a token database, or damaged") as caught:
        TokenStore(path, KEYS)
    assert "\n" not in str(caught.value)


def test_a_path_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Not a directory; check the path"):
        TokenStore(tmp_path / "file" / "tokens.db", KEYS)
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match="Is a directory; check the path"):
        TokenStore(tmp_path / "folder", KEYS)


def test_a_writer_that_does_not_let_go_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = TokenStore(path, KEYS)
    store._connection.execute("PRAGMA busy_timeout = 10")
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another process keeps it busy; try again"):
        store.create(A, POLICY, now=NOW)
    raw.execute("ROLLBACK")
    raw.close()
    store.create(A, POLICY, now=NOW)
    store.close()
