"""Deltas: which strings of an event continue a text that came in earlier events, and what ends such a text.

An event is known by its own shape and not by the path of its request, for a provider's path may lead to an
API of another shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tokenomics_core.guard.spans import Path, Span

Channel = tuple[str | int | None, ...]
"""The name of one text of a stream. The names of texts that end together begin alike."""

ALL: Channel = ()
"""What the names of all channels begin with."""


class Delta(NamedTuple):
    """A string that continues a text.

    path: where it stands in the event. json_text: the text is itself JSON, as the arguments of a tool are.
    begins: what came in the channel before is another text, and complete.
    """

    channel: Channel
    path: Path
    text: str
    json_text: bool = False
    begins: bool = False


class EventTexts(NamedTuple):
    """deltas: in the order of the texts; no empty strings. ends: beginnings of the names of the channels that
    are complete after them."""

    deltas: list[Delta]
    ends: list[Channel]


# Strings beside the deltas that name a thing and continue nothing.
_NAMES = frozenset(["type", "role", "id", "name", "signature", "object", "status", "model", "event"])
_JSON_ARGUMENTS = frozenset(["function_call_arguments", "mcp_call_arguments", "mcp_call.arguments"])
_DOTTED = ("response.", "session.", "conversation.", "input_audio_buffer.", "rate_limits.", "transcript.")
_COHERE = ("message-", "content-", "tool-", "citation-")


def read(event: dict[str, Any]) -> EventTexts | None:
    """The texts that an event continues and ends; None for an event whose shape is not known."""
    choices = event.get("choices")
    if type(choices) is list:
        return _choices(choices)
    kind = event.get("type")
    if type(kind) is str:
        if kind.startswith(("content_block_", "message_")):
            return _anthropic(kind, event)
        if kind.startswith(_DOTTED):
            return _responses(kind, event)
        if kind.startswith(_COHERE):
            return _cohere(kind, event)
        if kind in ("ping", "error"):
            return EventTexts([], [])
    if "candidates" in event or "usageMetadata" in event:
        return _gemini(event, ())
    if "done" in event and "created_at" in event:
        return _ollama(event)
    wrapped = event.get("response")
    if type(wrapped) is dict and "candidates" in wrapped:
        return _gemini(wrapped, ("response",))
    return EventTexts([], []) if event.get("error") else None


def _choices(choices: list[Any]) -> EventTexts:
    """OpenAI's chat chunks and legacy completions."""
    deltas: list[Delta] = []
    ends: list[Channel] = []
    for at, choice in enumerate(choices):
        if type(choice) is not dict:
            continue
        index = _index(choice.get("index"), at)
        delta = choice.get("delta")
        if type(delta) is dict:
            for name, value in delta.items():
                if type(value) is str:
                    if value and name not in _NAMES:
                        deltas.append(Delta((index, name), ("choices", at, "delta", name), value))
                elif value:
                    deltas += _structured((index, name), ("choices", at, "delta", name), value)
        said = choice.get("text")
        if type(said) is str and said:
            deltas.append(Delta((index, "text"), ("choices", at, "text"), said))
        if choice.get("finish_reason"):
            ends.append((index,))
    return EventTexts(deltas, ends)


def _structured(channel: Channel, path: Path, value: Any) -> Iterator[Delta]:
    """What a chat delta has besides strings: tool calls, content in parts, the transcript of sound."""
    name = path[-1]
    if type(value) is dict:
        if name == "audio":
            yield from _strings(channel, path, value, ("transcript",))
        else:
            yield from _strings(channel, path, value, ("arguments",), json_text=True)
    elif type(value) is list:
        for at, each in enumerate(value):
            if type(each) is not dict:
                continue
            index = _index(each.get("index"), at)
            if name == "tool_calls":
                function, custom = each.get("function"), each.get("custom")
                call = (*channel, index)
                if type(function) is dict:
                    yield from _strings(
                        call, (*path, at, "function"), function, ("arguments",), json_text=True
                    )
                if type(custom) is dict:
                    yield from _strings(call, (*path, at, "custom"), custom, ("input",))
            elif name == "content":
                # Parts of one kind are one text, whatever their place.
                yield from _strings(channel, (*path, at), each, ("text", "thinking", "refusal"))
                if type(thoughts := each.get("thinking")) is list:
                    for nested, thought in enumerate(thoughts):
                        if type(thought) is dict:
                            place = (*path, at, "thinking", nested)
                            yield from _strings((*channel, "thinking"), place, thought, ("text",))
            else:
                yield from _strings((*channel, index), (*path, at), each, ("text", "summary"))


