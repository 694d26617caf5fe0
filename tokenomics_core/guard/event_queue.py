"""Event queue: the events of one streamed answer in order, and the texts that their deltas add up to.

A text comes in deltas, strings of many events. Each delta is fed to the filter of its text, and the pieces
that the filter gives are laid back onto the deltas they were taken from: what is unchanged onto exactly the
characters it was, what is changed onto the delta in which it began. An event goes out once all characters of
its deltas are in pieces and all events before it are out. So nothing is added, nothing lost, and the order
stays.

All other strings of an event are whole and are looked at alone.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

import orjson

from tokenomics_core.dialects.base import Framing
from tokenomics_core.dialects.reading import DONE
from tokenomics_core.guard.deltas import ALL, Channel, Delta, EventTexts, UnknownTexts, read
from tokenomics_core.guard.pieces import Piece, TextFilter
from tokenomics_core.guard.spans import Path, Span, answer_spans
from tokenomics_core.guard.violation import RuleViolation
from tokenomics_core.json_reading import lenient, stands_twice
from tokenomics_core.json_splice import distinct, splice

MOST_CHANNELS = 4096
"""Texts that are open at most."""

NewFilter = Callable[[Channel, bool], TextFilter]
"""Makes the filter of a text; the flag says that the text is itself JSON."""

Whole = Callable[[Span], str | None]
"""What stands in the place of a whole string; None for what stands there. May raise RuleViolation."""

Cut = Framing | Literal["frame"]

_PROBABILITIES = ("logprobs", "logprobsResult", "logprobs_result")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r)?")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BETWEEN = b"[], \t\r\n"


class _Waiting:
    """An event that is not out yet. open: its deltas that are not settled."""

    __slots__ = ("data", "edits", "open", "raw", "size", "value")

    def __init__(self, raw: bytes, data: bytes) -> None:
        self.raw = raw
        self.data = data
        self.size = len(raw)
        self.value: Any = None
        self.open = 0
        self.edits: dict[tuple[Path, bool], str] = {}


class _Part:
    """A delta of which not every character is in a piece. at: how many are; out: what they became, or None
    as long as they are what they were."""

    __slots__ = ("at", "event", "out", "path", "text")

    def __init__(self, event: _Waiting, path: Path, text: str) -> None:
        self.event = event
        self.path = path
        self.text = text
        self.at = 0
        self.out: list[str] | None = None


class _Text:
    """A text that is open: its filter, and the deltas that its next pieces are taken from."""

    __slots__ = ("filter", "parts")

    def __init__(self, text_filter: TextFilter) -> None:
        self.filter = text_filter
        self.parts: deque[_Part] = deque()

    def lay(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            left = piece.taken
            said = piece.text if piece.changed else None
            while left:
                part = self.parts[0]
                start, stop = part.at, min(len(part.text), part.at + left)
                part.at = stop
                left -= stop - start
                if piece.changed:
                    out = part.out = part.out or [part.text[:start]]
                    if said is not None:
                        out.append(said)
                        said = None
                elif part.out is not None:
                    part.out.append(part.text[start:stop])
                if stop == len(part.text):
                    self._settle(self.parts.popleft())

    def _settle(self, part: _Part) -> None:
        part.event.open -= 1
        if part.out is not None and (text := "".join(part.out)) != part.text:
            part.event.edits[part.path, False] = text


class EventQueue:
    """The events of one stream in order, and its open texts. held: bytes of the events that wait."""

    def __init__(self, cut: Cut, new_filter: NewFilter, whole: Whole) -> None:
        self.held = 0
        self._new_filter = new_filter
        self._cut = cut
        self._whole = whole
        self._unknown = UnknownTexts()
        self._open: dict[Channel, _Text] = {}
        self._waiting: deque[_Waiting] = deque()

    def take(self, raw: bytes, data: bytes) -> None:
        """Takes an event. What raises here keeps the event back, and what waits for its texts."""
        if data and self._cut == "json_array" and (between := raw[: -len(data)]).strip(_BETWEEN):
            raw = self._plain(between) + data
        event = _Waiting(raw, data)
        if data == DONE:
            self._close(ALL)
        elif not data:
            event.raw = self._plain(raw)
        else:
            self._read(event)
        self._waiting.append(event)
        self.held += event.size

    def end(self) -> None:
        """Completes every text."""
        self._close(ALL)
        if any(event.open for event in self._waiting):
            raise RuntimeError("a filter kept characters")

    def release(self) -> list[bytes]:
        """The events that can go out."""
        out: list[bytes] = []
        waiting = self._waiting
        while waiting and not waiting[0].open:
            event = waiting[0]
            if event.edits:
                data = edited(event.data, event.value, event.edits)
                out.append(_rewritten(event.raw, event.data, data, self._cut))
            else:
                out.append(event.raw)
            waiting.popleft()
            self.held -= event.size
        return out

    def _read(self, event: _Waiting) -> None:
        try:
            value = orjson.loads(event.data)
            exact = True
        except orjson.JSONDecodeError:
            # Less strict: half of a surrogate pair, a number that is none. Clients may be able to read it.
            value, exact = _value(event.data), False
        if isinstance(value, dict | list) and stands_twice(event.data):
            raise RuleViolation("an event of the answer says a member twice")
        if isinstance(value, dict):
            event.value = value
            self._read_object(event, value, exact)
        elif isinstance(value, list):
            event.value = value
            event.edits = edits_of(answer_spans(value), self._whole)
        else:
            data = self._plain(event.data)
            event.raw = _rewritten(event.raw, event.data, data, self._cut)

    def _read_object(self, event: _Waiting, value: dict[str, Any], exact: bool) -> None:
        texts = read(value)
        spans = answer_spans(value)
        if texts is None:
            texts = self._unknown.read(value, spans)
        if spans:
            continued = {delta.path for delta in texts.deltas}
            others = [span for span in spans if span.path not in continued or span.form == "key"]
            event.edits = edits_of(others, self._whole)
        self._feed(event, texts, exact)

    def _feed(self, event: _Waiting, texts: EventTexts, exact: bool) -> None:
        for delta in texts.deltas:
            if delta.begins:
                self._close(delta.channel)
            text = self._open.get(delta.channel)
            if text is None:
                text = self._begin(delta)
            said = delta.text if exact else _SURROGATE.sub("\ufffd", delta.text)
            pieces = text.filter.feed(said)
            if not text.parts and len(pieces) == 1 and not pieces[0].changed and pieces[0].taken == len(said):
                continue
            event.open += 1
            text.parts.append(_Part(event, delta.path, delta.text))
            text.lay(pieces)
        for beginning in texts.ends:
            self._close(beginning)

    def _begin(self, delta: Delta) -> _Text:
        if len(self._open) >= MOST_CHANNELS:
            raise RuleViolation("the answer has too many texts at once")
        text = self._open[delta.channel] = _Text(self._new_filter(delta.channel, delta.json_text))
        return text

    def _close(self, beginning: Channel) -> None:
        """Completes the texts whose names begin so."""
        count = len(beginning)
        for channel in [name for name in self._open if name[:count] == beginning]:
            text = self._open.pop(channel)
            text.lay(text.filter.close())

    def _plain(self, raw: bytes) -> bytes:
        """What is no JSON, looked at as one text."""
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise RuleViolation("the answer holds text that cannot be read") from None
        said = text.strip()
        changed = self._whole(Span((), said, "text")) if said.strip(":[],") else None
        return raw if changed is None else text.replace(said, changed, 1).encode()


def _value(data: bytes) -> Any:
    """The JSON value; None for what is none."""
    try:
        return lenient(data)
    except ValueError:
        return None


def edits_of(spans: list[Span], whole: Whole) -> dict[tuple[Path, bool], str]:
    edits = {}
    for span in spans:
        changed = whole(span)
        if changed is not None:
            edits[span.path, span.form == "key"] = changed
    return edits


def edited(data: bytes, value: Any, edits: dict[tuple[Path, bool], str]) -> bytes:
    """JSON text with other strings in it, and without the probabilities of the ones that were there: they
    spell them out."""
    emptied: set[Path] = set()
    for path, _ in edits:
        place = value
        for depth, step in enumerate(path):
            if type(place) is dict:
                emptied |= {(*path[:depth], name) for name in _PROBABILITIES if place.get(name)}
            place = place[step]
    return splice(data, distinct(value, edits), emptied)


def _rewritten(raw: bytes, old: bytes, new: bytes, cut: Cut) -> bytes:
    """The bytes of an event with other data in it."""
    if cut != "sse":
        at = raw.index(old)
        return raw[:at] + new + raw[at + len(old) :]
    lines = [line for line in _LINE.findall(raw) if line]
    told = new.split(b"\n")
    out: list[bytes] = []
    for number, line in enumerate(lines):
        mark = _BYTE_ORDER_MARK if number == 0 and line.startswith(_BYTE_ORDER_MARK) else b""
        field = line[len(mark) :]
        if not field.startswith(b"data:"):
            out.append(line)
            continue
        if old in field and b"\n" not in new:
            out.append(mark + field[:5] + field[5:].replace(old, new, 1))
            continue
        prefix = mark + (b"data: " if field.startswith(b"data: ") else b"data:")
        end = field[len(field.rstrip(b"\r\n")) :]
        # All of it stands where the first line stood.
        out += [prefix + each + (end or b"\n") for each in told]
        if not end:
            out[-1] = out[-1].removesuffix(b"\n")
        told = []
    return b"".join(out)
