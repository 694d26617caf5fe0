"""PatternSet: many patterns on one text. One pass tells which of them may match; spans come after.

The pass is RE2's Set over the heads of the patterns: its cost hardly grows with their number. Text is UTF-8
bytes here, and spans are in bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import re2

from tokenomics_core.guard.prefilter import head

SET_MEMORY = 32 * 1024 * 1024
"""Bytes for the states of the common pass. RE2 takes them as texts ask for them, and starts anew when they
are used up."""

FEW = 4
"""Patterns of a group that are asked one by one."""

PATTERN_MEMORY = 16 * 1024 * 1024

# Texts put together have line ends between them: where one may stand before a match, it may begin there.
_AFTER_LINE = re.compile(r"\(\?:\^\|\[\^(?:\\[^ns]|[^\]\\\n])*\]\)")
# What is escaped is no anchor, but for two; nor is anything in a class.
_NO_ANCHOR = re.compile(r"\\[^Az]|\[\^?(?:\\.|\])?(?:\\.|\[:\w+:\]|[^\]\\])*\]")
_ANCHOR = re.compile(r"[\^$]|\\[Az]")


class PatternSet:
    """patterns: RE2 sources. A pattern's value is its first group, or the whole match where it has none.

    groups: for each pattern a word, the empty string for none. Those of one word, often found by their heads
    and seldom in full, are asked in full together.
    """

    def __init__(self, patterns: Sequence[str], groups: Sequence[str] = ()) -> None:
        """Raises ValueError for what RE2 does not compile."""
        self.patterns = tuple(patterns)
        self._heads = _common(map(head, self.patterns))
        self._groups: dict[str, tuple[list[int], Any]] = {}
        for word in dict.fromkeys(filter(None, groups)):
            members = [index for index, group in enumerate(groups) if group == word]
            self._groups[word] = members, _common(self.patterns[index] for index in members)
        self._compiled: dict[int, Any] = {}

    @cached_property
    def anchored(self) -> frozenset[int]:
        """Patterns that may look at where the text begins or ends: they say nothing of texts put together."""
        return frozenset(
            index
            for index, pattern in enumerate(self.patterns)
            if _ANCHOR.search(_NO_ANCHOR.sub("", _AFTER_LINE.sub("", pattern)))
        )

    def candidates(self, data: bytes) -> Sequence[int]:
        """Indexes of the patterns that may match somewhere; all others match nowhere. In ascending order."""
        if not self.patterns:
            return ()
        found = set(self._heads.Match(data) or ())
        for members, together in self._groups.values():
            if len(found.intersection(members)) > FEW:
                matching = {members[place] for place in together.Match(data) or ()}
                found = found.difference(members) | matching
        return sorted(found)

    def spans(self, index: int, data: bytes, since: int = 0) -> Iterator[tuple[int, int, int, int]]:
        """Where one pattern matches, and where in that its value stands; from `since` on, in bytes.

        What stands before `since` counts for ``\\b`` and ``^`` alone.
        """
        compiled = self._compiled.get(index)
        if compiled is None:
            compiled = self._compiled[index] = re2.compile(self.patterns[index], _options(PATTERN_MEMORY))
        group = 1 if compiled.groups else 0
        for match in compiled.finditer(data, since):
            begin, finish = match.span()
            start, end = match.span(1) if group else (begin, finish)
            yield (begin, finish, start, end) if start >= 0 else (begin, finish, begin, finish)


class Characters:
    """Offsets in the UTF-8 bytes of a text as offsets in its characters, asked for in ascending order."""

    def __init__(self, text: str, data: bytes) -> None:
        self._data = None if len(text) == len(data) else data
        self._byte = self._character = 0

    def span(self, start: int, end: int) -> tuple[int, int]:
        if self._data is None:
            return start, end
        return self._at(start), self._at(end)

    def _at(self, byte: int) -> int:
        assert self._data is not None
        if byte < self._byte:
            self._byte = self._character = 0
        self._character += len(self._data[self._byte : byte].decode("utf-8", "replace"))
        self._byte = byte
        return self._character


def _common(parts: Iterable[str]) -> Any:
    common = re2.Set.SearchSet(_options(SET_MEMORY))
    count = 0
    try:
        for part in parts:
            common.Add(part)
            count += 1
        if count:
            common.Compile()
    except re2.error as error:
        raise ValueError(f"the patterns cannot be compiled together: {error}") from None
    return common


def _options(memory: int) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = memory
    return options