def _anthropic(kind: str, event: dict[str, Any]) -> EventTexts:
    index = _index(event.get("index"), 0)
    if kind == "content_block_delta":
        delta = event.get("delta")
        if type(delta) is not dict:
            return EventTexts([], [])
        found = [
            Delta((index, name), ("delta", name), value, name == "partial_json")
            for name, value in delta.items()
            if type(value) is str and value and name not in _NAMES
        ]
        return EventTexts(found, [])
    if kind == "content_block_start":
        block = event.get("content_block")
        first = (
            [
                Delta((index, name), ("content_block", name), value, begins=True)
                for name in ("text", "thinking")
                if type(value := block.get(name)) is str and value
            ]
            if type(block) is dict
            else []
        )
        return EventTexts(first, [] if first else [(index,)])
    return EventTexts([], [(index,)] if kind == "content_block_stop" else [ALL])


def _responses(kind: str, event: dict[str, Any]) -> EventTexts | None:
    """The Responses API and Realtime. The place of a text is the item's in the output, for some providers
    give an item another id in every event."""
    lane = event.get("stream_id")
    item = event.get("output_index")
    if type(item) is not int:
        item = event.get("item_id")
    place: Channel = (
        _name(lane),
        _name(event.get("response_id")),
        _name(item),
        _name(event.get("content_index")),
        _name(event.get("summary_index")),
    )
    base, _, verb = kind.rpartition(".")
    if verb == "delta":
        if base.endswith("audio"):
            return EventTexts([], [])
        name = base.removeprefix("response.")
        delta = event.get("delta")
        if type(delta) is dict:
            members = [name for name in delta if name not in _NAMES]
            return EventTexts([*_strings((*place, name), ("delta",), delta, members)], [])
        if type(delta) is not str:
            return None
        known = [Delta((*place, name), ("delta",), delta, name in _JSON_ARGUMENTS)] if delta else []
        return EventTexts(known, [])
    if verb == "added":
        return EventTexts([*_begun(base, place, event)], [])
    if verb == "done":
        if base == "response":
            return EventTexts([], [(place[0], _response_id(event))])
        if base.endswith("_part"):
            return EventTexts([], [place])
        if base == "response.output_item":
            return EventTexts([], [place[:3]])
        return EventTexts([], [(*place, base.removeprefix("response."))])
    if base == "response" and verb in ("completed", "incomplete", "failed", "cancelled"):
        return EventTexts([], [(place[0], None), (place[0], _response_id(event))])
    return EventTexts([], [])


# Where an item or a part that is begun may hold the beginning of its text, and the name of that text.
_BEGUN_ITEMS = {
    "function_call": ("arguments", "function_call_arguments"),
    "mcp_call": ("arguments", "mcp_call_arguments"),
    "custom_tool_call": ("input", "custom_tool_call_input"),
    "code_interpreter_call": ("code", "code_interpreter_call_code"),
}
_BEGUN_PARTS = {
    "output_text": ("text", "output_text"),
    "text": ("text", "output_text"),
    "refusal": ("refusal", "refusal"),
    "reasoning_text": ("text", "reasoning_text"),
    "summary_text": ("text", "reasoning_summary_text"),
}


def _begun(base: str, place: Channel, event: dict[str, Any]) -> Iterator[Delta]:
    """The beginning of a text in the event that opens it; nearly always there is none."""
    for name, known in (("item", _BEGUN_ITEMS), ("part", _BEGUN_PARTS)):
        opened = event.get(name)
        if type(opened) is dict and type(kind := opened.get("type")) is str and kind in known:
            member, text = known[kind]
            for delta in _strings(place, (name,), opened, (member,)):
                yield Delta((*place, text), delta.path, delta.text, text in _JSON_ARGUMENTS, begins=True)


def _gemini(event: dict[str, Any], path: Path) -> EventTexts:
    """Consecutive text parts of a candidate are one text, thoughts another; any other part ends both."""
    deltas: list[Delta] = []
    ends: list[Channel] = []
    candidates = event.get("candidates")
    for at, candidate in enumerate(candidates if type(candidates) is list else ()):
        if type(candidate) is not dict:
            continue
        index = _index(candidate.get("index"), at)
        content = candidate.get("content")
        parts = content.get("parts") if type(content) is dict else None
        ended: dict[Channel, None] = {}
        where: Path
        for place, part in enumerate(parts if type(parts) is list else ()):
            said = part.get("text") if type(part) is dict else None
            if type(said) is not str:
                ended |= {(index, "text"): None, (index, "thought"): None}
                call = part.get("functionCall") if type(part) is dict else None
                if type(call) is dict and "partialArgs" in call:
                    where = (*path, "candidates", at, "content", "parts", place, "functionCall")
                    deltas += _partial_arguments(index, where, call)
                    if not call.get("willContinue"):
                        ends.append((index, "call"))
            elif said:
                channel: Channel = (index, "thought" if part.get("thought") else "text")
                where = (*path, "candidates", at, "content", "parts", place, "text")
                deltas.append(Delta(channel, where, said, begins=channel in ended))
                ended.pop(channel, None)
        ends += ended
        if candidate.get("finishReason") or candidate.get("finish_reason"):
            ends.append((index,))
    return EventTexts(deltas, ends)


