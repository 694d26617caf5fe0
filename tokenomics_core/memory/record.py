"""Record: one exchange as memory keeps it, and when it keeps what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tokenomics_core.exchange import Exchange
from tokenomics_core.memory.entry import LIMIT, Headers, Side, Streamed
from tokenomics_core.memory.places import PREFIX

LINE_LIMIT = 4 * 1024 * 1024
"""Bytes of a body that the JSON lines keep; a request has to be whole to be used again."""


@dataclass(frozen=True, slots=True)
class Record:
    """One exchange. id: its row's. session: the conversation's. status: the client's.

    response: None where there was none, or an error.
    """

    id: str
    token_hash: str
    session: str
    model: str
    dialect: str
    path: str
    status: int
    stream: bool
    request: Side
    response: Side | None

    @property
    def token(self) -> str:
        """The beginning of the token's hash."""
        return self.token_hash[:PREFIX]

    @property
    def size(self) -> int:
        """Bytes that it takes while it waits, about."""
        sides = [side for side in (self.request, self.response) if side is not None]
        kept = [side.body.size if isinstance(side.body, Streamed) else len(side.body) for side in sides]
        return 1024 + sum(kept) + sum(map(len, self.request.earlier))


def record_of(
    exchange: Exchange,
    now: datetime,
    *,
    request_headers: Iterable[tuple[str, str]],
    request_body: bytes,
    response_headers: Iterable[tuple[str, str]],
    answer: bytes | Streamed | None,
    answer_size: int = 0,
    earlier: tuple[bytes, ...] = (),
    most: int = LIMIT,
) -> Record | None:
    """The record of an exchange that is over; None where none is kept.

    Kept is what names a model and was answered by a provider, whatever its status; of errors, and of answers
    that were refused, the request alone. request_body: as it was sent, after masking. answer: the body as the
    client got it, masked, or what a stream's capture has; answer_size: its bytes, where they passed and were
    not kept. earlier: frames before it, on a WebSocket. most: bytes that are kept of a body.
    """
    if exchange.token is None or not exchange.model or exchange.upload or not exchange.upstream_status:
        return None
    response = None
    if answer is not None and exchange.upstream_status < 400 and exchange.refusal is None:
        response = _side(now, response_headers, answer, most, answer_size)
    attempt = exchange.attempt
    return Record(
        id=exchange.id,
        token_hash=exchange.token.hash,
        session=exchange.session,
        model=attempt.model if attempt is not None and attempt.model else exchange.model,
        dialect=exchange.dialect.name,
        path=exchange.path,
        status=exchange.status,
        stream=exchange.stream,
        request=_side(exchange.started, request_headers, request_body, most, 0, earlier),
        response=response,
    )


def _side(
    at: datetime,
    headers: Iterable[tuple[str, str]],
    body: bytes | Streamed,
    most: int,
    size: int,
    earlier: tuple[bytes, ...] = (),
) -> Side:
    kept: Headers = tuple(headers)
    if isinstance(body, Streamed):
        return Side(at, kept, body, body.size)
    return Side(at, kept, body[:most], max(size, len(body)), earlier)
