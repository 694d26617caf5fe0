from __future__ import annotations

import logging
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tokenomics_core.config import Config
from tokenomics_core.tokens import KeyFileError, load_keys
from tokenomics_core.tokens.keys import Keys


def _load(folder: Path, environ: dict[str, str] | None = None) -> Keys:
    return load_keys(Config(dir=folder), environ or {}, os.urandom)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    first = _load(folder)
    assert _load(folder) == first
    assert len(first.hash_key) == len(first.encryption_secret) == 64
    assert first.hash_key != first.encryption_secret
    assert _load(tmp_path / "elsewhere").hash_key != first.hash_key


def test_key_files_are_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        _load(tmp_path / "new" / "data")
    finally:
        os.umask(old)
    keys = tmp_path / "new" / "data" / "keys"
    assert _mode(tmp_path / "new") == _mode(tmp_path / "new" / "data") == _mode(keys) == 0o700
    assert {path.name: _mode(path) for path in keys.iterdir()} == {
        "hash.key": 0o600,
        "encryption.key": 0o600,
    }


def test_a_key_file_that_others_can_read_is_made_private(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = _load(tmp_path)
    (tmp_path / "keys").chmod(0o755)
    (tmp_path / "keys" / "hash.key").chmod(0o644)
    with caplog.at_level(logging.WARNING):
        assert _load(tmp_path) == first
    assert _mode(tmp_path / "keys") == 0o700
    assert _mode(tmp_path / "keys" / "hash.key") == 0o600
    assert "hash.key was open to other users (mode 644)" in caplog.text


def test_the_environment_wins_and_makes_no_files(tmp_path: Path) -> None:
    environ = {"TOKENOMICS_HASH_KEY": "my-hash-key", "TOKENOMICS_ENCRYPTION_KEY": "0a0b"}
    keys = _load(tmp_path, environ)
    assert (keys.hash_key, keys.encryption_secret) == (b"my-hash-key", b"0a0b")
    assert keys.hash_key_source == "$TOKENOMICS_HASH_KEY"
    assert not (tmp_path / "keys").exists()


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    keys = _load(tmp_path, {"TOKENOMICS_HASH_KEY": "", "TOKENOMICS_ENCRYPTION_KEY": "s"})
    assert len(keys.hash_key) == 64
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["hash.key"]


def test_the_variables_can_have_other_names(tmp_path: Path) -> None:
    config = Config.model_validate(
        {"dir": tmp_path, "security": {"hash_key_env": "MY_KEY", "encryption_key_env": "MY_SECRET"}}
    )
    keys = load_keys(config, {"MY_KEY": "one", "MY_SECRET": "two"}, os.urandom)
    assert (keys.hash_key, keys.encryption_secret) == (b"one", b"two")


def test_a_key_file_may_move_into_the_variable(tmp_path: Path) -> None:
    made = _load(tmp_path)
    text = (tmp_path / "keys" / "hash.key").read_text().strip()
    assert _load(tmp_path / "other", {"TOKENOMICS_HASH_KEY": text}).hash_key == made.hash_key


@pytest.mark.parametrize("content", [b"", b"\n", b"short"])
def test_a_damaged_key_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    _load(tmp_path)
    (tmp_path / "keys" / "hash.key").write_bytes(content)
    with pytest.raises(KeyFileError, match=r"hash\.key is damaged; restore it .*TOKENOMICS_HASH_KEY"):
        _load(tmp_path)


def test_a_key_file_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file where the folder should be")
    with pytest.raises(KeyFileError, match="set \\$TOKENOMICS_HASH_KEY") as caught:
        _load(tmp_path)
    assert "\n" not in str(caught.value)


def test_all_who_start_at_once_get_the_same_keys(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: _load(tmp_path), range(32)))
    assert len({keys.hash_key for keys in found}) == 1
    assert len({keys.encryption_secret for keys in found}) == 1
    assert len(list((tmp_path / "keys").iterdir())) == 2


def test_keys_are_not_shown() -> None:
    assert "hush" not in repr(Keys(b"hush1", b"hush2"))
