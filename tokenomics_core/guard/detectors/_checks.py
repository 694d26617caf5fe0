"""Checks that several detectors share. python-stdnum is imported at the first value, not before."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType


@cache
def _stdnum(name: str) -> ModuleType:
    return import_module(f"stdnum.{name}")


def stdnum(name: str) -> Callable[[str], bool]:
    """A check by `stdnum.<name>`: length, structure, check digits."""

    def check(value: str) -> bool:
        try:
            return bool(_stdnum(name).is_valid(value))
        except ValueError:
            return False

    return check


def digits(value: str) -> str:
    return "".join(character for character in value if "0" <= character <= "9")


_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn(value: str) -> bool:
    """Whether the digits of value end in their Luhn check digit. All zeros are no number."""
    number = [int(digit) for digit in digits(value)]
    total = sum(number[-1::-2]) + sum(_DOUBLED[digit] for digit in number[-2::-2])
    return total % 10 == 0 and any(number)
