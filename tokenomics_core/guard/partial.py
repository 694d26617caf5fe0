"""The pattern of all beginnings of a pattern's matches: how much of a text may still become a match.

A text that comes in pieces is passed on as far as no match can begin in it any more. The rest is its longest
tail that a match could begin with. RE2 finds it in one pass backwards from the end of the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import re2

from tokenomics_core.guard.re2_syntax import (
    EMPTY,
    Assertion,
    Char,
    Choice,
    Concat,
    Node,
    Repeat,
    parse,
    repetition,
    source,
)


def beginnings(pattern: str) -> str:
    r"""RE2 source that matches in full every beginning of every match of the pattern, also the empty one.

    What follows the end of a beginning is not known, so ``\b``, ``\B``, ``$`` and ``\z`` hold there.
    Elsewhere they must hold. Raises ValueError where the pattern is not RE2 syntax, nests too deep, or
    has ``\C``.
    """
    return _source_of_beginnings(parse(pattern))


def _source_of_beginnings(tree: Node) -> str:
    try:
        return _begun(tree)
    except RecursionError:
        raise ValueError("groups nest too deep") from None


def _begun(node: Node) -> str:
    """Beginnings of a tree. For each item of a sequence: all before it in full, and a beginning of it."""
    match node:
        case Choice():
            branches = {_begun(branch): None for branch in _factored(_branches(node))}
            branches.pop("", None)
            return f"(?:{'|'.join(branches)})" if branches else ""
        case Repeat(item, _, high) if not isinstance(item, Char):
            if high == 0:
                return ""
            before = Repeat(item, 0, None if high is None else high - 1)
            return (source(before) if high != 1 else "") + _begun(item)
    items = _items(node)
    while items and isinstance(items[-1], Assertion):
        items.pop()
    opened: list[str] = []
    closed: list[str] = []
    for number, item in enumerate(items, 1):
        last = number == len(items)
        match item:
            case Char(text) | Assertion(text):
                opened.append(text + "?" if last else f"(?:{text}")
                closed.append("" if last else ")?")
            case Repeat(Char(text), low, high) if low == 0 or last:
                opened.append(text + repetition(0, high))
            case Repeat(Char(text), low, high):
                opened.append(f"(?:{text}{repetition(low, high)}")
                closed.append(")?" if low == 1 else f"|{text}{repetition(0, low - 1)})")
            case _ if last:
                opened.append(_begun(item))
            case _:
                opened.append(f"(?:{source(item)}")
                closed.append(f"|{_begun(item)})")
    return "".join(opened) + "".join(reversed(closed))


def _items(node: Node) -> list[Node]:
    """The sequence that a tree is, without groups in it that are sequences themselves."""
    return [part for item in node.items for part in _items(item)] if isinstance(node, Concat) else [node]


def _branches(node: Node) -> list[list[Node]]:
    if isinstance(node, Choice):
        return [branch for item in node.items for branch in _branches(item)]
    return [_items(node)]


def _factored(branches: Iterable[Sequence[Node]]) -> list[Node]:
    """Branches that start alike made one, so that ten thousand words are a tree of letters."""
    alike: dict[Node, list[Sequence[Node]]] = {}
    for branch in dict.fromkeys(map(tuple, branches)):
        alike.setdefault(branch[0] if branch else EMPTY, []).append(branch)
    factored: list[Node] = []
    for group in alike.values():
        shared = _shared(group)
        rests = tuple(Concat(tuple(branch[shared:])) for branch in group)
        factored.append(Concat((*group[0][:shared], Choice(rests) if len(rests) > 1 else rests[0])))
    return factored


def _shared(branches: Sequence[Sequence[Node]]) -> int:
    """How many items all branches have in common at their start."""
    count = 0
    for items in zip(*branches, strict=False):
        if any(item != items[0] for item in items):
            break
        count += 1
    return count


ALONE_MEMORY = 32 * 1024 * 1024
SHARED_MEMORY = 8 * 1024 * 1024
"""Bytes for the states of one program, of one pattern or of many. Texts make states; RE2 starts anew when no
room is left."""

_LONG = 2_000
"""Instructions past which a pattern's limits on repetition are dropped: counters multiply the states."""

_TOGETHER = 3_000
"""Instructions that patterns share a program up to. Past this, a state costs more than a second pass."""

_RARE = 150
"""Instructions past which a pattern's counters run only where what stands before them was found."""

_COUNTED = 8
"""Repetitions that make a counter."""


