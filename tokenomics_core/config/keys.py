"""The keys of the configuration tree by their dotted names, and what a misspelled one may have meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tokenomics_core.config.schema import Config

# Fields of Config that say where it came from.
_NOT_KEYS = {"source", "warnings"}


@dataclass(frozen=True, slots=True)
class Key:
    """One leaf of the tree. variable: its environment variable, empty for maps and lists of maps."""

    name: str
    field: FieldInfo
    variable: str

    @property
    def secret(self) -> bool:
        return not self.field.repr


def leaves(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[Key]:
    """Every key that holds a value, in the order of the tree."""
    for name, field in fields(model).items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from leaves(section, f"{prefix}{name}.")
        else:
            dotted = prefix + name
            scalar = _from_text(section)
            yield Key(dotted, field, "TOKENOMICS_" + dotted.upper().replace(".", "_") if scalar else "")


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The keys of one section."""
    return {k: v for k, v in model.model_fields.items() if model is not Config or k not in _NOT_KEYS}


def unknown(
    value: dict[str, Any], model: type[BaseModel] = Config, prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """The keys of value that the tree does not have, each with the dotted name nearest to it or nothing."""
    known = fields(model)
    for name, inner in value.items():
        if name not in known:
            yield prefix + name, _nearest(name, list(known), prefix)
            continue
        section = _section(known[name].annotation)
        if section is None:
            continue
        if isinstance(inner, dict):
            yield from unknown(inner, section, f"{prefix}{name}.")
        elif isinstance(inner, list):
            for at, item in enumerate(inner):
                if isinstance(item, dict):
                    yield from unknown(item, section, f"{prefix}{name}[{at}].")


def _nearest(name: str, siblings: list[str], prefix: str) -> str:
    if close := get_close_matches(name, siblings, n=1):
        return prefix + close[0]
    # A key at the wrong place is known by its last part.
    return next((key.name for key in leaves() if key.name.rpartition(".")[2] == name), "")


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model of a section, or of the items of a list of sections."""
    inner = get_args(annotation)[0] if get_origin(annotation) is list else annotation
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def _from_text(annotation: Any) -> bool:
    """Whether one line of text can give the value: a scalar, or a list of strings."""
    origin = get_origin(annotation)
    return _section(annotation) is None if origin is list else origin is not dict
