"""Starting a proxy for a test: it is ours, it is guarded, and its end is seen. With a stand-in for serve."""

from __future__ import annotations

import socket
import sqlite3
import sys
from pathlib import Path

import pytest
import yaml

from tests.support import proxy as module
from tests.support.proxy import Proxy, ProxyFailed

SERVE = """
import http.server, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("serving", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class StandIn(Proxy):
    """Runs a small program in place of tokenomics-cli serve."""

    program = SERVE

    def serve_command(self) -> list[str]:
        return [sys.executable, "-c", self.program, str(self.http_port)]


def test_starts_and_stops(tmp_path: Path) -> None:
    with StandIn(tmp_path, "http://127.0.0.1:1") as proxy:
        assert proxy.alive
        assert "serving" in proxy.log()
        assert proxy.refusals() == []
    assert proxy.stop() == 0


def test_restarts_on_the_same_port(tmp_path: Path) -> None:
    with StandIn(tmp_path, "http://127.0.0.1:1") as proxy:
        before = proxy.pid, proxy.http_port
        proxy.restart()
        assert proxy.pid != before[0]
        assert proxy.http_port == before[1]


def test_failure_to_start_shows_the_log(tmp_path: Path) -> None:
    proxy = StandIn(tmp_path, "http://127.0.0.1:1")
    proxy.program = "raise SystemExit('no listener: set a port')"
    with pytest.raises(ProxyFailed, match="no listener: set a port"):
        proxy.start()


def test_port_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that answers on our port and is not ours is no proxy of ours."""
    with StandIn(tmp_path / "other", "http://127.0.0.1:1") as other:
        monkeypatch.setattr(module, "free_ports", lambda _: [other.http_port, 1])
        proxy = StandIn(tmp_path / "ours", "http://127.0.0.1:1")
        proxy.program = "import time; time.sleep(30)"
        with pytest.raises(ProxyFailed, match="belongs to another process"):
            proxy.start()
        assert not proxy.alive


def test_process_without_the_guard(tmp_path: Path) -> None:
    proxy = StandIn(tmp_path, "http://127.0.0.1:1", environ={"PYTHONPATH": ""})
    with pytest.raises(ProxyFailed, match="without the loopback guard"):
        proxy.start()
    assert not proxy.alive


def test_process_that_does_not_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_TIMEOUT", 0.3)
    proxy = StandIn(tmp_path, "http://127.0.0.1:1")
    proxy.program = SERVE.replace("sys.exit(0)", "None")
    proxy.start()
    with pytest.raises(ProxyFailed, match="did not stop"):
        proxy.stop()
    assert not proxy.alive


def test_refusals_of_the_guard_are_seen(tmp_path: Path) -> None:
    proxy = StandIn(tmp_path, "http://127.0.0.1:1")
    attempt = "try: socket.create_connection(('192.0.2.7', 443), 1)\nexcept OSError: pass\n"
    proxy.program = "import socket\n" + attempt + SERVE
    with proxy:
        assert proxy.refusals() == ["socket.connect 192.0.2.7 443"]


def test_config_is_laid_over_the_defaults(tmp_path: Path) -> None:
    config = {"server": {"timing": True}, "providers": {"openai": {"api_key_env": "OTHER"}}}
    proxy = StandIn(tmp_path, "http://127.0.0.1:9", config=config)
    with proxy:
        written = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert written["server"]["http_port"] == proxy.http_port
    assert written["server"]["timing"] is True
    assert written["providers"]["openai"] == {"upstream_url": "http://127.0.0.1:9", "api_key_env": "OTHER"}
    assert written["providers"]["groq"]["upstream_url"] == "http://127.0.0.1:9/openai"


def test_rows_and_secrets(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, "http://127.0.0.1:1")
    assert proxy.files_with("anything") == []
    proxy.dir.mkdir()
    with sqlite3.connect(proxy.dir / "ledger.db") as database:
        database.execute("CREATE TABLE requests (model TEXT)")
        database.execute("INSERT INTO requests VALUES ('gpt-4o')")
    assert proxy.rows() == [{"model": "gpt-4o"}]
    with pytest.raises(TimeoutError):
        proxy.rows(2, timeout=0.1)
    assert proxy.files_with("gpt-4o") == [proxy.dir / "ledger.db"]


def test_port_in_use_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = module.free_ports(1)[0]
        ports = iter([[taken.getsockname()[1], 1], [free, 1]])
        monkeypatch.setattr(module, "free_ports", lambda _: next(ports))
        with StandIn(tmp_path, "http://127.0.0.1:1") as proxy:
            assert proxy.http_port == free
