"""tokenomics-cli ledger summary and top: what it came to, by whatever people ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

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
from tokenomics_cli.token_text import counted

if TYPE_CHECKING:
    from tokenomics_core.ledger.filters import Filter
    from tokenomics_core.ledger.groups import Group
    from tokenomics_core.ledger.query import Grouped, Order, Totals
    from tokenomics_core.ledger.row import Row

GroupFlag = Annotated[
    str,
    typer.Option(
        "--group-by",
        metavar="NAMES",
        help="model, provider, token, branch, commit, day, hour, session, run, repo, status, refusal,"
        " tag:NAME; several with commas between.",
    ),
]
OrderFlag = Annotated[
    str,
    typer.Option(
        "--by", metavar="WHAT", help="cost, tokens, input, output, duration; of groups also requests, errors."
    ),
]
NumberFlag = Annotated[int, typer.Option("-n", "--number", metavar="N", min=1, help="How many.")]
_ORDERS = ("cost", "tokens", "input", "output", "duration", "requests", "errors")


@filtered()
def summary(
    invocation: Invocation, filter: Filter, group_by: GroupFlag = "", as_json: JsonFlag = False
) -> None:
    """Show what requests came to: tokens, errors and money.

    Days and hours are UTC. Money is exact in --json, and rounded to four decimals in tables.

    \b
    tokenomics-cli ledger summary --since 7d --group-by day
    tokenomics-cli ledger summary --group-by tag:team,model --token 3f8592ba
    """
    from tokenomics_core.ledger.query import by, summed, total

    asked = _groups(group_by or "model,provider,token,run")
    with progress("Adding up the ledger") as shown:
        found = summed(invocation.config.dir / "ledger.db", filter, asked, progress=shown)
    totals = total(found)
    if group_by:
        _print_grouped(asked, found, totals, as_json)
        return
    runs = len([run for run in by(found, 3) if run is not None])
    tables = {name: by(found, place) for place, name in enumerate(("model", "provider", "token"))}
    if as_json:
        print_json(
            {
                **{f"by_{name}": _by_json(table) for name, table in tables.items()},
                "sessions": runs,
                "totals": totals.as_dict(),
            }
        )
    elif not totals.row_count:
        print("No requests found.")
    else:
        print(f"Sessions: {runs}\n")
        print_totals(totals)
        for name, table in tables.items():
            named = sorted((label(name, value), each) for value, each in table.items() if value is not None)
            if named:
                print(f"\nBy {name.title()}:")
                print_groups((name.title(),), [((value,), each) for value, each in named])


@filtered()
def top(
    invocation: Invocation,
    filter: Filter,
    group_by: GroupFlag = "",
    order: OrderFlag = "cost",
    number: NumberFlag = 10,
    as_json: JsonFlag = False,
) -> None:
    """Show what cost most: single requests, or groups of them.

    \b
    tokenomics-cli ledger top --since 24h
    tokenomics-cli ledger top --group-by session --by tokens -n 5
    """
    from tokenomics_core.ledger.query import measure, summed, top_rows, total

    path = invocation.config.dir / "ledger.db"
    if order not in _ORDERS or (not group_by and order in _ORDERS[-2:]):
        known = _ORDERS if group_by else _ORDERS[:-2]
        raise CommandError(f"--by {order[:40]} is not known; it is one of {', '.join(known)}")
    by = cast("Order", order)
    if not group_by:
        rows = top_rows(path, filter, by, number)
        if as_json:
            print_json([_request_json(row) for row in rows])
        elif not rows:
            print("No requests found.")
        else:
            _print_requests(rows)
        return
    asked = _groups(group_by)
    with progress("Adding up the ledger") as shown:
        found = summed(path, filter, asked, progress=shown)
    highest = sorted(found, key=lambda each: -measure(each.totals, by))
    _print_grouped(asked, highest[:number], total(found), as_json, by, rest=highest[number:])


def _groups(text: str) -> tuple[Group, ...]:
    from tokenomics_core.ledger.groups import groups

    try:
        return groups(text)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _print_grouped(
    asked: tuple[Group, ...],
    found: list[Grouped],
    totals: Totals,
    as_json: bool,
    order: Order = "cost",
    rest: list[Grouped] | None = None,
) -> None:
    from tokenomics_core.ledger.query import total

    names = [group.name for group in asked]
    if as_json:
        print_json(
            {
                "group_by": names,
                "groups": [
                    dict(zip(names, each.values, strict=True)) | each.totals.as_dict() for each in found
                ],
                "totals": totals.as_dict(),
            }
        )
        return
    if not found:
        print("No requests found.")
        return
    lines: list[tuple[list[str], Totals]] = [
        ([label(name, value) for name, value in zip(names, each.values, strict=True)], each.totals)
        for each in found
    ]
    if rest:
        lines.append(([f"({len(rest)} others)", *[""] * (len(names) - 1)], total(rest)))
    print_groups([name.removeprefix("tag:").capitalize() for name in names], lines, order)
    print(
        f"{counted(totals.request_count, 'request')}, {totals.total_tokens:,} tokens,"
        f" {dollars(totals.cost_usd)}."
    )
    if totals.unpriced_count:
        print(f"{counted(totals.unpriced_count, 'request')} with tokens and without a price.")


def _print_requests(rows: list[Row]) -> None:
    from tokenomics_core.ledger import timestamp

    print_fitting(
        ("Request", "Started", "Model", "Token", "Status", "Duration", "Input", "Output", "Cost"),
        [
            (
                row.id[:16],
                moment(timestamp(row.started_at)),
                row.model or "-",
                label("token", row.token_hash),
                str(row.status),
                span(row.duration_ms),
                f"{row.input_tokens:,}",
                f"{row.output_tokens:,}",
                "-" if row.cost_usd is None else dollars(row.cost_usd),
            )
            for row in rows
        ],
        text=4,
        optional=(3, 5, 4, 1, 6, 7),
    )


def _request_json(row: Row) -> dict[str, Any]:
    from tokenomics_core.ledger import timestamp
    from tokenomics_core.ledger.query import plain

    return {
        "id": row.id,
        "started_at": timestamp(row.started_at),
        "duration_ms": row.duration_ms,
        "token_hash": row.token_hash or None,
        "session_id": row.session_id or None,
        "model": row.model or None,
        "provider": row.provider or None,
        "status": row.status,
        "refusal": row.refusal or None,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cost_usd": None if row.cost_usd is None else plain(row.cost_usd),
    }


def _by_json(table: dict[str | int | None, Totals]) -> dict[str, Any]:
    return {str(name): each.as_dict() for name, each in sorted(table.items(), key=str) if name is not None}
