"""Entry: what a line of the request log says of a row, and how it is written."""

from __future__ import annotations

import json
from typing import Any

import orjson

from tokenomics_core.ledger.row import Row, timestamp

HIDDEN_HASH = "****"

# Always there; every other key is left out when empty, zero or false.
_ALWAYS = frozenset(
    (
        "timestamp",
        "method",
        "path",
        "token_hash",
        "base_key_env",
        "upstream_url",
        "status_code",
        "duration_ms",
        "remote_addr",
    )
)
_HEAD = ("timestamp", "status_code", "method", "path", "duration_ms")

# What TokenGate calls a block of a session that ran wild.
_ANOMALIES = frozenset(("anomaly", "session_frozen"))


def entry(
    row: Row, *, hide_token_hash: bool = False, request_body: str = "", response_body: str = ""
) -> dict[str, Any]:
    """The log entry of a row: token_hash is its first 16 characters, or ``****``; timestamp is the end."""
    complete = {
        "timestamp": timestamp(row.ended_at)[:-1] + "000Z",
        "method": row.method,
        "path": row.path,
        "token_hash": HIDDEN_HASH if row.token_hash and hide_token_hash else row.token_hash[:16],
        "model": row.model,
        "base_key_env": row.base_key_env,
        "upstream_url": row.upstream_url,
        "status_code": row.status,
        "duration_ms": row.duration_ms,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "stream": row.stream,
        "error": row.error,
        "remote_addr": row.remote_addr,
        "user_agent": row.user_agent,
        "retry_count": row.retry_count,
        "fallback_model": row.fallback_model,
        "metadata": row.metadata,
        "rule_matches": row.rule_matches,
        "upstream_request_id": row.upstream_request_id,
        "upstream_id": row.upstream_id,
        "client_request_id": row.id,
        "session_id": row.session_id,
        "cost_usd": "" if row.cost_usd is None else f"{row.cost_usd:f}",
        "request_body": request_body,
        "response_body": response_body,
    }
    return {key: value for key, value in complete.items() if value or key in _ALWAYS}


def tokengate_entry(row: Row, *, hide_token_hash: bool = False) -> dict[str, Any]:
    """The entry with TokenGate's fields. The session of a request that names none is its token."""
    token = HIDDEN_HASH if row.token_hash and hide_token_hash else row.token_hash[:16]
    known = {
        "input_tokens": row.input_tokens or None,
        "output_tokens": row.output_tokens or None,
        "actual_cost": None if row.cost_usd is None else float(row.cost_usd),
        "error": row.error or None,
    }
    return {
        "timestamp": timestamp(row.ended_at),
        "session_id": row.session_id or token or "default",
        "model": row.model or "unknown",
        "estimated_cost": float(row.reserved_usd or 0),
        "decision": _decision(row),
        **{key: value for key, value in known.items() if value is not None},
    }


def _decision(row: Row) -> str:
    if row.refusal in _ANOMALIES:
        return "blocked_anomaly"
    if row.refusal and row.status < 500:
        return "blocked"
    return "error" if row.failed else "allowed"


def line(
    row: Row,
    *,
    format: str = "json",
    hide_token_hash: bool = False,
    request_body: str = "",
    response_body: str = "",
) -> str:
    """The entry as one line without its end: JSON, or text as ``time status method path 12ms key=value``.

    format: ``json``, ``text`` or ``tokengate``, which has no bodies.
    """
    if format == "tokengate":
        return orjson.dumps(tokengate_entry(row, hide_token_hash=hide_token_hash)).decode()
    values = entry(
        row, hide_token_hash=hide_token_hash, request_body=request_body, response_body=response_body
    )
    if format != "text":
        return orjson.dumps(values).decode()
    moment, status, method, path, duration = (values.pop(key) for key in _HEAD)
    values |= {f"metadata.{key}": value for key, value in values.pop("metadata", {}).items()}
    pairs = (f"{key}={_word(value)}" for key, value in values.items() if value != "")
    return " ".join((moment, str(status), _word(method), _word(path), f"{duration}ms", *pairs))


def always_logged(row: Row) -> bool:
    """Whether it is logged even when request lines are off: an unknown caller, or a failed token store."""
    return row.upstream_status == 0 and (row.status == 401 or (row.status >= 500 and not row.token_hash))


def _word(value: Any) -> str:
    """A value of a text line: bare when it is one plain word, else as JSON, which has no line ends."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    plain = text.isprintable() and not any(char in text for char in ' "=')
    return text if plain else json.dumps(text, ensure_ascii=False)
