"""Reading a streamed answer: a parser cuts it into events, a dialect's `EventLog` makes an Answer of them.

The same log knows what is open in the stream, and so how to end it before its time.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import orjson

from tokenomics_core.dialects.base import Answer, Framing, Stop, StreamReader, Usage
from tokenomics_core.dialects.framing import end_of_array, framed, parser, seam

DONE = b"[DONE]"

Ending = list[dict[str, Any] | bytes]
"""The events that end a stream; bytes are data that is no JSON."""

ERROR_LIMIT = 200
"""Characters of a provider's error message that are kept."""

_WORD = re.compile(r"[\w.-]{1,64}")


class EventLog(ABC):
    """What one dialect makes of the events of one stream."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or Answer()

    @abstractmethod
    def read(self, event: dict[str, Any]) -> None:
        """Takes one event. Its shape is the provider's word: anything may be missing or of another type."""

    def end(self, stop: Stop, usage: Usage, usage_wanted: bool) -> Ending | None:
        """The events that end the stream after what was read; None where no normal end is known."""
        return None


class EventReader(StreamReader):
    """Passes a stream on and reads it. An event that is no JSON object is passed on unread.

    whole: reads a JSON body, for providers that answer a streamed request with one.
    hidden: tells the events that are taken out of the stream, after they were read.
    failed: words an error event, for a stream that has no normal end.
    """

    def __init__(
        self,
        framing: Framing,
        log: EventLog,
        whole: Callable[[dict[str, Any]], Answer],
        hidden: Callable[[dict[str, Any]], bool] | None = None,
        failed: Callable[[Stop], bytes] | None = None,
    ) -> None:
        self.answer = log.answer
        self._framing = framing
        self._parser = parser(framing)
        self._log = log
        self._whole = whole
        self._hidden = hidden
        self._failed = failed
        self._events = 0
        self._done = False
        self._held = hidden is not None
        self._passed = 0
        """Bytes of the incomplete event that were passed on before events were held."""

    def feed(self, data: bytes) -> bytes:
        events = self._parser.feed(data)
        if not self._held:
            for _, value in events:
                if value:
                    self._take(value)
            return data
        kept = b"".join([raw for raw, value in events if not value or self._take(value)])
        if self._passed and events:
            kept, self._passed = kept[self._passed :], 0
        return kept

    def hold(self) -> None:
        if not self._held:
            self._held = True
            self._passed = self._parser.pending

    def close(self) -> bytes:
        rest, value = self._parser.close()
        kept = True
        if value:
            kept = self._take(value)
        elif not self._events and rest.lstrip()[:1] == b"{":
            self._take_whole(rest)
        return rest[self._passed :] if kept and self._held else b""

    def finish(self, stop: Stop, usage: Usage | None = None) -> bytes:
        torn = self._parser.torn
        rest, value = self._parser.close()
        passed = rest[: self._passed] if self._held else rest
        between = b""
        if passed:
            between = rest[len(passed) :]
            if value:
                self._take(value)
        between += seam(self._framing, rest if passed else b"", data=bool(value), torn=torn)
        if self._done:
            return between
        events = self._log.end(stop, usage or self.answer.usage, self.usage_wanted)
        if events is None:
            return between + (self._failed(stop) if self._failed else b"")
        ending = framed(events, self._framing)
        if self._framing == "json_array":
            before = rest if passed else b""
            ending = end_of_array(before, ending, any_before=self._events > 0, torn=torn)
        return between + ending

    def _take(self, value: bytes) -> bool:
        """Reads the data of an event; False when the event is to be taken out."""
        try:
            event = orjson.loads(value)
        except orjson.JSONDecodeError:
            if value == DONE:
                self._done = self.answer.ended = True
            return True
        if not isinstance(event, dict):
            return True
        self._events += 1
        self._log.read(event)
        if "error" in event:
            note_error(self.answer, event["error"])
        return self._hidden is None or not self._hidden(event)

    def _take_whole(self, body: bytes) -> None:
        """Reads what came without any event: one JSON body, or lines of JSON."""
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            for line in body.splitlines():
                self._take(line.strip())
            return
        if isinstance(value, dict):
            answer = self._whole(value)
            for field in fields(Answer):
                setattr(self.answer, field.name, getattr(answer, field.name))
            note_error(self.answer, value.get("error"))


def note_error(answer: Answer, error: Any) -> None:
    """Keeps the first error that a provider reports: an object of any vendor's, or a bare message."""
    if not error or answer.error:
        return
    said = error if isinstance(error, dict) else {"message": error}
    words = [str(said.get(name)) for name in ("type", "status", "code") if said.get(name)]
    kind = "/".join(dict.fromkeys(word for word in words if word != "error" and _WORD.fullmatch(word)))
    message = said.get("message")
    message = " ".join(message[: 2 * ERROR_LIMIT].split())[:ERROR_LIMIT] if isinstance(message, str) else ""
    answer.error = ": ".join(part for part in (kind, message) if part) or "the provider reported an error"
