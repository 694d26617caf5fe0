"""The texts of a request, found in what the formats have in common: messages, parts, tools.

Images, audio and files are not text, however long their base64 is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

PER_REQUEST = 3
PER_MESSAGE = 3

_BINARY_PARTS = frozenset(
    "image image_url input_image input_audio input_file file audio video video_url container_upload "
    "computer_screenshot redacted_thinking image_generation_call".split()
)
_BINARY_MEMBERS = frozenset("signature encrypted_content thought_signature thoughtSignature".split())
# Names and ids that place a part, and are not read by the model as text.
_LABELS = frozenset("type id role status tool_use_id call_id".split())


def items(value: Any) -> list[Any]:
    """A list as it is, anything else as a list of one, null as none."""
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def objects(value: Any) -> list[dict[str, Any]]:
    """The JSON objects of a list, or the value itself if it is one."""
    return [item for item in items(value) if isinstance(item, dict)]


def strings(value: Any) -> Iterator[str]:
    """The value if it is a string, or the strings of a list of them."""
    for item in items(value):
        if isinstance(item, str):
            yield item


def dumped(values: Any) -> Iterator[str]:
    """Each value as JSON: tools and schemas are billed by their text."""
    for value in items(values):
        try:
            yield orjson.dumps(value).decode()
        except orjson.JSONEncodeError:
            # Nested deeper than it writes.
            yield from every_string(value)


def chat_message(message: dict[str, Any]) -> Iterator[str]:
    """Every text of one message: its string members, content parts and tool calls."""
    for name, value in message.items():
        if isinstance(value, str):
            if name not in _BINARY_MEMBERS:
                yield value
        elif name == "content":
            yield from content(value)
        elif name in ("tool_calls", "function_call"):
            for call in items(value):
                yield from tool_call(call)


def tool_call(call: Any) -> Iterator[str]:
    """Name and arguments of a call, as OpenAI, Ollama and the Responses API write them."""
    if not isinstance(call, dict):
        return
    function = call["function"] if isinstance(call.get("function"), dict) else call
    for name in ("name", "arguments", "input"):
        value = function.get(name)
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from dumped([value])


def content(value: Any) -> Iterator[str]:
    """The texts of a content: a string, a part, or parts in a list."""
    for part in items(value):
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            yield from _part(part)


def _part(part: dict[str, Any]) -> Iterator[str]:
    kind = part.get("type")
    if isinstance(kind, str) and kind in _BINARY_PARTS:
        return
    for name, value in part.items():
        if name in _LABELS or name in _BINARY_MEMBERS:
            continue
        if isinstance(value, str):
            if not value.startswith("data:"):
                yield value
        elif name in ("content", "output", "summary"):
            yield from content(value)
        elif name == "input":
            yield from dumped([value])
        elif name == "source":
            yield from _source(value)


def _source(value: Any) -> Iterator[str]:
    """A document's source: its text where it has one."""
    if isinstance(value, dict):
        if value.get("type") == "text" and isinstance(value.get("data"), str):
            yield value["data"]
        yield from content(value.get("content"))


def every_string(value: Any) -> Iterator[str]:
    """All strings in a JSON value, less data URLs."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if not item.startswith("data:"):
                yield item
        elif isinstance(item, dict):
            waiting.extend(reversed(item.values()))
        elif isinstance(item, list):
            waiting.extend(reversed(item))
