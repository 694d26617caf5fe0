"""Nothing that the tests start can leave the machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import loopback_guard
from tests.fake_provider import FakeProvider
from tests.support.environment import clean_environment
from tests.support.ports import free_ports, listens

OUTSIDE = [
    "192.0.2.1",
    "10.0.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "128.0.0.1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1"])
def test_loopback(host: str) -> None:
    assert loopback_guard.is_loopback(host)


@pytest.mark.parametrize("host", [*OUTSIDE, "localhost.example", "", "2130706433", "127.1"])
def test_not_loopback(host: str) -> None:
    assert not loopback_guard.is_loopback(host)


@pytest.mark.parametrize("host", OUTSIDE)
def test_this_process_cannot_connect(host: str) -> None:
    with pytest.raises(OSError, match="loopback guard"):
        socket.create_connection((host, 443), timeout=1)


def test_this_process_cannot_send_datagrams() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        pytest.raises(OSError, match="loopback guard"),
    ):
        sock.sendto(b"x", ("192.0.2.1", 53))


async def test_asyncio_cannot_connect() -> None:
    with pytest.raises(OSError, match="loopback guard"):
        await asyncio.open_connection("192.0.2.1", 443)
    with pytest.raises(socket.gaierror, match="loopback guard"):
        await asyncio.open_connection("api.openai.com", 443)


@pytest.mark.parametrize("name", ["example.com", "localhost.example", "127.1", "0x7f.1"])
def test_names_are_not_looked_up(name: str) -> None:
    with pytest.raises(socket.gaierror, match="loopback guard"):
        socket.getaddrinfo(name, 443)


def test_loopback_is_open(fake_provider: FakeProvider) -> None:
    for host in ("127.0.0.1", "localhost"):
        socket.create_connection((host, fake_provider.port)).close()


def test_started_processes_are_guarded_too(tmp_path: Path) -> None:
    """Also the ones they start, and all of them leave word."""
    log = tmp_path / "guard.log"
    connect = "import socket; socket.create_connection(('192.0.2.1', 9), 1)"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {connect!r}])"
    for program in (connect, start):
        subprocess.run(
            [sys.executable, "-c", program],
            env=clean_environment(tmp_path / "home", log),
            stderr=subprocess.DEVNULL,
            check=False,
        )
    assert loopback_guard.refusals(log) == ["socket.connect 192.0.2.1 9"] * 2
    assert len(loopback_guard.guarded(log)) == 3


def test_process_without_a_log_does_not_start(tmp_path: Path) -> None:
    environ = clean_environment(tmp_path / "home", tmp_path / "guard.log")
    del environ[loopback_guard.LOG_VARIABLE]
    done = subprocess.run([sys.executable, "-c", "pass"], env=environ, capture_output=True, check=False)
    assert done.returncode == 70


def test_environment_is_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-testers-own")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    environ = clean_environment(tmp_path / "home", tmp_path / "guard.log")
    assert "OPENAI_API_KEY" not in environ
    assert not [name for name in environ if name.lower().endswith("_proxy")]


def test_owner_of_a_port(fake_provider: FakeProvider) -> None:
    assert listens(os.getpid(), fake_provider.port)
    assert not listens(os.getppid(), fake_provider.port)
    assert not listens(os.getpid(), free_ports(1)[0])
    with contextlib.suppress(OSError):
        assert len(set(free_ports(5))) == 5
