"""Writer: how far the check of one writer's chain has come, and which hashes may follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenomics_core.ledger.chain import Head, packed, row_hash


class Writer:
    """head: the writer's head that names the highest number. columns: of the table, with their defaults."""

    def __init__(self, name: str, head: Head, columns: Sequence[str], defaults: Mapping[str, Any]) -> None:
        self.name, self.head = name, head
        self.last, self.last_id = 0, ""
        self.missing: list[tuple[int, int, str, str]] = []
        """First and last number, and the ids of the rows before and after."""
        self.places = list(range(len(columns)))
        """Of the columns that are hashed."""
        self._columns = columns
        self._defaults = defaults
        self._later: list[tuple[int, Any]] = []
        self._whole = True
        # Without its opening nothing is known of row 1.
        self._links: list[str] = []

    @property
    def short(self) -> str:
        return self.name[:8]

    def open(self, digest: str, columns: Sequence[str]) -> None:
        """Takes the opening: what row 1 is linked to, and which columns are hashed."""
        self._links = [digest]
        known = {name: place for place, name in enumerate(self._columns)}
        # A column that is gone leaves no row with its hash.
        self.places = [known.get(name, 0) for name in columns]
        self._whole = self.places == list(range(len(self._columns)))
        hashed = set(columns)
        self._later = [(known[name], self._defaults[name]) for name in self._columns if name not in hashed]

    def expected(self, seq: int, number: int, values: Sequence[Any]) -> list[str]:
        """The hashes that a row may have; none when nothing is known of the row before it."""
        if number != self.last + 1 or not self._links:
            return []
        if any(values[place] != default for place, default in self._later):
            return [""]
        hashed = values if self._whole else [values[place] for place in self.places]
        line = packed([seq, *hashed])[1:-1]
        return [row_hash(link, self.name, number, line) for link in self._links]

    def fits(self, seq: int, hash: Any, values: Sequence[Any]) -> bool:
        """Whether the row is this writer's next one, whatever it says itself."""
        return hash in self.expected(seq, self.last + 1, values)

    def advance(self, number: int, id: str, links: Sequence[str]) -> None:
        """That row is there. links: the hashes that it may have had, without repetitions."""
        if number > self.last + 1:
            self.missing.append((self.last + 1, number - 1, self.last_id, id))
        self.last, self.last_id, self._links = number, id, list(dict.fromkeys(links))

    def late(self, number: int) -> str | None:
        """A row with a lower number than the one before: which row it stands after; None when there is one
        with that number already."""
        for place, (first, last, before, after) in enumerate(self.missing):
            if first <= number <= last:
                rest = [(first, number - 1, before, after), (number + 1, last, before, after)]
                self.missing[place : place + 1] = [each for each in rest if each[0] <= each[1]]
                return self.last_id
        return None
