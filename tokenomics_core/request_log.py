"""The request log: one line per exchange, for people and for whatever collects logs.

The lines are written on a thread of their own, so a slow terminal or pipe does not hold up a request. A log
is no ledger: when a stream cannot keep up or has gone, lines are dropped and counted.
"""

from __future__ import annotations

import json
from typing import Any, Protocol, TextIO

import orjson

from tokenomics_core.ledger.row import Row, timestamp
from tokenomics_core.ledger.writer import BatchWriter, QueueFull, WriterClosed

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


class LogSettings(Protocol):
    """The part of the configuration that the log reads: ``logging``."""

    @property
    def format(self) -> str:
        """``json`` or ``text``."""
        ...

    @property
    def disable_request(self) -> bool: ...

    @property
    def hide_token_hash(self) -> bool: ...


def entry(row: Row, *, hide_token_hash: bool = False) -> dict[str, Any]:
    """The log entry of a row: token_hash is its first 16 characters, or ``****``; timestamp is the end."""
    complete = {
        "timestamp": timestamp(row.ended_at)[:-1] + "000Z",
        "method": row.method,
        "path": row.path,
        "token_hash": "****" if row.token_hash and hide_token_hash else row.token_hash[:16],
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
    }
    return {key: value for key, value in complete.items() if value or key in _ALWAYS}


def line(row: Row, *, format: str = "json", hide_token_hash: bool = False) -> str:
    """The entry as one line without its end: JSON, or text as ``time status method path 12ms key=value``."""
    values = entry(row, hide_token_hash=hide_token_hash)
    if format != "text":
        return orjson.dumps(values).decode()
    moment, status, method, path, duration = (values.pop(key) for key in _HEAD)
    values |= {f"metadata.{key}": value for key, value in values.pop("metadata", {}).items()}
    pairs = (f"{key}={_word(value)}" for key, value in values.items() if value != "")
    return " ".join((moment, str(status), _word(method), _word(path), f"{duration}ms", *pairs))


def always_logged(row: Row) -> bool:
    """Whether it is logged even when request lines are off: an unknown caller, or a failed token store."""
    return row.upstream_status == 0 and (row.status == 401 or (row.status >= 500 and not row.token_hash))


class RequestLog:
    """Writes rows as lines to a text stream, which stays the caller's to close.

    dropped: lines that were not written, because the stream was too slow or gone.
    """

    def __init__(self, settings: LogSettings, stream: TextIO, *, capacity: int = 10_000) -> None:
        self.settings = settings
        self._stream = stream
        self.dropped = 0
        self._writer = BatchWriter[Row]("request-log", self._write, capacity=capacity)

    def add(self, row: Row) -> None:
        """Logs the row if the settings want it, and returns at once."""
        if self.settings.disable_request and not always_logged(row):
            return
        try:
            self._writer.put(row)
        except (QueueFull, WriterClosed):
            self.dropped += 1

    def flush(self, timeout: float = 5.0) -> bool:
        """Waits until every line so far is written; False when that took longer than timeout (seconds)."""
        return self._writer.flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Writes what waits and ends the thread; False when lines were left."""
        return self._writer.close(timeout)

    def _write(self, rows: list[Row]) -> None:
        settings = self.settings
        lines = [line(row, format=settings.format, hide_token_hash=settings.hide_token_hash) for row in rows]
        text = "\n".join(lines) + "\n"
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            # A terminal that knows no UTF-8 gets question marks, not an exception.
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError):
            self.dropped += len(rows)


def _word(value: Any) -> str:
    """A value of a text line: bare when it is one plain word, else as JSON, which has no line ends."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    plain = text.isprintable() and not any(char in text for char in ' "=')
    return text if plain else json.dumps(text, ensure_ascii=False)
