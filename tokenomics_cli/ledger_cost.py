"""tokenomics-cli ledger cost: money by commit and by branch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenomics_cli.command import Invocation, JsonFlag, print_json
from tokenomics_cli.errors import CommandError
from tokenomics_cli.ledger_filters import filtered
from tokenomics_cli.ledger_text import dollars, print_fitting, print_groups, progress
from tokenomics_cli.token_text import counted

if TYPE_CHECKING:
    from tokenomics_core.ledger.attribution import CommitCost, Costs
    from tokenomics_core.ledger.commits import Commit
    from tokenomics_core.ledger.filters import Filter
    from tokenomics_core.ledger.query import Totals

CommitFlag = Annotated[
    str,
    typer.Option(
        "--commit",
        metavar="RANGE",
        help="Only these: HEAD, HEAD~5.., main..topic.",
    ),
]
PrFlag = Annotated[
    str,
    typer.Option(
        "--pr",
        metavar="BASE",
        help="Those of this branch that BASE has not.",
    ),
]
ToNextFlag = Annotated[
    bool | None,
    typer.Option(
        "--to-next/--at-head",
        help="Count to the commit made next (default with --pr).",
    ),
]


@filtered(commits=False)
def cost(
    invocation: Invocation,
    filter: Filter,
    commit: CommitFlag = "",
    pr: PrFlag = "",
    to_next: ToNextFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what each commit and each branch cost. Call it in the repository.

    A request belongs to the commit that was checked out when it began; with --to-next to the one made next
    on its branch. The lines add up to the total.

    \b
    tokenomics-cli ledger cost --pr main
    tokenomics-cli ledger cost --branch feat/search --to-next --since 30d
    """
    from tokenomics_core.ledger.attribution import costs
    from tokenomics_core.ledger.commits import GitError, in_repository

    if commit and pr:
        raise CommandError("--commit and --pr are two ways to say which commits; give one of them")
    next_one = bool(pr) if to_next is None else to_next
    here = Path.cwd()
    folder = here if in_repository(here) else None
    if folder is None and (commit or pr or next_one):
        raise CommandError("this folder is in no git repository; change to the one whose commits you mean")
    try:
        asked = _asked(here, filter, commit, pr)
        if pr and filter.branches:
            # The branch is what the range ends in; its first commit may have begun on another one.
            filter = replace(filter, branches=())
        with progress("Adding up the ledger") as shown:
            found = costs(
                invocation.config.dir / "ledger.db",
                filter,
                asked=asked,
                folder=folder,
                to_next=next_one,
                progress=shown,
            )
    except GitError as error:
        raise CommandError(str(error)) from None
    if as_json:
        print_json(_json(found, next_one))
    elif not found.commits and not found.total.row_count:
        print("No requests found.")
    else:
        _print(found, next_one)


def _asked(folder: Path, filter: Filter, commit: str, pr: str) -> list[Commit] | None:
    from tokenomics_core.ledger.commits import listed

    if commit:
        return listed(folder, commit)
    if not pr:
        return None
    if len(filter.branches) > 1:
        raise CommandError("--pr has one branch; give --branch once, or not at all for the one checked out")
    return listed(folder, f"{pr}..{filter.branches[0] if filter.branches else 'HEAD'}")


def _print(found: Costs, to_next: bool) -> None:
    lines = [
        (each.hash[:10], _when(each), each.subject or "(not in this repository)", each.totals)
        for each in found.commits
    ]
    for name, totals in (
        ("(no commit made yet)", found.uncommitted),
        ("(other commits)", found.other),
        ("(no commit)", found.no_commit),
    ):
        if totals.row_count:
            lines.append(("", "", name, totals))
    lines.append(("", "", "Total", found.total))
    print_fitting(
        ("Commit", "Date", "Subject", "Requests", "Tokens", "Cost"),
        [
            (
                hash,
                when,
                subject,
                f"{totals.request_count:,}",
                f"{totals.total_tokens:,}",
                dollars(totals.cost_usd),
            )
            for hash, when, subject, totals in lines
        ],
        text=3,
        optional=(1, 3, 4),
    )
    print(
        f"{counted(len(found.commits), 'commit')}: {dollars(found.listed.cost_usd)}"
        f" of {dollars(found.total.cost_usd)}, counted to the commit"
        f" {'made next' if to_next else 'checked out when a request began'}."
    )
    if found.branches:
        print("\nBy branch, as checked out:")
        print_groups(
            ("Branch",),
            [((name or "(none)",), totals) for name, totals in sorted(found.branches.items(), key=_named)],
        )


def _json(found: Costs, to_next: bool) -> dict[str, Any]:
    return {
        "counted_to": "next" if to_next else "head",
        "commits": [
            {
                "commit": each.hash,
                "subject": each.subject or None,
                "committed_at": each.committed_at or None,
                "branches": list(each.branches),
                **each.totals.as_dict(),
            }
            for each in found.commits
        ],
        "branches": [
            {"branch": name, **totals.as_dict()}
            for name, totals in sorted(found.branches.items(), key=_named)
        ],
        "listed": found.listed.as_dict(),
        "uncommitted": found.uncommitted.as_dict(),
        "other": found.other.as_dict(),
        "no_commit": found.no_commit.as_dict(),
        "total": found.total.as_dict(),
    }


def _named(item: tuple[str | None, Totals]) -> tuple[bool, str]:
    return item[0] is None, item[0] or ""


def _when(each: CommitCost) -> str:
    return each.committed_at[:16].replace("T", " ")
