"""Communication: the events of one exchange, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from tokenomics_core.exchange import Exchange
from tokenomics_core.ledger import clean
from tokenomics_core.memory.entry import Streamed
from tokenomics_core.memory.events import Event, Kind
from tokenomics_core.memory.places import PREFIX

MOST_CHUNKS = 512
"""Payloads of a streamed answer that are told, except for those of OpenAI's chat: of these all are."""

Fields = Iterable[tuple[str, str]]


class Communication:
    """send: takes an event. missed: is called for each that is left out."""

    def __init__(
        self,
        exchange: Exchange,
        now: Callable[[], datetime],
        send: Callable[[Event], None],
        missed: Callable[[], None],
    ) -> None:
        self.begun = False
        """The request was told."""
        self._exchange = exchange
        self._now = now
        self._send = send
        self._missed = missed
        self._chat = exchange.dialect.name == "openai_chat"
        self._chunks = 0
        self._kind = ""

    def asked(self, headers: Fields, body: bytes) -> None:
        """The request, as it was sent, after masking. Told when it is known what became of it, with the time
        at which it came."""
        self.begun = True
        exchange, fields = self._exchange, tuple(headers)
        self._tell(
            "request.received",
            at=exchange.started,
            method=exchange.method,
            path=clean.path(exchange.path),
            content_type=_kind_of(fields),
            headers=fields,
            body=body,
        )

    def answered(self, headers: Fields) -> None:
        """The head of the provider's answer."""
        fields = tuple(headers)
        self._kind = _kind_of(fields)
        status = self._exchange.upstream_status
        self._tell("response.started", status_code=status, content_type=self._kind, headers=fields)

    def chunk(self, payload: bytes) -> None:
        """The data of one event of a stream."""
        self._chunks += 1
        if not self._chat and self._chunks > MOST_CHUNKS:
            self._missed()
            return
        self._tell("response.chunk", body=payload, chunk_index=self._chunks)

    def ended(self, body: bytes | Streamed | None, size: int) -> None:
        """The exchange is over. body: the answer's, after masking; size: its bytes, as far as it came."""
        exchange = self._exchange
        error = exchange.refusal.message if exchange.refusal is not None else exchange.error
        status = exchange.status or exchange.upstream_status
        if exchange.refusal is not None:
            # What a rule stopped is not told, and the refusal is our own.
            self._tell("response.error", status_code=status, error=clean.sentence(error))
            return
        told_at_the_end = isinstance(body, Streamed) and self._chat
        if not told_at_the_end and body is not None:
            self._tell("response.body", status_code=status, content_type=self._kind, body=body, size=size)
        self._tell(
            "response.error" if error or not exchange.upstream_status else "response.completed",
            status_code=status,
            body=body if told_at_the_end else None,
            size=size if told_at_the_end else 0,
            error=clean.sentence(error),
        )

    def _tell(
        self,
        kind: Kind,
        *,
        at: datetime | None = None,
        method: str = "",
        path: str = "",
        status_code: int = 0,
        content_type: str = "",
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes | Streamed | None = None,
        size: int = 0,
        chunk_index: int = 0,
        error: str = "",
    ) -> None:
        exchange = self._exchange
        attempt = exchange.attempt
        model = attempt.model if attempt is not None and attempt.model else exchange.model
        provider = ""
        if attempt is not None:
            provider = attempt.provider_name or (attempt.provider.name if attempt.provider else "")
        assert exchange.token is not None
        self._send(
            Event(
                at or self._now(),
                kind,
                exchange.token.hash[:PREFIX],
                exchange.id,
                clean.name(model),
                clean.name(provider),
                method,
                path,
                status_code,
                clean.name(content_type),
                headers,
                body,
                size,
                chunk_index,
                exchange.stream,
                0 if kind == "request.received" else len(exchange.failures),
                error,
            )
        )


def _kind_of(fields: tuple[tuple[str, str], ...]) -> str:
    return next((value for name, value in fields if name.lower() == "content-type"), "")
