from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.tokens.conftest import KEYS, NOW, POLICY
from tokenomics_core.policy import PolicyError
from tokenomics_core.tokens import (
    CLEAR,
    Expiry,
    KeyMismatch,
    Keys,
    StoreError,
    TokenExists,
    TokenNotFound,
    TokenStore,
    parse_expiry,
)
from tokenomics_core.tokens.last_used import LastUsed

A, B, C = "a" * 64, "b" * 64, "c" * 64


def _expiry(text: str) -> Expiry:
    expiry = parse_expiry(text, NOW)
    assert expiry is not None
    return expiry


def test_a_record_comes_back_as_it_was_given(store: TokenStore) -> None:
    made = store.create(A, POLICY, now=NOW, expires=_expiry("2027-01-31T02:00:00+02:00"), label="für CI")
    got = store.get(A)
    assert got == made
    assert got is not None
    assert got.policy_text == POLICY
    assert got.created_at == NOW
    assert got.expires_text == "2027-01-31T02:00:00+02:00"
    assert got.expires_at == datetime(2027, 1, 31, tzinfo=UTC)
    assert (got.label, got.disabled, got.short) == ("für CI", False, "a" * 16)
    assert got.policy.policy.model == "gpt-4o"
    assert POLICY not in repr(got)


def test_what_is_not_there(store: TokenStore) -> None:
    assert store.get(A) is None
    assert store.lookup(A, NOW) is None
    assert store.list() == []
    assert store.hashes("a") == []
    with pytest.raises(TokenNotFound, match="token not found"):
        store.update(A, policy=POLICY)
    with pytest.raises(TokenNotFound, match="token not found"):
        store.delete(A)


def test_a_hash_is_taken_once(store: TokenStore) -> None:
    store.create(A, POLICY, now=NOW)
    with pytest.raises(TokenExists, match="token hash already exists"):
        store.create(A, '{"base_key_env":"OTHER"}', now=NOW)
    record = store.get(A)
    assert record is not None
    assert record.policy_text == POLICY


def test_list_is_ordered_by_hash(store: TokenStore) -> None:
    for hash in (C, A, B):
        store.create(hash, POLICY, now=NOW)
    assert [record.hash for record in store.list()] == [A, B, C]


@pytest.mark.parametrize("policy", ["", "[]", "{}", '{"base_key_env":"K","rules":["("]}'])
def test_a_bad_policy_is_not_stored(store: TokenStore, policy: str) -> None:
    with pytest.raises(PolicyError):
        store.create(A, policy, now=NOW)
    assert store.get(A) is None
    store.create(A, POLICY, now=NOW)
    with pytest.raises(PolicyError):
        store.update(A, policy=policy, label="new")
    record = store.get(A)
    assert record is not None
    assert (record.policy_text, record.label) == (POLICY, "")


@pytest.mark.parametrize("label", ["two\nlines", "\x1b[31m", "x" * 201])
def test_a_label_is_one_printable_line(store: TokenStore, label: str) -> None:
    with pytest.raises(StoreError, match="printable"):
        store.create(A, POLICY, now=NOW, label=label)


def test_update_keeps_what_is_not_given(store: TokenStore) -> None:
    store.create(A, POLICY, now=NOW, expires=_expiry("7d"), label="one")
    for change, expected in [
        ({"label": "two"}, (POLICY, "2026-03-08T12:00:00Z", "two", False)),
        ({"disabled": True}, (POLICY, "2026-03-08T12:00:00Z", "two", True)),
        ({"expires": _expiry("1d")}, (POLICY, "2026-03-02T12:00:00Z", "two", True)),
        ({"policy": '{"base_key_env":"K"}'}, ('{"base_key_env":"K"}', "2026-03-02T12:00:00Z", "two", True)),
        (
            {"policy": lambda old: None, "label": ""},
            ('{"base_key_env":"K"}', "2026-03-02T12:00:00Z", "", True),
        ),
        ({"expires": CLEAR, "disabled": False}, ('{"base_key_env":"K"}', "", "", False)),
    ]:
        record = store.update(A, **change)  # type: ignore[arg-type]
        assert (record.policy_text, record.expires_text, record.label, record.disabled) == expected
        assert store.get(A) == record
        assert record.created_at == NOW


