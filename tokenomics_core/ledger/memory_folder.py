"""MemoryFolder: the bodies of recorded requests, out of a folder of JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson


class MemoryFolder:
    """The ``*.jsonl`` files of a folder: objects with ``id``, the row's, and ``request``, the JSON body.

    A folder that is not there holds nothing, and lines that are something else are passed over, as are those
    of a request that was not recorded whole. Of two with the same id the last one counts.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[str, tuple[Path, int]] | None = None

    def body(self, request_id: str) -> bytes | None:
        if self._places is None:
            self._places = dict(self._read())
        place = self._places.get(request_id)
        if place is None:
            return None
        path, start = place
        with path.open("rb") as file:
            file.seek(start)
            entry = _entry(file.readline())
        return orjson.dumps(entry["request"]) if entry is not None else None

    def _read(self) -> Iterator[tuple[str, tuple[Path, int]]]:
        for path in sorted(self._folder.glob("*.jsonl")):
            start = 0
            with path.open("rb") as file:
                for line in file:
                    entry = _entry(line)
                    if entry is not None:
                        yield entry["id"], (path, start)
                    start += len(line)


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    # Frames that came earlier are a part of what the model read.
    known = isinstance(entry, dict) and isinstance(entry.get("id"), str) and not entry.get("earlier")
    return entry if known and isinstance(entry.get("request"), dict) else None
