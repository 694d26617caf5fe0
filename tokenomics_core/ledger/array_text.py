"""Array text: the members of a JSON array that grows, as text in a file without a name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson


class ArrayText:
    """Members of a document's top level, two spaces for each level. folder: on the disk that is to hold it.

    size, count: of the text in bytes, and of the members in it. Every method may raise OSError.
    """

    def __init__(self, folder: Path) -> None:
        # It has no name, so nothing is left of it after a crash.
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self.size = 0
        self.count = 0

    def add(self, new: Sequence[Mapping[str, Any]]) -> None:
        text = b"".join(
            (b",\n    " if self.count or index else b"\n    ")
            + orjson.dumps(each, option=orjson.OPT_INDENT_2).replace(b"\n", b"\n    ")
            for index, each in enumerate(new)
        )
        # What an earlier try left behind the end is written over.
        self._file.seek(self.size)
        self._file.write(text)
        self._file.flush()
        self.size += len(text)
        self.count += len(new)

    def pieces(self) -> Iterator[bytes]:
        """The array with its brackets, about a megabyte at a time."""
        yield b"["
        self._file.seek(0)
        left = self.size
        while left > 0 and (piece := self._file.read(min(left, 1 << 20))):
            left -= len(piece)
            yield piece
        yield b"\n  ]" if self.count else b"]"

    def close(self) -> None:
        self._file.close()
