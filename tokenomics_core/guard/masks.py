"""Masks: what stands in the place of the values that were found.

Values that overlap are one mask. All rules look at the original text, so no mask can hide a value from a
later rule.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tokenomics_core.guard.rules import FAILED, CompiledRules, Match
from tokenomics_core.policy.schema import Rule

REDACTED = "[REDACTED]"
JAILBREAK_REDACTED = "[JAILBREAK_ATTEMPT_REDACTED]"
JAILBREAK_REDACTED_JSON = '{"redacted":"[JAILBREAK_ATTEMPT_REDACTED]"}'
"""The same where a format wants JSON, such as the arguments of a tool."""

SHORTEST_PARTIAL = 8
"""Characters of a value of which the last four may be shown."""

_NO_WORD = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Mask:
    """text[start:end] is replaced. text: by what. restore: the kind of a value that may come back in the
    answer, and is replaced by a placeholder of that kind; the empty string for one that may not."""

    start: int
    end: int
    text: str
    restore: str = ""


def masks(compiled: CompiledRules, text: str, matches: Sequence[Match]) -> list[Mask]:
    """The masks of a text, in order, for matches of rules that mask; jailbreaks replace whole texts, and are
    not among them."""
    found = sorted(
        (match for match in matches if _masks(compiled.rules[match.rule], match)),
        key=lambda match: (match.start, -match.end, match.rule),
    )
    made: list[Mask] = []
    group: list[Match] = []
    end = 0
    for match in found:
        if group and match.start >= end:
            made.append(_mask(compiled, text, group))
            group = []
        end = max(end, match.end) if group else match.end
        group.append(match)
    if group:
        made.append(_mask(compiled, text, group))
    return made


def placeholder_kind(rule: Rule, match: Match) -> str:
    """The word of a placeholder: EMAIL, or the rule's name for what has no detector."""
    word = match.kind if rule.type == "pii" else rule.name or match.kind
    return _NO_WORD.sub("_", word).strip("_").upper()[:32] or "VALUE"


def as_name(mask: str) -> str:
    """A mask that can stand where formats want an identifier."""
    return _NO_WORD.sub("_", mask).strip("_") or "REDACTED"


def _masks(rule: Rule, match: Match) -> bool:
    masking = rule.action == "mask" and rule.type != "jailbreak" and match.kind != FAILED
    return masking and match.end > match.start


def _mask(compiled: CompiledRules, text: str, group: list[Match]) -> Mask:
    start = min(match.start for match in group)
    end = max(match.end for match in group)
    # The first rule decides how it looks, of its matches the largest.
    leader = min(group, key=lambda match: (match.rule, match.start - match.end))
    rule = compiled.rules[leader.rule]
    restorable = all(
        compiled.rules[match.rule].restore
        and (compiled.rules[match.rule].restore_secrets or not match.secret)
        for match in group
    )
    restore = placeholder_kind(rule, leader) if restorable else ""
    return Mask(start, end, _text(rule, leader, text[start:end]), restore)


def _text(rule: Rule, match: Match, value: str) -> str:
    if rule.style == "typed":
        word = match.kind if rule.type == "pii" else rule.name or match.kind
        return f"[REDACTED:{' '.join(word.split())[:64].replace('[', '(').replace(']', ')')}]"
    if rule.style == "partial":
        shown = "".join(character for character in value if character.isalnum())
        if len(shown) >= SHORTEST_PARTIAL:
            return f"****{shown[-4:]}"
    return REDACTED
