"""Gateways that the command line starts by itself, and what tests need to know of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

from tests.cli.program import Program
from tests.support.ports import free_ports
from tokenomics_core.process import Process


class Home(Program):
    """A folder with a configuration: a free port, and one upstream in OpenAI's and Anthropic's place."""

    def __init__(self, folder: Path, upstream: str = "http://127.0.0.1:9", **config: Any) -> None:
        super().__init__(folder)
        [self.port] = free_ports(1)
        providers = {name: {"upstream_url": upstream} for name in ("openai", "anthropic")}
        tree = {
            "server": {"http_port": self.port, "tls": {"enabled": False}},
            "providers": providers,
            "ledger": {"memory": False},
            **config,
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(tree))
        self.flags = ["--config", str(folder / "config.yaml"), "--dir", str(self.data)]

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def pid_file(self) -> Path:
        return self.data / "tokenomics.pid"

    def record(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.pid_file.read_text())
        return told

    def process(self) -> Process:
        told = self.record()
        return Process(told["pid"], told["started"])

    def end(self) -> None:
        """Leaves nothing running, whatever the test did."""
        if self.pid_file.exists():
            done = self.run(*self.flags, "stop")
            assert done.returncode == 0, done.stderr


class Stranger:
    """A program on loopback that answers every GET with 200, and keeps the requests it got."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        seen = self.heads

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(f"{self.requestline}\n{self.headers}")
                self.send_response(200)
                self.send_header("x-tokenomics-instance", "0123456789abcdef")
                self.send_header("content-length", "1")
                self.end_headers()
                self.wfile.write(b".")

            do_POST = do_GET

            def log_message(self, *about: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port


@contextmanager
def stranger() -> Iterator[Stranger]:
    one = Stranger()
    thread = Thread(target=one.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield one
    finally:
        one.server.shutdown()
        one.server.server_close()
        thread.join()
