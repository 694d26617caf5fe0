"""What top shows: read from the gateway that runs, the counters, the tokens and the ledger."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tokenomics_cli.command import Invocation
from tokenomics_cli.counting import have_counters
from tokenomics_cli.gateway_probe import get
from tokenomics_cli.gateway_process import running
from tokenomics_core.counters.question import Freeze, Used
from tokenomics_core.counters.store import Counters
from tokenomics_core.ledger.database import LedgerError, read_rows
from tokenomics_core.ledger.recent import Recent, recent
from tokenomics_core.ledger.row import Row, timestamp
from tokenomics_core.meter.dashboard import budgets_of, views_of
from tokenomics_core.meter.overview import overview
from tokenomics_core.policy import PolicyError
from tokenomics_core.tokens import TokenRecord

LATEST = 1000
"""Rows of the ledger that are looked at for the last refusals."""

_MINUTE = timedelta(minutes=1)
_TOKEN_SPENT = "usd:total"
_SAMPLE = re.compile(r"^(\w+)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)

type Ask = Callable[[Callable[[Counters], Any]], Any]


@dataclass(frozen=True, slots=True)
class Item:
    """A token, or a session of one; session is empty for the token itself.

    spent: billionths of a US dollar. used: percent of the budget that is nearest to its end, None where there
    is none. recent: requests in the last minute.
    """

    token: str
    session: str
    label: str
    spent: int
    used: float | None
    recent: int
    freeze: Freeze | None


@dataclass(frozen=True, slots=True)
class Rate:
    """Of the last minute, by the requests that ended in it."""

    requests: int = 0
    tokens_per_second: float = 0.0
    cost: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class View:
    """One moment. url: of the gateway that runs, empty for none. open: requests under way, None if not known.

    totals: as ``/stats`` has them. trouble: what could not be read.
    """

    at: datetime
    url: str
    version: str
    open: int | None
    totals: dict[str, Any]
    rate: Rate
    items: list[Item]
    refusals: list[Row]
    trouble: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON: money as text of an exact decimal, in US dollars."""
        return {
            "at": timestamp(self.at),
            "gateway": self.url or None,
            "version": self.version or None,
            "open": self.open,
            "since_start": self.totals or None,
            "last_minute": {
                "requests": self.rate.requests,
                "tokens_per_second": round(self.rate.tokens_per_second, 3),
                "cost_usd": f"{self.rate.cost:f}",
            },
            "items": [
                {
                    "token": item.token,
                    "label": item.label or None,
                    "session": item.session or None,
                    "requests_last_minute": item.recent,
                    "spent_usd": f"{Decimal(item.spent).scaleb(-9):f}",
                    "percent": item.used,
                    "frozen": item.freeze.reason if item.freeze else None,
                }
                for item in self.items
            ],
            "refusals": [
                {
                    "at": timestamp(row.ended_at),
                    "token": row.token_hash or None,
                    "session": row.session_id or None,
                    "model": row.requested_model or None,
                    "reason": row.refusal,
                }
                for row in self.refusals
            ],
        }


def read_view(invocation: Invocation, ask: Ask) -> View:
    """ask: does a piece of work with the counters. Raises CountersUnavailable, StoreError."""
    now = datetime.now(UTC)
    config = invocation.config
    url, version = running(config, lambda: invocation.keys.hash_key) or ("", "")
    with invocation.existing_store() as store:
        records = store.list() if store else []
    used: list[Used] = []
    frozen: list[Freeze] = []
    if have_counters(invocation):
        milliseconds = int(now.timestamp() * 1000)
        used = ask(lambda counters: counters.usage(now=milliseconds))
        frozen = ask(lambda counters: counters.frozen(now=milliseconds))
    rows: list[Row] = []
    minute, trouble = Recent(), ""
    ledger = config.dir / "ledger.db"
    try:
        if ledger.exists():
            minute = recent(ledger, now - _MINUTE)
            rows = list(read_rows(ledger, limit=LATEST))
    except LedgerError as error:
        trouble = str(error)
    session_budget = config.session.default_budget_usd
    return View(
        now,
        url,
        version,
        open_requests(_get(url, "/metrics").decode(errors="replace")) if url else None,
        _totals(url),
        rate_of(minute),
        [
            *_tokens(records, used, frozen, minute, now, session_budget),
            *_sessions(records, used, frozen, minute, session_budget),
        ],
        [row for row in rows if row.refusal][-5:][::-1],
        trouble,
    )


def rate_of(minute: Recent) -> Rate:
    return Rate(minute.requests.total(), minute.tokens / _MINUTE.total_seconds(), minute.cost)


def open_requests(metrics: str) -> int | None:
    """From the text of ``/metrics``; None where it does not say."""
    sums: dict[str, float] = {}
    for name, value in _SAMPLE.findall(metrics):
        if name in ("tokenomics_requests_in_flight", "tokenomics_open_streams"):
            sums[name] = sums.get(name, 0.0) + float(value)
    found = sums.get("tokenomics_requests_in_flight", sums.get("tokenomics_open_streams"))
    return None if found is None else int(found)


def _tokens(
    records: Iterable[TokenRecord],
    used: Sequence[Used],
    frozen: Sequence[Freeze],
    minute: Recent,
    now: datetime,
    session_budget: Decimal | None,
) -> list[Item]:
    closed = {each.token: each for each in frozen if each.key == "token"}
    items = []
    for record in records:
        own = [each for each in used if each.token == record.hash]
        try:
            lines = overview(record.policy, own, now, session_budget=session_budget)
        except (PolicyError, ValueError):
            lines = []
        percents = [line.percent for line in lines if line.percent is not None and line.period != "in flight"]
        items.append(
            Item(
                record.hash,
                "",
                record.label,
                sum(each.used for each in own if each.key == _TOKEN_SPENT),
                max(percents, default=None),
                sum(count for (token, _), count in minute.requests.items() if token == record.hash),
                closed.get(record.hash),
            )
        )
    return sorted(items, key=lambda item: (-item.recent, -item.spent, item.token))


def _sessions(
    records: Sequence[TokenRecord],
    used: Sequence[Used],
    frozen: Sequence[Freeze],
    minute: Recent,
    session_budget: Decimal | None,
) -> list[Item]:
    labels = {record.hash: record.label for record in records}
    items = [
        Item(
            view.token,
            view.id,
            labels.get(view.token, ""),
            view.spent,
            None if view.budget is None else view.percentage_used,
            minute.requests[view.token, view.id],
            view.freeze,
        )
        for view in views_of(used, frozen, budgets_of(records, session_budget))
        if view.id
    ]
    return sorted(items, key=lambda item: (-item.recent, -item.spent, item.session))


def _totals(url: str) -> dict[str, Any]:
    try:
        told = json.loads(_get(url, "/stats")) if url else {}
    except ValueError:
        return {}
    totals = told.get("totals") if isinstance(told, dict) else None
    return totals if isinstance(totals, dict) else {}


def _get(url: str, path: str) -> bytes:
    try:
        status, body = get(url, path)
    except (OSError, ValueError):
        return b""
    return body if status == 200 else b""
