"""Events: the ledger's communication events as entries of its conversation file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenomics_core.memory.entry import LIMIT, sanitised, shown_headers

_LINES = {
    "status_code": "Status",
    "content_type": "Content-Type",
    "stream": "Stream",
    "chunk_index": "Chunk-Index",
    "retry_count": "Retry-Count",
    "error": "Error",
}


def event_content(event: Mapping[str, Any]) -> str:
    """What stands under the heading of an event. event: its members as the session file has them; headers
    are lists of values by name."""
    lines = [f"Event: {event['type']}"]
    if event.get("method") or event.get("path"):
        lines.append(f"Request: {event.get('method', '')} {event.get('path', '')}".rstrip())
    for name, label in _LINES.items():
        if value := event.get(name):
            lines.append(f"{label}: {'true' if value is True else value}")
    if headers := event.get("headers"):
        fields = [(name, value) for name, values in headers.items() for value in values]
        lines += ["Headers:", *(f"  {name}: {value}" for name, value in shown_headers(fields))]
    body = str(event.get("body") or "")
    lines += ["", "Body:", body.encode("utf-8", "replace")[:LIMIT].decode("utf-8", "ignore") or "(empty)"]
    return sanitised("\n".join(lines)) + "\n"
