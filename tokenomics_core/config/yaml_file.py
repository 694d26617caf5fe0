"""YAML of the configuration: strict about keys."""

from __future__ import annotations

from typing import Any

import yaml

from tokenomics_core.config.errors import ConfigError


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
