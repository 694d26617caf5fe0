"""A policy's text: read strictly, and named by path in messages."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson

# A policy has six levels; unknown fields may have more. What recurses over them must not run out of stack.
MAX_DEPTH = 100


class PolicyError(ValueError):
    """A policy that cannot be used.

    message: one line for people. path: JSON path of the place (``$.rules[0].action``), or the empty string.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path


def decode(text: str) -> dict[str, Any]:
    """The JSON object in the text, keys in document order; raises PolicyError.

    Numbers with a fraction or an exponent come as Decimal, digit for digit: some of them are money.
    A key that stands twice in one object is refused: readers disagree on which of the two counts.
    """
    try:
        orjson.loads(text)
        value = json.loads(text, object_pairs_hook=_distinct, parse_float=Decimal)
    except RecursionError:
        raise PolicyError("invalid policy JSON: nested too deeply") from None
    except ValueError as error:
        raise PolicyError(f"invalid policy JSON: {error}") from None
    if not isinstance(value, dict):
        raise PolicyError(f"invalid policy JSON: must be an object, not {json_type(value)}")
    if _depth(value) > MAX_DEPTH:
        raise PolicyError("invalid policy JSON: nested too deeply")
    return value


def encode(value: Any) -> str:
    """The value as compact JSON text."""
    match value:
        case dict():
            return "{" + ",".join(f"{encode(key)}:{encode(member)}" for key, member in value.items()) + "}"
        case list():
            return "[" + ",".join(map(encode, value)) + "]"
        case Decimal():
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False, allow_nan=False)


def quoted(text: str) -> str:
    """The text in double quotes on one line, for messages; what cannot be printed is escaped."""
    escaped = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in escaped)


def step(path: str, key: str | int) -> str:
    """The JSON path of a member or an item of what stands at path."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if key.isidentifier() else f"{path}[{quoted(key)}]"


def json_type(value: object) -> str:
    """What JSON calls the value, with an article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "a number"
        case float() | Decimal():
            return "a number with a fraction or an exponent"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {quoted(twice)} stands twice in one object")
    return members


def _depth(value: object) -> int:
    level, depth = [value], 0
    while level:
        depth += 1
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return depth
