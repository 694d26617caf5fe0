r"""A text with its escapes decoded and its characters folded, in place, and the way back.

Read are HTML entities, percent-encoding of UTF-8, and backslash escapes as in JSON and source code, up to
three deep: `%2540` is `%40` is `@`. Each escape is one piece: what it decodes to comes from all of it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property
from html.entities import html5
from itertools import accumulate
from urllib.parse import unquote_to_bytes

from tokenomics_core.guard.confusables import FOLDED, FOLDING, latinised

_ROUNDS = 3
_KEPT = 1 << 13

_HEX = "[0-9a-fA-F]"
_NEXT = f"%[89abAB]{_HEX}"
# Each takes a bounded number of characters, or digits possessively: none can backtrack over the text. There
# is one for each first character, as the search for a single character is fast.
_ESCAPES = {
    "&": re.compile(rf"(&(?:#[0-9]++;?|#[xX]{_HEX}++;?|[A-Za-z][A-Za-z0-9]{{1,31}}+;))"),
    "%": re.compile(
        rf"(%(?:[0-7]{_HEX}|[c-dC-D]{_HEX}{_NEXT}|[eE]{_HEX}(?:{_NEXT}){{2}}|[fF][0-7](?:{_NEXT}){{3}}))"
    ),
    "\\": re.compile(
        rf"(\\(?:u[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}|u{_HEX}{{4}}|u\{{{_HEX}{{1,8}}\}}"
        rf"|U{_HEX}{{8}}|x{_HEX}{{2}}|[\\/\"'ntr@._-]))"
    ),
}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r"}


class _Decoded(dict[str, str]):
    """What escapes decode to. Short ones are kept, as many as there is room for."""

    def __missing__(self, escape: str) -> str:
        if escape[0] == "%":
            decoded = _percent(escape)
        elif escape[0] == "&":
            decoded = _entity(escape)
        else:
            decoded = _backslash(escape)
        if len(escape) <= 12 and len(self) < _KEPT:
            self[escape] = decoded
        return decoded


def _percent(escape: str) -> str:
    try:
        return unquote_to_bytes(escape).decode()
    except UnicodeDecodeError:
        return escape


def _entity(escape: str) -> str:
    if escape[1] != "#":
        return html5.get(escape[1:], escape)
    digits = escape[2:].rstrip(";")
    if digits[0] in "xX":
        return _character(digits[1:], 16, escape)
    return _character(digits, 10, escape)


def _backslash(escape: str) -> str:
    kind = escape[1]
    if kind not in "uUx":
        return _CONTROLS.get(kind, kind)
    if len(escape) == 12:
        high, low = int(escape[2:6], 16), int(escape[8:], 16)
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    return _character(escape[2:].strip("{}"), 16, escape)


def _character(digits: str, base: int, otherwise: str) -> str:
    digits = digits.lstrip("0") or "0"
    if len(digits) > 7:
        return otherwise
    code = int(digits, base)
    return otherwise if 0xD800 <= code < 0xE000 or code > 0x10FFFF else chr(code)


_DECODED = _Decoded()


class _Layer:
    """One rewriting of a text: plain stretches and pieces to be rewritten take turns, a plain one first."""

    def __init__(self, source: list[str], target: list[str]) -> None:
        self._source = source
        self._target = target

    # Worked out only when a place is asked for: most texts hold nothing that is.
    @cached_property
    def _sources(self) -> list[int]:
        return list(accumulate(map(len, self._source), initial=0))

    @cached_property
    def _targets(self) -> list[int]:
        return list(accumulate(map(len, self._target), initial=0))

    def _whole(self, part: int) -> bool:
        """Whether a part counts as one, which a piece that stayed what it was does not."""
        return part % 2 == 1 and self._source[part] != self._target[part]

    def origin(self, at: int) -> int:
        """Where in the source that begins which stands at this place of the target."""
        part = bisect_right(self._targets, at) - 1
        if part == len(self._source):
            return self._sources[-1]
        return self._sources[part] + (0 if self._whole(part) else at - self._targets[part])

    def end(self, at: int) -> int:
        """Where it ends in the source."""
        part = bisect_right(self._targets, at) - 1
        if self._whole(part):
            return self._sources[part + 1]
        return self._sources[part] + at - self._targets[part] + 1

    def position(self, at: int) -> int:
        """The smallest place in the target whose origin is at or behind this one."""
        part = bisect_right(self._sources, at) - 1
        if part == len(self._source):
            return self._targets[-1]
        if self._whole(part):
            return self._targets[part + (at > self._sources[part])]
        return self._targets[part] + at - self._sources[part]


class Rewritten:
    """A text read otherwise, and where each of its characters stands in the original."""

    def __init__(self, text: str, layers: list[_Layer]) -> None:
        self.text = text
        self._layers = layers

    def span(self, start: int, end: int) -> tuple[int, int]:
        if start >= end:
            at = self.origin(start)
            return at, at
        for layer in reversed(self._layers):
            start, end = layer.origin(start), layer.end(end - 1)
        return start, end

    def origin(self, at: int) -> int:
        for layer in reversed(self._layers):
            at = layer.origin(at)
        return at

    def position(self, at: int) -> int:
        for layer in self._layers:
            at = layer.position(at)
        return at


def in_place(original: str) -> Rewritten | None:
    """The text folded, decoded and with mixed words made Latin; None where that is the text itself."""
    layers: list[_Layer] = []
    text = _folded(original, layers)
    for _ in range(_ROUNDS):
        before = len(layers)
        for first, escapes in _ESCAPES.items():
            if first in text:
                text = _rewrite(text, escapes, _DECODED, layers)
        if len(layers) == before:
            break
        text = _folded(text, layers)
    if not text.isascii():
        text = latinised(text)
    return None if text == original else Rewritten(text, layers)


def _folded(text: str, layers: list[_Layer]) -> str:
    return text if text.isascii() else _rewrite(text, FOLDING, FOLDED, layers)


def _rewrite(text: str, pieces: re.Pattern[str], table: Mapping[str, str], layers: list[_Layer]) -> str:
    source = pieces.split(text)
    if len(source) == 1:
        return text
    target = source.copy()
    target[1::2] = [*map(table.__getitem__, source[1::2])]
    written = "".join(target)
    if written != text:
        layers.append(_Layer(source, target))
    return written
