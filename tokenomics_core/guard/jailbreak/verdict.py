"""Verdict: what the signs that were found say together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tokenomics_core.guard.jailbreak import (
    exfiltrate,
    obfuscation,
    other_languages,
    override,
    role_play,
    tool_output_injection,
)
from tokenomics_core.guard.jailbreak.reference import REFERENCE
from tokenomics_core.guard.jailbreak.sign import CATEGORIES, Category, Sign

DEFAULT_THRESHOLD: Final = 0.5
"""The score from which on a text is a jailbreak, where the rule names none."""

_SHARE: Final = 0.8

# Outside text has no business to address the model. A system prompt does nothing else, and it often names
# what the model must not give away.
_FACTORS: Final[dict[str, dict[Category, float]]] = {
    "tool": {"tool_output_injection": 1.5},
    "system": {"tool_output_injection": 0.5, "exfiltrate": 0.5},
    "developer": {"tool_output_injection": 0.5, "exfiltrate": 0.5},
}

_SIGNS: Final = (
    *REFERENCE,
    *override.SIGNS,
    *exfiltrate.SIGNS,
    *role_play.SIGNS,
    *obfuscation.SIGNS,
    *tool_output_injection.SIGNS,
    *other_languages.SIGNS,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """score: 0 to 1. categories: of the signs found, highest first. reference: one of the eight"
    " patterns matched."""

    score: float
    categories: tuple[Category, ...]
    reference: bool


def signs() -> tuple[Sign, ...]:
    """All signs, those of the Go original first. Ids are unique."""
    return _SIGNS


def judge(found: Iterable[Sign], role: str = "") -> Verdict:
    """What the signs found in one text say.

    role: of the message; ``tool`` for what a tool returned, ``system`` or ``developer``, empty when unknown.

    Weights are taken as chances that a sign tells the truth, each for itself. A category is a jailbreak when
    any of its signs is: 1 - product of (1 - weight), over distinct signs. The text is one when its highest
    category is, or any other. Others count for 0.8 of their score, since they are often the same words seen
    twice:

        1 - (1 - highest) * product of (1 - 0.8 * other)

    So no score passes 1 and no sign lowers it. One weak sign stays at its weight, 0.33. Two make 0.55 in one
    category, 0.51 in two.
    """
    distinct = dict.fromkeys(found)
    factors = _FACTORS.get(role, {})
    doubts: dict[Category, float] = {}
    for sign in distinct:
        weight = min(1.0, sign.weight * factors.get(sign.category, 1.0))
        doubts[sign.category] = doubts.get(sign.category, 1.0) * (1.0 - weight)
    scores = {category: 1.0 - doubts[category] for category in CATEGORIES if category in doubts}
    categories = tuple(sorted(scores, key=lambda category: -scores[category]))
    doubt = 1.0
    for rank, category in enumerate(categories):
        doubt *= 1.0 - scores[category] * (_SHARE if rank else 1.0)
    return Verdict(round(1.0 - doubt, 4), categories, any(sign.reference for sign in distinct))
