"""Heads of patterns: what every match must begin with, so small that hundreds share a pass.

A common pass over many patterns is fast as long as its states are few. Long repetitions and gaps multiply
them, and a text made for it can ask for a new state at each character. So the pass asks for heads alone: a
pattern up to where it has said enough to be rare. What it finds is asked the whole pattern.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tokenomics_core.guard.re2_syntax import Assertion, Char, Choice, Concat, Node, Repeat, parse, source

RARE = 3.0
"""Literal characters after which a pattern is cut before anything that varies."""

ENOUGH = 8.0
"""Literal characters after which it is cut in any case."""

LONGEST = 24
"""Repetitions that are asked for at most, where nothing rare was."""

FEW = 6
"""Repetitions of one character that a rare part may still have beside it."""

_LITERAL = re.compile(
    r"(?:\(\?i:)?(?:[A-Za-z0-9_]|\\[^A-Za-z0-9]|\\x[0-9a-f]{2}|\\x\{[0-9a-f]+\}|[^\x00-\x7f])\)?"
)
_DIGIT = re.compile(r"\\d|\[0-9\]|\[[0-9]-[0-9]\]")


def head(pattern: str) -> str:
    """RE2 source that matches a beginning of every match; the pattern itself where it cannot be read."""
    try:
        return source(_cut(parse(pattern))[0])
    except (ValueError, RecursionError):
        return pattern


def _cut(node: Node) -> tuple[Node, float, bool]:
    """What is left of a tree, how many literal characters it asks for, and whether it is all of the tree."""
    match node:
        case Char(text):
            return node, _literals(text), True
        case Assertion():
            return node, 0.0, True
        case Concat(items):
            return _cut_sequence(items)
        case Choice(items):
            parts = [_cut(item) for item in items]
            rare = min((literals for _, literals, _ in parts), default=0.0)
            return Choice(tuple(each for each, _, _ in parts)), rare, all(whole for _, _, whole in parts)
        case Repeat(item, low, high):
            return _cut_repeat(item, low, high)


def _cut_sequence(items: Sequence[Node]) -> tuple[Node, float, bool]:
    kept: list[Node] = []
    literals = 0.0
    whole = True
    for item in items:
        if not whole:
            break
        if literals >= ENOUGH or (literals >= RARE and _varies(item)):
            whole = False
            if isinstance(item, Repeat) and isinstance(item.item, Char) and item.low:
                few = min(item.low, FEW)
                kept.append(Repeat(item.item, few, few))
            break
        each, said, whole = _cut(item)
        kept.append(each)
        literals += said
    return Concat(tuple(kept)), literals, whole


def _cut_repeat(item: Node, low: int, high: int | None) -> tuple[Node, float, bool]:
    each, said, whole = _cut(item)
    if not low:
        # It may not be there at all.
        return Repeat(item, low, high), 0.0, True
    if not whole:
        return each, said, False
    if low > LONGEST:
        return Repeat(each, LONGEST, LONGEST), LONGEST * said, False
    if high is not None and high - low > LONGEST:
        return Repeat(each, low, low), low * said, False
    return Repeat(each, low, high), low * said, True


def _varies(node: Node) -> bool:
    """Whether a tree matches texts of many lengths: what multiplies the states of a pass."""
    match node:
        case Repeat(Char(), _, high):
            return high is None or high > FEW
        case Repeat(item, low, high):
            return high is None or high - low > 1 or low > FEW or _varies(item)
        case Concat(items) | Choice(items):
            return any(map(_varies, items))
    return False


def _literals(text: str) -> float:
    if _LITERAL.fullmatch(text):
        return 1.0
    return 0.4 if _DIGIT.fullmatch(text) else 0.0
