"""YAML files of the configuration: strict about keys, and every string may name a variable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tokenomics_core.config.errors import ConfigError

_VARIABLE = re.compile(r"\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def read_text(path: Path) -> str:
    """The file's text; raises ConfigError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or 'cannot be read'}; check the path") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None


def parse_yaml(text: str, name: str) -> Any:
    """The value of a YAML text with all keys of maps in lower case; raises ConfigError.

    name: what the text is called in errors. A key that stands twice is an error, also when the two differ in
    case only: YAML would silently keep the last one.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = " ".join((error.problem or "cannot be read").split())
        raise ConfigError(f"{name}: invalid YAML{line}: {problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"{name}: invalid YAML") from None


def fill_variables(value: Any, environ: Mapping[str, str], name: str, key: str = "") -> Any:
    """Replaces ``${NAME}`` in every string by the variable's value; ``$${NAME}`` stands for the text itself.

    A variable that is not set is a ConfigError. To go on with an empty password would open what was closed.
    """
    if isinstance(value, dict):
        inside = f"{key}." if key else ""
        return {k: fill_variables(v, environ, name, f"{inside}{k}") for k, v in value.items()}
    if isinstance(value, list):
        return [fill_variables(v, environ, name, f"{key}[{i}]") for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        if match[0].startswith("$$"):
            return match[0][1:]
        if not environ.get(match[1]):
            raise ConfigError(f"{name}: {key} needs the variable {match[1]}; set it, or take the key out")
        return environ[match[1]]

    return _VARIABLE.sub(variable, value)


class _Loader(yaml.SafeLoader):
    """SafeLoader that lower-cases keys, refuses a key that stands twice, and takes dates for text.

    Somebody who writes ``anthropic-version: 2023-06-01`` means the text.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, regex) for tag, regex in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            text = key.value.lower() if isinstance(key, yaml.ScalarNode) else ""
            if text in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {text!r} stands twice", problem_mark=key.start_mark
                )
            if text and text != "<<":
                seen.add(text)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        return {str(key).lower(): value for key, value in super().construct_mapping(node, deep).items()}
