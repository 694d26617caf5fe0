"""JSON as its most lenient readers take it: for what has to be looked at, whoever reads it in the end."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def lenient(raw: bytes) -> Any:
    """The JSON value, also where it holds what strict readers refuse: NaN, half of a surrogate pair, a byte
    order mark. Raises ValueError for what no reader takes."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        try:
            return json.loads(raw, strict=False)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def stands_twice(raw: bytes) -> bool:
    """Whether a member stands twice in an object of this JSON text: readers disagree on which one counts.

    What is no JSON has no members; what is nested too deeply to tell may have one.
    """
    try:
        _distinct(raw.decode(json.detect_encoding(raw), "surrogatepass"))
    except (_Twice, RecursionError):
        return True
    except ValueError:
        return False
    return False


def unescaped(text: str) -> str:
    """The text with JSON's numbered escapes read."""
    return _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), text) if "\\u" in text else text


class _Twice(Exception):
    """A member stands twice."""


def _members(members: list[tuple[str, Any]]) -> None:
    if len(members) > 1 and len({name for name, _ in members}) < len(members):
        raise _Twice


# Made once: json.loads would make a decoder for each call. Numbers are not read; they may be of any length.
_distinct = json.JSONDecoder(object_pairs_hook=_members, parse_int=str, parse_float=str, strict=False).decode
