"""How sure a match is: the value by itself, then the words before it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from tokenomics_core.guard.detector import BEHIND, NEAR, STEP, Detector, Shape

_WORD = re.compile(r"[^\W_]+")
"""A run of letters and digits. On `re`: it cannot backtrack, and NEAR characters are all it is given."""

_NO_SPACES = "\u3000"
"""From this character on, scripts write words without spaces between them."""


@dataclass(frozen=True, slots=True)
class _Words:
    """Words as they are looked for: single ones, several with blanks around them, and parts of a run."""

    single: frozenset[str]
    several: tuple[str, ...]
    inside: tuple[str, ...]

    def said(self, words: list[str], text: str) -> bool:
        return (
            not self.single.isdisjoint(words)
            or (bool(self.several) and any(phrase in text for phrase in self.several))
            or (bool(self.inside) and any(part in text for part in self.inside))
        )


@cache
def _words(words: tuple[str, ...]) -> _Words:
    inside = [word for word in words if word[0] >= _NO_SPACES]
    plain = {" ".join(_WORD.findall(word)) for word in words if word not in inside}
    # Where a single word is said, nothing that contains it need be looked for.
    single = frozenset(word for word in plain if " " not in word)
    several = sorted(word for word in plain if " " in word and single.isdisjoint(word.split()))
    return _Words(single, tuple(f" {phrase} " for phrase in several), tuple(inside))


def score(detector: Detector, shape: Shape, text: str, start: int, end: int) -> float:
    """0..1 for the value text[start:end], which `shape` of `detector` matched.

    Words are compared whole and without regard to case. What stands between them does not count:
    `date_of_birth` says "date of birth".
    """
    if shape.not_behind and start and text[start - 1] in shape.not_behind:
        return 0.0
    base = shape.score
    if shape.check is not None:
        base = shape.valid if shape.check(text[start:end]) else shape.invalid
    if base <= 0.0 or not (detector.near or detector.unlike):
        return max(base, 0.0)
    near = _words(detector.near).said(*_behind(text, end)) if detector.near else False
    first = max(0, start - NEAR)
    before = text[first:start].lower()
    words = _WORD.findall(before)
    # A word that begins further ahead is not whole.
    if first and words and before.startswith(words[0]) and text[first - 1].isalnum():
        words[0] += "\0"
    if words:
        said = f" {' '.join(words)} "
        near = near or _words(detector.near).said(words, said)
        if _words(detector.unlike).said(words, said):
            base -= STEP
    if near:
        base += STEP
    # Rounded, so that 0.15 + 0.35 is 0.5.
    return round(min(1.0, max(0.0, base)), 6)


def _behind(text: str, end: int) -> tuple[list[str], str]:
    """The whole words right behind a value."""
    last = end + BEHIND
    words = _WORD.findall(text[end:last].lower())
    if words and last < len(text) and text[last].isalnum() and text[last - 1].isalnum():
        words.pop()
    return words, f" {' '.join(words)} "
