"""What all generators draw with. `r` is a seeded random.Random everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

DIGITS = "0123456789"
HEX = "0123456789abcdef"
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LOWER = "abcdefghijklmnopqrstuvwxyz"
UPPER36 = DIGITS + UPPER
LOWER36 = DIGITS + LOWER
BASE62 = DIGITS + UPPER + LOWER
URL_SAFE = BASE62 + "-_"
BASE64 = BASE62 + "+/"
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

VALUES = json.loads((Path(__file__).parent / "values.json").read_text(encoding="utf-8"))
"""Names, companies, streets, domains by locale; see make_values.py."""

LOCALES = {"en": ("en_US", "en_GB"), "de": ("de_DE",), "fr": ("fr_FR",), "es": ("es_ES",)}


@dataclass(frozen=True, slots=True)
class Part:
    """A value that stands in a text of its own: only `value` is labelled."""

    before: str
    value: str
    after: str = ""


Draw = Callable[[Random], "str | Part"]


def text(r: Random, alphabet: str, length: int, longest: int = 0) -> str:
    """Characters of the alphabet: `length`, or from length to longest."""
    return "".join(r.choices(alphabet, k=r.randint(length, longest) if longest else length))


def number(r: Random, low: int, high: int, width: int = 0) -> str:
    return str(r.randint(low, high)).zfill(width)


def until(valid: Callable[[str], object], draw: Callable[[], str]) -> str:
    """Draws until the value is valid; a check digit is right once in ten to a hundred draws."""
    for _ in range(20_000):
        value = draw()
        if valid(value):
            return value
    raise ValueError(f"nothing like {value} is valid")


def either(r: Random, *values: str) -> str:
    return r.choice(values)


def grouped(value: str, sizes: Iterable[int], separator: str) -> str:
    """value in groups of these sizes; what is left stands in the last one."""
    groups, at = [], 0
    for size in (*sizes, len(value)):
        groups.append(value[at : at + size])
        at += size
    return separator.join(group for group in groups if group)


def date(r: Random, first: int = 1940, last: int = 2007) -> tuple[int, int, int]:
    return r.randint(first, last), r.randint(1, 12), r.randint(1, 28)


def name(r: Random, part: str, language: str = "en") -> str:
    """A value of the lists: part is first, last, company, street, city, domain, job, or sentence."""
    return str(r.choice(VALUES[r.choice(LOCALES[language])][part]))


def plain(word: str) -> str:
    """As it stands in an address: small ASCII letters."""
    for letter, plain_letter in zip("äöüßéèêëáàâíìîïóòôúùûçñ", "aousseeeeaaaiiiiooouuucn", strict=False):
        word = word.lower().replace(letter, plain_letter)
    return "".join(c for c in word if c.isascii() and c.isalnum())
