"""tokenomics-cli: the list of its commands, each loaded when it is used."""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from typing import Any, NamedTuple

import typer

from tokenomics_cli.command import ConfigFlag, DbFlag, DirFlag, Group, Invocation, new_app
from tokenomics_cli.errors import guarded

PROGRAM = "tokenomics-cli"


class Command(NamedTuple):
    """module: the one that holds the command's `app`. summary: its line in the list of commands."""

    module: str
    summary: str


COMMANDS = {
    "serve": Command("tokenomics_cli.serve", "Run the gateway in the foreground."),
    "run": Command("tokenomics_cli.run", "Run a command whose requests go through the gateway."),
    "init": Command("tokenomics_cli.init", "Print or write what an agent needs to use the gateway."),
    "start": Command("tokenomics_cli.start", "Start the gateway in the background."),
    "stop": Command("tokenomics_cli.stop", "Stop the gateway."),
    "status": Command(
        "tokenomics_cli.status", "Show the gateway, the environment, and the number of tokens."
    ),
    "logs": Command("tokenomics_cli.logs", "Show what the gateway logged, and follow it."),
    "service": Command("tokenomics_cli.service", "Print a unit that runs the gateway at login."),
    "token": Command("tokenomics_cli.token", "Create, inspect, change and delete wrapper tokens."),
    "session": Command("tokenomics_cli.session", "Budgets and freezes of sessions."),
    "usage": Command("tokenomics_cli.usage", "Show what each token may use, has used, and has left."),
    "ledger": Command(
        "tokenomics_cli.ledger",
        "The record of every request: what it came to, and whether the counters agree.",
    ),
    "events": Command("tokenomics_cli.events", "Webhooks: what waits for them, what did not arrive, a test."),
    "policy": Command("tokenomics_cli.policy", "See what a policy says, and what it would do."),
    "provider": Command("tokenomics_cli.provider", "List the providers, try them, list their models."),
    "ca": Command("tokenomics_cli.ca", "The certificate authority: show, trust, export, renew."),
    "top": Command("tokenomics_cli.top", "Watch requests, money and budgets live; freeze and unfreeze."),
    "doctor": Command("tokenomics_cli.doctor", "Check the whole installation; each finding with its remedy."),
    "demo": Command("tokenomics_cli.demo", "See the gateway at work, without a key and without a network."),
    "completion": Command("tokenomics_cli.completion", "Print a completion script for a shell."),
    "version": Command("tokenomics_cli.version", "Print the version and what it runs on."),
}


class Commands(Group):
    """A group that imports a command's module when that command is called, and not to list it."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        loaded = typer.main.get_command(import_module(entry.module).app)
        loaded.name = cmd_name
        return loaded

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        from tokenomics_cli.completion import words

        # Not the inherited way, which imports every command to ask for its summary.
        flags = super().shell_complete(ctx, incomplete) if incomplete.startswith("-") else []
        return flags + words([(name, each.summary) for name, each in COMMANDS.items()], incomplete)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])


app = new_app("Tokenomics: a gateway between agents and LLM providers.", Commands)


@app.callback()
def root(ctx: typer.Context, config: ConfigFlag = None, db: DbFlag = None, dir: DirFlag = None) -> None:
    """Tokenomics: a gateway between agents and LLM providers."""
    ctx.obj = Invocation(config=config, db=db, dir=dir)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and gives the exit code."""
    # What a command loads stays: to look through it for garbage takes a fifth of a short command's time.
    gc.set_threshold(50_000)
    try:
        return _answer(arguments)
    finally:
        # The interpreter would do so when it ends, too.
        gc.freeze()


def _answer(arguments: list[str] | None) -> int:
    if os.environ.get("_TOKENOMICS_CLI_COMPLETE"):
        from tokenomics_cli import completion

        return completion.answer(app)
    words = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda: app(words, prog_name=PROGRAM, standalone_mode=False))
