"""Single strings of a JSON text written anew, while every other byte stays.

An edit names its place by a path of member names and indexes. Only what lies on a path is walked; the rest is
skipped in C. A member name that stands twice in an object is edited wherever it stands, for parsers disagree
on which one counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

Path = tuple[str | int, ...]
Edits = Mapping[tuple[Path, bool], str]
"""From a path, and whether the member's name is meant and not its value, to what is written there."""

_WHITE = re.compile(r"[ \t\n\r]*")
_MARK = re.compile(r'["\[\]{}]')
_OPENS = frozenset("[{")
_CLOSES = frozenset("]}")
_STRING_OR_NUMBER = frozenset('"-0123456789')
# Numbers stay text: nothing but their end is asked for, and they may be of any length.
_decode = json.JSONDecoder(parse_int=str, parse_float=str, strict=False).raw_decode


class _Node:
    """A place on the paths of the edits.

    value, name: what is written there for the value and for its member name. emptied: whether the value goes.
    inside: the places below, by member name or index. value_met, name_met: whether the text has them.
    """

    __slots__ = ("emptied", "inside", "name", "name_met", "value", "value_met")

    def __init__(self) -> None:
        self.inside: dict[str | int, _Node] = {}
        self.value: str | None = None
        self.name: str | None = None
        self.emptied = False
        self.value_met = False
        self.name_met = False


def splice(raw: bytes, edits: Edits, emptied: Iterable[Path] = ()) -> bytes:
    """The JSON value in raw bytes, with the strings that edits name replaced.

    A number that is edited becomes a string. emptied: paths whose value becomes ``[]`` where it is an array,
    else ``null``. Non-ASCII characters are escaped where the string that goes spelt them so. Raises KeyError
    where a path leads to nothing that can be edited, ValueError where raw is no JSON text.
    """
    return splice_text(raw.decode(), edits, emptied).encode()


def splice_text(text: str, edits: Edits, emptied: Iterable[Path] = ()) -> str:
    """As `splice`, for a JSON value that was decoded."""
    root = _tree(edits, emptied)
    try:
        found = _find(text, root)
    except IndexError:
        raise ValueError("the JSON text is cut short") from None
    parts: list[str] = []
    at = 0
    for start, stop, new in found:
        parts.append(text[at:start])
        parts.append(new)
        at = stop
    parts.append(text[at:])
    return "".join(parts)


def replaced(value: Any, edits: Edits) -> Any:
    """The parsed value with the same edits. What lies on no path is shared with value, which stays as it is.
    Raises KeyError as `splice` does."""
    above = [value]
    waiting: list[tuple[_Node, Any, str | int]] = [(_tree(edits, ()), above, 0)]
    while waiting:
        node, holder, at = waiting.pop()
        old, inside = holder[at], node.inside
        if node.value is not None:
            if type(old) not in (str, int, float):
                raise KeyError("a path leads to nothing that can be edited")
            holder[at] = node.value
        if not inside:
            continue
        if isinstance(old, dict):
            known = old.keys() >= inside.keys()
        else:
            known = isinstance(old, list) and all(
                type(step) is int and 0 <= step < len(old) for step in inside
            )
        if not known:
            raise KeyError("a path leads nowhere")
        names = {step: below.name for step, below in inside.items() if below.name is not None}
        if isinstance(old, dict):
            new: Any = {names.get(name, name): item for name, item in old.items()}
        else:
            new = [*old]
        holder[at] = new
        waiting += [(below, new, names.get(step, step)) for step, below in inside.items()]
    return above[0]


def distinct(value: Any, edits: Edits) -> dict[tuple[Path, bool], str]:
    """The edits, with new member names made different where an object would have one twice: ``x``, ``x_2``.

    value: what is edited, parsed. Paths that lead to no object are left to fail in `splice`.
    """
    told = dict(edits)
    renamed: dict[Path, list[Path]] = {}
    for path, of_name in edits:
        if of_name and path:
            renamed.setdefault(path[:-1], []).append(path)
    for holder, paths in renamed.items():
        owner = value
        try:
            for step in holder:
                owner = owner[step]
        except (KeyError, IndexError, TypeError):
            continue
        taken = set(owner) - {path[-1] for path in paths} if isinstance(owner, dict) else set()
        for path in paths:
            wanted = name = told[path, True]
            number = 1
            while name in taken:
                number += 1
                name = f"{wanted}_{number}"
            taken.add(name)
            told[path, True] = name
    return told


