"""RequestLog: writes lines on a thread of its own, so that a slow terminal or disk holds up no request.

A log is no ledger: when it cannot keep up or its place has gone, lines are dropped and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tokenomics_core.ledger.row import Row
from tokenomics_core.ledger.writer import BatchWriter, QueueFull, WriterClosed
from tokenomics_core.request_log.bodies import NO_BODIES, Bodies, Body
from tokenomics_core.request_log.debug_log import DebugLog
from tokenomics_core.request_log.entry import always_logged, line
from tokenomics_core.request_log.hiding import without_hash, without_secrets
from tokenomics_core.request_log.log_file import LogFile

_BODIES_WAITING = 500
"""Lines that wait for a slow place before bodies are left out of further ones."""


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
    bodies: Bodies
    wanted: bool


class RequestLog:
    """Writes rows as lines to a place, which stays the caller's to close. `apply` changes settings and place.

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
        self._next: tuple[Place | None, DebugLog | None] = (None, None)
        self._writer = BatchWriter[_Request | str]("request-log", self._write, capacity=capacity)

    @property
    def backlog(self) -> int:
        """Lines not yet written."""
        return self._writer.backlog

    @property
    def wants_requests(self) -> bool:
        """Whether lines hold what was asked."""
        return self.settings.request_body and self._wants_bodies

    @property
    def wants_responses(self) -> bool:
        """Whether lines hold what was answered."""
        return self.settings.response_body and self._wants_bodies

    @property
    def _wants_bodies(self) -> bool:
        # TokenGate's lines have no place for them.
        return self._lines_wanted and self.settings.format != "tokengate"

    @property
    def _lines_wanted(self) -> bool:
        settings = self.settings
        level = settings.file.level if settings.file.enabled else settings.level
        return not settings.disable_request and level in ("debug", "info")

    def wants(self, row: Row) -> bool:
        """Whether there will be a line. Lines of requests are of level ``info``."""
        return self._lines_wanted or always_logged(row)

    def add(self, row: Row, bodies: Bodies = NO_BODIES) -> None:
        """Logs the row if the settings want it, and returns at once. Bodies are logged where they say so."""
        wanted = self.wants(row)
        if not wanted and (self._debug is None or self.settings.level != "debug"):
            return
        if bodies is not NO_BODIES:
            bodies = self._kept(bodies)
        self._put(_Request(row, bodies, wanted))

    def _kept(self, bodies: Bodies) -> Bodies:
        """What of the bodies waits for the writer."""
        if self.backlog > _BODIES_WAITING:
            return NO_BODIES
        return Bodies(
            bodies.request.beginning() if self.wants_requests else Body(),
            bodies.response.beginning() if self.wants_responses else Body(),
        )

    def apply(
        self, settings: LogSettings, *, place: Place | None = None, debug: DebugLog | None = None
    ) -> None:
        """Takes over settings, and places where some are given; what waits goes there too. Files that it
        leaves are closed."""
        self.settings = settings
        if place is not None or debug is not None:
            self._next = place, debug

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

    def _move(self) -> None:
        (place, debug), self._next = self._next, (None, None)
        if place is not None:
            if isinstance(self._place, LogFile):
                self._place.close()
            self._place = place
        if debug is not None:
            if self._debug is not None:
                self._debug.close()
            self._debug = debug

    def _write(self, items: list[_Request | str]) -> None:
        self._move()
        if self._debug is not None and self.settings.level == "debug":
            rows = [each.row for each in items if not isinstance(each, str)]
            self._debug.write(rows, hide_token_hash=self.settings.hide_token_hash)
        lines = []
        for each in items:
            try:
                if isinstance(each, str) or each.wanted:
                    lines.append(without_secrets(each if isinstance(each, str) else self._line(each)))
            except Exception:
                # One that cannot be written must not hold up all others: the batch would be tried again.
                self.dropped += 1
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
        settings, row = self.settings, request.row
        text = line(
            row,
            format=settings.format,
            hide_token_hash=settings.hide_token_hash,
            request_body=request.bodies.request.text(),
            response_body=request.bodies.response.text(),
        )
        return without_hash(text, row.token_hash) if settings.hide_token_hash else text
