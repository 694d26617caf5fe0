from __future__ import annotations

import logging
import sqlite3
import time
from datetime import timedelta
from pathlib import Path

import pytest

from tests.tokens.conftest import KEYS, NOW, POLICY
from tokenomics_core.tokens import StoreError, TokenStore, parse_expiry

A, B = "a" * 64, "b" * 64


def _raw(path: Path, sql: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(sql, values)
    connection.close()


def test_own_changes_hold_at_once(store: TokenStore) -> None:
    assert store.lookup(A, NOW) is None
    store.create(A, POLICY, now=NOW)
    first = store.lookup(A, NOW)
    assert first is not None
    assert first.policy.policy.model == "gpt-4o"
    store.update(A, policy='{"base_key_env":"K","model":"o3"}')
    second = store.lookup(A, NOW)
    assert second is not None
    assert second.policy.policy.model == "o3"
    store.update(A, disabled=True)
    assert store.lookup(A, NOW) is None
    store.update(A, disabled=False)
    assert store.lookup(A, NOW) is not None
    store.delete(A)
    assert store.lookup(A, NOW) is None


def test_changes_of_another_store_hold_at_once(store: TokenStore, path: Path) -> None:
    other = TokenStore(path, KEYS)
    other.create(A, POLICY, now=NOW)
    assert store.lookup(A, NOW) is not None
    other.update(A, label="new")
    assert store.lookup(A, NOW).label == "new"  # type: ignore[union-attr]
    other.delete(A)
    assert store.lookup(A, NOW) is None
    other.close()


def test_a_record_is_compiled_once_until_it_changes(store: TokenStore) -> None:
    store.create(A, POLICY, now=NOW)
    store.create(B, POLICY, now=NOW)
    first = store.lookup(A, NOW)
    assert store.lookup(A, NOW) is first
    # Changes of others, and notes of use, leave it as it is.
    store.update(B, label="new")
    assert store.lookup(A, NOW) is first
    store.touch({A: NOW})
    store._last_used.flush()
    assert store.lookup(A, NOW) is first
    store.update(A, label="new")
    assert store.lookup(A, NOW) is not first


@pytest.mark.parametrize(
    ("expires", "later", "known"),
    [
        ("1h", timedelta(hours=1), True),
        ("1h", timedelta(hours=1, microseconds=1), False),
        ("2026-03-01T10:00:00Z", timedelta(), False),
        ("2026-03-01T14:00:00+02:00", timedelta(), True),
        ("", timedelta(days=36500), True),
    ],
)
def test_expired_means_later_than_the_expiry(
    store: TokenStore, expires: str, later: timedelta, known: bool
) -> None:
    store.create(A, POLICY, now=NOW, expires=parse_expiry(expires, NOW))
    assert (store.lookup(A, NOW + later) is not None) is known
    assert store.get(A) is not None


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE tokens SET expires_at = '2099-01-01T00:00:00Z' WHERE hash = ?",
        "UPDATE tokens SET expires_at = '' WHERE hash = ?",
        "UPDATE tokens SET expires_at = 'whenever' WHERE hash = ?",
        "UPDATE tokens SET expires_at = x'00' WHERE hash = ?",
        "UPDATE tokens SET created_at = '2026-03-01T12:00:01Z' WHERE hash = ?",
        "UPDATE tokens SET created_at = '' WHERE hash = ?",
        "UPDATE tokens SET disabled = 1 WHERE hash = ?",
        "UPDATE tokens SET policy = (SELECT policy FROM tokens WHERE hash != ?1) WHERE hash = ?1",
        "UPDATE tokens SET policy = x'' WHERE hash = ?",
        "UPDATE tokens SET policy = 'text' WHERE hash = ?",
        'UPDATE tokens SET policy = \'{"base_key_env":"K"}\' WHERE hash = ?',
        "UPDATE tokens SET policy = zeroblob(80) WHERE hash = ?",
        "UPDATE tokens SET key_id = '0123456789abcdef' WHERE hash = ?",
        "UPDATE tokens SET label = x'00ff' WHERE hash = ?",
    ],
)
def test_a_record_that_was_altered_is_unknown(
    store: TokenStore, path: Path, caplog: pytest.LogCaptureFixture, sql: str
) -> None:
    store.create(A, POLICY, now=NOW, expires=parse_expiry("7d", NOW))
    store.create(B, '{"base_key_env":"ADMIN_KEY"}', now=NOW)
    assert store.lookup(A, NOW) is not None
    _raw(path, sql, A)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert store.lookup(A, NOW) is None
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"token {A[:16]} is refused: ")
    assert A not in warnings[0]
    assert "ADMIN_KEY" not in warnings[0]
    assert store.lookup(B, NOW) is not None
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert [record.hash for record in store.list()] == [B]
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"token {A[:16]} cannot be read"
    ]
    with pytest.raises(StoreError, match="delete it and make a new one"):
        store.get(A)
    store.delete(A)


