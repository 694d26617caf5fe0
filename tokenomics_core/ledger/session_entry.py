"""Session entry: a row of the ledger as one request of a session file.

It has the keys that readers of session files know, in their order, and behind them what only this gateway
tells. Except for counts and the keys that are always there, what is empty or zero is left out.
"""

from __future__ import annotations

from typing import Any

import orjson

# An upgrade that succeeded is no request: the responses asked for in its frames are.
ENTRIES = "token_hash IS NOT NULL AND NOT (kind = 'upgrade' AND status < 400 AND error IS NULL)"
"""SQL: which rows are entries."""

COLUMNS = (
    *("ended_at", "token_hash", "model", "provider", "input_tokens", "output_tokens", "duration_ms"),
    *("status", "stream", "error", "upstream_id", "upstream_request_id", "retry_count", "fallback_model"),
    *("rule_matches", "metadata"),
    *("cached_input_tokens", "cache_creation_tokens", "reasoning_tokens", "actual_model", "finish_reason"),
    *("rate_limit_remaining_requests", "rate_limit_remaining_tokens", "rate_limit_reset"),
    *("id", "kind", "upstream_status", "refusal", "cost_usd", "estimated", "recovered"),
    *("session_id", "user_agent", "repo", "branch", "commit_hash", "dirty"),
)
"""The columns that `entry` takes, in its order."""


def entry(
    ended_at: str,
    token_hash: str,
    model: str | None,
    provider: str | None,
    input_tokens: int,
    output_tokens: int,
    duration_ms: int,
    status: int,
    stream: int,
    error: str | None,
    upstream_id: str | None,
    upstream_request_id: str | None,
    retry_count: int,
    fallback_model: str | None,
    rule_matches: str,
    metadata: str,
    cached_input_tokens: int | None,
    cache_creation_tokens: int | None,
    reasoning_tokens: int | None,
    actual_model: str | None,
    finish_reason: str | None,
    rate_limit_remaining_requests: int | None,
    rate_limit_remaining_tokens: int | None,
    rate_limit_reset: str | None,
    id: str,
    kind: str,
    upstream_status: int,
    refusal: str | None,
    cost_usd: str | None,
    estimated: int,
    recovered: int,
    session_id: str | None,
    user_agent: str | None,
    repo: str | None,
    branch: str | None,
    commit_hash: str | None,
    dirty: int | None,
) -> dict[str, Any]:
    """The arguments are the columns as SQLite has them.

    decision: ``refused`` when this gateway said no; a provider that failed is none of its decisions.
    cost_usd: text of an exact decimal; missing where no price is known or nothing was to be paid.
    """
    said = {
        "stream": bool(stream),
        "error": error,
        "upstream_id": upstream_id,
        "upstream_request_id": upstream_request_id,
        "retry_count": retry_count,
        "fallback_model": fallback_model,
        "rule_matches": orjson.loads(rule_matches),
        "metadata": orjson.loads(metadata),
        "provider_meta": _filled(
            {
                "cached_input_tokens": cached_input_tokens,
                "cache_creation_tokens": cache_creation_tokens,
                "reasoning_tokens": reasoning_tokens,
                "actual_model": actual_model,
                "finish_reason": finish_reason,
                "rate_limit_remaining_requests": rate_limit_remaining_requests,
                "rate_limit_remaining_tokens": rate_limit_remaining_tokens,
                "rate_limit_reset": rate_limit_reset,
            }
        ),
        "request_id": id,
        "kind": "" if kind == "request" else kind,
        "decision": "refused" if refusal and not refusal.startswith("upstream_") else "allowed",
        "refusal": refusal,
        "upstream_status": upstream_status if upstream_status != status else 0,
        "cost_usd": cost_usd,
        "estimated": bool(estimated),
        "recovered": bool(recovered),
        "conversation": session_id,
        "user_agent": user_agent,
    }
    git = _filled({"repo": repo, "branch": branch, "commit": commit_hash})
    if dirty is not None:
        git["dirty"] = bool(dirty)
    return {
        "timestamp": ended_at,
        "token_hash": token_hash,
        "model": model or "",
        "provider": provider or "",
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "duration_ms": duration_ms,
        "status_code": status,
        **_filled(said),
        **({"git": git} if git else {}),
    }


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
