"""As much of JSON Schema as the project's own schemas use. A keyword that is not known fails the test."""

import re

_TYPES = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
}
_NOTES = {"$schema", "$defs", "title", "description"}


def errors(value, schema, root=None, at="$"):
    """What is wrong with a value, one line for each; none when the schema holds."""
    root = schema if root is None else root
    if isinstance(schema, bool):
        return [] if schema else [f"{at} is not allowed"]
    found = []
    for keyword, wanted in schema.items():
        if keyword not in _NOTES:
            found += _KEYWORDS[keyword](value, wanted, schema, root, at)
    return found


def _ref(value, wanted, schema, root, at):
    target = root
    for name in wanted.removeprefix("#/").split("/"):
        target = target[name]
    return errors(value, target, root, at)


def _type(value, wanted, schema, root, at):
    return [] if _TYPES[wanted](value) else [f"{at} is no {wanted}: {value!r}"]


def _equals(value, wanted, schema, root, at):
    return [] if value == wanted and type(value) is type(wanted) else [f"{at} is not {wanted!r}: {value!r}"]


def _enum(value, wanted, schema, root, at):
    return [] if value in wanted else [f"{at} is none of {wanted}: {value!r}"]


def _pattern(value, wanted, schema, root, at):
    fits = not isinstance(value, str) or re.search(wanted, value)
    return [] if fits else [f"{at} does not match {wanted}: {value!r}"]


def _min_length(value, wanted, schema, root, at):
    return [f"{at} is too short"] if isinstance(value, str) and len(value) < wanted else []


def _minimum(value, wanted, schema, root, at):
    small = isinstance(value, int) and value < wanted
    return [f"{at} is less than {wanted}: {value!r}"] if small else []


def _required(value, wanted, schema, root, at):
    return [f"{at}.{name} is missing" for name in wanted if isinstance(value, dict) and name not in value]


def _properties(value, wanted, schema, root, at):
    if not isinstance(value, dict):
        return []
    names = wanted.keys() & value.keys()
    return [each for name in names for each in errors(value[name], wanted[name], root, f"{at}.{name}")]


def _additional(value, wanted, schema, root, at):
    if not isinstance(value, dict):
        return []
    names = value.keys() - schema.get("properties", {}).keys()
    return [each for name in names for each in errors(value[name], wanted, root, f"{at}.{name}")]


def _names(value, wanted, schema, root, at):
    if not isinstance(value, dict):
        return []
    return [each for name in value for each in errors(name, wanted, root, f"{at} name")]


def _items(value, wanted, schema, root, at):
    if not isinstance(value, list):
        return []
    return [each for index, item in enumerate(value) for each in errors(item, wanted, root, f"{at}[{index}]")]


_KEYWORDS = {
    "$ref": _ref,
    "type": _type,
    "const": _equals,
    "enum": _enum,
    "pattern": _pattern,
    "minLength": _min_length,
    "minimum": _minimum,
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional,
    "propertyNames": _names,
    "items": _items,
}