def test_a_disabled_record_cannot_be_switched_on_by_hand(store: TokenStore, path: Path) -> None:
    store.create(A, POLICY, now=NOW)
    store.update(A, disabled=True)
    _raw(path, "UPDATE tokens SET disabled = 0 WHERE hash = ?", A)
    assert store.lookup(A, NOW) is None


def test_two_records_cannot_be_swapped(store: TokenStore, path: Path) -> None:
    store.create(A, POLICY, now=NOW)
    store.create(B, '{"base_key_env":"ADMIN_KEY"}', now=NOW)
    sealed = {}
    raw = sqlite3.connect(path)
    for hash in (A, B):
        [(sealed[hash],)] = raw.execute("SELECT policy FROM tokens WHERE hash = ?", (hash,)).fetchall()
    raw.close()
    _raw(path, "UPDATE tokens SET policy = ? WHERE hash = ?", sealed[A], B)
    _raw(path, "UPDATE tokens SET policy = ? WHERE hash = ?", sealed[B], A)
    assert store.lookup(A, NOW) is None
    assert store.lookup(B, NOW) is None


def test_a_policy_that_is_no_longer_valid_is_unknown(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # As after an upgrade with stricter rules.
    monkeypatch.setattr("tokenomics_core.tokens.store._check_policy", lambda text: None)
    store.create(A, '{"base_key_env":"K","rules":["("]}', now=NOW)
    with caplog.at_level(logging.WARNING):
        assert store.lookup(A, NOW) is None
        assert store.lookup(A, NOW) is None
    assert len(caplog.records) == 1
    assert store.get(A) is not None


def test_unknown_hashes_are_not_remembered(store: TokenStore) -> None:
    for number in range(300):
        assert store.lookup(f"{number:064x}", NOW) is None
    assert store._lookup is not None
    assert store._lookup._entries == {}


def test_the_cache_has_a_limit(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenomics_core.tokens.lookup._LIMIT", 5)
    for number in range(12):
        hash = f"{number:064x}"
        store.create(hash, POLICY, now=NOW)
        assert store.lookup(hash, NOW) is not None
        store.delete(hash)
    assert store._lookup is not None
    assert len(store._lookup._entries) <= 5


def test_a_database_that_is_gone_is_an_error(store: TokenStore, path: Path) -> None:
    store.create(A, POLICY, now=NOW)
    assert store.lookup(A, NOW) is not None
    aside = path.with_name("aside.db")
    path.rename(aside)
    with pytest.raises(StoreError, match="is gone; restore it and restart"):
        store.lookup(A, NOW)
    path.write_bytes(aside.read_bytes())
    with pytest.raises(StoreError, match="was replaced by another file; restart"):
        store.lookup(A, NOW)
    path.unlink()
    aside.rename(path)
    assert store.lookup(A, NOW) is not None


def test_a_broken_database_is_an_error(store: TokenStore, path: Path) -> None:
    store.create(A, POLICY, now=NOW)
    assert store.lookup(A, NOW) is not None
    _raw(path, "ALTER TABLE tokens RENAME TO elsewhere")
    _raw(path, "UPDATE token_meta SET value = value + 1 WHERE key = 'revision'")
    for _ in range(2):
        with pytest.raises(StoreError, match="no such table: tokens"):
            store.lookup(A, NOW)
    _raw(path, "ALTER TABLE elsewhere RENAME TO tokens")
    assert store.lookup(A, NOW) is not None


def test_a_lookup_never_waits_for_a_writer(store: TokenStore, path: Path) -> None:
    store.create(A, POLICY, now=NOW)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM tokens")
    assert store.lookup(A, NOW) is not None
    writer.execute("COMMIT")
    assert store.lookup(A, NOW) is None
    writer.close()


def test_a_known_token_costs_microseconds(store: TokenStore) -> None:
    """Well under 50 on an idle machine; the best of many rounds, because the machine may not be idle."""
    store.create(A, POLICY, now=NOW)
    store.lookup(A, NOW)
    best = min(_timed(store) for _ in range(50))
    assert best < 50e-6


def _timed(store: TokenStore) -> float:
    start = time.perf_counter()
    for _ in range(20):
        store.lookup(A, NOW)
    return (time.perf_counter() - start) / 20
