"""tokenomics-cli ledger verify: whether the counters agree with the rows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenomics_cli.command import Invocation, JsonFlag, print_json
from tokenomics_cli.counting import have_counters, with_counters
from tokenomics_cli.errors import CommandError
from tokenomics_cli.token_text import counted
from tokenomics_cli.usage_text import amount, plain, print_table

if TYPE_CHECKING:
    from tokenomics_core.counters import Counters
    from tokenomics_core.ledger.repair import Difference, Verified

RepairFlag = Annotated[bool, typer.Option("--repair", help="Set the counters to what the ledger says.")]
AlsoFlag = Annotated[
    list[str] | None,
    typer.Option(
        "--also",
        metavar="PATH",
        help="The ledger of another machine on the same Redis; give each of them.",
    ),
]


def verify(
    invocation: Invocation, repair: RepairFlag = False, also: AlsoFlag = None, as_json: JsonFlag = False
) -> int:
    """Compare the counters of tokens and money with the ledger. Exits with 1 when they differ.

    May run while requests are served. Requests, requests in flight and fixed windows are not in the ledger
    and left alone.

    \b
    tokenomics-cli ledger verify --repair
    """
    from tokenomics_core.ledger import repair as repairing
    from tokenomics_core.ledger.resets import read_resets
    from tokenomics_core.ledger.sums import Sums, limits_of

    others = [Path(path).expanduser() for path in also or ()]
    for path in others:
        if not path.is_file():
            raise CommandError(f"there is no ledger at {path}; check the path")
    own = invocation.config.dir / "ledger.db"
    with invocation.existing_store() as store:
        records = store.list() if store else []
    limits = limits_of(records)
    left_out = [record.short for record in records if record.hash not in limits]
    # Other machines may have used what this ledger does not know of.
    partial = invocation.config.session.backend == "redis" and not others

    async def work(counters: Counters) -> tuple[Verified, Verified]:
        sums = Sums(limits, read_resets(own, *others), datetime.now(UTC))
        ledgers = [own, *others]
        if repair:
            return await repairing.verify_and_repair(counters, sums, ledgers, partial=partial)
        await repairing.verify(counters, sums, ledgers, partial=partial)
        found = await repairing.verify(counters, sums, ledgers, partial=partial)
        return found, found

    if limits and (own.exists() or others or have_counters(invocation)):
        found, left = with_counters(invocation, work)
    else:
        found = left = repairing.Verified((), 0, ())
    repaired = len(found.differences) if repair and not left.differences else 0
    if as_json:
        print_json(
            {
                "agree": not left.differences,
                "checked": left.checked,
                "repaired": repaired,
                "differences": [_json(each) for each in found.differences],
                "open": list(left.open),
                "left_out": left_out,
            }
        )
    else:
        _print(found, left, repaired, left_out, len(limits))
    return 1 if left.differences else 0


def _print(found: Verified, left: Verified, repaired: int, left_out: list[str], tokens: int) -> None:
    shown = found if repaired else left
    if shown.differences:
        print_table(
            ("Token", "Counter", "Ledger", "Counted", "Off by", "Reserved"),
            [
                (
                    each.token[:8],
                    each.key,
                    amount(each.ledger, each.unit),
                    amount(each.counter, each.unit),
                    amount(each.counter - each.ledger, each.unit, sign=True),
                    amount(each.reserved, each.unit) if each.reserved else "-",
                )
                for each in shown.differences
            ],
            text=2,
        )
    number = counted(len(shown.differences), "counter")
    checked = f"{counted(left.checked, 'counter')} of {counted(tokens, 'token')}"
    if repaired:
        print(f"Repaired {number} of {left.checked}.")
    elif shown.differences:
        print(f"{number} of {left.checked} differ from the ledger; --repair sets them.")
    else:
        print(f"The counters agree with the ledger: {checked}.")
    if left.open:
        print(f"Requests of {counted(len(left.open), 'token')} are under way; their rows come at their end.")
    for short in left_out:
        print(f"Left out: token {short}, whose policy is not valid any more.")


def _json(difference: Difference) -> dict[str, Any]:
    unit = difference.unit
    return {
        "token": difference.token,
        "key": difference.key,
        "unit": unit,
        "ledger": plain(difference.ledger, unit),
        "counter": plain(difference.counter, unit),
        "reserved": plain(difference.reserved, unit),
    }
