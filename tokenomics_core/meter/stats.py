"""Stats: what has passed since the start, in total, by model and key, by token, and by session.

What all rows of the ledger add up to (`meter.all_time`) is kept in the same tally.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any

from tokenomics_core.ledger.row import Row

# Clients choose model names; past this many pairs of model and key, further ones share one line.
MOST_MODELS = 1000
# Agents name a session for every run; past this many, the one that was quiet for longest joins the others.
MOST_SESSIONS = 1000
OTHER = OTHER_MODELS = "(other)"

# Our own answers to what was no proper request, or to what could not be served as configured.
NOT_COUNTED = frozenset((400, 401, 500))

# Sums of money are exact: with the default context they would be rounded to 28 digits.
_EXACT = Context(prec=200)


@dataclass(slots=True)
class Counters:
    """request_count and error_count are exchanges, cost is US dollars; the rest are tokens."""

    request_count: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    error_count: int = 0
    cost: Decimal = Decimal(0)

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def add(self, other: Counters) -> None:
        self.request_count += other.request_count
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.error_count += other.error_count
        if other.cost:
            self.cost = _EXACT.add(self.cost, other.cost)

    def as_dict(self) -> dict[str, int | str]:
        """cost_usd is the text of an exact decimal."""
        return {
            "request_count": self.request_count,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.total_tokens,
            "error_count": self.error_count,
            "cost_usd": f"{self.cost:f}",
        }


@dataclass(slots=True)
class Part:
    """Exchanges that are counted together. first_seen, last_seen: ends of exchanges, UTC.

    counters: of all of them. The model is that of the last, the key that of the first.
    """

    counters: Counters
    token_hash: str
    session_id: str
    model: str
    base_key_env: str
    first_seen: datetime
    last_seen: datetime


@dataclass(slots=True)
class _Seen:
    counters: Counters
    last_model: str
    base_key_env: str
    first_seen: datetime
    last_seen: datetime

    @classmethod
    def nothing(cls, part: Part) -> _Seen:
        return cls(Counters(), part.model, part.base_key_env, part.first_seen, part.last_seen)

    def add(self, part: Part) -> None:
        self.counters.add(part.counters)
        self.last_model = part.model
        self.first_seen = min(self.first_seen, part.first_seen)
        self.last_seen = max(self.last_seen, part.last_seen)

    def times(self) -> dict[str, str]:
        return {"first_seen": _seconds(self.first_seen), "last_seen": _seconds(self.last_seen)}


@dataclass(slots=True)
class Tally:
    """Counters of everything, and of every model, token and session; for one thread."""

    totals: Counters = field(default_factory=Counters)
    _models: dict[tuple[str, str], Counters] = field(default_factory=dict)
    _tokens: dict[str, _Seen] = field(default_factory=dict)
    # By token and session, the one that was quiet for longest first.
    _sessions: dict[tuple[str, str], _Seen] = field(default_factory=dict)
    _others: _Seen | None = None

    def add(self, part: Part) -> None:
        """To be called in the order of time."""
        self.totals.add(part.counters)
        pair = (part.model, part.base_key_env)
        if pair not in self._models and len(self._models) >= MOST_MODELS:
            pair = (OTHER, "")
        self._models.setdefault(pair, Counters()).add(part.counters)
        if not part.token_hash:
            return
        token = self._tokens.get(part.token_hash)
        if token is None:
            token = self._tokens[part.token_hash] = _Seen.nothing(part)
        token.add(part)
        if part.session_id:
            self._add_to_session(part)

    def _add_to_session(self, part: Part) -> None:
        key = (part.token_hash, part.session_id)
        session = self._sessions.pop(key, None) or _Seen.nothing(part)
        session.add(part)
        self._sessions[key] = session
        if len(self._sessions) > MOST_SESSIONS:
            quiet = self._sessions.pop(next(iter(self._sessions)))
            if self._others is None:
                self._others = quiet
                return
            self._others.counters.add(quiet.counters)
            self._others.first_seen = min(self._others.first_seen, quiet.first_seen)
            self._others.last_seen = max(self._others.last_seen, quiet.last_seen)

    def as_dict(self) -> dict[str, Any]:
        """``{totals, by_model_and_key, by_token, by_session}``; the lists, the most tokens first."""
        sessions = list(self._sessions.items())
        if self._others is not None:
            sessions.append((("", OTHER), self._others))
        return {
            "totals": self.totals.as_dict(),
            "by_model_and_key": _sorted(
                {"model": model, "base_key_env": key, **counters.as_dict()}
                for (model, key), counters in self._models.items()
            ),
            "by_token": _sorted(
                {
                    "token_hash": token_hash[:16],
                    **token.counters.as_dict(),
                    "last_model": token.last_model,
                    "base_key_env": token.base_key_env,
                    **token.times(),
                }
                for token_hash, token in self._tokens.items()
            ),
            "by_session": _sorted(
                {
                    "session_id": session_id,
                    "token_hash": token_hash[:16],
                    **session.counters.as_dict(),
                    **session.times(),
                }
                for (token_hash, session_id), session in sessions
            ),
        }


def counts(row: Row) -> bool:
    """Whether a row is a request of the statistics.

    Left out are our own answers with status 400, 401 and 500, and upgrades to a WebSocket that succeeded:
    the responses asked for in its frames are the requests.
    """
    if row.refusal and not row.upstream_status and row.status in NOT_COUNTED:
        return False
    return row.kind != "upgrade" or row.failed


class Stats:
    """Counters in memory, for one event loop. A restart begins at zero; the ledger does not.

    since: when the process began; now, where nobody says.
    """

    def __init__(self, since: datetime | None = None) -> None:
        self.since = since or datetime.now(UTC)
        self.tally = Tally()

    def add(self, row: Row) -> None:
        """Counts a finished exchange, if it `counts`."""
        if not counts(row):
            return
        counters = Counters(
            1, row.input_tokens, row.output_tokens, int(row.failed), row.cost_usd or Decimal(0)
        )
        self.tally.add(
            Part(
                counters,
                row.token_hash,
                row.session_id,
                row.model,
                row.base_key_env,
                row.ended_at,
                row.ended_at,
            )
        )

    def snapshot(self, all_time: dict[str, Any] | None = None) -> dict[str, Any]:
        """``{totals, by_model_and_key, by_token, by_session, since}``, and ``all_time`` where it is given."""
        told = {**self.tally.as_dict(), "since": _seconds(self.since)}
        return told if all_time is None else {**told, "all_time": all_time}


def _seconds(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _sorted(entries: Any) -> list[dict[str, Any]]:
    return sorted(entries, key=_total_tokens, reverse=True)


def _total_tokens(entry: dict[str, Any]) -> int:
    total: int = entry["total_tokens"]
    return total
