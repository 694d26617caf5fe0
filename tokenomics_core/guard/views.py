r"""What a text may be read as, with the way back: detection looks at every view, masks land on the original.

    views(text)[0]   the text itself
    in place         folded and decoded where it stands, when that gives another text
    decoded          what its runs of base64 and hexadecimal digits decode to, when there are any

A value with full-width digits, zero-width characters, `&#64;` or `\u0040` in it is in the second. One in
base64 is in the third, and its span is the whole run.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from tokenomics_core.guard.confusables import ASTRAL, FOLDED, LETTERS, character_class, trailing
from tokenomics_core.guard.decoding import Rewritten, in_place
from tokenomics_core.guard.encoded_runs import LINE, Run, encoded_runs

SEPARATOR = "\n\0\n"
"""Stands between two decoded runs in their view."""


class _Places(Protocol):
    def span(self, start: int, end: int) -> tuple[int, int]: ...
    def position(self, at: int) -> int: ...
    def origin(self, at: int) -> int: ...


@dataclass(frozen=True, slots=True)
class View:
    """One reading of a text. Places are in characters; all maps are monotone."""

    text: str
    _places: _Places

    @property
    def in_place(self) -> bool:
        """Whether it is the text from end to end; the runs are pieces of it, decoded each for itself."""
        return not isinstance(self._places, _OfRuns)

    @property
    def same(self) -> bool:
        """Whether it is the original."""
        return self._places is _SAME

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where `text[start:end]` comes from in the original; an escape or a run counts whole."""
        return self._places.span(start, end)

    def position(self, at: int) -> int:
        """The smallest place in `text` whose origin is at or behind `at` of the original."""
        return self._places.position(at)

    def origin(self, at: int) -> int:
        """Where in the original that begins which `text[at]` comes from; its length for the end of `text`."""
        return self._places.origin(at)


class _Same:
    """Of a view that is the original."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        return start, end

    def position(self, at: int) -> int:
        return at

    def origin(self, at: int) -> int:
        return at


class _OfRuns:
    """Of decoded runs, one after the other with a separator behind each but the last."""

    def __init__(self, runs: list[Run], length: int) -> None:
        # A separator belongs to the run before it.
        self._starts = list(accumulate((len(run.text) + len(SEPARATOR) for run in runs), initial=0))
        self._size = self._starts[-1] - len(SEPARATOR)
        self._length = length
        self._spans = _apart(runs)

    def span(self, start: int, end: int) -> tuple[int, int]:
        if start >= end:
            at = self.origin(start)
            return at, at
        return self._spans[self._run(start)][0], self._spans[self._run(end - 1)][1]

    def position(self, at: int) -> int:
        run = bisect_left(self._spans, (at, 0))
        return self._starts[run] if run < len(self._spans) else self._size

    def origin(self, at: int) -> int:
        return self._spans[self._run(at)][0] if at < self._size else self._length

    def _run(self, at: int) -> int:
        return bisect_right(self._starts, at) - 1


def _apart(runs: list[Run]) -> list[tuple[int, int]]:
    """The span of each run; runs that overlap share one, so that the map stays monotone."""
    groups: list[list[int]] = []
    for run in runs:
        if groups and run.start < groups[-1][1]:
            groups[-1][1] = max(groups[-1][1], run.end)
            groups[-1][2] += 1
        else:
            groups.append([run.start, run.end, 1])
    return [(start, end) for start, end, count in groups for _ in range(count)]


_SAME = _Same()


def views(text: str) -> list[View]:
    """The readings of a text: itself, then in place and decoded runs where there are such. At most three."""
    found = [View(text, _SAME)]
    reading: Rewritten | None = None
    if not text.isascii() or "\\" in text or "%" in text or "&" in text:
        reading = in_place(text)
        if reading:
            found.append(View(reading.text, reading))
    if runs := encoded_runs(text, reading):
        found.append(View(SEPARATOR.join(run.text for run in runs), _OfRuns(runs, len(text))))
    return found


# What can be part of an escape, of a run, or of a word of mixed script. The rest are stops: a stop is in none
# of these, but as the last character of an escape, and no reading takes it away.
_OPEN_ASCII = r"A-Za-z0-9+/=_\-&#;%\\{}\r"
_ENDS_OPEN = re.compile(f"(?:[{_OPEN_ASCII}{LETTERS}]|^)\\Z")
_FOLD_OPEN = character_class(c for c, plain in FOLDED.items() if c < ASTRAL[0] and _ENDS_OPEN.search(plain))
_OPEN = re.compile(f"[{_OPEN_ASCII}{LETTERS}{_FOLD_OPEN}{ASTRAL}]*+")
# The longest that one character folds to.
_WIDEST = max(map(len, FOLDED.values()))


def unsettled(text: str) -> int:
    r"""The start of the suffix that more text could make read otherwise; `len(text)` for none.

    Guaranteed, for every text `t`, every `n`, and `p = unsettled(t[:n])`: the views of `t` are those of
    `t[:p]` and, `p` further on, of `t[p:]`. In place, the text of `t` is the two texts one after the other,
    each character with the same origin. The decoded runs of `t` are those of both, with the same spans and
    texts. The part behind `p` needs nothing from before it. `p` never goes back when the text grows.

    Held is the trailing word with all that escapes and runs are made of: letters of Latin, Cyrillic, Greek
    and Armenian, digits, ``+/=_-&#;%\{}``, carriage returns, characters that fold, and all behind the first
    plane. A line end stops it, unless what stands before could be a base64 line: `LINE` characters or more.
    """
    end = len(text)
    start = trailing(_OPEN, text, end)
    while start and text[start - 1] == "\n":
        before = trailing(_OPEN, text, start - 1)
        length = start - 1 - before
        if length < LINE and (length * _WIDEST < LINE or text[before:start].isascii()):
            break
        start = before
    return start