def _partial_arguments(index: int, path: Path, call: dict[str, Any]) -> Iterator[Delta]:
    """Arguments of a call that come in pieces: each string by its place in them."""
    pieces = call["partialArgs"]
    for at, piece in enumerate(pieces if type(pieces) is list else ()):
        if type(piece) is dict:
            channel = (index, "call", _name(piece.get("jsonPath")))
            yield from _strings(channel, (*path, "partialArgs", at), piece, ("stringValue",))


def _ollama(event: dict[str, Any]) -> EventTexts:
    deltas = [*_strings((), (), event, ("thinking", "response"))]
    message = event.get("message")
    if type(message) is dict:
        deltas += _strings(("message",), ("message",), message, [key for key in message if key not in _NAMES])
    return EventTexts(deltas, [ALL] if event.get("done") is True else [])


def _cohere(kind: str, event: dict[str, Any]) -> EventTexts:
    index = _index(event.get("index"), 0)
    if kind in ("content-end", "tool-call-end"):
        return EventTexts([], [(index,)])
    if kind == "message-end":
        return EventTexts([], [ALL])
    delta = event.get("delta")
    message = delta.get("message") if type(delta) is dict else None
    if type(message) is not dict:
        return EventTexts([], [])
    path: Path = ("delta", "message")
    deltas = [*_strings((index,), path, message, ("tool_plan",))]
    content, calls = message.get("content"), message.get("tool_calls")
    if type(content) is dict:
        deltas += _strings((index,), (*path, "content"), content, ("text", "thinking"))
    function = calls.get("function") if type(calls) is dict else None
    if type(function) is dict:
        place: Path = (*path, "tool_calls", "function")
        deltas += _strings((index,), place, function, ("arguments",), json_text=True)
    return EventTexts(deltas, [])


CONSTANT = 8
"""Characters from which on a string that is the same in every event is no delta."""


class UnknownTexts:
    """The deltas of a stream whose shape is not known: every string may continue the one that stood at its
    path in the event before, unless it names a thing or is a constant of the stream."""

    def __init__(self) -> None:
        self._seen: dict[Channel, str | None] = {}
        """The one text that a channel had so far; None for one that had several."""

    def read(self, event: dict[str, Any], spans: list[Span]) -> EventTexts:
        """spans: of the event, as `answer_spans` gives them."""
        deltas: list[Delta] = []
        kind = event.get("type") or event.get("event") or event.get("event_type")
        head = kind if type(kind) is str else None
        for span in spans:
            name = span.path[-1] if span.path else None
            if span.form not in ("text", "json") or not span.text or name in _NAMES or _is_id(name):
                continue
            channel: Channel = (head, *span.path)
            if channel not in self._seen:
                self._seen[channel] = span.text
            elif self._seen[channel] != span.text:
                self._seen[channel] = None
            elif len(span.text) >= CONSTANT:
                continue
            deltas.append(Delta(channel, span.path, span.text, span.form == "json"))
        return EventTexts(deltas, [])


def _strings(
    channel: Channel,
    path: Path,
    value: dict[str, Any],
    names: tuple[str, ...] | list[str],
    json_text: bool = False,
) -> Iterator[Delta]:
    """The members of these names that are strings."""
    for name in names:
        text = value.get(name)
        if type(text) is str and text:
            yield Delta((*channel, name), (*path, name), text, json_text)


def _index(value: Any, default: int) -> int:
    return value if type(value) is int else default


def _name(value: Any) -> str | int | None:
    """What can be a part of a channel's name."""
    return value if type(value) in (str, int) else None


def _response_id(event: dict[str, Any]) -> str | int | None:
    response = event.get("response")
    return _name(response.get("id")) if type(response) is dict else None


def _is_id(name: str | int | None) -> bool:
    return type(name) is str and name.endswith(("_id", "Id", "_at", "At", "_type", "Type"))
