"""Which strings of a request or of an answer are looked at.

Every string is, except where a format has a label (a type, a role, an id), binary data, or what the provider
sealed. These are known by member names, and only inside the formats' own objects: in what users and models
write as they like (arguments, results, metadata, unknown JSON) there is none, and member names and long
numbers are looked at too. In JSON Schemas the keywords are known and the rest is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from tokenomics_core.guard.span_rules import (
    ANSWER,
    FORMAT,
    FREE,
    REQUEST,
    TOKEN_LISTS,
    VALUE,
    Choice,
    How,
    Room,
    Rule,
    Side,
    is_textual,
)
from tokenomics_core.json_splice import Path

__all__ = [
    "LONGEST_LABEL",
    "Path",
    "Span",
    "answer_spans",
    "has_token_ids",
    "logprobs_paths",
    "request_spans",
]

Form = Literal["text", "json", "name", "number", "key", "label"]

LONGEST_LABEL = 256
"""Characters; a longer one is looked at as text."""

MANY_DIGITS = 6
"""Digits from which on a number, or a run of digits in a member's name, is looked at."""


class Span(NamedTuple):
    """A string that is looked at.

    path: to the value; for the form ``key`` to the member, whose name is what is looked at.
    form: ``text``: prose. ``json``: a string that holds JSON text, the arguments of a tool. ``name``: an
        identifier, a tool's name. ``number``: a long number in free JSON, as it is spelt. ``key``: the name
        of a member, where it is odd and no format knows it.
    """

    path: Path
    text: str
    form: Form


def request_spans(value: Any) -> list[Span]:
    """The strings of a request body or of a client's frame, in their order."""
    return _walk(value, REQUEST)[0]


def answer_spans(value: Any) -> list[Span]:
    """The strings of an answer, of an event or of a provider's frame, in their order."""
    return _walk(value, ANSWER)[0]


def logprobs_paths(value: Any) -> list[Path]:
    """Where an answer or an event says its text again, token by token. None of it is a span."""
    return _walk(value, ANSWER)[1]


def has_token_ids(value: Any) -> bool:
    """Whether a request gives text as token ids, which nobody here can read."""
    if not isinstance(value, dict):
        return False
    waiting = [value[name] for name in TOKEN_LISTS if isinstance(value.get(name), list)]
    while waiting:
        for item in waiting.pop():
            if type(item) is int or type(item) is float:
                return True
            if type(item) is list:
                waiting.append(item)
    return False


_Open = tuple[Path, Any, Room | None, Rule | Choice, Iterator[tuple[Any, Any]]]
"""A container in which the walk is: its path, itself, the room of an object, the rule of a list's items, and
what of it is left."""


def _walk(value: Any, side: Side) -> tuple[list[Span], list[Path]]:
    """The spans, and the paths of logprobs."""
    formats, known = side

    def at_root(owner: Any, item: Any) -> Rule:
        return "value", formats if isinstance(item, dict) and known(item) else FREE

    spans: list[Span] = []
    logprobs: list[Path] = []
    around: list[_Open] = []
    if isinstance(value, dict):
        around.append(((), value, at_root(None, value)[1], VALUE, iter(value.items())))
    elif isinstance(value, list):
        around.append(((), value, None, at_root, iter(enumerate(value))))
    elif isinstance(value, str) and value:
        spans.append(Span((), value, "text"))
    elif type(value) in (int, float) and (spelt := _long_number(value)):
        spans.append(Span((), spelt, "number"))
    while around:
        path, owner, room, rule_of_all, entries = around[-1]
        for name, item in entries:
            if room is None:
                rule = rule_of_all
            elif name in room.members:
                rule = room.members[name]
            else:
                rule = room.other
                if path and not _PLAIN.fullmatch(name):
                    spans.append(Span((*path, name), name, "key"))
            how, inner = rule(owner, item) if callable(rule) else rule
            kind = type(item)
            if kind is dict or kind is list:
                if inner is None or not item:
                    if how == "logprobs" and item:
                        logprobs.append((*path, name))
                    continue
                if inner is FORMAT:
                    inner = formats
                below = (*path, name)
                if kind is dict:
                    around.append((below, item, inner, VALUE, iter(item.items())))
                else:
                    rule = VALUE if inner is FREE and how == "text" else (how, inner)
                    around.append((below, item, None, rule, iter(enumerate(item))))
                break
            if kind is str:
                form = ("text" if item else None) if how == "text" else _form(item, how)
                if form is not None:
                    spans.append(Span((*path, name), item, form))
            elif how == "value" and (kind is int or kind is float) and (spelt := _long_number(item)):
                spans.append(Span((*path, name), spelt, "number"))
        else:
            around.pop()
    return spans, logprobs


def _form(text: str, how: How) -> Form | None:
    """The form of a string's span; None for one that is not looked at."""
    match how:
        case "label":
            return "text" if len(text) > LONGEST_LABEL else None
        case "json" | "name":
            return how if text else None
        case "binary":
            return None if _is_base64(text) or _is_binary_url(text) else "text"
        case "url":
            return "text" if text and not _is_binary_url(text) else None
        case "odd name":
            return None if _PLAIN.fullmatch(text) else "name"
        case "never" | "logprobs":
            return None
        case _:
            return "text" if text else None


def _long_number(number: int | float) -> str:
    """The number as it is spelt, if it has many digits; else the empty string."""
    spelt = repr(number)
    digits = sum(map(str.isdigit, spelt)) if len(spelt) >= MANY_DIGITS else 0
    return spelt if digits >= MANY_DIGITS else ""


# A member's name that says nothing of its own: short, of letters, without six digits in a row.
_PLAIN = re.compile(r"(?!.{0,58}\d{6})[A-Za-z0-9_.$-]{0,64}")
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=\r\n"
_DATA_URL = re.compile(r"data:([a-z]+/[A-Za-z0-9.+-]+)(?:;[\w.=+-]+)*;base64", re.IGNORECASE)


def _is_base64(text: str) -> bool:
    return text.isascii() and not text.encode().translate(None, _BASE64)


def _is_binary_url(text: str) -> bool:
    """Whether it is a data URL of an image, of sound, or of a file that is no text."""
    if text[:5].lower() != "data:":
        return False
    head, _, data = text.partition(",")
    found = _DATA_URL.fullmatch(head) if len(head) <= LONGEST_LABEL else None
    return found is not None and not is_textual(found[1]) and _is_base64(data)
