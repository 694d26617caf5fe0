"""Proxy: a started Tokenomics in a folder of its own, in front of the fake provider."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests import loopback_guard
from tests.support.environment import BIN, PROJECT, clean_environment
from tests.support.keys import fake_real_keys
from tests.support.ports import free_ports, listens
from tokenomics_core.config import load_config
from tokenomics_core.policy import PolicyError
from tokenomics_core.tokens import TokenStore, hash_token, load_keys, new_token

START_TIMEOUT = 20.0
STOP_TIMEOUT = 20.0
AZURE_RESOURCE = "test-resource"

# Base paths as in the catalogue, so that joining them is part of every test.
_BASE_PATHS = {"groq": "/openai", "openrouter": "/api"}
_PROVIDERS = ["openai", "anthropic", "google_gemini", "azure_openai", "ollama", "mistral", *_BASE_PATHS]


class ProxyFailed(Exception):
    """The proxy did not start, did not stop, or is not the one we started; the message holds its log."""


class Proxy:
    """One proxy process. As a context manager it starts and stops.

    folder: of its own; holds config.yaml, the home, and the data directory ``data``.
    upstream: base URL of the fake provider; upstream_ca: PEM file, when it speaks TLS.
    config: laid over the defaults, mapping by mapping. environ: added to the clean environment.
    """

    def __init__(
        self,
        folder: Path,
        upstream: str,
        *,
        upstream_ca: Path | None = None,
        config: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.dir = folder / "data"
        self.guard_log = folder / "guard.log"
        self.output = folder / "output.log"
        self.keys = fake_real_keys()
        self.http_port = self.https_port = 0
        self._upstream = upstream
        self._upstream_ca = upstream_ca
        self._config = config or {}
        folder.mkdir(parents=True, exist_ok=True)
        self.environ = clean_environment(folder / "home", self.guard_log) | self.keys | dict(environ or {})
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Proxy:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Starting and stopping.

    def start(self) -> None:
        """Starts it on free ports and waits until it answers; raises ProxyFailed."""
        for attempt in range(3):
            self.http_port, self.https_port = free_ports(2)
            self._write_config()
            self.launch(self.serve_command())
            if self._wait_for_health():
                self._check_ownership()
                return
            if "in use" not in self.log() or attempt == 2:
                break
        self.kill()
        raise ProxyFailed(f"the proxy did not start:\n{self.log()}")

    def serve_command(self) -> list[str]:
        return self.command("serve")

    def command(self, *arguments: str) -> list[str]:
        """The command line of tokenomics-cli for this proxy's folder."""
        program = str(BIN / "tokenomics-cli")
        return [program, "--config", str(self.folder / "config.yaml"), "--dir", str(self.dir), *arguments]

    def launch(self, command: list[str]) -> None:
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> int:
        """Ends it with SIGTERM and returns its exit status; raises ProxyFailed when it stays."""
        if self._process is None:
            return 0
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProxyFailed(f"the proxy did not stop on SIGTERM:\n{self.log()}") from None

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        if self._process is not None and self.alive:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Stops it and starts it again, on the same ports and data."""
        self.stop()
        self.launch(self.serve_command())
        if not self._wait_for_health():
            raise ProxyFailed(f"the proxy did not start again:\n{self.log()}")
        self._check_ownership()

    # What clients need.

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def https_url(self) -> str:
        return f"https://localhost:{self.https_port}"

    @property
    def ca(self) -> Path:
        return self.dir / "certs" / "ca.crt"

    def cli(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs tokenomics-cli on the same folder, without looking at its exit status."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def token(self, policy: Mapping[str, Any], **flags: str | bool) -> str:
        """Creates a wrapper token; flags as in ``token create`` (``expires="1d"``)."""
        return str(self.create_token(policy, **flags)["token"])

    def create_token(self, policy: Mapping[str, Any], **flags: str | bool) -> dict[str, Any]:
        """As `token`, and answers ``token`` and ``hash``; with flags all that the command prints.

        Without flags it does what the command does, without the time that its process takes.
        """
        options = []
        if not flags:
            return self._new_token(json.dumps(policy))
        for name, value in flags.items():
            options.append("--" + name.replace("_", "-"))
            if not isinstance(value, bool):
                options.append(value)
        done = self.cli("token", "create", "--policy", json.dumps(policy), "--json", *options)
        if done.returncode:
            raise ProxyFailed(f"token create failed: {done.stderr}")
        created: dict[str, Any] = json.loads(done.stdout)
        return created

    def _new_token(self, policy: str) -> dict[str, Any]:
        path, home = str(self.folder / "config.yaml"), self.folder / "home"
        config = load_config(path=path, dir=str(self.dir), environ=self.environ, cwd=self.folder, home=home)
        keys = load_keys(config, self.environ, os.urandom)
        token = new_token(os.urandom)
        hash = hash_token(token, keys.hash_key)
        with closing(TokenStore(config.storage.db_path, keys)) as store:
            try:
                store.create(hash, policy, now=datetime.now(UTC))
            except PolicyError as error:
                raise ProxyFailed(f"token create failed: {error}") from None
        return {"token": token, "hash": hash}

    # What is left behind.

    def rows(self, count: int = 1, timeout: float = 5) -> list[dict[str, Any]]:
        """The ledger's rows, oldest first, once there are at least so many; raises TimeoutError."""
        return self.wait_for(self._rows, lambda rows: len(rows) >= count, timeout)

    def _rows(self) -> list[dict[str, Any]]:
        path = self.dir / "ledger.db"
        if not path.exists():
            return []
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
            database.row_factory = sqlite3.Row
            try:
                return [dict(row) for row in database.execute("SELECT * FROM requests ORDER BY rowid")]
            except sqlite3.OperationalError:
                return []

    @staticmethod
    def wait_for[T](read: Callable[[], T], ready: Callable[[T], bool], timeout: float = 5) -> T:
        """Reads again and again until it is ready; raises TimeoutError with what was read last."""
        deadline = time.monotonic() + timeout
        while not ready(value := read()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not in {timeout} s: {value!r}")
            time.sleep(0.02)
        return value

    def log(self) -> str:
        """All that it said: its output and its log files."""
        files = [self.output, *sorted(self.dir.glob("*.log"))]
        return "\n".join(f"== {file.name}\n{_tail(file)}" for file in files if file.exists())

    def files_with(self, text: str) -> list[Path]:
        """Every file it wrote, its output included, in which the text stands."""
        written = [self.output, *(path for path in self.dir.rglob("*") if path.is_file())]
        return [path for path in written if path.exists() and text.encode() in path.read_bytes()]

    def refusals(self) -> list[str]:
        """What it tried to reach beyond loopback."""
        return loopback_guard.refusals(self.guard_log)

    # How it is set up.

    def _write_config(self) -> None:
        providers: dict[str, Any] = {
            name: {"upstream_url": self._upstream + _BASE_PATHS.get(name, "")} for name in _PROVIDERS
        }
        providers["azure_openai"]["parameters"] = {"resource": AZURE_RESOURCE}
        server: dict[str, Any] = {
            "http_port": self.http_port,
            "https_port": self.https_port,
            "upstream_url": self._upstream,
        }
        if self._upstream_ca:
            server["upstream_ca"] = str(self._upstream_ca)
        defaults = {
            "server": server,
            "providers": providers,
            "admin": {"enabled": False},
            # What it would keep of one test's conversation, another test would find.
            "ledger": {"memory": False},
            "logging": {"disable_request": False, "file": {"enabled": True}},
        }
        text = yaml.safe_dump(_overlay(defaults, self._config), sort_keys=False)
        (self.folder / "config.yaml").write_text(text)

    def _wait_for_health(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT
        while self.alive and time.monotonic() < deadline:
            connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=2)
            try:
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return True
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
            finally:
                connection.close()
        return False

    def _check_ownership(self) -> None:
        """It must be our own process that answers, and it must be unable to leave the machine."""
        problem = ""
        if not listens(self.pid, self.http_port):
            problem = f"port {self.http_port} belongs to another process"
        elif self.pid not in loopback_guard.guarded(self.guard_log):
            problem = "the proxy runs without the loopback guard"
        if problem:
            self.kill()
            raise ProxyFailed(problem)


class MitmdumpProxy(Proxy):
    """The same pipeline, loaded into a plain mitmdump."""

    def serve_command(self) -> list[str]:
        self.environ["TOKENOMICS_DIR"] = str(self.dir)
        script = ["-s", str(PROJECT / "addons" / "tokenomics.py")]
        ports = [port for port in (self.http_port, self.https_port) if port]
        modes = [word for port in ports for word in ("--mode", f"regular@127.0.0.1:{port}")]
        return [str(BIN / "mitmdump"), *modes, *script]


def _overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """base with over's members, mappings merged member by member."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _overlay(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _tail(file: Path, most: int = 40_000) -> str:
    return file.read_bytes()[-most:].decode(errors="replace")
