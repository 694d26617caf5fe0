"""Reads one small field of a multipart/form-data body.

The field decides what a request may do, and the provider reads the same body with another parser. So only
the plain form that clients send is read; where two parsers could see different fields, the body is refused.
"""

from __future__ import annotations

import re

from tokenomics_core.refusal import Refusal

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER = re.compile(rf'\s*;\s*({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\\r\n]|\\.)*)")')
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_NAME = re.compile(_TOKEN)
_CLEAN = re.compile(r"[^\r\n\x00]*")
_MAX_HEAD = 16 * 1024
_PLAIN_CODINGS = ("", "7bit", "8bit", "binary")
_PLAIN_CHARSETS = ("", "utf-8", "utf8", "us-ascii")


def form_field(body: bytes, content_type: str, name: str) -> str:
    """The value of a text field, or the empty string when there is none.

    Raises Refusal (400) when the body is not plainly multipart/form-data, or the field stands twice.
    """
    kind, parameters = _parameters(content_type)
    boundary = parameters.get("boundary", "")
    if kind != "multipart/form-data" or not _BOUNDARY.fullmatch(boundary):
        raise _unreadable("Content-Type")
    if parameters.get("charset", "").lower() not in _PLAIN_CHARSETS or parameters.keys() - {
        "boundary",
        "charset",
    }:
        raise _unreadable("Content-Type")
    values: list[str] = []
    for part in _parts(body, b"--" + boundary.encode()):
        head, found, value = part.partition(b"\r\n\r\n")
        if not found or len(head) > _MAX_HEAD:
            raise _unreadable("a part")
        fields = _fields(head)
        disposition, words = _parameters(fields.get("content-disposition", ""))
        if disposition != "form-data" or "name" not in words or "\\" in words["name"]:
            raise _unreadable("a part's Content-Disposition")
        if words.keys() - {"name", "filename", "filename*"}:
            raise _unreadable("a part's Content-Disposition")
        # Some servers take no notice of case.
        if words["name"].casefold() == name.casefold():
            values.append(_text(value, fields, words))
    if len(values) > 1:
        raise Refusal(400, "bad_request", f"the form field {name} stands more than once")
    return values[0] if values else ""


def _parts(body: bytes, delimiter: bytes) -> list[bytes]:
    """What stands between the delimiters, which stand on lines of their own and nowhere else."""
    first, *parts = (b"\r\n" + body).split(b"\r\n" + delimiter)
    if first.strip(b"\r\n") or not parts or body.count(delimiter) != len(parts):
        raise _unreadable("the body")
    last = parts.pop()
    if last.rstrip(b"\r\n") != b"--" or not all(part.startswith(b"\r\n") for part in parts):
        raise _unreadable("the body")
    return [part[2:] for part in parts]


def _fields(head: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if not _NAME.fullmatch(name) or not colon or name.lower() in fields or not _CLEAN.fullmatch(value):
            raise _unreadable("a part's header")
        fields[name.lower()] = value.strip(" \t")
    return fields


def _parameters(value: str) -> tuple[str, dict[str, str]]:
    """``kind; key=value; key="value"`` taken apart. Nothing is unescaped; of nonsense the kind is empty."""
    kind, semicolon, rest = value.partition(";")
    parameters: dict[str, str] = {}
    at, rest = 0, (semicolon + rest).rstrip()
    while at < len(rest):
        match = _PARAMETER.match(rest, at)
        if match is None or match[1].lower() in parameters:
            return "", {}
        parameters[match[1].lower()] = match[2] if match[2] is not None else match[3]
        at = match.end()
    return kind.strip().lower(), parameters


def _text(value: bytes, fields: dict[str, str], words: dict[str, str]) -> str:
    kind, parameters = _parameters(fields.get("content-type", "text/plain"))
    plain = (
        kind == "text/plain"
        and parameters.get("charset", "").lower() in _PLAIN_CHARSETS
        and fields.get("content-transfer-encoding", "").lower() in _PLAIN_CODINGS
        and len(words) == 1
    )
    try:
        text = value.decode()
    except UnicodeDecodeError:
        plain = False
    if not plain:
        raise _unreadable(f"the field {words['name']}")
    return text


def _unreadable(what: str) -> Refusal:
    return Refusal(400, "bad_request", f"{what} is not plain multipart/form-data")
