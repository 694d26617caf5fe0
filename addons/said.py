"""Said: both sides of an exchange as its records may know them; memory and the request log read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from mitmproxy import http

from addons.answer import HEAD, fields_of
from addons.services import Services
from tokenomics_core.exchange import Exchange
from tokenomics_core.memory import Capture, Streamed
from tokenomics_core.request_log import NO_BODIES, Bodies, Body

LOGGED = "logged"
"""Key of flow.metadata: the log wanted the answer when its head came, so what it may know was kept."""


@dataclass(frozen=True, slots=True)
class Said:
    """request: as the client asked, after masking. sent: as it went to the provider, with what the gateway
    adds. kind: its media type. head: of the answer, as the client got it.

    answer: masked, with placeholders where the client gets values back; None for what may not pass.
    logged: whether the log wants it.
    """

    request: bytes
    sent: bytes
    kind: str
    head: Mapping[str, str]
    answer: bytes | Streamed | None
    logged: bool


def said_of(flow: http.HTTPFlow, exchange: Exchange, services: Services) -> Said | None:
    """Both sides, once the exchange is over; None where no provider was asked, for an upgrade, and where
    nobody wants to know."""
    attempt, response = exchange.attempt, flow.response
    if attempt is None or response is None or exchange.status == 101:
        return None
    writers, logged = services.writers(exchange), flow.metadata.get(LOGGED, False)
    if not (writers or writers.problem or logged or services.request_log.wants_requests):
        return None
    capture: Capture | None = flow.metadata.get("capture")
    answer: bytes | Streamed | None = flow.metadata.get("unrestored", response.raw_content)
    if capture is not None:
        answer = capture.close()
    elif response.stream:
        answer = b""
    sent = flow.request.raw_content or b""
    return Said(
        request=asked(flow, exchange) if writers else sent,
        sent=sent,
        kind=flow.metadata[HEAD].get("content-type", ""),
        head=fields_of(response.headers),
        answer=answer,
        logged=logged,
    )


def asked(flow: http.HTTPFlow, exchange: Exchange) -> bytes:
    """The request's body after masking, without what the policy adds."""
    body = exchange.body_for(exchange.attempt) if exchange.attempt is not None else None
    if body is not None:
        return body.render()
    return (flow.request.raw_content if not exchange.upload else None) or b""


def bodies_of(exchange: Exchange, said: Said | None) -> Bodies:
    """What the log is told. Of a request that was refused before it was sent: nothing, for that may not be
    masked."""
    if said is None or not exchange.sent:
        return NO_BODIES
    size = exchange.request_bytes if exchange.upload else 0
    return Bodies(Body(said.sent, said.kind, size), _answer(exchange, said))


def _answer(exchange: Exchange, said: Said) -> Body:
    if not said.logged or said.answer is None or exchange.refusal is not None:
        return Body()
    if isinstance(said.answer, Streamed):
        return Body(words(said.answer), size=exchange.response_bytes)
    return Body(said.answer, said.head.get("content-type", ""), 0 if said.answer else exchange.response_bytes)


def words(streamed: Streamed) -> str:
    """What the assistant said in a stream, and the tools that it called."""
    calls = [orjson.dumps(call).decode() for call in streamed.calls]
    return "\n".join(part for part in (streamed.text, *calls) if part)
