"""Which events a webhook wants."""

from __future__ import annotations

from collections.abc import Sequence


def wants(patterns: Sequence[str], type: str) -> bool:
    """Whether a type passes. No patterns let everything through; a ``*`` at the end stands for any rest."""
    return not patterns or any(
        type.startswith(pattern[:-1]) if pattern.endswith("*") else type == pattern for pattern in patterns
    )
