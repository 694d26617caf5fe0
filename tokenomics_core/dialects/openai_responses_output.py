"""The output of a response while it grows: what is open in it, and the events that close it.

Items hold parts, parts hold text that comes in deltas. All are known by their place in the output.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tokenomics_core.dialects.usage import mapping, text

Place = tuple[Any, Any, Any]
"""Output index, content index, summary index; None where the event has none."""

_TEXT_DONE = {
    "output_text": "response.output_text.done",
    "refusal": "response.refusal.done",
    "reasoning_text": "response.reasoning_text.done",
    "summary_text": "response.reasoning_summary_text.done",
}
_TEXTS_DONE = frozenset(_TEXT_DONE.values())
_ADDED = frozenset(["response.content_part.added", "response.reasoning_summary_part.added"])
_DONE = frozenset(["response.content_part.done", "response.reasoning_summary_part.done"])
_ARGUMENTS = {"custom_tool_call": "input", "code_interpreter_call": "code"}
# An agent that acts on ``response.output_item.done`` would run any other item, a tool call cut in the middle.
_CLOSED = frozenset(["message", "reasoning"])


@dataclass(slots=True)
class _Part:
    part: dict[str, Any]
    texted: bool = False
    done: bool = False


@dataclass(slots=True)
class _Item:
    item: dict[str, Any]
    done: bool = False
    parts: dict[Place, _Part] = field(default_factory=dict)


class Output:
    """Takes the events of one response in order."""

    def __init__(self) -> None:
        self._items: dict[int, _Item] = {}
        self._texts: dict[Place, list[str]] = {}

    def add(self, event: dict[str, Any], piece: str) -> None:
        """Takes a delta."""
        place = (event.get("output_index"), event.get("content_index"), event.get("summary_index"))
        try:
            self._texts[place].append(piece)
        except (KeyError, TypeError):
            # A part that was never begun.
            return

    def note(self, kind: str, event: dict[str, Any]) -> None:
        """Takes any other event."""
        place = (event.get("output_index"), event.get("content_index"), event.get("summary_index"))
        index = place[0]
        if type(index) is not int or any(type(each) not in (int, type(None)) for each in place):
            return
        if kind == "response.output_item.added":
            self._items[index] = _Item(mapping(event.get("item")))
            self._texts[place] = []
        elif kind == "response.output_item.done":
            self._items[index] = _Item(mapping(event.get("item")), done=True)
            for known in [known for known in self._texts if known[0] == index]:
                del self._texts[known]
        elif (item := self._items.get(index)) is None:
            return
        elif kind in _ADDED:
            item.parts[place] = _Part(mapping(event.get("part")))
            self._texts[place] = []
        elif part := item.parts.get(place):
            if kind in _TEXTS_DONE:
                part.texted = True
            elif kind in _DONE:
                part.part, part.done = mapping(event.get("part")), True

    def close(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The events that close what is open, and all items as they are then."""
        events: list[dict[str, Any]] = []
        items: list[dict[str, Any]] = []
        for index, item in sorted(self._items.items()):
            if not item.done:
                closing = self._close_item(index, item)
                if item.item.get("type") in _CLOSED:
                    events += closing
            items.append(item.item)
        return events, items

    def _close_item(self, index: int, open_item: _Item) -> list[dict[str, Any]]:
        item = open_item.item = {**open_item.item, "status": "incomplete"}
        open_item.done = True
        name = {"output_index": index, "item_id": text(item.get("id"))}
        if pieces := self._texts.get((index, None, None)):
            member = _ARGUMENTS.get(text(item.get("type")), "arguments")
            item[member] = text(item.get(member)) + "".join(pieces)
        events: list[dict[str, Any]] = []
        for place, part in open_item.parts.items():
            if not part.done:
                events += self._close_part(name, place, part)
        in_order = sorted(open_item.parts.items(), key=_order)
        for member, at in (("content", 1), ("summary", 2)):
            parts = [part.part for place, part in in_order if place[at] is not None]
            if parts:
                item[member] = parts
        return [*events, {"type": "response.output_item.done", "output_index": index, "item": item}]

    def _close_part(self, name: dict[str, Any], place: Place, part: _Part) -> list[dict[str, Any]]:
        kind = text(part.part.get("type"))
        member = {"refusal": "refusal", "audio": "transcript"}.get(kind, "text")
        said = text(part.part.get(member)) + "".join(self._texts.get(place, ()))
        part.part, part.done = {**part.part, member: said}, True
        in_summary = place[2] is not None
        where = {**name, "summary_index": place[2]} if in_summary else {**name, "content_index": place[1]}
        events: list[dict[str, Any]] = []
        if not part.texted and kind in _TEXT_DONE:
            probabilities: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
            events.append({"type": _TEXT_DONE[kind], **where, member: said, **probabilities})
        ended = "response.reasoning_summary_part.done" if in_summary else "response.content_part.done"
        return [*events, {"type": ended, **where, "part": part.part}]


def _order(placed: tuple[Place, _Part]) -> tuple[int, int]:
    _, content, summary = placed[0]
    return (-1 if content is None else content, -1 if summary is None else summary)
