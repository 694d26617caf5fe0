"""Fields that the schema does not know: accepted, without effect, and probably misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from tokenomics_core.policy.document import quoted, step
from tokenomics_core.policy.schema import Policy


@dataclass(frozen=True, slots=True)
class PolicyWarning:
    """path: JSON path such as ``$.rules[0].acton``. message: one line for people, without the path."""

    path: str
    message: str


# Names that guides of the Go original and other gateways use, and what to write instead.
_INSTEAD = {
    "anomaly": 'it belongs into "session"',
    "budget_usd": 'it belongs into "session"',
    "fallback_chain": 'use "retry": {"fallbacks": [...]}',
    "fallbacks": 'it belongs into "retry"',
    "max_parallel": 'it belongs into "rate_limit"',
    "max_retries": 'it belongs into "retry"',
    "model_allowlist": 'use "model_regex"',
    "requests_per_minute": 'use "rules": [{"requests": N, "window": "1m"}]',
    "retry_on": 'it belongs into "retry"',
    "routing": 'use "providers"',
    "strict": 'it belongs into "session"',
    "system_prompt": 'use "prompts"',
}


def unknown_fields(document: dict[str, Any]) -> Iterator[PolicyWarning]:
    """One warning per unknown field, in document order. Values of a wrong type are passed over."""
    return _unknown(document, Policy, "$")


def _unknown(value: Any, annotation: Any, path: str) -> Iterator[PolicyWarning]:
    """Walks value and the schema's types side by side."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        for key, member in value.items() if isinstance(value, dict) else ():
            if key in fields:
                yield from _unknown(member, fields[key].annotation, step(path, key))
            else:
                yield PolicyWarning(step(path, key), _unknown_message(key, annotation))
        return
    parts = get_args(annotation)
    if get_origin(annotation) is tuple:
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from _unknown(item, parts[0], step(path, index))
    elif get_origin(annotation) is dict:
        for key, member in value.items() if isinstance(value, dict) else ():
            yield from _unknown(member, parts[1], step(path, key))
    else:
        for part in parts:
            yield from _unknown(value, part, path)


def _unknown_message(name: str, model: type[BaseModel]) -> str:
    message = f"unknown field {quoted(name)} has no effect"
    if name in Policy.model_fields:
        return f"{message} here; it belongs at the top level"
    if name in _INSTEAD:
        return f"{message}; {_INSTEAD[name]}"
    near = difflib.get_close_matches(name.lower(), model.model_fields, n=1)
    return f"{message}; did you mean {quoted(near[0])}?" if near else message
