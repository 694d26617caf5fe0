"""Sign: one form of words that jailbreaks have, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

Category = Literal["override", "exfiltrate", "role_play", "obfuscation", "tool_output_injection"]

CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)

# How much a sign says. The default threshold is 0.5.
STRONG: Final = 0.8
"""Seen in attacks, hardly elsewhere."""

CLEAR: Final = 0.55
"""Enough alone."""

SUSPECT: Final = 0.4
"""Of category tool_output_injection: enough in what a tool returned, not elsewhere."""

WEAK: Final = 0.33
"""Not enough alone, not even in what a tool returned. Two of them are."""

HINT: Final = 0.2
"""Usual in harmless text. Three of them are not enough."""

_BLANK = r"[\s\"'*,:;.~-]{1,8}"


@dataclass(frozen=True, slots=True)
class Sign:
    """pattern: RE2 syntax. weight: from 0 to 1, how much the sign says alone. reference: of the Go"
    " original."""

    id: str
    category: Category
    pattern: str
    weight: float
    reference: bool = False


def phrase(text: str) -> str:
    """A pattern in which a blank stands for what may separate two words; upper and lower case are the"
    " same."""
    return "(?i)" + text.replace(" ", _BLANK)


def some(words: str, most: int) -> str:
    """Up to `most` of the words, each with a blank behind it."""
    return "(?:(?:" + words + ") ){0," + str(most) + "}"
