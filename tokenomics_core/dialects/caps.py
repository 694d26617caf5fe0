"""The member of a request that caps its output: read, lowered, never raised."""

from __future__ import annotations

from typing import Any

from tokenomics_core.dialects.usage import count
from tokenomics_core.json_body import JsonBody


def named(value: dict[str, Any], *names: str) -> int | None:
    """The largest cap that stands under these names; None where there is none. Which one of two counts is
    the provider's choice."""
    return max((cap for name in names if (cap := count(value.get(name))) is not None), default=None)


def lowered(value: dict[str, Any], tokens: int, *names: str) -> dict[str, Any]:
    """The caps of these names, none above so many tokens nor above the cap that stood. What is no cap is
    replaced by one."""
    known = named(value, *names)
    most = tokens if known is None else min(tokens, known)
    return {name: most if (cap := count(value.get(name))) is None else min(cap, most) for name in names}


def lower(body: JsonBody, tokens: int, *names: str) -> None:
    """The same for members of a request. What is low enough is left untouched."""
    for name, cap in lowered(body.value, tokens, *names).items():
        if count(body.value.get(name)) != cap:
            body.set(name, cap)
