"""Real Redis servers on loopback, alone and as a cluster, for tests. Nothing of them outlives the test."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import redis

from tests.support.ports import free_ports, listens
from tokenomics_core.config.schema import Redis as Settings
from tokenomics_core.counters.journal import Journal
from tokenomics_core.counters.redis import RedisCounters
from tokenomics_core.counters.sqlite import SqliteCounters

OnError = Literal["refuse", "local"]

PATIENCE = 30.0
"""Seconds for a server to come up."""


def make_store(
    where: Settings, folder: Path, owner: str = "me", on_error: OnError = "refuse"
) -> RedisCounters:
    """A store, not opened yet, with its journal and its local counters in one file of the folder."""
    path = folder / "counters.db"
    local = SqliteCounters(path, owner)
    return RedisCounters(where, Journal(path, owner), on_error=on_error, local=local, pause=0.05)


class RedisServer:
    """One server in its own process. It keeps nothing on disk: started again it is empty."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self.folder = folder
        self.port = port
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = shutil.which("redis-server")
        assert command is not None, "redis-server is missing: apt-get install redis-server"
        self.folder.mkdir(parents=True, exist_ok=True)
        fixed = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self.folder))
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [command, "--port", str(self.port), *fixed, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while not listens(self.pid, self.port):
            log_text = (self.folder / "redis.log").read_text(errors="replace")
            assert self._process.poll() is None, log_text
            assert time.monotonic() < deadline, log_text
            time.sleep(0.02)

    def kill(self) -> None:
        """As a crash does it: nothing is said to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def settings(self, **more: object) -> Settings:
        return Settings.model_validate({"addr": f"127.0.0.1:{self.port}", **more})

    def client(self, **more: str) -> redis.Redis:
        return redis.Redis(port=self.port, decode_responses=True, **more)  # type: ignore[arg-type]


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    server = RedisServer(folder, free_ports(1)[0], *options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class RedisNodes:
    """A cluster of three primaries without replicas."""

    def __init__(self, nodes: list[RedisServer]) -> None:
        self.nodes = nodes

    def settings(self, **more: object) -> Settings:
        addresses = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return Settings.model_validate({"addr": addresses, "cluster": True, **more})

    def flush(self) -> None:
        for node in self.nodes:
            with node.client() as client:
                client.flushall()

    def node_of(self, token: str) -> RedisServer:
        """Who keeps the token."""
        for node in self.nodes:
            with node.client() as client:
                try:
                    client.get(f"tokenomics:{{{token}}}:counters")
                except redis.exceptions.MovedError:
                    continue
                return node
        raise AssertionError("no node of the cluster keeps that token")


@contextmanager
def redis_cluster(folder: Path) -> Iterator[RedisNodes]:
    cli = shutil.which("redis-cli")
    assert cli is not None, "redis-cli is missing: apt-get install redis-tools"
    ports = free_ports(6)
    nodes = []
    for port, bus in zip(ports[:3], ports[3:], strict=True):
        options = ("--cluster-enabled", "yes", "--cluster-config-file", f"nodes-{port}.conf")
        options += ("--cluster-port", str(bus), "--cluster-require-full-coverage", "no")
        nodes.append(RedisServer(folder / str(port), port, *options))
    try:
        for node in nodes:
            node.start()
        addresses = [f"127.0.0.1:{node.port}" for node in nodes]
        create = [cli, "--cluster", "create", *addresses, "--cluster-replicas", "0", "--cluster-yes"]
        made = subprocess.run(
            create, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
        )
        assert made.returncode == 0, made.stdout + made.stderr
        deadline = time.monotonic() + PATIENCE
        for node in nodes:
            while "cluster_state:ok" not in (state := _ask(cli, node, "cluster", "info")):
                assert time.monotonic() < deadline, state
                time.sleep(0.05)
        yield RedisNodes(nodes)
    finally:
        for node in nodes:
            node.kill()


def _ask(cli: str, node: RedisServer, *command: str) -> str:
    run = [cli, "-p", str(node.port), *command]
    return subprocess.run(run, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
