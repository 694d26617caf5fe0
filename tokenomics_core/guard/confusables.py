"""Characters that stand for others: what each is read as.

Two readings. Folding goes by the character alone: compatibility forms, digits of other scripts, spaces and
dashes, and characters that are not seen. Letters of another script are read as Latin only inside a word that
has Latin letters too, so that a Russian or Greek word stays one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_UNSEEN = frozenset(
    map(
        chr,
        [
            0x00AD,
            0x034F,
            0x061C,
            *range(0x180B, 0x1810),
            *range(0x200B, 0x2010),
            *range(0x202A, 0x202F),
            *range(0x2060, 0x2070),
            *range(0xFE00, 0xFE10),
            0xFEFF,
            *range(0xE0000, 0xE0080),
            *range(0xE0100, 0xE01F0),
        ],
    )
)
_DASHES = frozenset("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d")

# NFKC makes a sigma of these two, which look like a Latin c and are read as one in mixed words.
_LUNATE = frozenset("\u03f2\u03f9")

# Digits of all scripts and spaces, beside what NFKC changes: where neither is, nothing folds.
_DIGIT_OR_SPACE = re.compile(r"[\d\s]")
_BLOCK = 64


def fold(character: str) -> str:
    """What a character is read as: itself, others, or nothing where it is not seen."""
    if character in _UNSEEN:
        return ""
    if character < "\x80" or character in _LUNATE:
        return character
    return "".join(map(_plain, unicodedata.normalize("NFKC", character)))


def _plain(character: str) -> str:
    if character in _UNSEEN:
        return ""
    if character in _DASHES:
        return "-"
    category = unicodedata.category(character)
    if category in ("Zs", "Zl", "Zp") or character == "\x85":
        return " "
    return str(unicodedata.decimal(character)) if category == "Nd" else character


class _Folded(dict[str, str]):
    def __missing__(self, character: str) -> str:
        return character


def _folded_characters() -> dict[str, str]:
    candidates = {*_UNSEEN, *_DASHES}
    for first in range(0x80, 0x30000, _BLOCK):
        block = "".join(map(chr, range(first, first + _BLOCK)))
        if not unicodedata.is_normalized("NFKC", block) or _DIGIT_OR_SPACE.search(block):
            candidates.update(block)
    return {character: plain for character in candidates if (plain := fold(character)) != character}


def character_class(characters: Iterable[str]) -> str:
    """What stands between the brackets of a pattern that matches any of the characters."""
    ranges: list[list[int]] = []
    for code in sorted(map(ord, characters)):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


FOLDED = _Folded(_folded_characters())
"""Every character that folds to something else, and what it folds to; others are their own."""

ASTRAL = "\U00010000-\U0010ffff"
"""Class of all characters behind the first plane. One that lists some of them is slow to search with."""

FOLDING = re.compile(f"([{character_class(c for c in FOLDED if c < ASTRAL[0])}{ASTRAL}])")
"""Every character that folds, and all behind the first plane."""

_LOOK_ALIKE = (
    # Cyrillic
    "аaвbеeкkмmнhоoрpсcтtуyхxѕsіiјjԁdԛqԝwһhӏlѵvүyԍg"
    "АAВBЕEКKМMНHОOРPСCТTУYХXЅSІIЈJԚQԜWӀIѴVҮYԌG"
    # Greek
    "αaβbγyεeηnιiκkνvοoρpτtυuχxωwμuϲcϳj"
    "ΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧXϹCͿJ"
    # Armenian
    "աwցgզqհhյjոnսuօoլlՍUՏSՕOԼL"
    # Latin letters of other alphabets
    "ɑaɡgıiɩiʏy"
)
LATIN = dict(zip(_LOOK_ALIKE[::2], _LOOK_ALIKE[1::2], strict=True))
"""Letters that look like a Latin one."""

_AS_LATIN = str.maketrans(LATIN)

_OTHER = "\u0370-\u03ff\u1f00-\u1fff\u0400-\u058f\u1c80-\u1c8f\ua640-\ua69f" + "ɑɡıɩʏ"
_MARKS = "\u0300-\u036f"
LETTERS = f"A-Za-z0-9\u00c0-\u02af\u1e00-\u1eff{_MARKS}{_OTHER}"
"""Class of the characters that make words in which scripts may be mixed."""

# None of these can backtrack by more than the digits between two letters.
_OTHER_LETTER = re.compile(f"[{_OTHER}]")
_MIXED = re.compile(f"[A-Za-z][0-9{_MARKS}]*+[{_OTHER}]|[{_OTHER}][0-9{_MARKS}]*+[A-Za-z]")
_WORD_REST = re.compile(f"[{LETTERS}]*+")


def latinised(text: str) -> str:
    """The text with look-alikes in words of mixed script made Latin. Each place stays what it was."""
    if _OTHER_LETTER.search(text) is None or (mixed := _MIXED.search(text)) is None:
        return text
    parts = []
    done = 0
    while mixed:
        start = max(done, trailing(_WORD_REST, text, mixed.start()))
        end = _end(_WORD_REST, text, start)
        parts += [text[done:start], text[start:end].translate(_AS_LATIN)]
        done = end
        mixed = _MIXED.search(text, end)
    return "".join([*parts, text[done:]])


def trailing(run: re.Pattern[str], text: str, end: int) -> int:
    """Where the run of characters of a class begins that ends at `end`. `run` matches any number of them."""
    size = 64
    while True:
        start = max(0, end - size)
        length = _end(run, text[start:end][::-1], 0)
        if length < end - start or start == 0:
            return end - length
        size *= 4


def _end(run: re.Pattern[str], text: str, start: int) -> int:
    found = run.match(text, start)
    return found.end() if found else start
