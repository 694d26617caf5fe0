"""The data directory and the .env files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.config.conftest import Load
from tokenomics_core.config import ConfigError, load_dotenv_files, prepare_data_dir


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_what_is_made(load: Load, tmp_path: Path) -> None:
    config = load(dir=str(tmp_path / "a" / "b"))
    prepare_data_dir(config)
    assert mode(config.dir) == 0o700
    assert sorted(path.name for path in config.dir.iterdir()) == [".gitignore"]


def test_the_server_also_writes_a_first_config(load: Load, tmp_path: Path) -> None:
    config = load(dir=str(tmp_path / "data"))
    prepare_data_dir(config, with_config=True)
    path = config.dir / "config.yaml"
    assert mode(path) == 0o600
    assert yaml.safe_load(path.read_text()) == {
        "admin": {"enabled": True},
        "logging": {"level": "info", "format": "json", "proxy_log_file": "proxy.log"},
    }
    again = load(dir=str(config.dir))
    assert again.source == path
    assert again.warnings == []
    assert again.server == config.server


def test_what_is_there_stays(load: Load, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    (data / ".gitignore").write_text("mine")
    (data / "config.yml").write_text("server: {}")
    prepare_data_dir(load(dir=str(data)), with_config=True)
    assert (data / ".gitignore").read_text() == "mine"
    assert not (data / "config.yaml").exists()
    assert mode(data) == 0o755


def test_a_directory_that_cannot_be_made(load: Load, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = load(dir=str(tmp_path / "file" / "data"))
    with pytest.raises(
        ConfigError, match=r"^data directory .*: Not a directory; choose another one with --dir$"
    ):
        prepare_data_dir(config)


@pytest.mark.parametrize(
    "secret",
    [
        "tokenomics.db",
        "tokenomics.db-wal",
        "tokenomics.db-shm",
        "clients.db",
        "keys/hash.key",
        "memory/2026-01-01_x.md",
        "sessions/2026-01-01_x.json",
        "certs/ca.key",
        "certs/own.pem",
        "proxy.log",
        "proxy.log.1",
        "tokenomics.log",
        ".env",
        ".env.local",
    ],
)
def test_git_does_not_see_secrets(load: Load, tmp_path: Path, secret: str) -> None:
    config = load(dir=str(tmp_path / "data"))
    prepare_data_dir(config)
    subprocess.run(["git", "init", "--quiet", config.dir], check=True)
    ignored = subprocess.run(["git", "-C", config.dir, "check-ignore", "--quiet", secret], check=False)
    assert ignored.returncode == 0


def test_dotenv_precedence(cwd: Path, home: Path) -> None:
    (home / ".tokenomics").mkdir()
    (home / ".tokenomics" / ".env").write_text("A=home\nB=home\nC=home\nD=home\n")
    (cwd / ".env").write_text("A=cwd\nB=cwd\nC=cwd\n")
    environ = {"A": "process", "B": "", "E": "process"}
    merged = load_dotenv_files(environ, cwd, home)
    assert merged == {"A": "process", "B": "", "C": "cwd", "D": "home", "E": "process"}
    assert environ == {"A": "process", "B": "", "E": "process"}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("K=v", "v"),
        ("export K=v", "v"),
        ('K="a b"', "a b"),
        ("K='a $b'", "a $b"),
        ("K=a$b${c}", "a$b${c}"),
        ("K=a # comment", "a"),
        ("K=", ""),
    ],
)
def test_dotenv_values(cwd: Path, home: Path, line: str, value: str) -> None:
    (cwd / ".env").write_text(f"# first\n\n{line}\nlast=1\n")
    assert load_dotenv_files({}, cwd, home) == {"K": value, "last": "1"}


def test_no_dotenv_files(cwd: Path, home: Path) -> None:
    assert load_dotenv_files({"A": "1"}, cwd, home) == {"A": "1"}


def test_a_dotenv_file_that_is_no_text(cwd: Path, home: Path) -> None:
    (cwd / ".env").write_bytes(b"K=\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_dotenv_files({}, cwd, home)
