"""tokenomics-cli ledger verify: whether the rows are as they were written, and the counters agree."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenomics_cli.command import Invocation, JsonFlag, print_json
from tokenomics_cli.counting import have_counters, with_counters
from tokenomics_cli.errors import CommandError
from tokenomics_cli.help_page import RARE
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
        rich_help_panel=RARE,
    ),
]


ChainFlag = Annotated[bool, typer.Option("--chain", help="Check the chain of the rows only.")]
CountersFlag = Annotated[bool, typer.Option("--counters", help="Compare the counters only.")]
LedgerFlag = Annotated[
    str | None,
    typer.Option(
        "--ledger", metavar="PATH", help="Check the chain of this ledger, without a data directory."
    ),
]
PublicKeyFlag = Annotated[
    str | None,
    typer.Option("--public-key", metavar="FILE", help="Instead of keys/ledger_signing.pub."),
]
HeadFlag = Annotated[
    list[str] | None,
    typer.Option(
        "--head",
        metavar="FILE",
        help="A head that was kept elsewhere, or a session file.",
        rich_help_panel=RARE,
    ),
]
PrintHeadFlag = Annotated[
    bool, typer.Option("--print-head", help="Print the last signed head, to be kept elsewhere.")
]


def verify(
    invocation: Invocation,
    chain: ChainFlag = False,
    counters: CountersFlag = False,
    repair: RepairFlag = False,
    also: AlsoFlag = None,
    ledger: LedgerFlag = None,
    public_key: PublicKeyFlag = None,
    head: HeadFlag = None,
    print_head: PrintHeadFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Check that no row was changed, and compare the counters of tokens and money with the ledger. Exits with
    1 when something is wrong.

    May run while requests are served. Requests, requests in flight and fixed windows are not in the ledger
    and left alone. With --ledger and --public-key the chain can be checked on another machine.

    \b
    tokenomics-cli ledger verify
    tokenomics-cli ledger verify --repair
    tokenomics-cli ledger verify --ledger copy.db --public-key ledger_signing.pub
    """
    from tokenomics_cli import ledger_chain

    only_chain = chain or ledger is not None
    if only_chain and (counters or repair):
        raise CommandError("--counters and --repair are about counters; leave --chain and --ledger out")
    if counters and (public_key or head):
        raise CommandError("--public-key and --head are about the chain; leave --counters out")
    others = [Path(path).expanduser() for path in also or ()]
    for path in (*others, *([Path(ledger).expanduser()] if ledger else [])):
        if not path.is_file():
            raise CommandError(f"there is no ledger at {path}; check the path")
    flags = ledger_chain.ChainFlags(
        Path(ledger).expanduser() if ledger else None,
        Path(public_key).expanduser() if public_key else None,
        tuple(Path(each).expanduser() for each in head or ()),
        tuple(others),
    )
    if print_head:
        ledger_chain.print_head(invocation, flags)
        return 0
    told: dict[str, Any] = {}
    status = 0
    if not counters:
        said = ledger_chain.check_chain(invocation, flags)
        status = 1 if said is not None and said.findings else 0
        if as_json:
            told["chain"] = ledger_chain.chain_json(said)
        elif said is not None:
            ledger_chain.print_chain(said)
    if not only_chain:
        compared, agree = _compare(invocation, repair, others, as_json)
        told = compared | told
        status = status if agree else 1
    if as_json:
        print_json(told)
    return status


def _compare(
    invocation: Invocation, repair: bool, others: list[Path], as_json: bool
) -> tuple[dict[str, Any], bool]:
    """Compares the counters, and prints what was found unless it is to be JSON: then it is returned."""
    from tokenomics_core.ledger import repair as repairing
    from tokenomics_core.ledger.resets import read_resets
    from tokenomics_core.ledger.sums import Sums, limits_of

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
    if not as_json:
        _print(found, left, repaired, left_out, len(limits))
    told = {
        "agree": not left.differences,
        "checked": left.checked,
        "repaired": repaired,
        "differences": [_json(each) for each in found.differences],
        "open": list(left.open),
        "left_out": left_out,
    }
    return told, not left.differences


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
