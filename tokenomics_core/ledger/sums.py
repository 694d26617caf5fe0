"""Sums: what the rows of ledgers say was used of each counter, in the window that holds now.

Each row is read once, and is one addition: windows begin at few moments, so rows between two of them can be
added up before anyone asks which window they are in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import orjson

from tokenomics_core.counters.question import HIGHEST, Limit, Unit, Unsettled, Window
from tokenomics_core.ledger.database import opened
from tokenomics_core.ledger.resets import Resets
from tokenomics_core.ledger.row import Row, timestamp
from tokenomics_core.meter.lease import nano
from tokenomics_core.meter.limits import Limits
from tokenomics_core.meter.periods import milliseconds
from tokenomics_core.policy import PolicyError
from tokenomics_core.tokens import TokenRecord

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ALWAYS = ""
"""Before every time, as text."""


class Used(NamedTuple):
    """Of a row, what counts. Times as in the table; cost_usd: text of an exact decimal, None for no price."""

    token: str
    session: str
    provider: str
    started_at: str
    ended_at: str
    tokens: int
    cost_usd: str | None


def used(row: Row) -> Used:
    return Used(
        row.token_hash,
        row.session_id,
        row.provider,
        timestamp(row.started_at),
        timestamp(row.ended_at),
        row.input_tokens + row.output_tokens,
        None if row.cost_usd is None else f"{row.cost_usd:f}",
    )


@dataclass(slots=True)
class Expected:
    """One counter as the ledger has it; amounts as in `counters.question`.

    least, most: what a counter may say that is right. It knows of settlements that are on their way to the
    ledger, and counts a request that ran into a new period in one or the other. A sliding window that was
    repaired has all that is in it at the time of the repair, and is right again by itself.
    """

    unit: Unit
    window: Window
    least: int = 0
    ledger: int = 0
    most: int = 0


@dataclass(slots=True)
class _Group:
    """The rows of one token, session and provider.

    since: the last reset of the token. bounds: when windows begin, ascending, as text. cells: by how many of
    them had passed at the start and at the end of a row, its tokens and billionths of a US dollar.
    """

    token: str
    session: str
    limits: tuple[Limit, ...]
    since: str
    session_since: str
    bounds: list[str]
    cells: dict[tuple[int, int], list[int]] = field(default_factory=dict)

    def sum(self, unit: Unit, ended: str, started: str = _ALWAYS) -> int:
        """Of the rows that started and ended at those times or after; both are bounds."""
        first, last = bisect_right(self.bounds, started), bisect_right(self.bounds, ended)
        index = 0 if unit == "tokens" else 1
        return sum(cell[index] for (start, end), cell in self.cells.items() if start >= first and end >= last)


class Sums:
    """limits: of each token that is looked at, by its hash. now: of the windows."""

    def __init__(self, limits: Mapping[str, Limits], resets: Resets, now: datetime) -> None:
        self.limits = limits
        self.resets = resets
        self.now = now
        self._groups: dict[tuple[str, str | None, str | None], _Group | None] = {}
        self._nano: dict[str | None, int] = {None: 0}
        self._read: dict[Path, int] = {}
        for token in limits:
            self.know(token)

    def know(self, token: str, session: str = "", provider: str = "") -> None:
        """The counters of this session and provider are looked at, even if no row has them."""
        self._group(token, session, provider)

    def add(
        self, rows: Iterable[Used | tuple[str, str | None, str | None, str, str, int, str | None]]
    ) -> None:
        groups, costs = self._groups, self._nano
        for token, session, provider, started, ended, tokens, cost in rows:
            try:
                group = groups[token, session, provider]
            except KeyError:
                group = self._group(token, session, provider)
            if group is None or ended < group.since:
                continue
            spent = costs.get(cost)
            if spent is None:
                spent = costs[cost] = nano(Decimal(cost or 0))
            bounds = group.bounds
            place = (bisect_right(bounds, started), bisect_right(bounds, ended))
            cell = group.cells.get(place)
            if cell is None:
                group.cells[place] = [tokens, spent]
            else:
                cell[0] += tokens
                cell[1] += spent

    def read(self, path: Path, ids: Sequence[str] = ()) -> set[str]:
        """Adds the rows that were written since the last time. Those of ids that the ledger has.

        Nothing is added for a file that is not there. Raises LedgerError.
        """
        if not path.exists():
            return set()
        only = next(iter(self.limits)) if len(self.limits) == 1 else ""
        with opened(path) as db:
            db.execute("BEGIN")
            (last,) = db.execute("SELECT ifnull(max(seq), 0) FROM requests").fetchone()
            rows = db.execute(
                "SELECT token_hash, session_id, provider, started_at, ended_at, input_tokens + output_tokens,"
                f" cost_usd FROM requests WHERE {'token_hash = :token' if only else 'token_hash > :token'}"
                " AND seq > :seq AND ended_at >= :since",
                {
                    "token": only,
                    "seq": self._read.get(path, 0),
                    "since": self.resets.get((only, ""), _ALWAYS),
                },
            )
            self.add(rows)
            self._read[path] = last
            known = db.execute(
                "SELECT id FROM requests WHERE id IN (SELECT value FROM json_each(?))",
                (orjson.dumps(list(ids)).decode(),),
            )
            return {id for (id,) in known}

    def expected(
        self, settled: Iterable[Used] = (), journal: Iterable[Unsettled] = ()
    ) -> dict[tuple[str, str], Expected]:
        """By token and key, each counter that the policies have now.

        settled: rows that the ledger does not have yet. journal: exchanges without a row; what they hold is
        counted when their leases expire.
        """
        waiting = Sums(self.limits, self.resets, self.now)
        waiting.add(settled)
        found: dict[tuple[str, str], Expected] = {}
        for sums, written in ((self, True), (waiting, False)):
            for token, limit, least, amount, most in sums._counters():
                each = found.setdefault((token, limit.key), Expected(limit.unit, limit.window))
                each.least += least if written else 0
                each.ledger = min(each.ledger + amount, HIGHEST)
                each.most += most
        for entry in journal:
            for key, amount in (dict(entry.reserved) | dict(entry.progress)).items():
                if (entry.token, key) in found:
                    found[entry.token, key].most += amount
        return found

    def _counters(self) -> Iterator[tuple[str, Limit, int, int, int]]:
        """Of each group and each of its counters: least, amount, most."""
        # The same group may be known under NULL and under the empty text.
        for group in {id(each): each for each in self._groups.values() if each is not None}.values():
            for limit in group.limits:
                since = group.session_since if limit.key.startswith(f"session:{group.session}:") else _ALWAYS
                unit, window = limit.unit, limit.window
                if window.kind == "total":
                    amount = group.sum(unit, since)
                    yield group.token, limit, amount, amount, amount
                elif window.kind == "calendar":
                    begin = _text(window.start)
                    ended = max(begin, since)
                    amount = group.sum(unit, ended)
                    yield group.token, limit, group.sum(unit, ended, begin), amount, amount
                else:
                    once, twice = _sliding(limit, self.now)
                    amount = group.sum(unit, max(once, since))
                    yield group.token, limit, amount, amount, group.sum(unit, max(twice, since))

    def _group(self, token: str, session: str | None, provider: str | None) -> _Group | None:
        names = (token, session or "", provider or "")
        group = self._groups.get(names)
        limits = self.limits.get(token)
        if group is None and limits is not None:
            now = limits.at(provider=names[2], session=names[1], now=self.now)
            counted = {limit.key: limit for limit in reversed(now) if in_ledger(limit)}
            bounds = {_text(each.window.start) for each in counted.values() if each.window.kind == "calendar"}
            for limit in counted.values():
                if limit.window.kind == "sliding":
                    bounds.update(_sliding(limit, self.now))
            since = self.resets.get((token, ""), _ALWAYS)
            session_since = self.resets.get((token, names[1]), _ALWAYS) if names[1] else _ALWAYS
            bounds.add(session_since)
            group = _Group(
                token, names[1], tuple(counted.values()), since, session_since, sorted(bounds - {_ALWAYS})
            )
            self._groups[names] = group
        self._groups[token, session, provider] = group
        return group


def limits_of(records: Iterable[TokenRecord]) -> dict[str, Limits]:
    """What each token's policy limits, by its hash; without those whose policy is not valid any more."""
    limits = {}
    for record in records:
        try:
            limits[record.hash] = Limits(record.policy.resolve_global())
        except (PolicyError, ValueError):
            continue
    return limits


def in_ledger(limit: Limit) -> bool:
    """Whether rows tell what was counted. Not of requests, and not when a fixed window began."""
    return limit.unit in ("tokens", "usd") and limit.window.kind != "fixed"


def _sliding(limit: Limit, now: datetime) -> tuple[str, str]:
    """Since when rows are in the window, and since when they may be after a repair."""
    at, length = milliseconds(now), limit.window.length
    return _text(max(0, at - length)), _text(max(0, at - 2 * length))


def _text(moment: int) -> str:
    return timestamp(_EPOCH + timedelta(milliseconds=moment))
