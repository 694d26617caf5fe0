"""The types of events, and the data of each. What becomes of a request is in `rows`.

A function here makes one event from plain values. An event gets its id and its time when it is emitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenomics_core.counters.question import Limit, Settled
from tokenomics_core.ledger import clean

FULL_HASH = "token_hash_full"
"""The one member of data that only a receiver gets whose webhook says so."""

AGENT_KEYS = ("agent_id", "agent_type", "team", "channel", "skill", "environment")
"""What an agent says of itself in its X-OpenClaw-* headers."""

THRESHOLDS = (50, 80, 100)
"""Percent of a budget that are told when they are reached."""

TYPES = (
    "auth.failed",
    "budget.exceeded",
    "budget.threshold",
    "budget.update",
    "model.denied",
    "openclaw.agent.error",
    "openclaw.agent.request",
    "openclaw.agent.success",
    "rate.exceeded",
    "request.completed",
    "rule.mask",
    "rule.match",
    "rule.violation",
    "rule.warning",
    "server.start",
    "session.anomaly",
    "session.frozen",
    "test.event",
    "token.created",
    "token.deleted",
    "token.expired",
    "token.updated",
)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened. data: JSON values by name; without a secret, and without what anybody wrote or got."""

    type: str
    data: Mapping[str, Any]


def server_start(*, http_port: int, https_port: int, tls: bool, upstream: str) -> Event:
    """The gateway listens. upstream: the URL, of which a login and a query are left out."""
    return Event(
        "server.start",
        {
            "http_port": http_port,
            "https_port": https_port,
            "tls": tls,
            "upstream": clean.sentence(upstream),
        },
    )


def token_created(token_hash: str, expires_at: str = "") -> Event:
    """expires_at: as it is stored; empty for never."""
    return Event("token.created", {**token(token_hash, 8), "expires_at": expires_at})


def token_updated(token_hash: str, expires_at: str = "") -> Event:
    """expires_at: what the update said of it; empty for unchanged, ``clear``, or RFC 3339."""
    return Event("token.updated", {**token(token_hash, 8), "expires_at": expires_at})


def token_deleted(token_hash: str) -> Event:
    return Event("token.deleted", token(token_hash, 8))


def token_expired(token_hash: str, expired_at: str) -> Event:
    """Somebody used a token after its end. expired_at: that end, RFC 3339."""
    return Event("token.expired", {**token(token_hash, 8), "expired_at": expired_at})


def agent_request(token_hash: str, model: str, agent: Mapping[str, str]) -> Event:
    """A request of an agent that names itself has come in. agent: by metadata key; not empty."""
    return Event(
        "openclaw.agent.request",
        {**token(token_hash), "model": clean.name(model), "status": 0, **agent_words(agent)},
    )


def auth_failed(code: str, error: str, remote_addr: str) -> Event:
    """Somebody came without a token that is valid. code: the reason as a stable word. error: in words."""
    return Event(
        "auth.failed",
        {"code": code, "error": clean.sentence(error), "remote_addr": clean.name(remote_addr)},
    )


def budget_threshold(token_hash: str, limit: Limit, settled: Settled, percent: int) -> Event:
    """So many percent of a limit are used now. settled: of that limit, by what brought it there."""
    return Event(
        "budget.threshold",
        {
            **token(token_hash),
            "budget": clean.name(limit.name or limit.key),
            "unit": limit.unit,
            "percent": percent,
            **amounts(limit.unit, used=settled.after, limit=limit.limit or 0),
        },
    )


def test_event() -> Event:
    """Sent by hand, to see whether it arrives."""
    return Event("test.event", {"message": "Tokenomics can reach this webhook"})


# pytest collects what is called so.
test_event.__test__ = False  # type: ignore[attr-defined]


def token(token_hash: str, length: int = 16) -> dict[str, Any]:
    """The token as events name it: token_hash of a length by the event's type, token_prefix always of 16."""
    return {
        "token_hash": token_hash[:length],
        "token_prefix": token_hash[:16],
        FULL_HASH: token_hash,
    }


def agent_words(agent: Mapping[str, str]) -> dict[str, str]:
    return {key: clean.name(agent[key]) for key in AGENT_KEYS if agent.get(key)}


def amounts(unit: str, **values: int) -> dict[str, Any]:
    """Tokens as they are; billionths of a US dollar as text of exact dollars, by the name with ``_usd``."""
    if unit != "usd":
        return dict(values)
    return {f"{name}_usd": dollars(value) for name, value in values.items()}


def dollars(nano: int) -> str:
    whole, part = divmod(nano, 1_000_000_000)
    return f"{whole}.{f'{part:09d}'.rstrip('0'):0<2}"
