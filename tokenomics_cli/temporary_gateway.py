"""A gateway for a while: a process with a data directory, a home and a loopback port of its own."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tokenomics_cli.errors import CommandError

START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0

# A person's own settings and credentials have no business in it.
_PRIVATE = re.compile("^TOKENOMICS_|KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|PROXY|CERT|CA_BUNDLE", re.IGNORECASE)


class TemporaryGateway:
    """Starts on entering, and is stopped on leaving, whatever happened in between.

    folder: an empty directory that the caller removes. config: the configuration, without the listener.
    keys: variables that hold real keys, by name. Entering raises CommandError when it does not start.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], keys: Mapping[str, str]) -> None:
        self.dir = folder / "data"
        self.log = folder / "gateway.log"
        self.port = 0
        self._folder = folder
        self._config = config
        kept = {name: value for name, value in os.environ.items() if not _PRIVATE.search(name)}
        self._environ = {**kept, "HOME": str(folder), **keys}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    @property
    def ca(self) -> Path:
        """The certificate of the authority that signs for intercepted hosts."""
        return self.dir / "certs" / "ca.crt"

    def cli(self, *words: str) -> str:
        """What a tokenomics-cli command on the same data prints; raises CommandError when it fails."""
        done = subprocess.run(
            self._command(*words),
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise CommandError(
                f"tokenomics-cli {words[0]} failed in the temporary gateway", *done.stderr.splitlines()
            )
        return done.stdout

    def __enter__(self) -> TemporaryGateway:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _command(self, *words: str) -> list[str]:
        flags = ["--config", str(self._folder / "config.yaml"), "--dir", str(self.dir)]
        return [sys.executable, "-m", "tokenomics_cli", *flags, *words]

    def _start(self) -> None:
        # Between finding a free port and listening on it somebody else may take it.
        for _ in range(3):
            self.port = _free_port()
            server = {"http_port": self.port, "tls": {"enabled": False}}
            config = {**self._config, "server": server}
            (self._folder / "config.yaml").write_text(yaml.safe_dump(config))
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    self._command("serve"),
                    cwd=self._folder,
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            if self._answers():
                return
            self._stop()
        raise CommandError("the gateway did not start; it said:", *self.log.read_text().splitlines()[-15:])

    def _answers(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT
        while self._process.poll() is None and time.monotonic() < deadline:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            try:
                connection.request("GET", "/health")
                if connection.getresponse().headers.get("x-tokenomics-instance"):
                    return True
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(0.05)
        return False

    def _stop(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # Also when a second Ctrl-C cuts the waiting short.
            if process.poll() is None:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
