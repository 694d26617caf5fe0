"""Pieces: what a filter makes of a text that comes bit by bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the text, as it is passed on.

    taken: characters of the fed text, in order, that this piece stands for.
    text: what is passed on in their place.
    changed: False when `text` is the taken characters themselves.
    """

    taken: int
    text: str
    changed: bool


class TextFilter(Protocol):
    """One text, fed as it comes. Over all calls the pieces take exactly the characters that were fed.

    Either call may raise RuleViolation, after which nothing is fed.
    """

    def feed(self, text: str) -> list[Piece]:
        """What can be passed on now; the rest is held."""

    def close(self) -> list[Piece]:
        """All that is left; nothing is fed after it."""
