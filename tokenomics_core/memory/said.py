"""What an answer says: the assistant's text and the tools it calls, in a whole body or event by event.

An answer is known by its own shape, as in the guard, and not by the path of its request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tokenomics_core.dialects.usage import mapping, text
from tokenomics_core.guard import deltas
from tokenomics_core.guard.deltas import Channel

Call = dict[str, str]
"""``name``, and ``arguments``, as text: nearly always JSON."""

_TOOLS = frozenset("tool_calls function_call call custom_tool_call_input code_interpreter_call_code".split())
_THOUGHTS = ("reason", "think", "thought")

MOST_CALLS = 1000
MOST_TEXTS = 1000


class Said:
    """What a stream says, gathered up to `limit` characters, for each of text and arguments.

    cut: there was more text, or there were more calls.
    """

    def __init__(self, limit: int) -> None:
        self._room = limit
        self._room_for_arguments = limit
        self._texts: dict[Channel, list[str]] = {}
        self._is_text: dict[Channel, bool] = {}
        self._calls: dict[Channel, tuple[str, list[str]]] = {}
        self._whole: list[Call] = []
        self.cut = False

    @property
    def full(self) -> bool:
        """Nothing more is kept."""
        return self._room <= 0 and self._room_for_arguments <= 0

    def read(self, event: dict[str, Any]) -> None:
        self._open_calls(event)
        found = deltas.read(event)
        for delta in found.deltas if found is not None else ():
            if delta.json_text:
                continue
            is_text = self._is_text.get(delta.channel)
            if is_text is None:
                if len(self._is_text) >= MOST_TEXTS:
                    self.cut = True
                    continue
                is_text = self._is_text[delta.channel] = _is_text(delta.channel)
            if is_text:
                self._keep(self._texts.setdefault(delta.channel, []), delta.text)

    @property
    def text(self) -> str:
        """The texts in their order; an empty line stands between those of two blocks or choices."""
        return "\n\n".join("".join(pieces) for pieces in self._texts.values() if pieces)

    @property
    def calls(self) -> tuple[Call, ...]:
        begun = [{"name": name, "arguments": "".join(pieces)} for name, pieces in self._calls.values()]
        return (*begun, *self._whole)

    @property
    def _count(self) -> int:
        return len(self._calls) + len(self._whole)

    def _keep(self, pieces: list[str], piece: str) -> None:
        if len(piece) > self._room:
            self.cut = True
            piece = piece[: max(0, self._room)]
        if piece:
            pieces.append(piece)
            self._room -= len(piece)

    def _open_calls(self, event: dict[str, Any]) -> None:
        for place, name, piece in _pieces_of_calls(event):
            if place not in self._calls:
                if self._count >= MOST_CALLS:
                    self.cut = True
                    continue
                self._calls[place] = (name, [])
            if len(piece) > self._room_for_arguments:
                self.cut = True
                piece = piece[: max(0, self._room_for_arguments)]
            self._room_for_arguments -= len(piece)
            self._calls[place][1].append(piece)
        for name, arguments in _whole_calls(event):
            if len(arguments) > self._room_for_arguments or self._count >= MOST_CALLS:
                self.cut = True
                continue
            self._room_for_arguments -= len(arguments)
            self._whole.append({"name": name, "arguments": arguments})


def read_whole(value: Any) -> tuple[str, tuple[Call, ...]]:
    """The text of a whole answer, and its calls. Of a list, of each of its members."""
    texts: list[str] = []
    calls: list[Call] = []
    for body in value if isinstance(value, list) else [value]:
        if isinstance(body, dict):
            texts += [said for said in _texts(body) if said]
            calls += [{"name": name, "arguments": arguments} for name, arguments in _calls(body)]
    return "\n\n".join(texts), tuple(calls[:MOST_CALLS])


def _pieces_of_calls(event: dict[str, Any]) -> Iterator[tuple[Channel, str, str]]:
    """Of calls that come in pieces: which call it is, its name where it is told, a piece of its arguments."""
    if "choices" in event:
        yield from _pieces_in_choices(event["choices"])
        return
    kind = event.get("type")
    if kind == "content_block_start":
        block = mapping(event.get("content_block"))
        if text(block.get("type")).endswith("tool_use"):
            given = block.get("input")
            yield _place(event), text(block.get("name")), _written(given) if given else ""
    elif kind == "content_block_delta":
        piece = mapping(event.get("delta")).get("partial_json")
        if isinstance(piece, str):
            yield _place(event), "", piece
    elif kind in ("tool-call-start", "tool-call-delta"):
        call = mapping(mapping(mapping(event.get("delta")).get("message")).get("tool_calls"))
        function = mapping(call.get("function"))
        yield _place(event), text(function.get("name")), text(function.get("arguments"))


def _pieces_in_choices(choices: Any) -> Iterator[tuple[Channel, str, str]]:
    for at, choice in enumerate(_objects(choices)):
        delta = choice.get("delta")
        if not isinstance(delta, dict) or "tool_calls" not in delta:
            continue
        for number, call in enumerate(_objects(delta["tool_calls"])):
            function = mapping(call.get("function")) or mapping(call.get("custom"))
            place = (_index(choice, at), "tool_calls", _index(call, number))
            arguments = text(function.get("arguments")) or text(function.get("input"))
            yield place, text(function.get("name")), arguments


def _whole_calls(event: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Of calls that come at once, in an event."""
    if event.get("type") == "response.output_item.done":
        yield from _item(mapping(event.get("item")))
    elif "choices" not in event and "type" not in event:
        yield from _candidates(event)
        yield from _functions(mapping(event.get("message")).get("tool_calls"))


