"""JSON lines: one object for each exchange, for machines, in a file for each day."""

from __future__ import annotations

from typing import Any

import orjson

from tokenomics_core.ledger import clean
from tokenomics_core.ledger.row import timestamp
from tokenomics_core.memory.capture import said_of
from tokenomics_core.memory.entry import LIMIT, Side, Streamed, body_text, without_tokens
from tokenomics_core.memory.record import Record


def line(record: Record) -> bytes:
    """The object of an exchange, with its line end.

    ``request`` is the JSON body as it was sent, with its own numbers and the order of its members; text where
    it is no JSON or was too long, and then ``request_truncated`` says so. ``response`` is null where there
    was no answer, or an error. ``earlier`` has what the client sent before on the same WebSocket and the
    model reads with it; ``request`` is null there, where the provider began by itself.
    """
    request, response = record.request, record.response
    told: dict[str, Any] = {
        "id": record.id,
        "time": timestamp(request.at),
        "token_hash": record.token,
        "session": clean.name(record.session),
        "model": clean.name(record.model),
        "dialect": record.dialect,
        "path": clean.path(record.path),
        "status": record.status,
        "stream": record.stream,
        "request": _request(request),
        "request_truncated": not isinstance(request.body, Streamed) and len(request.body) < request.size,
        **({"earlier": [_json(each) for each in request.earlier]} if request.earlier else {}),
        "response": None if response is None else _response(response),
        "response_truncated": response is not None and _is_cut(response),
    }
    return without_tokens(orjson.dumps(told, default=_replaced)) + b"\n"


def _request(side: Side) -> Any:
    body = side.body
    if isinstance(body, Streamed):
        return ""
    if not body and side.earlier:
        return None
    if len(body) < side.size:
        return _storable(body_text(body, side.content_type, side.size))
    return _json(body, side.content_type)


def _json(body: bytes, content_type: str = "") -> Any:
    """A text as the JSON that it is, or as text."""
    try:
        if isinstance(orjson.loads(body), dict | list):
            # White space between tokens is all that a line end can be in JSON.
            return orjson.Fragment(body.replace(b"\r", b" ").replace(b"\n", b" "))
    except orjson.JSONDecodeError:
        pass
    return _storable(body_text(body, content_type))


def _response(side: Side) -> dict[str, Any]:
    text, calls = said_of(side.body)
    if isinstance(side.body, bytes) and not text and not calls and not _is_json(side.body):
        text = body_text(side.body, side.content_type, side.size)
    calls_kept = [{name: _storable(value) for name, value in call.items()} for call in calls]
    return {"text": _storable(text[:LIMIT]), "tool_calls": calls_kept}


def _is_cut(side: Side) -> bool:
    body = side.body
    if isinstance(body, Streamed):
        return body.cut
    return len(body) < side.size or len(said_of(body)[0]) > LIMIT


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


def _storable(text: str) -> str:
    """Half of a surrogate pair, which JSON can escape and UTF-8 cannot write, becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def _replaced(value: Any) -> Any:
    raise TypeError(f"{type(value).__name__} has no place in a record")
