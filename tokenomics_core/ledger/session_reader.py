"""Session reader: the session files of a data directory, for those who sum them up or show one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tokenomics_core.ledger.session_file import FOLDER

log = logging.getLogger("tokenomics")

_LONG = ("requests", "communication_events")


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session file. summary: its document without the requests, which are read when they are wanted, and
    without the events."""

    path: Path
    summary: Mapping[str, Any]

    @property
    def id(self) -> str:
        found: str = self.summary["session_id"]
        return found

    def requests(self) -> list[dict[str, Any]]:
        """As they are in the file now; none when it is no session file any more."""
        document = _document(self.path)
        return document["requests"] if document is not None else []


_Stamp = tuple[int, int, int]
_known: dict[Path, tuple[_Stamp, StoredSession | None]] = {}


def read_sessions(directory: Path) -> list[StoredSession]:
    """The sessions in a data directory, in the order of their files' names; none where there is no folder.

    A file is read again when it has changed. One that is no session file is passed over, with a warning.
    """
    folder = directory / FOLDER
    found: dict[Path, tuple[_Stamp, StoredSession | None]] = {}
    for path in sorted(folder.glob("[!.]*.json")):
        try:
            said = path.stat()
        except OSError:
            continue
        stamp = (said.st_mtime_ns, said.st_size, said.st_ino)
        known = _known.get(path)
        found[path] = known if known is not None and known[0] == stamp else (stamp, _session(path))
    for path in [each for each in _known if each.parent == folder]:
        del _known[path]
    _known.update(found)
    return [session for _, session in found.values() if session is not None]


def find_session(directory: Path, id: str) -> list[StoredSession]:
    """All parts of the first session whose id is that one, or begins with it; none when there is none."""
    sessions = read_sessions(directory)
    first = next((each.id for each in sessions if id and each.id.startswith(id)), None)
    return [each for each in sessions if each.id == first]


def _session(path: Path) -> StoredSession | None:
    document = _document(path)
    if document is None:
        return None
    return StoredSession(path, {name: value for name, value in document.items() if name not in _LONG})


def _document(path: Path) -> dict[str, Any] | None:
    try:
        document = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        log.warning("%s is passed over: it cannot be read (%s)", path, type(error).__name__)
        return None
    if not _proper(document):
        log.warning("%s is passed over: it is no session file", path)
        return None
    return document  # type: ignore[no-any-return]


def _proper(document: Any) -> bool:
    kinds = {"session_id": str, "totals": dict, "by_model": dict, "by_provider": dict, "by_token": dict}
    return isinstance(document, dict) and all(
        isinstance(document.get(name), kind) for name, kind in (kinds | {"requests": list}).items()
    )
