"""Anchors: heads of the chain that are kept outside the ledger, so that a ledger that was cut can be told.

Session files hold one each. People may keep others: on paper, in a commit, with somebody they trust.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import orjson

from tokenomics_core.ledger.chain import HEAD, SESSION_KEY, Head
from tokenomics_core.ledger.chain_check import Finding, Verifies, has_heads, reading
from tokenomics_core.ledger.database import LedgerError

_REQUESTS = b'\n  "requests": ['


def last_head(path: Path) -> Head | None:
    """The last head of the file, unchecked. Raises LedgerError."""
    with reading(path) as db:
        if not has_heads(db):
            return None
        found = db.execute(f"SELECT {HEAD} FROM heads ORDER BY number DESC LIMIT 1").fetchone()
        return Head(*found) if found else None


def read_head(path: Path) -> Head:
    """The head in a file: as `Head.as_dict` gives it, or in a session file. Raises LedgerError."""
    try:
        said = orjson.loads(path.read_bytes())
        return _head(said.get(SESSION_KEY, said))
    except OSError as error:
        raise LedgerError(f"cannot read {path}: {error.strerror}; check the path") from None
    except (ValueError, TypeError, AttributeError, KeyError):
        raise LedgerError(f"{path} holds no head; save one with: ledger verify --print-head") from None


def session_heads(folder: Path) -> Iterator[tuple[str, Head | None]]:
    """The heads in the session files of a folder, with the files' names; None where one cannot be read."""
    for path in sorted(folder.glob("*.json")):
        try:
            with path.open("rb") as file:
                said = _without_requests(file.read)
            if SESSION_KEY in said:
                yield path.name, _head(said[SESSION_KEY])
        except (OSError, ValueError, TypeError, KeyError):
            yield path.name, None


def compare_anchor(name: str, anchor: Head, paths: Sequence[Path], verifies: Verifies) -> Finding | None:
    """What is wrong when no ledger has that head. name: of where it was kept. Raises LedgerError."""
    if not verifies(anchor.signature, anchor.message):
        return Finding("signature", f"bad signature: the head in {name}", anchor.writer)
    last = 0
    for path in paths:
        with reading(path) as db:
            if not has_heads(db):
                continue
            query = f"SELECT {HEAD} FROM heads WHERE number = ?"
            if any(Head(*found) == anchor for found in db.execute(query, (anchor.number,))):
                return None
            last = max(last, db.execute("SELECT ifnull(max(number), 0) FROM heads").fetchone()[0])
    names = f"names number {anchor.row} of writer {anchor.writer[:8]}"
    said = f"head {anchor.number}, signed at {anchor.at}, {names}"
    if anchor.number > last:
        text = f"cut: in {name}, {said}; the last head here is {last or 'missing'}"
        return Finding("cut", text, anchor.writer, anchor.row)
    text = f"replaced: in {name}, {said}; head {anchor.number} here is another one"
    return Finding("replaced", text, anchor.writer, anchor.row)


def _head(said: Mapping[str, Any]) -> Head:
    given = {each.name: said[each.name] for each in fields(Head) if each.name in said}
    head = Head(**({"opening": None} | given))
    if not isinstance(head.number, int) or not 0 < head.number < 2**63:
        raise ValueError
    return head


def _without_requests(read: Any) -> dict[str, Any]:
    """The document up to its requests, of which there may be many; they come last."""
    text = b""
    while _REQUESTS not in text and (piece := read(1 << 16)):
        text += piece
    begin, found, _ = text.partition(_REQUESTS)
    said: dict[str, Any] = orjson.loads(begin + found + b"]}" if found else text)
    return said