def _calls(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for choice in _objects(body.get("choices")):
        message = mapping(choice.get("message"))
        yield from _functions(message.get("tool_calls"))
        yield from _functions([{"function": message.get("function_call")}])
    for block in _objects(body.get("content")):
        if text(block.get("type")).endswith("tool_use"):
            yield text(block.get("name")), _written(block.get("input"))
    for item in _objects(body.get("output")):
        yield from _item(item)
    yield from _candidates(body)
    yield from _functions(mapping(body.get("message")).get("tool_calls"))


def _texts(body: dict[str, Any]) -> Iterator[str]:
    for choice in _objects(body.get("choices")):
        yield _content(mapping(choice.get("message")).get("content")) or text(choice.get("text"))
    if body.get("type") == "message":
        yield _content(body.get("content"))
    for item in _objects(body.get("output")):
        if item.get("type") == "message":
            yield _content(item.get("content"))
    for candidate in _objects(mapping(body.get("response")).get("candidates") or body.get("candidates")):
        parts = _objects(mapping(candidate.get("content")).get("parts"))
        yield "".join(text(part.get("text")) for part in parts if not part.get("thought"))
    yield _content(mapping(body.get("message")).get("content"))
    yield text(body.get("response"))


def _content(value: Any) -> str:
    """A content: a string, or parts of which those with text count."""
    if isinstance(value, str):
        return value
    said = [text(part.get("text")) or text(part.get("refusal")) for part in _objects(value)]
    return "".join(said)


def _item(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """An item of the Responses API: custom tools have an input, all others arguments."""
    if isinstance(name := item.get("name"), str):
        yield name, _written(item.get("arguments", item.get("input")))


def _candidates(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for candidate in _objects(mapping(body.get("response")).get("candidates") or body.get("candidates")):
        for part in _objects(mapping(candidate.get("content")).get("parts")):
            if call := mapping(part.get("functionCall")):
                yield text(call.get("name")), _written(call.get("args"))


def _functions(calls: Any) -> Iterator[tuple[str, str]]:
    for call in _objects(calls):
        if function := mapping(call.get("function")) or mapping(call.get("custom")):
            arguments = function.get("arguments", function.get("input"))
            yield text(function.get("name")), _written(arguments)


def _written(arguments: object) -> str:
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))


def _is_text(channel: Channel) -> bool:
    names = [name for name in channel if isinstance(name, str)]
    return not any(name in _TOOLS or any(sign in name for sign in _THOUGHTS) for name in names)


def _place(event: dict[str, Any]) -> Channel:
    return ("block", _index(event, 0))


def _index(value: dict[str, Any], default: int) -> int:
    index = value.get("index")
    return index if type(index) is int else default


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
