"""Rollups: what the request entries of a session file add up to, in total, by model, provider and token.

They grow entry by entry, so that a file can be written again without reading what it holds already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any

# Sums of money are exact: with the default context they would be rounded to 28 digits.
_EXACT = Context(prec=200)


@dataclass(slots=True)
class Rollup:
    """Counts of requests and tokens, and US dollars. unpriced: requests with tokens and without a price."""

    requests: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    creation: int = 0
    reasoning: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0

    def add(self, entry: Mapping[str, Any], cost: Decimal | None) -> None:
        meta = entry.get("provider_meta", {})
        self.requests += 1
        self.input += entry["input_tokens"]
        self.output += entry["output_tokens"]
        self.cached += meta.get("cached_input_tokens", 0)
        self.creation += meta.get("cache_creation_tokens", 0)
        self.reasoning += meta.get("reasoning_tokens", 0)
        if cost is not None:
            self.cost = _EXACT.add(self.cost, cost)
        elif entry["input_tokens"] or entry["output_tokens"]:
            self.unpriced += 1

    def as_dict(self) -> dict[str, Any]:
        """cost_usd is the text of an exact decimal; what is zero is left out, as far as it may be."""
        optional = {
            "cached_input_tokens": self.cached,
            "cache_creation_tokens": self.creation,
            "reasoning_tokens": self.reasoning,
        }
        return {
            "request_count": self.requests,
            "input_tokens": self.input,
            "output_tokens": self.output,
            "total_tokens": self.input + self.output,
            **{name: count for name, count in optional.items() if count},
            "cost_usd": f"{self.cost:f}",
            **({"unpriced_count": self.unpriced} if self.unpriced else {}),
        }


@dataclass(slots=True)
class _Token:
    rollup: Rollup
    first_seen: str
    last_seen: str
    models: dict[str, None] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.rollup.as_dict(),
            "models_used": list(self.models),
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
        }


class Rollups:
    def __init__(self) -> None:
        self._totals = Rollup()
        self._errors = self._retries = self._violations = self._rate_limited = 0
        self._by_model: dict[str, Rollup] = {}
        self._by_provider: dict[str, Rollup] = {}
        self._by_token: dict[str, _Token] = {}

    def add(self, entry: Mapping[str, Any]) -> None:
        """entry: a request entry of a session file."""
        cost = Decimal(entry["cost_usd"]) if "cost_usd" in entry else None
        self._totals.add(entry, cost)
        status: int = entry["status_code"]
        self._errors += status >= 400
        self._rate_limited += status == 429
        self._retries += entry.get("retry_count", 0)
        self._violations += sum(match.get("action") == "fail" for match in entry.get("rule_matches", ()))
        self._by_model.setdefault(entry["model"], Rollup()).add(entry, cost)
        if entry["provider"]:
            self._by_provider.setdefault(entry["provider"], Rollup()).add(entry, cost)
        seen = seconds(entry["timestamp"])
        token = self._by_token.get(entry["token_hash"])
        if token is None:
            token = self._by_token[entry["token_hash"]] = _Token(Rollup(), seen, seen)
        token.rollup.add(entry, cost)
        token.first_seen, token.last_seen = min(token.first_seen, seen), max(token.last_seen, seen)
        if entry["model"]:
            token.models.setdefault(entry["model"])

    def as_dict(self) -> dict[str, Any]:
        """``{totals, by_model, by_provider, by_token}``."""
        return {
            "totals": {
                **self._totals.as_dict(),
                "error_count": self._errors,
                "retry_count": self._retries,
                "rule_violation_count": self._violations,
                "rate_limit_count": self._rate_limited,
            },
            "by_model": _sorted(self._by_model),
            "by_provider": _sorted(self._by_provider),
            "by_token": _sorted(self._by_token),
        }


def seconds(moment: str) -> str:
    """A time as rows have it, to the second."""
    return moment[:19] + "Z"


def _sorted(rollups: Mapping[str, Rollup | _Token]) -> dict[str, Any]:
    return {name: rollups[name].as_dict() for name in sorted(rollups)}
