"""How a streamed answer is cut into JSON values: server-sent events, lines, or the elements of one array."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from tokenomics_core.dialects.base import Framing
from tokenomics_core.sse import EVENT_LIMIT, Event, SseParser


class Parser(Protocol):
    """Takes bytes cut anywhere; gives events, and at the end what is left, as SseParser does."""

    def feed(self, data: bytes) -> list[Event]: ...

    def close(self) -> Event: ...

    @property
    def pending(self) -> int:
        """Bytes of an incomplete event that were fed and not yet given."""

    @property
    def torn(self) -> bool:
        """Whether a part of the incomplete event was given, because it is too long."""


class EventStreamParser(SseParser):
    """Server-sent events, and where in one the stream stands."""

    @property
    def pending(self) -> int:
        return len(self._tail)

    @property
    def torn(self) -> bool:
        return self._unread


class LineParser:
    """Newline-delimited JSON: a value a line."""

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._tail = bytearray()
        self._unread = False

    def feed(self, data: bytes) -> list[Event]:
        lines = data.split(b"\n")
        last = lines.pop()
        events: list[Event] = []
        for line in lines:
            if self._tail:
                line = bytes(self._tail) + line
                self._tail.clear()
            events.append((line + b"\n", b"" if self._unread else line.strip()))
            self._unread = False
        self._tail += last
        if len(self._tail) > self._limit or (self._unread and self._tail):
            self._unread = True
            events.append((bytes(self._tail), b""))
            self._tail.clear()
        return events

    def close(self) -> Event:
        rest = bytes(self._tail)
        self._tail.clear()
        return rest, b"" if self._unread else rest.strip()

    @property
    def pending(self) -> int:
        return len(self._tail)

    @property
    def torn(self) -> bool:
        return self._unread


_OUTSIDE = re.compile(rb"\{")
_INSIDE = re.compile(rb'[{}\[\]"]')
_IN_STRING = re.compile(rb'["\\]')


class ArrayParser:
    """One JSON array that grows: an event for each object in it, as soon as the object is whole.

    An object that stands alone, as an error does, is an event as well.
    """

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._tail = bytearray()
        self._read = 0
        """Bytes of the tail that were looked at."""
        self._start = -1
        """Where the open object begins in the tail; -1 between objects."""
        self._depth = 0
        self._in_string = False
        self._unread = False

    def feed(self, data: bytes) -> list[Event]:
        self._tail += data
        tail = self._tail
        events: list[Event] = []
        given = 0
        while True:
            pattern = _IN_STRING if self._in_string else _INSIDE if self._depth else _OUTSIDE
            found = pattern.search(tail, self._read)
            if found is None:
                self._read = max(self._read, len(tail))
                break
            at, sign = found.start(), tail[found.start()]
            if sign == ord("\\"):
                # What follows is escaped; it may still be to come.
                self._read = at + 2
                continue
            self._read = at + 1
            if sign == ord('"'):
                self._in_string = not self._in_string
            elif sign in b"{[":
                if not self._depth:
                    self._start = at
                self._depth += 1
            else:
                self._depth -= 1
                if not self._depth:
                    value = b"" if self._unread else bytes(tail[self._start : at + 1])
                    events.append((bytes(tail[given : at + 1]), value))
                    given, self._start, self._unread = at + 1, -1, False
        self._forget(given)
        if len(tail) > self._limit:
            self._unread = self._unread or self._depth > 0
            events.append((bytes(tail), b""))
            self._forget(len(tail))
        return events

    def _forget(self, count: int) -> None:
        del self._tail[:count]
        self._read -= count
        self._start -= count if self._start >= 0 else 0

    def close(self) -> Event:
        rest = bytes(self._tail)
        self._tail.clear()
        return rest, b""

    @property
    def pending(self) -> int:
        return len(self._tail)

    @property
    def torn(self) -> bool:
        return self._unread


def parser(framing: Framing) -> Parser:
    match framing:
        case "sse":
            return EventStreamParser()
        case "ndjson":
            return LineParser()
        case "json_array":
            return ArrayParser()


def framed(events: Sequence[dict[str, Any] | bytes], framing: Framing) -> bytes:
    """Events as a client expects them; bytes are data that is no JSON, which only server-sent events have.

    Elements of an array come without what stands between and around them.
    """
    if framing == "sse":
        return b"".join(map(_server_sent, events))
    values = [dumped(event) for event in events if isinstance(event, dict)]
    return b"".join(value + b"\n" for value in values) if framing == "ndjson" else b",\r\n".join(values)


def seam(framing: Framing, passed: bytes, *, data: bool, torn: bool) -> bytes:
    """What goes between an incomplete event that was passed on and the next event.

    passed: its bytes. data: whether there is data in it. torn: more of it was passed on before.
    """
    if framing == "json_array" or not (passed or torn):
        return b""
    # An event without data is not ended: the next one takes it over.
    return b"\n\n" if framing == "sse" and (data or torn) else b"\n"


def end_of_array(passed: bytes, elements: bytes, *, any_before: bool, torn: bool) -> bytes:
    """The last elements of an array and its end. passed: what was passed on since its last whole element."""
    between = passed.strip()
    if torn or between.strip(b"[, \t\r\n"):
        # Closed already, or in the middle of an object, of which nobody can make a whole one.
        return b""
    if not between:
        between = (b"," if elements else b"") if any_before else b"["
        return between + elements + b"]"
    return elements + b"]"


def _server_sent(event: dict[str, Any] | bytes) -> bytes:
    if isinstance(event, bytes):
        return b"data: " + event + b"\n\n"
    kind = event.get("type")
    name = b"event: " + kind.encode() + b"\n" if isinstance(kind, str) else b""
    return name + b"data: " + dumped(event) + b"\n\n"


def dumped(event: dict[str, Any]) -> bytes:
    """An event as JSON on one line. It may hold what a provider said, in any depth."""
    try:
        return orjson.dumps(event)
    except orjson.JSONEncodeError:
        # Deeper than it writes.
        return json.dumps(event, ensure_ascii=False).encode()
