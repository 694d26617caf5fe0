"""Durations as Go writes them: ``90s``, ``1h30m``, ``1.5h``."""

from __future__ import annotations

import json
import re
from decimal import Decimal

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([^0-9.+\-]*)")
_LONGEST = 2**63 - 1


def parse_duration(text: str) -> float:
    """Seconds of a Go duration: an optional sign and one or more decimal numbers, each with a unit.

    Units are ns, us, ms, s, m and h; there are no days. ``0`` alone needs no unit. A part of a nanosecond
    is dropped. Zero and negative durations are returned as such: the caller knows whether they make sense.
    Raises ValueError, with one line for people, for anything else and for more than about 292 years.
    """
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0.0
    total = at = 0
    while match := _PART.match(rest, at):
        number, unit = match.groups()
        if unit not in _NANOSECONDS:
            reason = f"unknown unit {_quoted(unit)}" if unit else "a number has no unit"
            raise ValueError(f"invalid duration {_quoted(text)}: {reason}; units are ns, us, ms, s, m, h")
        total += int(Decimal(number) * _NANOSECONDS[unit])
        if total > _LONGEST:
            raise ValueError(f"invalid duration {_quoted(text)}: longer than 292 years")
        at = match.end()
    if not rest or at < len(rest):
        raise ValueError(f"invalid duration {_quoted(text)}: write it like 90s, 1h30m or 24h")
    return sign * total / 1e9


def _quoted(text: str) -> str:
    """On one line and not long, whatever it is."""
    return json.dumps(text[:40], ensure_ascii=False)
