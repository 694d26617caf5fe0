"""server.start says that the gateway can be reached."""

from __future__ import annotations

import socket
import subprocess

import pytest

from tests.events.receiving import Receiver
from tests.proxy.conftest import StartProxy
from tests.support.ports import free_ports
from tests.support.proxy import MitmdumpProxy, Proxy


def test_the_start_is_told_once_the_port_is_open(start_proxy: StartProxy, target: Receiver) -> None:
    proxy = start_proxy({"events": {"webhooks": [{"url": target.url}]}})
    (got,) = target.wait(1)
    assert got.event["type"] == "server.start"
    assert got.event["data"]["http_port"] == proxy.http_port
    assert got.event["data"]["https_port"] == proxy.https_port


@pytest.mark.parametrize("kind", [Proxy, MitmdumpProxy])
def test_who_finds_a_port_taken_tells_of_no_start(
    make_proxy: StartProxy, target: Receiver, kind: type[Proxy]
) -> None:
    gateway = make_proxy({"events": {"webhooks": [{"url": target.url}]}}, kind=kind)
    (gateway.http_port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gateway.https_port = taken.getsockname()[1]
        gateway._write_config()
        done = subprocess.run(
            gateway.serve_command(),
            cwd=gateway.folder,
            env=gateway.environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert str(gateway.https_port) in done.stdout + done.stderr
    assert '"deliveries": []' in gateway.cli("events", "list", "--json").stdout
    assert target.got == []
