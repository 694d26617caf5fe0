"""The last line of a run: what its token came to, read from the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenomics_core.ledger import Row


def summary(ledger: Path, hash: str, since: datetime) -> str:
    """One line. Raises LedgerError."""
    from tokenomics_core.ledger.database import read_rows

    rows = read_rows(ledger, since=since, token_hash=hash) if ledger.exists() else iter(())
    return f"{told(rows)}; ledger: {_short(ledger)}, tokenomics-cli ledger summary --token {hash[:12]}"


def told(rows: Iterable[Row]) -> str:
    """What the rows come to, for people."""
    from tokenomics_core.guard.verdict import REDACTED_ENTRY

    requests = tokens = 0
    cost = Decimal(0)
    unpriced = False
    refused: Counter[str] = Counter()
    masked: Counter[str] = Counter()
    for row in rows:
        if row.kind == "upgrade" and not row.refusal:
            continue
        requests += 1
        tokens += row.input_tokens + row.output_tokens
        cost += row.cost_usd or 0
        unpriced |= row.cost_usd is None and bool(row.input_tokens + row.output_tokens)
        if row.refusal:
            refused[row.refusal] += 1
        masks = [match for match in row.rule_matches if match.get("action") == "mask"]
        # Where single rules say what they masked, the remark that something was says nothing more.
        for match in [match for match in masks if match != REDACTED_ENTRY] or masks:
            masked[match.get("name") or "a rule without a name"] += 1
    if not requests:
        return "no request came through the gateway (--print-env shows what the command was given)"
    parts = [_count(requests, "request"), _count(tokens, "token"), _money(cost, unpriced)]
    parts += [f"{sum(refused.values())} refused ({_names(refused)})"] if refused else []
    parts += [f"{sum(masked.values())} masked ({_names(masked)})"] if masked else []
    return ", ".join(parts)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _money(cost: Decimal, unpriced: bool) -> str:
    digits = 2 if not cost or cost >= 1 else 6
    text = f"${cost:,.{digits}f}"
    return f"{text} and what has no known price" if unpriced else text


def _names(counted: Counter[str]) -> str:
    return ", ".join(name for name, _ in counted.most_common(3))


def _short(path: Path) -> str:
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)
