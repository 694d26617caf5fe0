"""What all national numbers have in common."""

from __future__ import annotations

from tokenomics_core.guard.detector import Detector, Shape
from tokenomics_core.guard.detectors._checks import stdnum

ALONE = 0.3
"""Of a run of digits with the right check digit. One number in ten has it by chance: words decide."""

_UNLIKE = ("order", "invoice", "tracking", "timestamp", "serial", "sku", "isbn", "epoch", "commit", "version")


def national_id(
    name: str,
    label: str,
    shapes: tuple[Shape, ...],
    near: tuple[str, ...],
    found: tuple[str, ...],
    clean: tuple[str, ...],
) -> Detector:
    return Detector(
        name=name,
        label=label,
        kind="personal",
        family="national_id",
        shapes=shapes,
        near=near,
        unlike=_UNLIKE,
        found=found,
        clean=clean,
    )


def checked(pattern: str, module: str, score: float) -> Shape:
    """A shape that is a finding only where `stdnum.<module>` accepts the value."""
    return Shape(pattern, check=stdnum(module), valid=score)
