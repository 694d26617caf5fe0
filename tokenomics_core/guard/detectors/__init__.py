"""All detectors. Each module of this package has `DETECTORS`; one that is put here is known at once.

Modules whose names begin with an underscore hold what several of them need.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from tokenomics_core.guard.detector import Detector, Kind

REFERENCE = (
    "ssn",
    "credit_card",
    "email",
    "phone",
    "ip_address",
    "aws_key",
    "api_key",
    "jwt",
    "private_key",
    "connection_string",
    "github_token",
)
"""Names of the Go original, in its order."""

GROUPS: Mapping[str, Kind | None] = MappingProxyType(
    {"personal": "personal", "financial": "financial", "network": "network", "secrets": "secret", "all": None}
)
"""Names that stand for all detectors of one kind; None for every kind."""


@cache
def detectors() -> Mapping[str, Detector]:
    """By name: those of the Go original first, the others in the order of modules. Raises ValueError."""
    modules = sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
    return index(detector for name in modules for detector in _of(name))


def _of(module: str) -> tuple[Detector, ...]:
    found = getattr(import_module(f"{__name__}.{module}"), "DETECTORS", None)
    if not isinstance(found, tuple):
        raise ValueError(f"detectors/{module}.py has no DETECTORS tuple")
    return found


def index(detectors: Iterable[Detector]) -> Mapping[str, Detector]:
    """By name, in order. Raises ValueError for a name that is given twice or a family that is not there."""
    found: dict[str, Detector] = {}
    for detector in detectors:
        if detector.name in found or detector.name in GROUPS:
            raise ValueError(f"two detectors are named {detector.name!r}")
        if detector.name != detector.name.lower():
            raise ValueError(f"the detector name {detector.name!r} is not in lower case")
        found[detector.name] = detector
    for detector in found.values():
        if detector.family and detector.family not in found:
            raise ValueError(f"the family {detector.family!r} of {detector.name!r} is no detector")
    first = [name for name in REFERENCE if name in found]
    return MappingProxyType({name: found[name] for name in dict.fromkeys([*first, *found])})


def named(name: str) -> tuple[Detector, ...]:
    """The detector of that name and its family, or all of a group. Case does not count. Raises KeyError."""
    every = detectors()
    name = name.lower()
    if name in GROUPS:
        kind = GROUPS[name]
        return tuple(detector for detector in every.values() if kind is None or detector.kind == kind)
    own = every[name]
    return own, *(detector for detector in every.values() if detector.family == name)


def names() -> tuple[str, ...]:
    """All that `named` knows: detectors in order, then groups."""
    return *detectors(), *GROUPS
