"""Spans of a request that has ended: one for what the client asked, and in it one for each attempt upstream.

Nothing of a prompt or an answer is in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context

from tokenomics_core.ledger.row import Row
from tokenomics_core.telemetry.names import OPERATIONS, attempt_error, provider_name, request_error

Attributes = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AttemptTimes:
    """Milliseconds since the start of the exchange. measured: False where they are the exchange's own."""

    began: float
    ended: float
    measured: bool


def write_spans(tracer: Tracer, row: Row, parent: Context | None = None) -> None:
    """parent: what the client's ``traceparent`` says; an empty context without one."""
    start, end = row.started_at, row.started_at + timedelta(milliseconds=row.duration_ms)
    end = max(end, row.ended_at)
    request = tracer.start_span(
        f"{row.method} {row.dialect}",
        context=parent if parent is not None else Context(),
        kind=SpanKind.SERVER,
        attributes=request_attributes(row),
        start_time=_nanoseconds(start),
    )
    inside = set_span_in_context(request, Context())
    for number, attempt in enumerate(row.attempts):
        last = number == len(row.attempts) - 1
        times = attempt_times(row, number)
        attributes = attempt_attributes(row, attempt, last=last, resend=number)
        if not times.measured:
            attributes["tokenomics.attempt.times_measured"] = False
        span = tracer.start_span(
            _name(row, attempt),
            context=inside,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=_nanoseconds(start + timedelta(milliseconds=times.began)),
        )
        if "error.type" in attributes:
            span.set_status(Status(StatusCode.ERROR, str(attempt["reason"]) or None))
        span.end(_nanoseconds(start + timedelta(milliseconds=times.ended)))
    # Of a request that the client got wrong, the server's span is none that failed.
    if row.failed and (row.status >= 500 or row.status < 400):
        request.set_status(Status(StatusCode.ERROR, row.error or None))
    request.end(_nanoseconds(end))


def attempt_times(row: Row, number: int) -> AttemptTimes:
    """When that attempt began and ended: ``began_ms``, ``ended_ms``, or else as the whole exchange."""
    attempt = row.attempts[number]
    began, ended = attempt.get("began_ms"), attempt.get("ended_ms")
    if number == len(row.attempts) - 1 and ended is None:
        ended = row.duration_ms
    if began is None or ended is None:
        return AttemptTimes(0, row.duration_ms, False)
    return AttemptTimes(began, max(began, ended), True)


def request_attributes(row: Row) -> Attributes:
    return _without_empty(
        {
            "http.request.method": row.method,
            "url.path": row.path,
            "http.response.status_code": row.status or None,
            "client.address": row.remote_addr,
            "user_agent.original": row.user_agent,
            "error.type": request_error(row),
            "gen_ai.conversation.id": row.session_id,
            "gen_ai.agent.id": row.metadata.get("agent_id"),
            "tokenomics.request.id": row.id,
            "tokenomics.token.hash": row.token_hash[:16],
            "tokenomics.refusal": row.refusal,
            "tokenomics.cost.usd": None if row.cost_usd is None else float(row.cost_usd),
            "tokenomics.retry_count": row.retry_count or None,
            **{f"tokenomics.overhead.{layer}_ms": spent for layer, spent in row.timings.items()},
        }
    )


def attempt_attributes(row: Row, attempt: Mapping[str, Any], *, last: bool, resend: int) -> Attributes:
    """last: the attempt that gave the answer, to which what is known of the answer belongs."""
    status = int(attempt["status"])
    attributes: Attributes = {
        "http.request.method": row.method,
        "http.response.status_code": status or None,
        "http.request.resend_count": resend or None,
        "error.type": attempt_error(status, str(attempt["reason"])),
    }
    if row.operation != "unknown":
        attributes |= {
            "gen_ai.operation.name": row.operation,
            "gen_ai.provider.name": provider_name(str(attempt["provider"]), row.dialect),
            "gen_ai.request.model": attempt["model"],
            "gen_ai.request.stream": row.stream or None,
            "gen_ai.conversation.id": row.session_id,
            "gen_ai.agent.id": row.metadata.get("agent_id"),
        }
    # Of the attempts before, nobody kept where they went.
    if last or attempt["provider"] == row.provider:
        attributes |= server(row)
    if last and row.operation != "unknown":
        attributes |= _answer(row)
    return _without_empty(attributes)


def server(row: Row) -> Attributes:
    """``server.address`` and ``server.port`` of the provider."""
    url = urlsplit(row.upstream_url)
    try:
        port = url.port
    except ValueError:
        port = None
    if not row.upstream_host:
        return {}
    return {
        "server.address": row.upstream_host,
        "server.port": port or (80 if url.scheme == "http" else 443),
    }


def _answer(row: Row) -> Attributes:
    attributes: Attributes = {
        "gen_ai.response.model": row.actual_model,
        "gen_ai.response.id": row.upstream_id,
        "gen_ai.response.finish_reasons": (row.finish_reason,) if row.finish_reason else None,
    }
    if 200 <= row.upstream_status < 400 and row.operation in OPERATIONS:
        # Cached tokens are part of the input already.
        attributes |= {
            "gen_ai.usage.input_tokens": row.input_tokens,
            "gen_ai.usage.output_tokens": row.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": row.cached_input_tokens,
            "gen_ai.usage.cache_creation.input_tokens": row.cache_creation_tokens,
            "gen_ai.usage.reasoning.output_tokens": row.reasoning_tokens,
            "tokenomics.usage.estimated": row.estimated or None,
        }
        if row.stream and row.first_byte_ms is not None:
            began = attempt_times(row, len(row.attempts) - 1).began
            attributes["gen_ai.response.time_to_first_chunk"] = max(0.0, row.first_byte_ms - began) / 1000
    return attributes


def _name(row: Row, attempt: Mapping[str, Any]) -> str:
    if row.operation == "unknown":
        return row.method
    return f"{row.operation} {attempt['model']}".rstrip()


def _without_empty(attributes: Attributes) -> Attributes:
    return {name: value for name, value in attributes.items() if value not in (None, "")}


def _nanoseconds(moment: datetime) -> int:
    """Since 1970; a float would round to hundreds of them."""
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1_000_000_000 + moment.microsecond * 1000


def each_attempt(row: Row) -> Iterator[tuple[Mapping[str, Any], AttemptTimes]]:
    """The attempts of a row with their times."""
    for number, attempt in enumerate(row.attempts):
        yield attempt, attempt_times(row, number)
