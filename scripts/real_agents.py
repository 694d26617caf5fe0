"""Runs real agents and SDKs through a gateway, in front of a provider on loopback, and says what came of it.

    python -m scripts.real_agents                      all of them, both ways
    python -m scripts.real_agents --only curl,Codex    some of them
    python -m scripts.real_agents --write              and puts the table into docs/AGENT_INTEGRATION.md

It installs them into a folder of its own (--folder), with npm and pip as they are set up on this machine, and
leaves them there for the next time. Each client is started by ``tokenomics-cli run --via ...``, with a home
and a wrapper token of its own. The provider is tests/fake_provider; no real key is needed, and none is read.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Any

from scripts.real_clients import INSTALLED, LOCAL, SAID, SECRET, WAYS, Asked, Client, Way
from tests.fake_provider import FakeProvider
from tests.support.environment import clean_environment
from tests.support.proxy import Proxy

PAGE = Path(__file__).parents[1] / "docs" / "AGENT_INTEGRATION.md"
BEGIN, END = "<!-- real agents -->\n", "<!-- end of real agents -->\n"
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
        log = len(self.proxy.log())
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
        outcome.others = _others(outcome, self.proxy.log()[log:])
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
            node = _modules(self.installed, client)
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
        "base_key_env": client.key_env,
        "default_provider": client.provider,
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
        path = _modules(installed, client) / client.npm / "package.json"
        return str(json.loads(path.read_text())["version"])
    if client.pip and installed is not None:
        code = f"from importlib.metadata import version; print(version({client.pip!r}))"
        return _output([str(installed / "python" / "bin" / "python"), "-c", code]).strip()
    if client.agent == "curl":
        return _output(["curl", "-q", "--version"]).split()[1]
    return metadata.version(client.name.split()[0])


def install(folder: Path, clients: Sequence[Client]) -> None:
    """Installs what is not there yet. Raises CalledProcessError."""
    for client in clients:
        modules = _modules(folder, client)
        if client.npm and not (modules / client.npm).is_dir():
            # --force: what npm runs on is not what the client will run on.
            new = [f"{client.npm}@latest", *([client.node, "--force"] if client.node else [])]
            prefix = ["--prefix", str(modules.parent)]
            subprocess.run(["npm", "install", "--no-audit", "--no-fund", *prefix, *new], check=True)
    python = folder / "python" / "bin" / "python"
    pip = [client.pip for client in clients if client.pip]
    if pip and not python.exists():
        # aider does not install into the newest Python.
        found = (shutil.which(f"python3.{minor}") for minor in (12, 11, 10))
        base = next(filter(None, found), sys.executable)
        subprocess.run([base, "-m", "venv", str(folder / "python")], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *pip], check=True)


def _modules(folder: Path, client: Client) -> Path:
    """The node_modules in which a client stands; one that needs a Node of its own has its own."""
    return folder / (client.agent if client.node else "node") / "node_modules"


@contextmanager
def laboratory(folder: Path, installed: Path | None = None) -> Iterator[Lab]:
    """A provider and a gateway in front of it, for as long as the context lasts."""
    with FakeProvider() as provider, Proxy(folder / "gateway", provider.url) as proxy:
        yield Lab(folder, provider, proxy, installed)


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as Markdown."""
    lines = [
        "| Client | Version | Way | Answer | Requests | Tokens in, out | USD | Hidden | Back "
        "| Also asked for |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in outcomes:
        cells = [
            each.client,
            each.version,
            f"`{each.way}`",
            "yes" if each.answered else f"no: {each.note}",
            str(len(each.asked)),
            "{}, {}".format(*each.tokens),
            f"{each.cost:f}"
            + ("" if each.budget == each.cost else f", but the budget counts {each.budget:f}"),
            _yes(each.masked),
            _yes(each.restored),
            "; ".join(each.others),
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _machine() -> str:
    node = _output(["node", "--version"]).strip().removeprefix("v")
    return f"{platform.system()} {platform.machine()}, Node {node}, Python {platform.python_version()}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _output(words: list[str]) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.real_agents", description=__doc__.split("\n")[0])
    home = Path.home() / ".cache" / "tokenomics-real-agents"
    parser.add_argument("--folder", type=Path, default=home, help=f"where they are installed, {home}")
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="names as in the table")
    parser.add_argument("--write", action="store_true", help=f"puts the table into {PAGE.name}")
    parser.add_argument("--show", action="store_true", help="prints what each client said")
    arguments = parser.parse_args()
    names = [name for name in arguments.only.split(",") if name]
    clients = [client for client in [*LOCAL, *INSTALLED] if not names or client.name in names]
    install(arguments.folder, clients)
    outcomes = []
    with (
        tempfile.TemporaryDirectory(prefix="real-agents-") as folder,
        laboratory(Path(folder), arguments.folder) as lab,
    ):
        for client in clients:
            for way in WAYS:
                outcome = lab.ask(client, way)
                outcomes.append(outcome)
                state = "worked" if outcome.worked else "DID NOT WORK"
                print(f"{client.name}, {way}: {state}, {outcome.seconds:.1f} s", file=sys.stderr)
                if arguments.show:
                    print(outcome.output, file=sys.stderr)
    text = f"{datetime.now(UTC):%Y-%m-%d}, {_machine()}.\n\n{table(outcomes)}"
    print(text)
    if arguments.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(before + BEGIN + "\n" + text + "\n" + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
