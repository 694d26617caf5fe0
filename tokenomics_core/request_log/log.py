"""RequestLog: writes lines on a thread of its own, so that a slow terminal or disk holds up no request.

A log is no ledger: when it cannot keep up or its place has gone, lines are dropped and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tokenomics_core.ledger.row import Row
from tokenomics_core.ledger.writer import BatchWriter, QueueFull, WriterClosed
from tokenomics_core.request_log.debug_log import DebugLog
from tokenomics_core.request_log.entry import always_logged, line
from tokenomics_core.request_log.hiding import body_text, without_secrets

BODY_LIMIT = 8192
"""Characters of a body that are logged."""


class FileSettings(Protocol):
    """``logging.file``."""

    @property
    def enabled(self) -> bool: ...

    @property
    def level(self) -> str:
        """``debug``, ``info``, ``warn`` or ``error``."""
        ...


class LogSettings(Protocol):
    """The part of the configuration that the log reads: ``logging``."""

    @property
    def level(self) -> str:
        """As that of the file, which takes its place where there is one."""
        ...

    @property
    def file(self) -> FileSettings: ...

    @property
    def format(self) -> str:
        """``json``, ``text`` or ``tokengate``."""
        ...

    @property
    def disable_request(self) -> bool: ...

    @property
    def hide_token_hash(self) -> bool: ...

    @property
    def request_body(self) -> bool: ...

    @property
    def response_body(self) -> bool: ...


class Place(Protocol):
    """Where lines go: a text stream, or a `LogFile`."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Request:
    row: Row
    request_body: bytes | str
    response_body: bytes | str
    wanted: bool


class RequestLog:
    """Writes rows as lines to a place, which stays the caller's to close. `settings` may be changed.

    debug: what writes the debug log, which there is at level ``debug`` only.
    dropped: lines that were not written, because the place was too slow or gone.
    """

    def __init__(
        self, settings: LogSettings, place: Place, *, debug: DebugLog | None = None, capacity: int = 10_000
    ) -> None:
        self.settings = settings
        self._place = place
        self._debug = debug
        self.dropped = 0
        self._writer = BatchWriter[_Request | str]("request-log", self._write, capacity=capacity)

    @property
    def backlog(self) -> int:
        """Lines not yet written."""
        return self._writer.backlog

    def wants(self, row: Row) -> bool:
        """Whether there will be a line. Lines of requests are of level ``info``."""
        settings = self.settings
        level = settings.file.level if settings.file.enabled else settings.level
        return (not settings.disable_request and level in ("debug", "info")) or always_logged(row)

    def add(self, row: Row, *, request_body: bytes | str = b"", response_body: bytes | str = b"") -> None:
        """Logs the row if the settings want it, and returns at once.

        The bodies are those that went on, after masking; they are logged where the settings say so.
        """
        settings = self.settings
        wanted = self.wants(row)
        if not wanted and (self._debug is None or settings.level != "debug"):
            return
        asked = request_body if settings.request_body else b""
        answered = response_body if settings.response_body else b""
        self._put(_Request(row, asked, answered, wanted))

    def message(self, text: str) -> None:
        """Logs a line that is not about a request, and returns at once."""
        self._put(text)

    def flush(self, timeout: float = 5.0) -> bool:
        """Waits until every line so far is written; False when that took longer than timeout (seconds)."""
        return self._writer.flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Writes what waits and ends the thread; False when lines were left."""
        return self._writer.close(timeout)

    def _put(self, item: _Request | str) -> None:
        try:
            self._writer.put(item)
        except (QueueFull, WriterClosed):
            self.dropped += 1

    def _write(self, items: list[_Request | str]) -> None:
        if self._debug is not None and self.settings.level == "debug":
            rows = [each.row for each in items if not isinstance(each, str)]
            self._debug.write(rows, hide_token_hash=self.settings.hide_token_hash)
        lines = [
            without_secrets(each if isinstance(each, str) else self._line(each))
            for each in items
            if isinstance(each, str) or each.wanted
        ]
        if not lines:
            return
        text = "\n".join(lines) + "\n"
        encoding = getattr(self._place, "encoding", None) or "utf-8"
        try:
            # A terminal that knows no UTF-8 gets question marks, not an exception.
            self._place.write(text.encode(encoding, "replace").decode(encoding))
            self._place.flush()
        except (OSError, ValueError):
            self.dropped += len(lines)

    def _line(self, request: _Request) -> str:
        return line(
            request.row,
            format=self.settings.format,
            hide_token_hash=self.settings.hide_token_hash,
            request_body=body_text(request.request_body, BODY_LIMIT),
            response_body=body_text(request.response_body, BODY_LIMIT),
        )
