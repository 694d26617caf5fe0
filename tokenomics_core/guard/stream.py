"""Events in, events out: every text of a streamed answer passes its filter, however it is cut."""

from __future__ import annotations

import orjson

from tokenomics_core.dialects.base import Framing
from tokenomics_core.dialects.framing import parser
from tokenomics_core.guard.event_queue import EventQueue, NewFilter, Whole, edited, edits_of
from tokenomics_core.guard.spans import answer_spans
from tokenomics_core.guard.violation import RuleViolation
from tokenomics_core.json_reading import stands_twice
from tokenomics_core.sse import EVENT_LIMIT, Event

MOST_HELD = 8 * 1024 * 1024
"""Bytes of events that wait at most."""

_BEFORE_BODY = b"\xef\xbb\xbf \t\r\n"


class StreamGuard:
    """One streamed answer. Fed with bytes cut anywhere.

    settled: what could be passed on when a call raised; nothing of it was given before.
    """

    def __init__(self, framing: Framing, new_filter: NewFilter, whole: Whole) -> None:
        self.settled = b""
        self._parser = parser(framing)
        self._new_filter = new_filter
        self._whole = whole
        self._events = EventQueue(framing, new_filter, whole)
        self._begun = framing != "sse"
        self._body: bytearray | None = None

    def feed(self, data: bytes) -> bytes:
        """The events that can be passed on. Raises RuleViolation, and whatever the filters raise."""
        if not self._begun and (first := data.lstrip(_BEFORE_BODY)):
            self._begun = True
            if first[:1] in b"{[":
                data = self._parser.close()[0] + data
                self._no_events(first[:1])
        if self._body is not None:
            self._body += data
            if len(self._body) > EVENT_LIMIT:
                raise RuleViolation("the answer is too long to be looked at")
            return b""
        events = self._parser.feed(data)
        torn = self._parser.torn
        return self._pass_on(events[:-1] if torn else events, torn=torn)

    def close(self) -> bytes:
        """All that is left, at the end of the stream."""
        if self._body is not None:
            return self._close_body(bytes(self._body))
        rest = self._parser.close()
        return self._pass_on([rest] if rest[0] else [], last=True)

    def _pass_on(self, events: list[Event], *, torn: bool = False, last: bool = False) -> bytes:
        queue = self._events
        try:
            for raw, data in events:
                queue.take(raw, data)
            if torn:
                raise RuleViolation("an event of the answer is too long to be looked at")
            if last:
                queue.end()
        except Exception:
            self.settled = b"".join(queue.release())
            raise
        out = queue.release()
        if queue.held > MOST_HELD:
            self.settled = b"".join(out)
            raise RuleViolation("too much of the answer is held back")
        return b"".join(out)

    def _no_events(self, first: bytes) -> None:
        """The answer is JSON without server-sent events around: one array, one object, or lines."""
        if first == b"[":
            self._parser = parser("json_array")
            self._events = EventQueue("json_array", self._new_filter, self._whole)
        else:
            self._body = bytearray()

    def _close_body(self, body: bytes) -> bytes:
        data = body.strip(_BEFORE_BODY)
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            lines = parser("ndjson")
            self._events = EventQueue("ndjson", self._new_filter, self._whole)
            events = lines.feed(body)
            rest = lines.close()
            return self._pass_on([*events, rest] if rest[0] else events, last=True)
        if stands_twice(data):
            raise RuleViolation("the answer says a member twice")
        edits = edits_of(answer_spans(value), self._whole)
        return body.replace(data, edited(data, value, edits), 1) if edits else body


class FrameGuard:
    """What comes back on a WebSocket, frame by frame.

    settled: what could be passed on when a call raised; nothing of it was given before.
    """

    def __init__(self, new_filter: NewFilter, whole: Whole) -> None:
        self.settled: list[str] = []
        self._events = EventQueue("frame", new_filter, whole)

    def feed(self, frame: str) -> list[str]:
        """The frames that can be passed on. Raises RuleViolation, and whatever the filters raise."""
        return self._pass_on(frame)

    def close(self) -> list[str]:
        """All that is left, at the end of the connection."""
        return self._pass_on(None)

    def _pass_on(self, frame: str | None) -> list[str]:
        queue = self._events
        try:
            if frame is None:
                queue.end()
            else:
                raw = _encoded(frame)
                queue.take(raw, raw)
        except Exception:
            self.settled = [each.decode() for each in queue.release()]
            raise
        out = queue.release()
        if queue.held > MOST_HELD:
            self.settled = [each.decode() for each in out]
            raise RuleViolation("too much of the answer is held back")
        return [each.decode() for each in out]


def _encoded(frame: str) -> bytes:
    try:
        return frame.encode()
    except UnicodeEncodeError:
        raise RuleViolation("the answer holds text that cannot be read") from None
