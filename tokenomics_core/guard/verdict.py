"""Verdict: what the matches in one text mean, rule by rule, in the words that people and programs know.

The wording is that of rickcrawford/tokenomics. A matched value stands in none of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tokenomics_core.guard.jailbreak import DEFAULT_THRESHOLD, judge
from tokenomics_core.guard.rules import FAILED, CompiledRules, Match
from tokenomics_core.policy.schema import Rule

MOST_LABELS = 20
"""Labels in one message."""

REDACTED_ENTRY = {"action": "mask", "message": "content redacted before forwarding"}


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule matched a text. rule: its index. categories: of a jailbreak, the strongest first."""

    rule: int
    name: str
    action: str
    message: str
    categories: tuple[str, ...] = ()

    def entry(self) -> dict[str, Any]:
        """For the ledger's ``rule_matches``."""
        named: dict[str, Any] = {"name": self.name} if self.name else {}
        told = {**named, "action": self.action, "message": self.message}
        return {**told, "categories": list(self.categories)} if self.categories else told


def verdict(compiled: CompiledRules, matches: Sequence[Match], role: str = "") -> list[Hit]:
    """The rules that matched, in their order, up to the first one that fails the request.

    role: of the message that the text is in; ``tool`` for what a tool gave back.
    """
    hits: list[Hit] = []
    for index in sorted({match.rule for match in matches}):
        rule = compiled.rules[index]
        own = [match for match in matches if match.rule == index and match.kind != FAILED]
        hits += [_failed(index, rule, match) for match in matches if match.rule == index and match not in own]
        hit = _hit(index, rule, own, role) if own else None
        if hit is not None:
            hits.append(hit)
            if hit.action == "fail":
                break
    return hits


def blocked(hit: Hit, *, output: bool = False) -> str:
    """The error message of a hit that fails."""
    return f"{'response' if output else 'request'} blocked by rule {hit.rule}: {hit.message}"


def _failed(index: int, rule: Rule, match: Match) -> Hit:
    name = rule.name or rule.type
    return Hit(index, rule.name, "warn", f'rule "{name}" could not be checked: {match.label}')


def _hit(index: int, rule: Rule, matches: list[Match], role: str) -> Hit | None:
    if rule.type == "regex":
        shown = rule.name or rule.pattern
        return Hit(index, rule.name, rule.action, f'matched regex rule "{shown}"')
    if rule.type == "keyword":
        keyword = min(matches, key=lambda match: match.order).label
        shown = rule.name or keyword
        return Hit(index, rule.name, rule.action, f'matched keyword rule "{shown}": {keyword}')
    if rule.type == "pii":
        labels = [match.label for match in _apart(matches)]
        more = ", ..." if len(labels) > MOST_LABELS else ""
        listed = ", ".join(labels[:MOST_LABELS]) + more
        return Hit(index, rule.name, rule.action, f'detected PII in rule "{rule.name or "pii"}": {listed}')
    said = judge({match.sign for match in matches if match.sign is not None}, role)
    if rule.threshold is None:
        matched = said.reference or said.score >= DEFAULT_THRESHOLD
    else:
        matched = said.score >= float(rule.threshold)
    if not matched:
        return None
    message = f'detected jailbreak attempt in rule "{rule.name or "jailbreak"}"'
    return Hit(index, rule.name, rule.action, message, said.categories)


def _apart(matches: Iterable[Match]) -> list[Match]:
    """One match for each value: what overlaps with another of the same label is the same value."""
    kept: list[Match] = []
    for match in sorted(matches, key=lambda match: (match.order, match.label, match.start, -match.end)):
        last = kept[-1] if kept else None
        if last is None or last.label != match.label or match.start >= last.end:
            kept.append(match)
    return kept
