"""What pydantic found wrong, in words for the people who wrote the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

_EXPECTED = {
    "int_parsing": "write a whole number",
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "float_parsing": "write a number",
    "float_type": "write a number",
    "finite_number": "write a number",
    "decimal_parsing": "write a number",
    "decimal_type": "write a number",
    "decimal_max_places": "write at most {decimal_places} decimals",
    "greater_than": "write a number above {gt:g}",
    "greater_than_equal": "write a number from {ge:g} up",
    "less_than_equal": "write a number up to {le:g}",
    "bool_parsing": "write true or false",
    "bool_type": "write true or false",
    "string_type": "write a text",
    "string_too_short": "write a text",
    "path_type": "write a path",
    "list_type": "write a list",
    "dict_type": "write a map of keys and values",
    "model_type": "write a map of keys and values",
    "model_attributes_type": "write a map of keys and values",
}


def first_problem(error: ValidationError, is_secret: Callable[[str], bool]) -> tuple[str, str]:
    """The key of the first thing that is wrong, such as ``a.b[0].c``, and what is wrong with it.

    is_secret: tells of a key without indexes whether its value must not be shown.
    """
    first = error.errors(include_url=False)[0]
    key = re.sub(r"\.(\d+)", r"[\1]", ".".join(str(part) for part in first["loc"]))
    kind, context = first["type"], first.get("ctx", {})
    if kind == "missing":
        return key, "is missing"
    if kind == "extra_forbidden":
        return key, "is no known key; take it out"
    if kind == "literal_error":
        expected = "write one of " + str(context["expected"]).replace("'", "").replace(" or ", ", ")
    elif kind == "value_error":
        expected = str(context["error"])
    else:
        expected = _EXPECTED.get(kind, "write another value").format_map(context)
    value = "has an invalid value" if is_secret(without_indexes(key)) else f"is {_shown(first['input'])}"
    return key, f"{value}; {expected}"


def without_indexes(key: str) -> str:
    """``a[0].b`` as ``a.b``."""
    return re.sub(r"\[\d+\]", "", key)


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a map" if isinstance(value, dict) else "a list"
    text = repr(value)
    if "://" in text and ("@" in text or "?" in text):
        return "a URL with a password or a query"
    return text if len(text) <= 60 else text[:57] + "..."
