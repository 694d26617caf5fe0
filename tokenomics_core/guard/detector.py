"""Detector: one class of values that content rules know by name, as data.

A detector has shapes: the forms in which its values are written. A match of a shape has a score from 0 to 1,
how sure it is that this is such a value. A check of the value itself (a checksum, a structure) and words
before it raise or lower the score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["personal", "financial", "network", "secret"]

NEAR = 48
"""Characters before a value in which words count."""

BEHIND = 40
"""Characters behind a value in which words raise its score."""

STEP = 0.35
"""By how much words raise or lower a score."""

DEFAULT_SCORE = 0.5
"""From which score on a match counts, where the rule does not say."""


@dataclass(frozen=True, slots=True)
class Shape:
    r"""One form of a value.

    pattern: RE2 syntax, where ``\b \d \w \s`` are ASCII. The value is the first group, or the whole match
        where there is none; all other groups are ``(?:...)``.
    score: of a match, where there is no check.
    check: whether a value is valid by its own characters. It gets the matched text and must be fast, pure,
        and linear in its length. valid, invalid: the score that follows; 0 is no finding.
    not_behind: characters of which none may stand right before a value. A pattern that asks for a character
        before its value holds back every such character of a stream.
    reference: a pattern of the Go original. It counts whatever its score, unless a rule names a `min_score`;
        and it is all that counts for a `strict` rule.
    """

    pattern: str
    score: float = 0.8
    check: Callable[[str], bool] | None = None
    valid: float = 1.0
    invalid: float = 0.0
    not_behind: str = ""
    reference: bool = False


@dataclass(frozen=True, slots=True)
class Detector:
    """name: what rules call it, lower-case. label: its name in messages. kind: the group it is in.

    near, unlike: lower-case words that raise, or lower, the score of a value when they stand within `NEAR`
        characters before it; those that raise it also within `BEHIND` behind it.
    family: the detector that finds these values as well; the empty string for none.
    found: texts in which there is exactly one value, written between ``«`` and ``»`` here.
    clean: texts in which there is none, at the default score.
    """

    name: str
    label: str
    kind: Kind
    shapes: tuple[Shape, ...]
    near: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    family: str = ""
    found: tuple[str, ...] = ()
    clean: tuple[str, ...] = ()
