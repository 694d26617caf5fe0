"""The detectors that rules know by name, for people and as JSON."""

from __future__ import annotations

from typing import Any

SHOWN = 10
"""Characters at the beginning of an example's value that are shown."""

LONGEST = 60


def detector_rows() -> list[dict[str, Any]]:
    """Name, label, kind, family and example of each detector, in the order of `detect`'s names."""
    from tokenomics_core.guard.detectors import detectors

    return [
        {
            "name": detector.name,
            "label": detector.label,
            "kind": detector.kind,
            "family": detector.family or None,
            "example": _example(detector.found[0]) if detector.found else None,
        }
        for detector in detectors().values()
    ]


def group_rows() -> list[dict[str, Any]]:
    from tokenomics_core.guard.detectors import GROUPS, named

    return [{"name": group, "detectors": len(named(group))} for group in GROUPS]


def _example(text: str) -> str:
    """On one line, the value cut: a whole one would set off scanners wherever it is pasted."""
    before, _, rest = text.partition("«")
    value, _, after = rest.partition("»")
    shown = min(SHOWN, max(4, len(value) // 2))
    cut = value if len(value) <= 4 else value[:shown] + "***"
    line = " ".join(f"{before}{cut}{after}".split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
