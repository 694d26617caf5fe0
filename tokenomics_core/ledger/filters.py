"""Filter: which rows of a ledger are asked for, as people say it and as SQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tokenomics_core.duration import parse_duration
from tokenomics_core.ledger.row import timestamp

ANY = "*"
_AGO = re.compile(r"(\d{1,6})([dw])(.*)", re.DOTALL)
_STATUS = re.compile(r"[1-5]xx|\d{1,3}")
_HASH = re.compile(r"[0-9a-f]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Rows that fit every field; of a field's words, one is enough. An empty field fits every row.

    since, until: bounds of started_at, aware, the second one exclusive. models, providers, branches,
    sessions, refusals: names, in which a star stands for any text; the empty word fits rows that have none.
    tokens, commits: beginnings of hashes. statuses: ``429`` or ``4xx``. tags: ``name=value`` of the metadata,
    or ``name`` for those that have it.
    """

    since: datetime | None = None
    until: datetime | None = None
    models: Sequence[str] = ()
    providers: Sequence[str] = ()
    tokens: Sequence[str] = ()
    branches: Sequence[str] = ()
    commits: Sequence[str] = ()
    sessions: Sequence[str] = ()
    statuses: Sequence[str] = ()
    refusals: Sequence[str] = ()
    tags: Sequence[str] = ()

    def where(self) -> tuple[str, list[str | int]]:
        """A condition on the columns of ``requests`` but the times, and its values. Raises ValueError."""
        conditions: list[str] = ["1"]
        values: list[str | int] = []
        fields: tuple[tuple[str, Sequence[str], Callable[[str, str], _Condition]], ...] = (
            ("model", self.models, _named),
            ("provider", self.providers, _named),
            ("token_hash", self.tokens, _hashed),
            ("branch", self.branches, _named),
            ("commit_hash", self.commits, _hashed),
            ("session_id", self.sessions, _named),
            ("status", self.statuses, _status),
            ("refusal", self.refusals, _named),
            ("metadata", self.tags, _tagged),
        )
        for column, words, condition in fields:
            if words:
                found = [condition(column, word) for word in words]
                conditions.append(f"({' OR '.join(text for text, _ in found)})")
                values += [value for _, given in found for value in given]
        return " AND ".join(conditions), values

    def times(self, column: str = "started_at") -> tuple[str, list[str | int]]:
        """The condition on a row's start, with its values."""
        conditions: list[str] = ["1"]
        values: list[str | int] = []
        for moment, sign in ((self.since, ">="), (self.until, "<")):
            if moment is not None:
                conditions.append(f"{column} {sign} ?")
                values.append(timestamp(moment.astimezone(UTC)))
        return " AND ".join(conditions), values


type _Condition = tuple[str, list[str | int]]


def moment(text: str, now: datetime, *, end: bool = False) -> datetime:
    """The moment that people write as ``7d`` (ago), ``12h``, ``1h30m``, ``2026-01-31`` or RFC 3339.

    Without a zone it is UTC. end: a date alone means its end, not its beginning. Raises ValueError, with one
    line for people.
    """
    given = text.strip()
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        pass
    else:
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found
        return found + timedelta(days=1) if end and _is_date(given) else found
    try:
        return now - timedelta(seconds=_seconds(given))
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text[:40]!r} is no time; write it like 7d, 12h, 30m, 2026-01-31 or 2026-01-31T08:00:00Z"
        ) from None


def tag_path(name: str) -> str:
    """Where a tag is in the metadata, for SQLite's JSON functions. Raises ValueError."""
    if not name or '"' in name or "\\" in name:
        raise ValueError("a tag has a name without quotation mark and backslash; write it like team=blue")
    return f'$."{name}"'


def _is_date(text: str) -> bool:
    return len(text) in (8, 10) and ":" not in text


def _seconds(text: str) -> float:
    seconds, rest = 0.0, text
    while ago := _AGO.fullmatch(rest):
        seconds += int(ago[1]) * (86400 if ago[2] == "d" else 7 * 86400)
        rest = ago[3]
    if rest or not seconds:
        seconds += parse_duration(rest)
    if seconds < 0:
        raise ValueError("in the future")
    return seconds


def _named(column: str, word: str) -> _Condition:
    if not word:
        return f"{column} IS NULL", []
    if ANY not in word:
        return f"{column} = ?", [word]
    # Of GLOB's signs only the star is one here.
    return f"{column} GLOB ?", [re.sub(r"[\[?]", r"[\g<0>]", word)]


def _hashed(column: str, word: str) -> _Condition:
    wanted = word.strip().lower()
    if not wanted:
        return f"{column} IS NULL", []
    if not _HASH.fullmatch(wanted):
        raise ValueError(f"{word[:40]!r} is not the beginning of a hash; those are made of 0-9 and a-f")
    # A range and not LIKE, so that an index serves it. No hash has a g.
    return f"({column} >= ? AND {column} < ?)", [wanted, wanted + "g"]


def _status(column: str, word: str) -> _Condition:
    wanted = word.strip().lower()
    if not _STATUS.fullmatch(wanted):
        raise ValueError(f"{word[:40]!r} is no status; write it like 429 or 4xx")
    if wanted.endswith("xx"):
        lowest = int(wanted[0]) * 100
        return f"{column} BETWEEN ? AND ?", [lowest, lowest + 99]
    return f"{column} = ?", [int(wanted)]


def _tagged(column: str, word: str) -> _Condition:
    name, sign, value = word.partition("=")
    path = tag_path(name.strip())
    if not sign:
        return f"json_extract({column}, ?) IS NOT NULL", [path]
    if not value:
        return f"json_extract({column}, ?) IS NULL", [path]
    text, values = _named(f"json_extract({column}, ?)", value)
    return text, [path, *values]
