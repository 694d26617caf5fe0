"""How a streamed answer is cut into JSON values: server-sent events, lines, or the elements of one array."""

from __future__ import annotations

import re
from typing import Protocol

from tokenomics_core.dialects.base import Framing
from tokenomics_core.sse import EVENT_LIMIT, Event, SseParser


class Parser(Protocol):
    """Takes bytes cut anywhere; gives events, and at the end what is left, as SseParser does."""

    def feed(self, data: bytes) -> list[Event]: ...

    def close(self) -> Event: ...


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


def parser(framing: Framing) -> Parser:
    match framing:
        case "sse":
            return SseParser()
        case "ndjson":
            return LineParser()
        case "json_array":
            return ArrayParser()
