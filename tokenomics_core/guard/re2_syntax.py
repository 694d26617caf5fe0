r"""RE2 syntax read into a tree, and written again.

Names and greediness of groups are gone; flags are resolved into what they stand for. Single characters stay
RE2 source, so a class means whatever RE2 says it means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import re2


@dataclass(frozen=True, slots=True)
class Char:
    """Reads exactly one character. source: one atom of RE2 syntax."""

    source: str


@dataclass(frozen=True, slots=True)
class Assertion:
    """Reads nothing, and holds at some positions only."""

    source: str


@dataclass(frozen=True, slots=True)
class Concat:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """high: None where there is no limit."""

    item: Node
    low: int
    high: int | None


Node = Char | Assertion | Concat | Choice | Repeat

EMPTY: Final = Concat(())


def parse(pattern: str) -> Node:
    r"""The tree of a pattern; raises ValueError where it is not RE2 syntax, nests too deep, or has ``\C``."""
    _check(pattern)
    try:
        return _Reader(pattern).read()
    except RecursionError:
        raise ValueError("groups nest too deep") from None


def source(node: Node) -> str:
    """RE2 syntax of a tree, without capturing groups. It can stand in a sequence as it is."""
    match node:
        case Char(text) | Assertion(text):
            return text
        case Concat(items):
            return "".join(map(source, items))
        case Choice(items):
            return f"(?:{'|'.join(map(source, items))})"
        case Repeat(item, low, high):
            inner = source(item)
            atom = inner if isinstance(item, (Char, Choice)) else f"(?:{inner})"
            return atom + repetition(low, high)


def repetition(low: int, high: int | None) -> str:
    """The operator that repeats what stands before it."""
    match low, high:
        case 0, None:
            return "*"
        case 1, None:
            return "+"
        case 0, 1:
            return "?"
        case 1, 1:
            return ""
        case _, None:
            return f"{{{low},}}"
    return f"{{{low}}}" if low == high else f"{{{low},{high}}}"


def _check(pattern: str) -> None:
    # A set only parses what is added to it: far less work than to compile.
    options = re2.Options()
    options.log_errors = False
    try:
        re2.Set.SearchSet(options).Add(pattern)
    except (re2.error, UnicodeEncodeError):
        raise ValueError("not RE2 syntax") from None


# Repetition: RE2 takes the brace as itself when there are leading zeros or no first number.
_REPEAT = re.compile(r"\{(0|[1-9]\d*)(,(0|[1-9]\d*)?)?\}", re.ASCII)
_FLAGS = re.compile(r"\(\?([imsU]*)(?:-([imsU]+))?([:)])")
_NAMED = re.compile(r"\(\?P?<[^>]*>")
_CLASS_ESCAPE = re.compile(r"\\(?:[dDsSwW]|[pP](?:\{[^}]*\}|.))", re.DOTALL)
_CODE = re.compile(r"\\(?:x\{([0-9A-Fa-f]+)\}|x([0-9A-Fa-f]{2})|([0-7]{1,3}))")
_CONTROL = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class _Reader:
    """Reads what RE2 has accepted already, so it looks for no mistakes except what it does not know."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._flags: frozenset[str] = frozenset()

    def read(self) -> Node:
        tree = self._choice()
        if self._at < len(self._pattern):
            raise ValueError("unknown RE2 syntax")
        return tree

    def _choice(self) -> Node:
        """Up to the closing parenthesis of the group, or the end."""
        branches: list[Node] = []
        items: list[Node] = []
        while self._at < len(self._pattern) and not self._pattern.startswith(")", self._at):
            if self._took("|"):
                branches.append(_concat(items))
                items = []
            else:
                self._term(items)
        branches.append(_concat(items))
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _term(self, items: list[Node]) -> None:
        """Reads one atom or operator; an operator takes back the atom before it, also across flags."""
        pattern, at = self._pattern, self._at
        limits = self._limits()
        if limits is not None:
            if not items:
                raise ValueError("unknown RE2 syntax")
            items.append(Repeat(items.pop(), *limits))
            self._took("?")
        elif pattern[at] == "(":
            self._group(items)
        elif pattern[at] == "[":
            items.append(self._folded(self._character_class()))
        elif pattern[at] == "\\":
            self._escape(items)
        else:
            self._at += 1
            items.append(self._single(pattern[at]))

    def _single(self, character: str) -> Node:
        lines = "m" in self._flags
        match character:
            case ".":
                return Char("(?s:.)" if "s" in self._flags else "(?-s:.)")
            case "^":
                return Assertion("(?m:^)" if lines else r"\A")
            case "$":
                return Assertion("(?m:$)" if lines else r"\z")
        return self._literal(ord(character))

    def _limits(self) -> tuple[int, int | None] | None:
        for operator, limits in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._took(operator):
                return limits
        found = _REPEAT.match(self._pattern, self._at)
        if found is None:
            return None
        self._at = found.end()
        low, more, high = found.groups()
        if more is None:
            return int(low), int(low)
        return int(low), None if high is None else int(high)

    def _group(self, items: list[Node]) -> None:
        outer = self._flags
        if flags := _FLAGS.match(self._pattern, self._at):
            self._at = flags.end()
            self._flags = self._flags.union(flags[1]).difference(flags[2] or "")
            if flags[3] == ")":
                return
        elif named := _NAMED.match(self._pattern, self._at):
            self._at = named.end()
        elif self._pattern.startswith("(?", self._at):
            raise ValueError("unknown RE2 syntax")
        else:
            self._at += 1
        items.append(self._choice())
        if not self._took(")"):
            raise ValueError("unknown RE2 syntax")
        self._flags = outer

    def _escape(self, items: list[Node]) -> None:
        pattern, at = self._pattern, self._at
        letter = pattern[at + 1]
        if letter == "Q":
            end = pattern.find(r"\E", at + 2)
            quoted = pattern[at + 2 :] if end < 0 else pattern[at + 2 : end]
            items.extend(self._literal(ord(character)) for character in quoted)
            self._at = len(pattern) if end < 0 else end + 2
        elif letter in "AzbB":
            items.append(Assertion(pattern[at : at + 2]))
            self._at += 2
        elif kind := _CLASS_ESCAPE.match(pattern, at):
            items.append(self._folded(kind[0]))
            self._at = kind.end()
        else:
            items.append(self._literal(self._code()))

    def _code(self) -> int:
        """Reads an escape that stands for one character."""
        if code := _CODE.match(self._pattern, self._at):
            self._at = code.end()
            return int(code[3], 8) if code[3] else int(code[1] or code[2], 16)
        letter = self._pattern[self._at + 1]
        self._at += 2
        if letter in _CONTROL:
            return ord(_CONTROL[letter])
        if letter.isalnum():
            raise ValueError("unknown RE2 syntax")
        return ord(letter)

    def _character_class(self) -> str:
        """Reads a class and gives its source."""
        pattern, start = self._pattern, self._at
        self._at += 2 if pattern.startswith("[^", start) else 1
        first = True
        while first or not pattern.startswith("]", self._at):
            first = False
            named = pattern.find(":]", self._at + 2) if pattern.startswith("[:", self._at) else -1
            if named >= 0:
                self._at = named + 2
            elif kind := _CLASS_ESCAPE.match(pattern, self._at):
                self._at = kind.end()
            else:
                self._member()
                # The end of a range is a character, also where it is a bracket that would open a name.
                if pattern.startswith("-", self._at) and not pattern.startswith("-]", self._at):
                    self._at += 1
                    self._member()
        self._at += 1
        return pattern[start : self._at]

    def _member(self) -> None:
        if self._at >= len(self._pattern):
            raise ValueError("unknown RE2 syntax")
        if self._pattern[self._at] == "\\":
            self._code()
        else:
            self._at += 1

    def _literal(self, code: int) -> Char:
        character = chr(code)
        if character.isascii():
            plain = character.isalnum() or character == "_"
            text = (
                character if plain else f"\\x{code:02x}" if code < 0x21 or code == 0x7F else "\\" + character
            )
        else:
            text = character if character.isprintable() else f"\\x{{{code:x}}}"
        return self._folded(text) if code >= 0x80 or character.isalpha() else Char(text)

    def _folded(self, text: str) -> Char:
        return Char(f"(?i:{text})" if "i" in self._flags else text)

    def _took(self, expected: str) -> bool:
        taken = self._pattern.startswith(expected, self._at)
        self._at += len(expected) if taken else 0
        return taken


def _concat(items: list[Node]) -> Node:
    return items[0] if len(items) == 1 else Concat(tuple(items))
