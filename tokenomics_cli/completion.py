"""tokenomics-cli completion: the script for a shell, and the answers that it then asks for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Any, NamedTuple

import typer

from tokenomics_cli.command import Invocation, command, new_app
from tokenomics_cli.errors import CommandError

PROGRAM = "tokenomics-cli"
VARIABLE = "_TOKENOMICS_CLI_COMPLETE"
"""Set by the script when it asks. `app.main` looks for it, too."""

SHELLS = ("bash", "zsh", "fish", "powershell")

app = new_app("Print a script for the completion of commands, flags and names in a shell.")

ShellArgument = Annotated[
    str,
    typer.Argument(
        metavar="SHELL",
        help="bash, zsh, fish or powershell.",
        autocompletion=lambda incomplete: [each for each in SHELLS if each.startswith(incomplete)],
    ),
]


class Word(NamedTuple):
    """A word offered to the shell, in the form that typer's machinery reads."""

    value: str
    help: str | None = None
    type: str = "plain"


@command(app, "completion")
def completion(invocation: Invocation, shell: ShellArgument) -> None:
    """Print a script for the completion of commands, flags and names in a shell.

    It also completes token hashes, sessions, providers and models.

    \b
    In      ~/.bashrc, ~/.zshrc (after compinit), config.fish, $PROFILE:
    bash    source <(tokenomics-cli completion bash)
    zsh     source <(tokenomics-cli completion zsh)
    fish    tokenomics-cli completion fish | source
    pwsh    tokenomics-cli completion powershell | Out-String | iex
    """
    from typer.completion import get_completion_script

    if shell not in SHELLS:
        raise CommandError(f'unknown shell "{shell}"; write one of {", ".join(SHELLS)}')
    print(get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell))


def answer(app: Any) -> int:
    """Prints what could come next; nothing at all where that cannot be told. Gives the exit code."""
    from typer import _completion_classes as shells

    # Help is plain text here; to strip markup from it would load all of rich, while somebody waits.
    shells._sanitize_help_text = lambda text: text
    shells.completion_init()
    # In the middle of a line no word of complaint has a place.
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    try:
        with suppress(Exception):
            app([], prog_name=PROGRAM, complete_var=VARIABLE, standalone_mode=False)
    except SystemExit as ended:
        sys.stdout.flush()
        return ended.code if isinstance(ended.code, int) else 0
    return 1


def words(pairs: Iterable[tuple[str, str]], incomplete: str) -> list[Word]:
    """Names and their summaries as words, those that begin so."""
    return [Word(name, summary) for name, summary in pairs if name.startswith(incomplete)]
