"""What became of a request, as events: from its row, once it has ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tokenomics_core.counters.question import Limit, Settled
from tokenomics_core.events.types import (
    THRESHOLDS,
    Event,
    agent_request,
    agent_words,
    amounts,
    auth_failed,
    budget_threshold,
    token,
)
from tokenomics_core.guard.verdict import REDACTED_ENTRY
from tokenomics_core.ledger.row import Row
from tokenomics_core.meter.thresholds import crossed
from tokenomics_core.refusal import Exceeded

AUTH_CODES = frozenset({"missing_token", "invalid_token", "client_credentials_missing"})
"""The refusals of a request whose token nobody knows."""

_RULE_TYPES = {"fail": "rule.violation", "warn": "rule.warning", "log": "rule.match"}


def events_of(
    row: Row,
    *,
    settled: Sequence[tuple[Limit, Settled]] = (),
    exceeded: Exceeded | None = None,
    agent: Mapping[str, str] | None = None,
    announced: bool = True,
    thresholds: Sequence[int] = THRESHOLDS,
) -> list[Event]:
    """The events of a row, in the order in which things happened.

    settled: the limits of tokens and money that the request counted against, before and after.
    exceeded: the budget that refused it.
    agent: what its headers said of the agent, by metadata key. announced: that it asks has been told.
    thresholds: percent, rising.
    """
    # The upgrade to a WebSocket asks nothing of a model: its frames do.
    if row.kind == "upgrade" and not row.failed:
        return [*_rules(row, agent or {})]
    return [
        *([] if announced or not row.token_hash else _asked(row, agent or {})),
        *_rules(row, agent or {}),
        *_refusal(row, exceeded),
        *_budget(row, settled, thresholds),
        *_completed(row),
        *_agent(row, agent or {}),
    ]


def _about(row: Row) -> dict[str, Any]:
    return {**token(row.token_hash), "model": row.model, "request_id": row.id}


def _rules(row: Row, agent: Mapping[str, str]) -> Iterator[Event]:
    masked = any(match.get("action") == "mask" and match != REDACTED_ENTRY for match in row.rule_matches)
    for match in row.rule_matches:
        action, name = str(match.get("action", "")), str(match.get("name", ""))
        if action == "mask":
            # Where single rules say what they masked, the remark that something was says nothing more.
            if match != REDACTED_ENTRY or not masked:
                masked = True
                yield Event("rule.mask", {**_about(row), **({"rule_name": name} if name else {})})
        elif type := _RULE_TYPES.get(action):
            data = {**_about(row), "rule_name": name, "message": str(match.get("message", ""))}
            if type == "rule.violation":
                data = {**agent_words(agent), **data}
            else:
                data["action"] = action
            yield Event(type, data)


def _refusal(row: Row, exceeded: Exceeded | None) -> Iterator[Event]:
    told = {**_about(row), "error": row.error}
    match row.refusal:
        case code if code in AUTH_CODES:
            yield auth_failed(code, row.error, row.remote_addr)
        case "budget_exceeded":
            yield Event("budget.exceeded", {**told, **_numbers(exceeded)})
        case "rate_limited":
            yield Event("rate.exceeded", told)
        case "model_not_allowed":
            yield Event("model.denied", told)
        case "session_frozen":
            yield Event("session.frozen", {**told, "session_id": row.session_id})
        case "anomaly":
            yield Event("session.anomaly", {**told, "session_id": row.session_id})


def _numbers(exceeded: Exceeded | None) -> dict[str, Any]:
    if exceeded is None:
        return {}
    unit, used, asked, limit = exceeded.unit, exceeded.used, exceeded.asked, exceeded.limit
    if unit == "tokens":
        return {"unit": unit, "used": used, "input": asked, "limit": limit}
    return {"unit": unit, **amounts(unit, used=used, required=asked, limit=limit)}


def _budget(row: Row, settled: Sequence[tuple[Limit, Settled]], thresholds: Sequence[int]) -> Iterator[Event]:
    if row.upstream_status and row.input_tokens + row.output_tokens:
        data = {**_about(row), "input_tokens": row.input_tokens, "output_tokens": row.output_tokens}
        for limit, after in settled:
            # Of several, the one that a policy's max_tokens sets, or else the first.
            if limit.unit == "tokens" and ("used" not in data or limit.key == "tokens:total"):
                data["used"] = after.after
                data.pop("limit", None)
                if limit.limit is not None:
                    data["limit"] = limit.limit
        yield Event("budget.update", data)
    for limit, after in settled:
        if limit.unit in ("tokens", "usd"):
            for percent in thresholds:
                if crossed(limit, after, percent):
                    yield budget_threshold(row.token_hash, limit, after, percent)


def _completed(row: Row) -> Iterator[Event]:
    if not row.upstream_status:
        return
    data: dict[str, Any] = {
        **_about(row),
        "stream": row.stream,
        "status_code": row.status or row.upstream_status,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "error": row.failed,
        "provider": row.provider,
        "duration_ms": row.duration_ms,
    }
    if row.cost_usd is not None:
        data["cost_usd"] = f"{row.cost_usd:f}"
    if row.session_id:
        data["session_id"] = row.session_id
    yield Event("request.completed", data)


def _asked(row: Row, agent: Mapping[str, str]) -> Iterator[Event]:
    if agent_words(agent):
        yield agent_request(row.token_hash, row.model, agent)


def _agent(row: Row, agent: Mapping[str, str]) -> Iterator[Event]:
    if not (words := agent_words(agent)) or not row.token_hash:
        return
    data = {**words, **_about(row), "status": row.status}
    if 200 <= row.status < 300 and not row.failed:
        yield Event("openclaw.agent.success", data)
    else:
        yield Event("openclaw.agent.error", {**data, "error": row.error or f"status {row.status}"})
