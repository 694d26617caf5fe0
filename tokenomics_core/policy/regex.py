"""Patterns of policies: RE2, so that matching takes linear time whatever the pattern is."""

from __future__ import annotations

from typing import Protocol, cast

import re2


class Pattern(Protocol):
    """A compiled RE2 expression. Its text and matches may be str; spans are in characters then."""

    @property
    def pattern(self) -> str: ...

    def search(self, text: str) -> object | None: ...


def compile_pattern(pattern: str) -> Pattern:
    r"""Compiles RE2 syntax as the Go original reads it; raises ValueError with RE2's reason, on one line.

    ``\C`` is refused as it is in Go: it matches half a character.
    """
    if _has_byte_escape(pattern):
        raise ValueError("invalid escape sequence: \\C")
    options = re2.Options()
    options.log_errors = False
    try:
        return cast(Pattern, re2.compile(pattern, options))
    except re2.error as error:
        detail = error.args[0] if error.args else b"not RE2 syntax"
        text = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
        raise ValueError(" ".join(text.split())) from None


def found(pattern: Pattern, text: str) -> bool:
    """Whether the pattern matches anywhere in the text."""
    # RE2 reads UTF-8, in which lone surrogates do not exist.
    return pattern.search(text.encode(errors="replace").decode()) is not None


def _has_byte_escape(pattern: str) -> bool:
    at = pattern.find("\\")
    while 0 <= at < len(pattern) - 1:
        escaped = pattern[at + 1]
        if escaped == "C":
            return True
        end = pattern.find("\\E", at + 2) if escaped == "Q" else at
        if end < 0:
            return False
        at = pattern.find("\\", end + 2)
    return False