def test_an_edit_sees_the_record_as_it_is(store: TokenStore, path: Path) -> None:
    """Many edits at once, from two stores: none is lost, because each runs inside its transaction."""
    store.create(A, '{"base_key_env":"K","max_tokens":0}', now=NOW)
    other = TokenStore(path, KEYS)

    def bump(one: TokenStore) -> None:
        one.update(A, policy=lambda old: f'{{"base_key_env":"K","max_tokens":{_max_tokens(old) + 1}}}')

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(bump, [store, other] * 20))
    other.close()
    record = store.get(A)
    assert _max_tokens(record) == 40


def _max_tokens(record: object) -> int:
    return record.policy.policy.max_tokens  # type: ignore[attr-defined,no-any-return]


def test_purge_removes_the_expired(store: TokenStore) -> None:
    store.create(A, POLICY, now=NOW, expires=_expiry("2026-03-01T13:00:00+01:00"))
    store.create(B, POLICY, now=NOW, expires=_expiry("1s"))
    store.create(C, POLICY, now=NOW)
    assert store.purge(NOW) == []
    assert store.purge(NOW + timedelta(microseconds=1)) == [A]
    assert store.purge(NOW + timedelta(days=1)) == [B]
    assert [record.hash for record in store.list()] == [C]


def test_purge_leaves_what_it_cannot_read(store: TokenStore, path: Path) -> None:
    for hash in (A, B):
        store.create(hash, POLICY, now=NOW)
    raw = sqlite3.connect(path)
    raw.execute("UPDATE tokens SET expires_at = x'00' WHERE hash = ?", (A,))
    raw.execute("UPDATE tokens SET expires_at = '1999' WHERE hash = ?", (B,))
    raw.commit()
    raw.close()
    assert store.purge(NOW) == []
    assert store.hashes("") == [A, B]


def test_hashes_by_prefix(store: TokenStore) -> None:
    for hash in ("12ff" + "0" * 60, "12f" + "0" * 61, "13" + "0" * 62):
        store.create(hash, POLICY, now=NOW)
    assert store.hashes("12f") == ["12f" + "0" * 61, "12ff" + "0" * 60]
    assert store.hashes("12ff") == ["12ff" + "0" * 60]
    assert store.hashes("14") == []
    assert store.hashes("%") == []


def test_close_can_be_called_twice(path: Path) -> None:
    store = TokenStore(path, KEYS)
    store.lookup(A, NOW)
    store.close()
    store.close()
    with pytest.raises(StoreError):
        store.lookup(A, NOW)
    with pytest.raises(StoreError):
        store.list()


def test_use_is_noted_and_written_by_close(path: Path) -> None:
    store = TokenStore(path, KEYS)
    store.create(A, POLICY, now=NOW)
    store.touch({A: NOW, B: NOW})
    store.touch({A: NOW - timedelta(hours=1)})
    before = store.revision()
    store.close()
    store = TokenStore(path, KEYS)
    assert [record.last_used_at for record in store.list()] == [NOW]
    assert store.get(A).last_used_at == NOW  # type: ignore[union-attr]
    assert store.revision() == before
    store.touch({A: NOW - timedelta(days=1)})
    store.close()
    store = TokenStore(path, KEYS)
    assert store.get(A).last_used_at == NOW  # type: ignore[union-attr]
    store.delete(A)
    store.create(A, POLICY, now=NOW)
    assert store.get(A).last_used_at is None  # type: ignore[union-attr]
    store.close()


def test_uses_are_written_together() -> None:
    written: list[Mapping[str, datetime]] = []
    done = threading.Event()

    def write(times: Mapping[str, datetime]) -> None:
        written.append(times)
        done.set()

    used = LastUsed(write, interval=0.05)
    for second in range(100):
        used.note({A: NOW + timedelta(seconds=second)})
    assert done.wait(5)
    used.close()
    assert written == [{A: NOW + timedelta(seconds=99)}]