class Beginnings:
    """Tells how much of a text may still become a match of one of many patterns."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """A pattern that is not RE2 syntax, or too large for RE2, makes `hold` hold everything."""
        self._everything = False
        always: list[_Part] = []
        heads: list[str] = []
        rare: list[_Part] = []
        try:
            for pattern in dict.fromkeys(patterns):
                whole, tree = _part(parse(pattern))
                split = _split(tree) if whole.size > _RARE else None
                if split is None:
                    always.append(whole)
                    continue
                head, rest = split
                always.append(_part(head)[0])
                heads.append(source(head))
                rare.append(_part_of(source(head) + _source_of_beginnings(rest)))
            self._always = [program for program, _ in _together(always)]
            # Which of the heads are there says which of the other programs have to run.
            self._heads: Any = _set(heads) if heads else None
            self._rare = [(program, frozenset(members)) for program, members in _together(rare)]
        except (ValueError, re2.error):
            self._everything = True

    def hold(self, text: bytes, since: int = 0) -> int:
        """Byte from which a UTF-8 text may still become a match, at least `since`; len(text) for nothing.

        What stands before `since` counts only for what a pattern asserts of the character before a match.
        """
        if self._everything:
            return since
        start = min((program.search(text, since).start() for program in self._always), default=len(text))
        if self._heads is None or start == since:
            return start
        there = self._heads.Match(text[since - 1 :] if since > 1 else text)
        if not there:
            return start
        for program, members in self._rare:
            if not members.isdisjoint(there):
                found = program.search(text, since)
                start = min(start, found.start()) if found else start
        return start


@dataclass(frozen=True, slots=True)
class _Part:
    """Beginnings as RE2 source. size: instructions that read them backwards."""

    source: str
    size: int
    program: Any


def _part(tree: Node) -> tuple[_Part, Node]:
    """The beginnings of a tree, or of one that matches more where the tree is large; and that tree."""
    try:
        part = _part_of(_source_of_beginnings(tree))
        if part.size <= _LONG:
            return part, tree
    except re2.error:
        pass
    tree = _unlimited(tree)
    return _part_of(_source_of_beginnings(tree)), tree


def _part_of(begun: str) -> _Part:
    program = _compiled([begun], ALONE_MEMORY)
    return _Part(begun, program.reverseprogramsize, program)


def _together(parts: Sequence[_Part]) -> list[tuple[Any, list[int]]]:
    """Programs of the parts, in order, and which parts each stands for. A large part has one for itself."""
    groups: list[list[int]] = []
    room = 0
    for at, part in enumerate(parts):
        if not groups or part.size > room:
            groups.append([])
            room = _TOGETHER
        groups[-1].append(at)
        room -= part.size
    return [
        (parts[group[0]].program if len(group) == 1 else _compiled([parts[at].source for at in group]), group)
        for group in groups
    ]


def _split(tree: Node) -> tuple[Node, Node] | None:
    """What is read before the first counter, and the rest; None where nothing is read before it."""
    items = _items(tree)
    at = next((at for at, item in enumerate(items) if _counts(item)), 0)
    if not any(_reads(item) for item in items[:at]):
        return None
    return Concat(tuple(items[:at])), Concat(tuple(items[at:]))


def _counts(node: Node) -> bool:
    match node:
        case Concat(items) | Choice(items):
            return any(map(_counts, items))
        case Repeat(item, low, high):
            return max(low, high or 0) > _COUNTED or _counts(item)
    return False


def _reads(node: Node) -> bool:
    """Whether every match of the tree has a character."""
    match node:
        case Char():
            return True
        case Concat(items):
            return any(map(_reads, items))
        case Choice(items):
            return all(map(_reads, items))
        case Repeat(item, low, _):
            return low > 0 and _reads(item)
    return False


def _unlimited(node: Node) -> Node:
    """A tree that matches all the tree does, and more: its repetitions have no limits but none and one."""
    match node:
        case Concat(items):
            return Concat(tuple(map(_unlimited, items)))
        case Choice(items):
            return Choice(tuple(map(_unlimited, items)))
        case Repeat(item, low, high) if max(low, high or 0) > 1:
            return Repeat(_unlimited(item), min(low, 1), None)
        case Repeat(item, low, high):
            return Repeat(_unlimited(item), low, high)
    return node


def _compiled(sources: Sequence[str], memory: int = SHARED_MEMORY) -> Any:
    r"""A program that finds the longest match at the end of a text: for ``\z`` RE2 reads backwards."""
    program = re2.compile(f"(?:{'|'.join(sources)})\\z", _options(memory))
    if program.reverseprogramsize < 0:
        raise re2.error("pattern too large")
    return program


def _set(sources: Sequence[str]) -> Any:
    heads = re2.Set.SearchSet(_options(ALONE_MEMORY))
    for head in sources:
        heads.Add(head)
    heads.Compile()
    return heads


def _options(memory: int) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = memory
    return options