def _tree(edits: Edits, emptied: Iterable[Path]) -> _Node:
    root = _Node()
    for (path, of_name), new in edits.items():
        node = _at(root, path)
        if not of_name:
            node.value = new
        elif path and type(path[-1]) is str:
            node.name = new
        else:
            raise KeyError("only a member of an object has a name")
    for path in emptied:
        _at(root, path).emptied = True
    return root


def _at(root: _Node, path: Path) -> _Node:
    node = root
    for step in path:
        node = node.inside.setdefault(step, _Node())
    return node


def _find(text: str, root: _Node) -> list[tuple[int, int, str]]:
    """Where text is written anew: start, end, and what is written, in order. Raises KeyError when the text
    lacks a place of the tree."""
    found: list[tuple[int, int, str]] = []
    # The containers around the place: the node, and the index in an array, None in an object.
    around: list[tuple[_Node, int | None]] = []
    node: _Node | None = root
    at = _skip(text, 0)
    while True:
        start = at
        first = text[start]
        if node is not None and node.inside and first in _OPENS and not node.emptied:
            around.append((node, -1 if first == "[" else None))
            at = _skip(text, start + 1)
        else:
            at = _end(text, start)
            if node is not None:
                _note(text, start, at, node, found)
        # Behind a value, or at the first one of a container: on to the next that there is.
        while around:
            at = _skip(text, at)
            letter = text[at]
            if letter in _CLOSES:
                around.pop()
                at += 1
                continue
            if letter == ",":
                at = _skip(text, at + 1)
            holder, index = around[-1]
            if index is None:
                key, stop = scanstring(text, at + 1, False)
                node = holder.inside.get(key)
                if node is not None and node.name is not None:
                    found.append((at, stop, _spelt(node.name, text[at:stop])))
                    node.name_met = True
                at = _skip(text, _skip(text, stop) + 1)
            else:
                around[-1] = (holder, index + 1)
                node = holder.inside.get(index + 1)
            break
        else:
            break
    _check(root)
    return found


def _note(text: str, start: int, stop: int, node: _Node, found: list[tuple[int, int, str]]) -> None:
    """Takes what is to be written for a value that is not walked."""
    first = text[start]
    if node.emptied:
        found.append((start, stop, "[]" if first == "[" else "null"))
        node.value_met = True
    elif node.value is not None and first in _STRING_OR_NUMBER:
        found.append((start, stop, _spelt(node.value, text[start:stop])))
        node.value_met = True


def _check(root: _Node) -> None:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.value_met < (node.value is not None or node.emptied) or node.name_met < (
            node.name is not None
        ):
            raise KeyError("a path leads to nothing that can be edited")
        if not node.emptied:
            waiting += node.inside.values()


def _spelt(new: str, old: str) -> str:
    """The string as JSON, escaped as the token old was, or where UTF-8 has no room for it."""
    escaped = "\\u" in old and old.isascii()
    if not escaped and not new.isascii():
        try:
            new.encode()
        except UnicodeEncodeError:
            escaped = True
    return json.dumps(new, ensure_ascii=escaped)


def _skip(text: str, at: int) -> int:
    found = _WHITE.match(text, at)
    assert found is not None
    return found.end()


def _end(text: str, start: int) -> int:
    """Where the value that begins at start ends."""
    if text[start] == '"':
        _, stop = scanstring(text, start + 1, False)
        return int(stop)
    try:
        return _decode(text, start)[1]
    except RecursionError:
        return _end_of_deep(text, start)


def _end_of_deep(text: str, start: int) -> int:
    """As `_end`, for containers that are nested deeper than the parser goes."""
    at, depth = start, 0
    while mark := _MARK.search(text, at):
        at = mark.end()
        if mark.group() == '"':
            _, at = scanstring(text, at, False)
        elif mark.group() in _OPENS:
            depth += 1
        else:
            depth -= 1
            if not depth:
                return at
    raise ValueError("the JSON text is cut short")
