"""Every string of a configuration may name a variable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tokenomics_core.config.errors import ConfigError

_VARIABLE = re.compile(r"\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


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
