"""Stats: what has passed since the start, in total, by model and key, and by token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tokenomics_core.ledger.row import Row

# Clients choose model names; past this many pairs of model and key, further ones share one line.
MOST_MODELS = 1000
OTHER_MODELS = "(other)"

# Our own answers to what was no proper request, or to what could not be served as configured.
_NOT_COUNTED = frozenset((400, 401, 500))


@dataclass(slots=True)
class Counters:
    """request_count and error_count are exchanges; the rest are tokens."""

    request_count: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    error_count: int = 0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def add(self, row: Row) -> None:
        self.request_count += 1
        self.input_tokens += row.input_tokens
        self.output_tokens += row.output_tokens
        self.error_count += row.failed

    def as_dict(self) -> dict[str, int]:
        return {
            "request_count": self.request_count,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.total_tokens,
            "error_count": self.error_count,
        }


@dataclass(slots=True)
class TokenCounters:
    """One token's counters, and what it was seen with."""

    counters: Counters
    last_model: str
    base_key_env: str
    first_seen: datetime
    last_seen: datetime


class Stats:
    """Counters in memory, for one event loop. A restart begins at zero; the ledger does not."""

    def __init__(self) -> None:
        self._totals = Counters()
        self._by_model_and_key: dict[tuple[str, str], Counters] = {}
        self._by_token: dict[str, TokenCounters] = {}

    def add(self, row: Row) -> None:
        """Counts a finished exchange.

        Left out are our own answers with status 400, 401 and 500, and upgrades to a WebSocket that
        succeeded: the responses asked for in its frames are the requests.
        """
        if row.refusal and not row.upstream_status and row.status in _NOT_COUNTED:
            return
        if row.kind == "upgrade" and not row.failed:
            return
        self._totals.add(row)
        pair = (row.model, row.base_key_env)
        if pair not in self._by_model_and_key and len(self._by_model_and_key) >= MOST_MODELS:
            pair = (OTHER_MODELS, "")
        self._by_model_and_key.setdefault(pair, Counters()).add(row)
        if not row.token_hash:
            return
        token = self._by_token.get(row.token_hash)
        if token is None:
            token = TokenCounters(Counters(), row.model, row.base_key_env, row.ended_at, row.ended_at)
            self._by_token[row.token_hash] = token
        token.counters.add(row)
        token.last_model = row.model
        token.last_seen = row.ended_at

    def snapshot(self) -> dict[str, Any]:
        """``{totals, by_model_and_key, by_token}``, the lists by total_tokens, the highest first."""
        by_model_and_key = [
            {"model": model, "base_key_env": key, **counters.as_dict()}
            for (model, key), counters in self._by_model_and_key.items()
        ]
        by_token = [
            {
                "token_hash": token_hash[:16],
                **token.counters.as_dict(),
                "last_model": token.last_model,
                "base_key_env": token.base_key_env,
                "first_seen": f"{token.first_seen:%Y-%m-%dT%H:%M:%SZ}",
                "last_seen": f"{token.last_seen:%Y-%m-%dT%H:%M:%SZ}",
            }
            for token_hash, token in self._by_token.items()
        ]
        return {
            "totals": self._totals.as_dict(),
            "by_model_and_key": sorted(by_model_and_key, key=_total_tokens, reverse=True),
            "by_token": sorted(by_token, key=_total_tokens, reverse=True),
        }


def _total_tokens(entry: dict[str, Any]) -> int:
    total: int = entry["total_tokens"]
    return total
