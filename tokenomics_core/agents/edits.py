"""Edits of configuration files: new keys laid over what is there, everything else as it was.

An edit never guesses. A text that cannot be read, or that the edit would not leave as meant, is an EditError.
"""

from __future__ import annotations

import io
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from tokenomics_core.agents.environment import merged

_HEADER = re.compile(r"[ \t]*\[")


class EditError(Exception):
    """A file cannot be edited safely. The message is what is wrong with it, without its name."""


def edit_json(text: str, above: Mapping[str, Any]) -> str:
    """Lays a map over a JSON text; an empty text counts as ``{}``."""
    try:
        tree = json.loads(text, object_pairs_hook=_pairs_once) if text.strip() else {}
    except EditError:
        raise
    except ValueError:
        raise EditError("is not JSON, or has comments") from None
    if not isinstance(tree, dict):
        raise EditError("is no JSON object")
    _check_shapes(tree, above)
    new = merged(tree, dict(above))
    if new == tree and text.strip():
        return text
    indent = re.search(r"^\{\r?\n([ \t]+)\"", text.lstrip())
    return json.dumps(new, indent=indent[1] if indent else 2, ensure_ascii=False) + "\n"


def edit_toml(text: str, above: Mapping[str, Any]) -> str:
    """Lays texts and maps of texts over a TOML text; comments and order stay."""
    tree = _toml(text)
    _check_shapes(tree, above)
    wanted = merged(tree, dict(above))
    if wanted == tree:
        return text
    new = text
    for path, values in _tables(above):
        new = _set_in_table(new, path, values)
    # What this simple editing does not see, such as an inline table, ends here and not in the file.
    try:
        agrees = tomllib.loads(new) == wanted
    except tomllib.TOMLDecodeError:
        agrees = False
    if not agrees:
        raise EditError("writes these keys in a form that cannot be edited")
    return new


def edit_dotenv(text: str, variables: Mapping[str, str], line: Callable[[str, str], str]) -> str:
    """Rewrites the lines of these variables in place and appends the others.

    line: gives the line for a name and a value.
    """
    from dotenv.parser import parse_stream

    parts: list[str] = []
    seen: set[str] = set()
    for binding in parse_stream(io.StringIO(text)):
        original, key = binding.original.string, binding.key or ""
        if binding.error or key not in variables:
            parts.append(original)
            continue
        lead = original[: len(original) - len(original.lstrip())]
        # A second line of the same name would win.
        if key in seen:
            parts.append(lead)
            continue
        seen.add(key)
        export = "export " if re.match(r"export\s", original.lstrip()) else ""
        parts.append(f"{lead}{export}{line(key, variables[key])}\n")
    new = "".join(parts)
    rest = [line(name, value) + "\n" for name, value in variables.items() if name not in seen]
    if rest and new and not new.endswith("\n"):
        new += "\n"
    new += "".join(rest)
    # A quote that somebody left open would swallow what follows.
    read = {binding.key: binding.value for binding in parse_stream(io.StringIO(new))}
    if any(read.get(name) != value for name, value in variables.items()):
        raise EditError("has a line that cannot be read, such as one with an open quote")
    return new


def _pairs_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise EditError("has a key that stands twice")
    return tree


def _check_shapes(below: Any, above: Mapping[str, Any], path: str = "") -> None:
    """Where a map is wanted and something else stands, that something would be lost."""
    for key, value in above.items():
        if isinstance(value, dict) and key in below:
            if not isinstance(below[key], dict):
                raise EditError(f"has something else than a map at {path}{key}")
            _check_shapes(below[key], value, f"{path}{key}.")


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EditError(f"is not TOML: {str(error).splitlines()[0]}") from None


def _tables(
    above: Mapping[str, Any], path: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], dict[str, str]]]:
    """Each table with its own values, outer ones first."""
    values = {key: value for key, value in above.items() if not isinstance(value, dict)}
    found = [(path, values)] if values else []
    for key, value in above.items():
        if isinstance(value, dict):
            found += _tables(value, (*path, key))
    return found


def _set_in_table(text: str, path: tuple[str, ...], values: Mapping[str, str]) -> str:
    lines = text.splitlines(keepends=True)
    begin, end = _section(lines, path)
    if begin is None:
        header = f"[{'.'.join(path)}]\n"
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        return text + gap + header + "".join(_assignment(*item) for item in values.items())
    rest = dict(values)
    for at in range(begin, end):
        key = re.match(r"[ \t]*([A-Za-z0-9_-]+)[ \t]*=", lines[at])
        if key and key[1] in rest:
            lines[at] = _assignment(key[1], rest.pop(key[1]))
    lines[begin:begin] = [_assignment(*item) for item in rest.items()]
    return "".join(lines)


def _section(lines: list[str], path: tuple[str, ...]) -> tuple[int | None, int]:
    """First line of a table's content, and the line behind it; the lines before all tables for no path."""
    headers = [at for at, line in enumerate(lines) if _HEADER.match(line)]
    begin: int | None = None if path else 0
    for at in headers:
        name = re.fullmatch(r"[ \t]*\[([^\[\]]+)\][ \t]*(#.*)?\s*", lines[at])
        if path and name and tuple(part.strip() for part in name[1].split(".")) == path:
            begin = at + 1
    if begin is None:
        return None, 0
    return begin, next((at for at in headers if at >= begin), len(lines))


def _assignment(key: str, value: str) -> str:
    # A JSON text is a TOML text, too, but for one character.
    return f"{key} = {json.dumps(value, ensure_ascii=False).replace(chr(127), chr(92) + 'u007f')}\n"
