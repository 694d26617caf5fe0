"""Questions about a handful of limits, for the tests of every store."""

from __future__ import annotations

from typing import Any

from tokenomics_core.counters.question import Claim, Limit, Question, Settlement, Window

NOW = 1_800_000_000_000
HOUR = 20_000
"""Milliseconds of the calendar period of the tests."""

TOTAL = Limit("tokens:total", "tokens", limit=1000, name="total")


def hourly(now: int, limit: int | None = 500) -> Limit:
    start = now // HOUR * HOUR
    return Limit("tokens:hour", "tokens", Window("calendar", start=start, end=start + HOUR), limit)


def rolling(length: int = 10_000, limit: int | None = 300) -> Limit:
    return Limit(f"tokens:rolling:{length}", "tokens", Window("sliding", length), limit)


def fixed(length: int = 5_000, limit: int | None = 300) -> Limit:
    return Limit(f"rate:tokens:fixed:{length}", "tokens", Window("fixed", length), limit)


def requests(limit: int | None = 8, length: int = 10_000) -> Limit:
    return Limit(f"rate:requests:sliding:{length}", "requests", Window("sliding", length), limit)


def parallel(limit: int | None = 3) -> Limit:
    return Limit("parallel", "parallel", limit=limit)


def question(
    id: str, *claims: Claim, token: str = "t", now: int = NOW, lease: int = 60_000, **more: Any
) -> Question:
    return Question(id, token, now, now + lease, claims, **more)


def settlement(id: str, *amounts: tuple[Limit, int], token: str = "t", now: int = NOW) -> Settlement:
    return Settlement(id, token, now, amounts)
