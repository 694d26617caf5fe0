"""JSON that comes as text, in pieces: tool-call arguments. A mask must leave it JSON.

What is found is replaced inside strings only, and a number as a whole, by a string. Quotes and structure
stay.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tokenomics_core.guard.masks import Mask

_QUOTE = re.compile(r'\\.|"', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)
_BARE = re.compile(r"[^\s\[\]{}:,\"]+")
_OPEN_BARE = re.compile(r"[^\s\[\]{}:,\"]{1,64}\Z")


def in_string_after(text: str, in_string: bool) -> bool:
    """Whether what follows text stands in a string; text does not end inside an escape."""
    quotes = sum(match.group() == '"' for match in _QUOTE.finditer(text))
    return in_string ^ (quotes % 2 == 1)


def open_bare(text: str, since: int, in_string: bool) -> int:
    """Where the number or word begins that may go on behind the end of text; len(text) for none."""
    if in_string_after(text[since:], in_string):
        return len(text)
    found = _OPEN_BARE.search(text, since)
    return found.start() if found else len(text)


def apart_from_escapes(text: str, since: int, found: Sequence[Mask]) -> list[Mask]:
    """Masks that cut no escape in two: what stands behind a backslash is not what it seems to be. An escape
    at the begin is left, one at the end goes."""
    if not found or "\\" not in text:
        return list(found)
    escapes = [match.span() for match in _ESCAPE.finditer(text, since)]
    kept: list[Mask] = []
    for mask in found:
        start, end = _behind(escapes, mask.start), _behind(escapes, mask.end)
        if start < end:
            kept.append(replace(mask, start=start, end=end))
    return kept


def _behind(escapes: list[tuple[int, int]], at: int) -> int:
    """The end of the escape that this place is in; the place itself where it is in none."""
    last = bisect_left(escapes, (at, 0)) - 1
    return max(at, escapes[last][1]) if last >= 0 else at


def fitted(
    text: str, since: int, in_string: bool, start: int, end: int, mask: str
) -> Iterator[tuple[int, int, str]]:
    """The replacements that put mask in the place of text[start:end]; of several, the first shows it.

    in_string: whether text[since:] begins in a string. mask: escaped for a string already.
    """
    begin, inside = since, in_string
    shown = False
    for quote in [*(m for m in _QUOTE.finditer(text, since) if m.group() == '"'), None]:
        stop = quote.start() if quote is not None else len(text)
        if stop > start and begin < end:
            for first, last, bare in _parts(text, begin, stop, inside, start, end):
                put = "" if shown and not bare else f'"{mask}"' if bare else mask
                shown = True
                yield first, last, put
        if quote is None or quote.start() >= end:
            return
        begin, inside = quote.end(), not inside


def _parts(
    text: str, begin: int, stop: int, inside: bool, start: int, end: int
) -> Iterator[tuple[int, int, bool]]:
    """What of text[start:end] is replaced between two quotes; True for a bare word or number."""
    if inside:
        if max(begin, start) < min(stop, end):
            yield max(begin, start), min(stop, end), False
        return
    for bare in _BARE.finditer(text, begin, stop):
        if bare.start() < end and bare.end() > start:
            yield bare.start(), bare.end(), True
