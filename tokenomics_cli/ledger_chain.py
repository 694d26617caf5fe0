"""The part of ``ledger verify`` that checks the chain of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenomics_cli.command import Invocation, print_json
from tokenomics_cli.errors import CommandError
from tokenomics_cli.ledger_text import moment, progress
from tokenomics_cli.token_text import counted

if TYPE_CHECKING:
    from tokenomics_core.ledger.chain import Head
    from tokenomics_core.ledger.chain_check import Checked

MOST = 100
"""Findings that are shown to people; JSON has all."""


@dataclass(frozen=True, slots=True)
class ChainFlags:
    """ledger, public_key: instead of those of the data directory. heads: files. also: other ledgers."""

    ledger: Path | None
    public_key: Path | None
    heads: tuple[Path, ...]
    also: tuple[Path, ...]


def print_head(invocation: Invocation, flags: ChainFlags) -> None:
    """Prints the last head of the ledger, for whoever keeps it elsewhere."""
    from tokenomics_core.ledger.chain_anchor import last_head

    path = flags.ledger or invocation.config.dir / "ledger.db"
    head = last_head(path) if path.is_file() else None
    if head is None:
        raise CommandError(f"no head is signed in {path}; the first comes with the first request")
    print_json(head.as_dict())


def check_chain(invocation: Invocation, flags: ChainFlags) -> Checked | None:
    """Checks the ledger, and whether it has every head that was kept elsewhere: those that were given and, in
    the data directory, those of the session files. None where there is no ledger, and never was one.
    """
    from tokenomics_core.ledger.chain_anchor import compare_anchor, last_head, read_head, session_heads
    from tokenomics_core.ledger.chain_check import Checked, Finding, check
    from tokenomics_core.ledger.signing import PUBLIC, PublicKey
    from tokenomics_core.tokens import KeyFileError

    path = flags.ledger or invocation.config.dir / "ledger.db"
    public = flags.public_key
    if public is None and flags.ledger is None and (own := invocation.config.dir / "keys" / PUBLIC).exists():
        public = own
    try:
        key = PublicKey(public) if public is not None else None
    except KeyFileError as error:
        raise CommandError(str(error)) from None
    anchors: list[tuple[str, Head | None]] = [(str(file), read_head(file)) for file in flags.heads]
    if flags.ledger is None:
        anchors += session_heads(invocation.config.dir / "sessions")
    if key is None and (anchors or (path.is_file() and last_head(path) is not None)):
        raise CommandError("there is no public key to verify with; give the gateway's with --public-key")
    if not path.is_file() and not anchors:
        return None
    said = Checked()
    if path.is_file():
        with progress("Checking the chain") as shown:
            said = check(path, key.verifies if key else None, shown)
    ledgers = [each for each in (path, *flags.also) if each.is_file()]
    for name, anchor in anchors:
        if anchor is None:
            said.findings.append(Finding("signature", f"the head in {name} cannot be read"))
        elif key is not None and (wrong := compare_anchor(name, anchor, ledgers, key.verifies)):
            said.findings.append(wrong)
    return said


def print_chain(said: Checked) -> None:
    for each in said.findings[:MOST]:
        print(each.text)
    if len(said.findings) > MOST:
        print(f"and {len(said.findings) - MOST:,} more; --json has them all")
    rows = f"{counted(said.rows, 'row')} of {counted(said.writers, 'writer')}"
    if said.findings:
        print(f"The chain does not hold: {counted(len(said.findings), 'finding')} in {rows}.")
    elif said.last is not None:
        signed = f"signed until {moment(said.last.at)} UTC (head {said.last.number})"
        print(f"The chain holds: {rows}, {signed}.")
    if said.older:
        print(f"{counted(said.older, 'row')} from before the chain, covered by its first head.")
    if said.unchained:
        print(f"Not chained: {counted(said.unchained, 'row')}.")


def chain_json(said: Checked | None) -> dict[str, Any]:
    from tokenomics_core.ledger.chain_check import Checked

    said = said or Checked()
    return {
        "holds": not said.findings,
        "rows": said.rows,
        "before_the_chain": said.older,
        "not_chained": said.unchained,
        "writers": said.writers,
        "heads": said.heads,
        "last_head": said.last.as_dict() if said.last else None,
        "findings": [
            {
                "kind": each.kind,
                "writer": each.writer or None,
                "number": each.number,
                "request_id": each.id or None,
                "text": each.text,
            }
            for each in said.findings
        ],
    }
