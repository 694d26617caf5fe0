"""tokenomics-cli ledger sessions and show: what each run of the gateway, or a client's session, came to."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenomics_cli.command import Invocation, JsonFlag, print_json
from tokenomics_cli.errors import CommandError
from tokenomics_cli.ledger_filters import filtered
from tokenomics_cli.ledger_text import (
    dollars,
    label,
    moment,
    print_fitting,
    print_groups,
    print_totals,
    progress,
    span,
)

if TYPE_CHECKING:
    from tokenomics_core.ledger.filters import Filter
    from tokenomics_core.ledger.query import Totals
    from tokenomics_core.ledger.runs import Run

NamedFlag = Annotated[
    bool, typer.Option("--named", help="The sessions that clients named, instead of the gateway's own.")
]
IdArgument = Annotated[
    str,
    typer.Argument(metavar="ID", help="A session, or the beginning of its id; or one that clients named."),
]
_BRANCH = 30


@filtered()
def sessions(
    invocation: Invocation, filter: Filter, named: NamedFlag = False, as_json: JsonFlag = False
) -> None:
    """List sessions, the oldest first. A session is one run of the gateway, from its start to its end.

    With --named it is what clients call so: requests of one token with the same X-Session-ID.
    """
    found = _runs(invocation, filter, named=named)
    if as_json:
        print_json([_json(run) for run in found])
    elif not found:
        print("No sessions found.")
    else:
        titles = ["Session", *(["Token"] if named else []), "Branch", "Started"]
        print_fitting(
            (*titles, "Duration", "Requests", "Tokens", "Cost"),
            [
                (
                    run.id or "(not known)",
                    *([label("token", run.token)] if named else []),
                    _branches(run),
                    moment(run.started_at),
                    span(_duration(run)),
                    f"{run.totals.request_count:,}",
                    f"{run.totals.total_tokens:,}",
                    dollars(run.totals.cost_usd),
                )
                for run in found
            ],
            text=len(titles),
            optional=[len(titles), len(titles) - 1, len(titles) - 2],
        )


@filtered()
def show(invocation: Invocation, filter: Filter, id: IdArgument, as_json: JsonFlag = False) -> None:
    """Show one session: a run of the gateway, or else the session that clients named so."""
    run = _find(_runs(invocation, filter, named=False), id)
    if run is None:
        named = _runs(invocation, replace(filter, sessions=(*filter.sessions, f"{id}*")), named=True)
        owners = {each.token for each in named if each.id == id}
        if len(owners) > 1:
            tokens = ", ".join(sorted(owner[:8] for owner in owners))
            raise CommandError(f"{len(owners)} tokens have a session {id!r}; say which: --token {tokens}")
        run = _find(named, id)
    if run is None:
        raise CommandError(f'session "{id[:80]}" not found; ledger sessions lists them')
    if as_json:
        print_json(_json(run) | ({} if run.token else _requests(invocation, run.id)))
    else:
        _print(run)


def _runs(invocation: Invocation, filter: Filter, *, named: bool) -> list[Run]:
    from tokenomics_core.ledger.runs import runs

    with progress("Adding up the ledger") as shown:
        return runs(invocation.config.dir / "ledger.db", filter, named=named, progress=shown)


def _find(found: list[Run], id: str) -> Run | None:
    exact = next((run for run in found if run.id == id), None)
    return exact or next((run for run in found if id and run.id.startswith(id)), None)


def _print(run: Run) -> None:
    print(f"Session:  {run.id}")
    if run.token:
        print(f"Token:    {run.token[:16]}")
    print(f"Started:  {moment(run.started_at)}")
    print(f"Ended:    {moment(run.ended_at)}")
    print(f"Duration: {span(_duration(run))}")
    if run.git.get("branch") or run.branches:
        print("Git:")
        print(f"  Branch: {run.git.get('branch') or ', '.join(run.branches)}")
        for title, name in (("Start:", "commit_start"), ("End:", "commit_end")):
            if name in run.git:
                print(f"  {title:<7} {run.git[name][:10]}")
    print_totals(run.totals)
    for name, table in (("Model", run.by_model), ("Provider", run.by_provider), ("Token", run.by_token)):
        if table:
            print(f"\nBy {name}:")
            print_groups(
                (name,), [((label(name.lower(), value),), each) for value, each in sorted(table.items())]
            )


def _json(run: Run) -> dict[str, Any]:
    def rollups(table: dict[str, Totals]) -> dict[str, Any]:
        return {name: table[name].as_dict() for name in sorted(table)}

    by_token = rollups(run.by_token)
    for token, told in by_token.items():
        told["models_used"] = sorted(run.models.get(token, ()))
        told["first_seen"], told["last_seen"] = told.pop("first"), told.pop("last")
    return {
        "session_id": run.id or None,
        **({"token_hash": run.token} if run.token else {}),
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "duration_ms": _duration(run),
        "git": run.git,
        "branches": list(run.branches),
        "totals": run.totals.as_dict(),
        "by_model": rollups(run.by_model),
        "by_provider": rollups(run.by_provider),
        "by_token": by_token,
    }


def _requests(invocation: Invocation, id: str) -> dict[str, Any]:
    """The requests of the session's files, where there are files."""
    from tokenomics_core.ledger.session_reader import find_session

    parts = [part for part in find_session(invocation.config.dir, id) if part.id == id]
    return {"requests": [each for part in parts for each in part.requests()]} if parts else {}


def _branches(run: Run) -> str:
    text = ", ".join(run.branches) or run.git.get("branch", "") or "-"
    return text if len(text) <= _BRANCH else text[: _BRANCH - 3] + "..."


def _duration(run: Run) -> int:
    if not run.started_at or not run.ended_at:
        return 0
    spent = datetime.fromisoformat(run.ended_at) - datetime.fromisoformat(run.started_at)
    return max(0, round(spent.total_seconds() * 1000))
