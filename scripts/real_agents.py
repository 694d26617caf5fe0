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
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from scripts.real_clients import INSTALLED, LOCAL, WAYS, Client
from scripts.real_lab import Outcome, laboratory, modules, output_of

PAGE = Path(__file__).parents[1] / "docs" / "AGENT_INTEGRATION.md"
BEGIN, END = "<!-- real agents -->\n", "<!-- end of real agents -->\n"


def install(folder: Path, clients: Sequence[Client]) -> None:
    """Installs what is not there yet. Raises CalledProcessError."""
    for client in clients:
        there = modules(folder, client)
        npm = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(there.parent)]
        if client.node:
            # npm chooses by the Node that it runs on itself, and that is not the one which the client gets.
            node = there / client.node.partition("@")[0]
            if not node.is_dir():
                subprocess.run([*npm, client.node], check=True)
            path = os.pathsep.join([str(node / "bin"), os.environ["PATH"]])
            if not (there / client.npm).is_dir():
                words = [*npm, f"{client.npm}@latest", "--force"]
                subprocess.run(words, check=True, env=os.environ | {"PATH": path})
        elif client.npm and not (there / client.npm).is_dir():
            subprocess.run([*npm, client.npm], check=True)
    python = folder / "python" / "bin" / "python"
    pip = [client.pip for client in clients if client.pip]
    if pip and not python.exists():
        # aider does not install into the newest Python.
        base = next(filter(_runs, ("python3.12", "python3.11", "python3")), sys.executable)
        subprocess.run([base, "-m", "venv", str(folder / "python")], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *pip], check=True)


def _runs(program: str) -> bool:
    # A version manager's stand-in is found for versions that it does not run.
    found = shutil.which(program)
    return bool(found) and subprocess.run([program, "--version"], capture_output=True).returncode == 0


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
    node = output_of(["node", "--version"]).strip().removeprefix("v")
    return f"{platform.system()} {platform.machine()}, Node {node}, Python {platform.python_version()}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


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
