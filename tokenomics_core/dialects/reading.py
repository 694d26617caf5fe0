"""Reading a streamed answer: a parser cuts it into events, a dialect's `EventLog` makes an Answer of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import orjson

from tokenomics_core.dialects.base import Answer, Framing, StreamReader
from tokenomics_core.dialects.framing import parser

DONE = b"[DONE]"


class EventLog(ABC):
    """What one dialect makes of the events of one stream."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or Answer()

    @abstractmethod
    def read(self, event: dict[str, Any]) -> None:
        """Takes one event. Its shape is the provider's word: anything may be missing or of another type."""


class EventReader(StreamReader):
    """Passes a stream on and reads it. An event that is no JSON object is passed on unread.

    whole: reads a JSON body, for providers that answer a streamed request with one.
    hidden: tells the events that are taken out of the stream, after they were read.
    """

    def __init__(
        self,
        framing: Framing,
        log: EventLog,
        whole: Callable[[dict[str, Any]], Answer],
        hidden: Callable[[dict[str, Any]], bool] | None = None,
    ) -> None:
        self.answer = log.answer
        self._parser = parser(framing)
        self._log = log
        self._whole = whole
        self._hidden = hidden
        self._events = 0

    def feed(self, data: bytes) -> bytes:
        events = self._parser.feed(data)
        if self._hidden is None:
            for _, value in events:
                if value:
                    self._take(value)
            return data
        return b"".join([raw for raw, value in events if not value or self._take(value)])

    def close(self) -> bytes:
        rest, value = self._parser.close()
        kept = True
        if value:
            kept = self._take(value)
        elif not self._events and rest.lstrip()[:1] == b"{":
            self._take_whole(rest)
        return rest if kept and self._hidden is not None else b""

    def _take(self, value: bytes) -> bool:
        """Reads the data of an event; False when the event is to be taken out."""
        try:
            event = orjson.loads(value)
        except orjson.JSONDecodeError:
            if value == DONE:
                self.answer.ended = True
            return True
        if not isinstance(event, dict):
            return True
        self._events += 1
        self._log.read(event)
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
