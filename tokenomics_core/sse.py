"""Server-sent events out of bytes that come cut anywhere.

An event ends at an empty line; a line ends with LF, CRLF or CR, and one stream may mix them. Only whole
events come out, each with its own bytes, so that what is passed on can be what came in.
"""

from __future__ import annotations

import re

EVENT_LIMIT = 32 * 1024 * 1024
"""Bytes of one event above which it is passed on unread."""

Event = tuple[bytes, bytes]
"""The bytes of an event with its end, and its data; the data is empty for comments and unread events."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
# A CR that ends the buffer may be half of a CRLF: it counts once the next byte is known.
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?=[^\n]))(?:\r\n|\n|\r(?=[^\n]))")
_LONGEST_END = 4
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class SseParser:
    """Cuts a stream into events. The bytes of all events and of `close` together are the bytes fed."""

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._tail = bytearray()
        self._unread = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        tail = self._tail
        if tail:
            begin = max(0, len(tail) - _LONGEST_END + 1)
            tail += data
            if not _has_end(tail, begin):
                return self._cap()
            data = bytes(tail)
            tail.clear()
        events = []
        if b"\r" not in data:
            blocks = data.split(b"\n\n")
            tail += blocks.pop()
            events = [(block + b"\n\n", event_data(block)) for block in blocks]
        else:
            at = 0
            for end in _EVENT_END.finditer(data):
                events.append((data[at : end.end()], event_data(data[at : end.start()])))
                at = end.end()
            tail += data[at:]
        if self._unread and events:
            events[0] = (events[0][0], b"")
            self._unread = False
        return events + self._cap() if len(tail) > self._limit else events

    def close(self) -> Event:
        """What is left of a stream that ended within an event; its data as far as it came."""
        rest = bytes(self._tail)
        self._tail.clear()
        return rest, b"" if self._unread else event_data(rest)

    def _cap(self) -> list[Event]:
        """Gives out what there is of an event that is too long."""
        if len(self._tail) <= (_LONGEST_END if self._unread else self._limit):
            return []
        self._unread = True
        passed = bytes(self._tail[: 1 - _LONGEST_END])
        del self._tail[: 1 - _LONGEST_END]
        return [(passed, b"")]


def event_data(block: bytes) -> bytes:
    """The data of one event: its ``data`` lines, joined with LF, without white space around."""
    if block.startswith(b"data:") and b"\n" not in block and b"\r" not in block:
        return block[5:].strip()
    if block.startswith(_BYTE_ORDER_MARK):
        block = block[len(_BYTE_ORDER_MARK) :]
    lines = _LINE_END.split(block) if b"\r" in block else block.split(b"\n")
    values = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
    return b"\n".join(values).strip()


def _has_end(tail: bytearray, begin: int) -> bool:
    if tail.find(b"\n\n", begin) >= 0:
        return True
    return tail.find(b"\r", begin) >= 0 and _EVENT_END.search(tail, begin) is not None