def test_a_use_that_cannot_be_written_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    written: list[Mapping[str, datetime]] = []

    def write(times: Mapping[str, datetime]) -> None:
        if not written:
            written.append({})
            raise StoreError("another process keeps it busy")
        written.append(times)

    used = LastUsed(write, interval=60)
    used.note({A: NOW, B: NOW})
    with caplog.at_level(logging.WARNING):
        used.flush()
    assert "last use of 2 tokens is not saved yet" in caplog.text
    used.note({A: NOW + timedelta(seconds=1)})
    used.close()
    assert written[1:] == [{A: NOW + timedelta(seconds=1), B: NOW}]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (Keys(b"other", KEYS.encryption_secret, "$HK", "$EK"), "hashed with another key than \\$HK"),
        (
            Keys(KEYS.hash_key, b"other", "$HK", "$EK"),
            "encrypted with another secret than \\$EK.*token rekey",
        ),
    ],
)
def test_other_keys_are_refused_in_one_line(store: TokenStore, path: Path, keys: Keys, message: str) -> None:
    store.create(A, POLICY, now=NOW)
    with pytest.raises(KeyMismatch, match=message) as caught:
        TokenStore(path, keys)
    assert "\n" not in str(caught.value)
    assert store.get(A) is not None


def test_an_empty_database_takes_other_keys(store: TokenStore, path: Path) -> None:
    other = TokenStore(path, Keys(b"other", b"other secret"))
    other.create(A, POLICY, now=NOW)
    assert other.lookup(A, NOW) is not None
    other.close()
    # Whoever had it open with the old keys says so, instead of knowing no token.
    with pytest.raises(KeyMismatch):
        store.create(B, POLICY, now=NOW)
    with pytest.raises(StoreError, match="hashed with another key"):
        store.lookup(A, NOW)


def test_rekey_encrypts_everything_anew(store: TokenStore, path: Path) -> None:
    store.create(A, POLICY, now=NOW, expires=_expiry("7d"), label="one")
    store.create(B, POLICY, now=NOW)
    store.update(B, disabled=True)
    before = store.list()
    running = TokenStore(path, KEYS)
    assert running.lookup(A, NOW) is not None
    assert store.rekey(b"a new secret") == 2
    assert store.list() == before
    assert store.lookup(A, NOW) == before[0]
    with pytest.raises(StoreError, match="encrypted with another secret"):
        running.lookup(A, NOW)
    running.close()
    with pytest.raises(KeyMismatch):
        TokenStore(path, KEYS)
    fresh = TokenStore(path, Keys(KEYS.hash_key, b"a new secret"))
    assert fresh.list() == before
    fresh.close()


def test_rekey_stops_at_a_record_it_cannot_read(store: TokenStore, path: Path) -> None:
    store.create(A, POLICY, now=NOW)
    store.create(B, POLICY, now=NOW)
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE tokens SET expires_at = '2099-01-01T00:00:00Z' WHERE hash = ?", (B,))
    raw.close()
    with pytest.raises(StoreError, match=f"token {B[:16]} cannot be read"):
        store.rekey(b"a new secret")
    assert store.get(A) is not None


def test_many_threads_at_once(store: TokenStore) -> None:
    """Lookups go on while other threads write, and never see a half-written record."""
    hashes = [f"{number:064x}" for number in range(40)]
    stop = threading.Event()
    wrong: list[object] = []

    def look() -> None:
        while not stop.is_set():
            for hash in hashes:
                record = store.lookup(hash, NOW)
                if record is not None and record.policy_text != POLICY:
                    wrong.append(record)

    reader = threading.Thread(target=look)
    reader.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda hash: store.create(hash, POLICY, now=NOW), hashes))
        list(pool.map(store.delete, hashes[::2]))
    stop.set()
    reader.join()
    assert wrong == []
    assert [store.lookup(hash, NOW) is not None for hash in hashes] == [False, True] * 20


def test_a_different_salt_in_every_database(tmp_path: Path) -> None:
    stores = [TokenStore(tmp_path / f"{number}.db", KEYS, randomness=os.urandom) for number in range(2)]
    for store in stores:
        store.create(A, POLICY, now=NOW)
        store.close()
    salts = set()
    for number in range(2):
        raw = sqlite3.connect(tmp_path / f"{number}.db")
        salts |= set(raw.execute("SELECT value FROM token_meta WHERE key = 'salt'"))
        raw.close()
    assert len(salts) == 2
