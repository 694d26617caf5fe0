"""JsonBody: a JSON object that remembers its bytes.

What nobody changes is never written again: edits are kept as replacements of single top-level members,
and `render` splices them into the client's own text. Key order, number spelling, white space and unknown
fields survive.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

import orjson

from tokenomics_core.json_splice import Edits, Path, distinct, replaced, splice_text

MAX_MEMBERS = 1000
"""Top-level members of one object. Requests have dozens; each costs time here."""

_WHITE = re.compile(r"[ \t\n\r]*")


class InvalidJson(ValueError):
    """The bytes are not one JSON object with distinct keys; the message is one line."""


@dataclass(frozen=True, slots=True)
class _Member:
    """Where a member stands in the text.

    The parts between separators are [lead:end], with the white space around; the value is [start:stop].
    """

    lead: int
    start: int
    stop: int
    end: int


class JsonBody:
    """A request body that is a JSON object.

    value: the parsed object, for reading. Edits go through `set`, `remove`, `prepend` and `replace`.
    """

    __slots__ = ("_edits", "_foot", "_head", "_members", "_raw", "_text", "value")

    def __init__(self, raw: bytes) -> None:
        """Parses raw bytes; raises InvalidJson.

        Strict: UTF-8, no NaN, no number beyond a double, no trailing text, at most 1,024 levels deep, and in
        no object a key twice (two parsers may disagree on which one counts, and one of them would be the
        provider's). At the top level keys that differ only in case are the same: Go's parser takes either.
        """
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise InvalidJson(str(error)) from None
        if not isinstance(value, dict):
            raise InvalidJson("not a JSON object")
        if len(value) > MAX_MEMBERS:
            raise InvalidJson(f"more than {MAX_MEMBERS} members")
        self._raw = raw
        self._text = raw.decode()
        self._members: dict[str, _Member] = {}
        self._edits: dict[str, str | None] = {}
        # Not orjson's: integers of any length stay what they are.
        self.value: dict[str, Any] = {}
        self._read()

    @property
    def changed(self) -> bool:
        return bool(self._edits)

    def set(self, key: str, value: Any) -> None:
        """Replaces the top-level member, or adds it at the end. Raises TypeError or ValueError for what JSON
        cannot say."""
        self._edits[key] = _dumps(value)
        self.value[key] = value

    def remove(self, key: str) -> None:
        """Takes the top-level member out."""
        self.value.pop(key, None)
        if key in self._members:
            self._edits[key] = None
        else:
            self._edits.pop(key, None)

    def prepend(self, key: str, items: list[Any]) -> None:
        """Puts items in front of the array member `key`; the array's own text stays as it is. Raises
        InvalidJson when there is no such array."""
        array = self.value.get(key)
        if not isinstance(array, list):
            raise InvalidJson(f"{key} is not an array")
        if not items:
            return
        self._edits[key] = _dumps(items)[:-1] + ("," if array else "") + self._value_text(key)[1:]
        self.value[key] = [*items, *array]

    def replace(self, edits: Edits) -> None:
        """Writes single strings anew, at any depth; all other text stays as it is. Edits as in `splice`, by
        paths in `value` as it is now; names that would then stand twice are made different. Raises KeyError,
        and changes nothing, where a path leads to nothing that can be edited or to a top-level name.
        """
        inside: dict[str, dict[tuple[Path, bool], str]] = {}
        for (path, of_name), new in distinct(self.value, edits).items():
            if len(path) <= of_name or type(path[0]) is not str:
                raise KeyError("a path leads to nothing that can be edited")
            inside.setdefault(path[0], {})[path[1:], of_name] = new
        texts = {key: splice_text(self._value_text(key), below) for key, below in inside.items()}
        # Nested values are shared with copies: what changes is made anew.
        values = {key: replaced(self.value[key], below) for key, below in inside.items()}
        self._edits.update(texts)
        self.value.update(values)

    def copy(self) -> JsonBody:
        """An independent copy of the body as it is now."""
        twin = object.__new__(JsonBody)
        twin._raw, twin._text, twin._members = self._raw, self._text, self._members
        twin._head, twin._foot = self._head, self._foot
        # Edits replace members and never change one in place.
        twin._edits, twin.value = dict(self._edits), dict(self.value)
        return twin

    def render(self) -> bytes:
        """The body as bytes: the client's own when nothing was changed."""
        if not self._edits:
            return self._raw
        text, edits = self._text, self._edits
        parts: list[str] = []
        for key, member in self._members.items():
            edit = edits.get(key, text[member.start : member.stop])
            if edit is not None:
                parts.append(text[member.lead : member.start] + edit + text[member.stop : member.end])
        for key, edit in edits.items():
            if key not in self._members and edit is not None:
                parts.append(_dumps(key) + ":" + edit)
        return (text[: self._head] + ",".join(parts) + text[self._foot :]).encode()

    def _value_text(self, key: str) -> str:
        """The JSON text of a member as it is now; raises KeyError for none."""
        current = self._edits.get(key)
        if current is None:
            if key not in self.value:
                raise KeyError("a path leads nowhere")
            member = self._members[key]
            current = self._text[member.start : member.stop]
        return current

    def _read(self) -> None:
        text = self._text
        folded: set[str] = set()
        self._head = lead = text.index("{") + 1
        at = _skip(text, lead)
        while text[at] != "}":
            key, at = scanstring(text, at + 1)
            if key.casefold() in folded:
                raise InvalidJson(f"the key {key[:64]!r} stands twice")
            folded.add(key.casefold())
            start = _skip(text, _skip(text, at) + 1)
            try:
                self.value[key], stop = _decoder.raw_decode(text, start)
            except RecursionError:
                raise InvalidJson(f"the value of {key[:64]!r} cannot be read") from None
            at = _skip(text, stop)
            self._members[key] = _Member(lead, start, stop, at)
            if text[at] == ",":
                lead = at + 1
                at = _skip(text, lead)
        self._foot = at if self._members else self._head


def _skip(text: str, at: int) -> int:
    found = _WHITE.match(text, at)
    assert found is not None
    return found.end()


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidJson("a key stands twice in one object")
    return found


def _dumps(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # What orjson has no room for: integers over 64 bits, more than 254 levels.
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
        return text


_decoder = json.JSONDecoder(object_pairs_hook=_distinct)
