"""Events: a moment of an exchange, as the session file has it and as an entry of the conversation file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from tokenomics_core.ledger.row import timestamp
from tokenomics_core.memory.entry import (
    LIMIT,
    Headers,
    Streamed,
    decoded,
    is_binary,
    sanitised,
    shown_headers,
    streamed_text,
    whole_characters,
    without_tokens,
)

Kind = Literal[
    "request.received",
    "response.started",
    "response.chunk",
    "response.body",
    "response.completed",
    "response.error",
]

BINARY = "[binary]"

_LINES = {
    "status_code": "Status",
    "content_type": "Content-Type",
    "stream": "Stream",
    "chunk_index": "Chunk-Index",
    "retry_count": "Retry-Count",
    "error": "Error",
}


@dataclass(frozen=True, slots=True)
class Event:
    """token: the beginning of its hash. body: after masking; None where there is none. size: bytes of all of
    it, where `body` is only its beginning. content_type: of the body, where `headers` are not told again.

    Empty texts, zeros and False are not told.
    """

    at: datetime
    type: Kind
    token: str
    request_id: str
    model: str = ""
    provider: str = ""
    method: str = ""
    path: str = ""
    status_code: int = 0
    content_type: str = ""
    headers: Headers = ()
    body: bytes | Streamed | None = None
    size: int = 0
    chunk_index: int = 0
    stream: bool = False
    retry_count: int = 0
    error: str = ""

    @property
    def weight(self) -> int:
        """Bytes that it takes while it waits, about."""
        kept = self.body.size if isinstance(self.body, Streamed) else len(self.body or b"")
        return 512 + kept + sum(len(name) + len(value) for name, value in self.headers)


def members(event: Event) -> dict[str, Any]:
    """As the session file has it; what is empty is left out."""
    headers: dict[str, list[str]] = {}
    for name, value in shown_headers(event.headers):
        headers.setdefault(name, []).append(value)
    body, size = _body(event)
    told: dict[str, Any] = {
        "timestamp": timestamp(event.at),
        "type": event.type,
        "token_hash": event.token,
        "model": event.model,
        "provider": event.provider,
        "method": event.method,
        "path": event.path,
        "status_code": event.status_code,
        "content_type": event.content_type,
        "headers": headers,
        "body": body,
        "body_bytes": size,
        "chunk_index": event.chunk_index,
        "stream": event.stream,
        "retry_count": event.retry_count,
        "error": event.error,
        "request_id": event.request_id,
    }
    return {name: value for name, value in told.items() if value}


def event_line(told: Mapping[str, Any]) -> bytes:
    """The members of an event on a line of JSON, with its line end."""
    return without_tokens(orjson.dumps(told)) + b"\n"


def event_content(told: Mapping[str, Any]) -> str:
    """What stands under the heading of an event. told: its members."""
    lines = [f"Event: {told['type']}"]
    if told.get("method") or told.get("path"):
        lines.append(f"Request: {told.get('method', '')} {told.get('path', '')}".rstrip())
    for name, label in _LINES.items():
        if value := told.get(name):
            lines.append(f"{label}: {'true' if value is True else value}")
    if headers := told.get("headers"):
        fields = [(name, value) for name, values in headers.items() for value in values]
        lines += ["Headers:", *(f"  {name}: {value}" for name, value in shown_headers(fields))]
    lines += ["", "Body:", _cut(str(told.get("body") or "").encode("utf-8", "replace")) or "(empty)"]
    return sanitised("\n".join(lines)) + "\n"


def _body(event: Event) -> tuple[str, int]:
    """Its text, and how many bytes it had."""
    body = event.body
    if body is None:
        return "", event.size
    if isinstance(body, Streamed):
        return _cut(streamed_text(body).encode("utf-8", "replace")), max(event.size, body.size)
    size = max(event.size, len(body))
    if not size:
        return "", 0
    if is_binary(event.content_type):
        return BINARY, size
    kept = body[:LIMIT]
    return decoded(kept if len(kept) == size else whole_characters(kept)) or BINARY, size


def _cut(raw: bytes) -> str:
    return raw[:LIMIT].decode("utf-8", "ignore")
