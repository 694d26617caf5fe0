"""tokenomics-cli usage: what each token may use, has used, and has left."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenomics_cli import completing
from tokenomics_cli.command import Invocation, JsonFlag, command, new_app, print_json, warn
from tokenomics_cli.counting import have_counters, with_counters
from tokenomics_cli.errors import CommandError
from tokenomics_cli.usage_text import about, amount, bar, moment, plain, print_table, resets

if TYPE_CHECKING:
    from tokenomics_core.counters import Counters, Used
    from tokenomics_core.meter.overview import Line
    from tokenomics_core.tokens import TokenRecord

app = new_app("Show what each token may use, has used, and has left.")

PrefixArgument = Annotated[
    str,
    typer.Argument(
        metavar="[HASH]",
        help="A token's hash, or its beginning; all tokens without it.",
        autocompletion=completing.token_hashes,
    ),
]
SessionsFlag = Annotated[bool, typer.Option("--sessions", help="Also the limits of each session.")]


@command(app, "usage")
def usage(
    invocation: Invocation,
    prefix: PrefixArgument = "",
    sessions: SessionsFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Show what each token may use, has used, and has left.

    Reserved is what requests under way hold; what they do not use comes back.

    \b
    tokenomics-cli usage 3f8592ba
    """
    from tokenomics_core.meter.overview import overview
    from tokenomics_core.policy import PolicyError

    wanted = prefix.strip().lower()
    with invocation.existing_store() as store:
        records = [each for each in (store.list() if store else []) if each.hash.startswith(wanted)]
    if wanted and not records:
        raise CommandError(f"no token begins with {wanted[:64]}; token list shows the hashes")
    now = datetime.now(UTC)
    found: list[tuple[TokenRecord, Line]] = []
    counters = _read(invocation, records, int(now.timestamp() * 1000))
    for record in records:
        try:
            lines = overview(
                record.policy,
                counters.get(record.hash, []),
                now,
                session_budget=invocation.config.session.default_budget_usd,
                sessions=sessions,
            )
        except (PolicyError, ValueError) as error:
            warn(f"token {record.short}: its policy is not valid any more: {error}")
            continue
        found += [(record, line) for line in lines]
    if as_json:
        print_json([_json(record, line) for record, line in found])
    elif not records:
        print("No tokens found.")
    else:
        _print(found)


def _read(invocation: Invocation, records: list[TokenRecord], now: int) -> dict[str, list[Used]]:
    """The counters by token."""
    if not records or not have_counters(invocation):
        return {}

    async def work(counters: Counters) -> dict[str, list[Used]]:
        if len(records) == 1:
            return {records[0].hash: await counters.usage(records[0].hash, now=now)}
        used: dict[str, list[Used]] = {}
        for each in await counters.usage(now=now):
            used.setdefault(each.token, []).append(each)
        return used

    return with_counters(invocation, work)


def _print(found: list[tuple[TokenRecord, Line]]) -> None:
    rows = []
    before = ""
    for record, line in found:
        unit = line.limit.unit
        rows.append(
            (
                "" if record.hash == before else f"{record.hash[:8]} {record.label}".strip(),
                about(line),
                amount(line.budget, unit),
                amount(line.used, unit) if unit != "parallel" else "-",
                amount(line.reserved, unit),
                amount(line.remaining, unit),
                bar(line.percent),
                resets(line),
            )
        )
        before = record.hash
    titles = ("Token", "Limit", "Budget", "Spent", "Reserved", "Remaining", "Used", "Resets")
    print_table(titles, rows, text=2)


def _json(record: TokenRecord, line: Line) -> dict[str, Any]:
    unit = line.limit.unit
    return {
        "token": record.hash,
        "label": record.label or None,
        "key": line.limit.key,
        "name": line.limit.name or None,
        "unit": unit,
        "period": line.period,
        "timezone": line.timezone or None,
        "scope": line.scope,
        "provider": line.of if line.scope == "provider" else None,
        "session": line.of if line.scope == "session" else None,
        "action": "refuse" if line.limit.refuse else "warn",
        "set_by_hand": line.set_by_hand,
        "budget": plain(line.budget, unit),
        "spent": plain(line.used, unit),
        "reserved": plain(line.reserved, unit),
        "remaining": plain(line.remaining, unit),
        "percent": line.percent,
        "resets_at": None if line.resets_at is None else moment(line.resets_at),
    }
