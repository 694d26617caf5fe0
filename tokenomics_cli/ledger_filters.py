"""The flags that say which rows of the ledger a command is about; all commands that read it have them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenomics_cli import completing
from tokenomics_cli.errors import CommandError
from tokenomics_cli.help_page import RARE

if TYPE_CHECKING:
    from tokenomics_core.ledger.filters import Filter


def _flag(
    name: str, metavar: str, help: str, offered: Callable[..., Any] | None = None, *, rare: bool = False
) -> Any:
    panel = RARE if rare else None
    option = typer.Option(name, metavar=metavar, help=help, autocompletion=offered, rich_help_panel=panel)
    return Annotated[list[str] | None, option]


_TIMES: dict[str, Any] = {
    "since": Annotated[
        str, typer.Option("--since", metavar="TIME", help="From then on: 7d, 12h, 2026-01-31 (UTC).")
    ],
    "until": Annotated[
        str,
        typer.Option(
            "--until", metavar="TIME", help="Until then; of a day, its end is meant.", rich_help_panel=RARE
        ),
    ],
}
_WORDS: dict[str, Any] = {
    "models": _flag("--model", "NAME", "Only this model; gpt-4* for all that begin so.", completing.models),
    "providers": _flag("--provider", "NAME", "Only this provider.", completing.providers, rare=True),
    "tokens": _flag(
        "--token", "HASH", "Only this token: its hash, or the beginning of it.", completing.token_hashes
    ),
    "branches": _flag("--branch", "NAME", "Only this branch."),
    "sessions": _flag("--session", "ID", "Only this session, as X-Session-ID named it.", completing.sessions),
    "statuses": _flag("--status", "CODE", "Only this status: 200, or 4xx.", rare=True),
    "refusals": _flag("--refusal", "REASON", "Only requests refused for this reason; * for any.", rare=True),
    "tags": _flag("--tag", "NAME=VALUE", "Only with this metadata, such as team=blue."),
}
_COMMITS: dict[str, Any] = {
    "commits": _flag(
        "--commit",
        "HASH",
        "Only this commit: a hash, or a range such as HEAD~5.. in a repository.",
        rare=True,
    )
}
_HASH = re.compile(r"[0-9a-fA-F]{4,40}")


def filtered(*, commits: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command the flags; its second parameter is the Filter that they say."""
    words = _WORDS | (_COMMITS if commits else {})

    def with_flags(function: Callable[..., Any]) -> Callable[..., Any]:
        invocation, _, *own = inspect.signature(function).parameters.values()

        def run(invocation: Any, **values: Any) -> Any:
            said = {name: values.pop(name) for name in (*_TIMES, *words)}
            return function(invocation, _filter(said), **values)

        kind = inspect.Parameter.KEYWORD_ONLY
        shared = [
            inspect.Parameter(name, kind, default="" if name in _TIMES else None, annotation=hint)
            for name, hint in (_TIMES | words).items()
        ]
        # One by one: Filter is a name for type checkers only.
        own = [
            parameter.replace(kind=kind, annotation=eval(parameter.annotation, function.__globals__))
            for parameter in own
        ]
        run.__name__, run.__doc__ = function.__name__, function.__doc__
        first = invocation.replace(annotation=inspect.Parameter.empty)
        run.__signature__ = inspect.Signature([first, *own, *shared])  # type: ignore[attr-defined]
        return run

    return with_flags


def _filter(said: dict[str, Any]) -> Filter:
    from tokenomics_core.ledger.filters import Filter, moment

    now = datetime.now(UTC)
    try:
        since = moment(said["since"], now) if said["since"] else None
        until = moment(said["until"], now, end=True) if said["until"] else None
        words = {name: tuple(said[name] or ()) for name in _WORDS}
        commits = tuple(hash for word in said.get("commits") or () for hash in _hashes(word))
        found = Filter(since=since, until=until, commits=commits, **words)
        found.where()
    except ValueError as error:
        raise CommandError(str(error)) from None
    if since is not None and until is not None and since >= until:
        raise CommandError("--since is not before --until; nothing lies between them")
    return found


def _hashes(word: str) -> tuple[str, ...]:
    from tokenomics_core.ledger.commits import GitError, listed

    if not word or _HASH.fullmatch(word):
        return (word,)
    try:
        hashes = tuple(commit.hash for commit in listed(Path.cwd(), word))
    except GitError as error:
        raise CommandError(str(error)) from None
    if not hashes:
        raise CommandError(f"no commits are in {word[:80]}; git log says which there are")
    return hashes
