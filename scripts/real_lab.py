"""A gateway between one client and a provider on loopback, and what came of asking through it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Any

from scripts.real_clients import SAID, SECRET, Asked, Client, Way
from tests.fake_provider import FakeProvider
from tests.support.environment import clean_environment
from tests.support.proxy import Proxy

BUDGET = Decimal(25)


@dataclass
class Outcome:
    """What one client did in one way.

    answered: the provider's words came out of the client. masked: the provider never saw the value, nor the
    token. restored: the client got the value back. budget: what the token's budget counted, in USD.
    others: requests to anything but a model, and hosts that were refused. note: what went wrong.
    """

    client: str
    version: str
    way: Way
    answered: bool = False
    masked: bool = False
    restored: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list)
    budget: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    others: list[str] = field(default_factory=list)
    note: str = ""
    seconds: float = 0
    output: str = ""

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The rows of requests to a model."""
        return [row for row in self.rows if row["model"]]

    @property
    def tokens(self) -> tuple[int, int]:
        return (
            sum(row["input_tokens"] for row in self.asked),
            sum(row["output_tokens"] for row in self.asked),
        )

    @property
    def worked(self) -> bool:
        counted = bool(self.asked) and self.cost > 0 and self.budget == self.cost
        return self.answered and self.masked and self.restored and counted


class Lab:
    """The provider, the gateway, and the folder in which the clients live.

    installed: the folder of what `install` installed; None for clients that need nothing.
    """

    def __init__(self, folder: Path, provider: FakeProvider, proxy: Proxy, installed: Path | None) -> None:
        self.folder, self.provider, self.proxy = folder, provider, proxy
        self.installed = installed

    def ask(self, client: Client, way: Way) -> Outcome:
        """Runs the client once and looks at what it got, what the provider saw and what was written down."""
        outcome = Outcome(client.name, version_of(client, self.installed), way)
        self.provider.reset()
        for frames in (False, True):
            self.provider.script([{"do": "say-back", "pattern": SAID, "count": 1000}], frames=frames)
        created = self.proxy.create_token(policy_of(client))
        log = self.proxy.dir / "tokenomics.log"
        before = log.stat().st_size
        began = time.monotonic()
        status, outcome.output = self._run(client, way, created["token"])
        outcome.seconds = time.monotonic() - began
        answer = outcome.output.partition("pong:")
        outcome.answered = status == 0 and bool(answer[1])
        outcome.restored = SECRET in answer[2]
        outcome.budget = self._settled(created["hash"])
        outcome.rows = [row for row in self.proxy.rows(0) if row["token_hash"] == created["hash"]]
        outcome.cost = sum((Decimal(row["cost_usd"] or 0) for row in outcome.rows), Decimal(0))
        records = self.provider.records
        seen = any(record.holds(SECRET) or record.holds(created["token"]) for record in records)
        outcome.masked = bool(records) and not seen
        outcome.others = _others(outcome, log.read_bytes()[before:].decode())
        if not outcome.answered:
            last = (outcome.output.strip().splitlines() or ["no output"])[-1]
            outcome.note = f"exit code {status}: {last[:200]}"
        return outcome

    def _run(self, client: Client, way: Way, token: str) -> tuple[int | None, str]:
        home = Path(tempfile.mkdtemp(prefix=f"{client.agent}-", dir=self.folder))
        work = home / "work"
        work.mkdir()
        environ = clean_environment(home, home / "guard.log") | dict(client.environ)
        if self.installed is not None:
            node = modules(self.installed, client)
            programs = [str(node / ".bin"), str(self.installed / "python" / "bin")]
            if client.node:
                programs.insert(0, str(node / client.node.partition("@")[0] / "bin"))
            environ["PATH"] = os.pathsep.join([*programs, environ["PATH"]])
            if client.npm and client.agent == "node":
                (work / "node_modules").symlink_to(node)
        asked = Asked(way, self.proxy.http_url, token)
        for name, text in (client.files(asked) if client.files else {}).items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(text)
        if client.init and way == "base-url":
            self._init(client, work, token, environ)
        words = client.command(asked)
        if not (client.led_by_files and way == "base-url"):
            words = self.proxy.command("run", "--via", way, "--proxy-url", self.proxy.http_url, *words)
        started = subprocess.Popen(
            words,
            env=environ | {"TOKENOMICS_KEY": token},
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = started.communicate(timeout=client.timeout)
        except subprocess.TimeoutExpired:
            # The client, too: it is in the group of the process that started it.
            os.killpg(started.pid, signal.SIGKILL)
            output, _ = started.communicate()
            return None, output.decode(errors="replace")
        return started.returncode, output.decode(errors="replace")

    def _init(self, client: Client, work: Path, token: str, environ: dict[str, str]) -> None:
        """Lets the product write the settings that this client cannot do without."""
        subprocess.run(
            self.proxy.command("init", "--agent", client.agent, "--proxy-url", self.proxy.http_url),
            env=environ | {"TOKENOMICS_KEY": token},
            cwd=work,
            capture_output=True,
            check=True,
        )

    def _settled(self, hash: str) -> Decimal:
        """What the budget counts in the end, once no request holds anything of it any more."""

        def budget() -> dict[str, Any]:
            limits = json.loads(self.proxy.cli("usage", hash, "--json").stdout)
            return next(limit for limit in limits if limit["name"] == "showcase")

        limit = self.proxy.wait_for(budget, lambda limit: not Decimal(limit["reserved"]), timeout=20)
        return Decimal(limit["spent"])


def policy_of(client: Client) -> dict[str, Any]:
    """One provider, a rule that masks and restores, a budget."""
    return {
        "base_key_env": client.provider.key_env,
        "default_provider": client.provider.name,
        "rules": [{"name": "people", "type": "pii", "detect": ["email"], "action": "mask", "restore": True}],
        "budgets": [{"limit": str(BUDGET), "unit": "usd", "period": "total", "name": "showcase"}],
    }


def _others(outcome: Outcome, log: str) -> list[str]:
    """What it asked for besides models: paths of its provider, and hosts that the gateway refused."""
    paths = {f"{row['method']} {row['path']}" for row in outcome.rows if not row["model"]}
    hosts = {_shown(host) for host in re.findall(r"CONNECT (\S+):\d+ was refused", log)}
    return [f"`{path}`" for path in sorted(paths)] + [f"{host} (refused)" for host in sorted(hosts)]


def _shown(host: str) -> str:
    # Which one depends on how the machine is set up.
    return "its package registry" if "registry" in host else f"`{host}`"


def version_of(client: Client, installed: Path | None) -> str:
    """The version that runs."""
    if client.npm and installed is not None:
        path = modules(installed, client) / client.npm / "package.json"
        return str(json.loads(path.read_text())["version"])
    if client.pip and installed is not None:
        code = f"from importlib.metadata import version; print(version({client.pip!r}))"
        return output_of([str(installed / "python" / "bin" / "python"), "-c", code]).strip()
    if client.agent == "curl":
        return output_of(["curl", "-q", "--version"]).split()[1]
    return metadata.version(client.name.split()[0])


def modules(folder: Path, client: Client) -> Path:
    """The node_modules in which a client stands; one that needs a Node of its own has its own."""
    return folder / (client.agent if client.node else "node") / "node_modules"


@contextmanager
def laboratory(folder: Path, installed: Path | None = None) -> Iterator[Lab]:
    """A provider and a gateway in front of it, for as long as the context lasts."""
    with FakeProvider() as provider, Proxy(folder / "gateway", provider.url) as proxy:
        yield Lab(folder, provider, proxy, installed)


def output_of(words: list[str]) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout
