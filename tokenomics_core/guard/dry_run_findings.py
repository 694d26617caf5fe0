"""Findings: what the content rules say of single texts, with the places, for who wants to see them.

A finding holds what was matched. It is for the person whose text it is, and for no record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenomics_core.guard.inspection import inspect
from tokenomics_core.guard.masks import JAILBREAK_REDACTED, Mask, as_name, masks
from tokenomics_core.guard.rules import CompiledRules, Match
from tokenomics_core.guard.spans import Path, Span
from tokenomics_core.guard.vault import Vault, VaultFull, find, value_of
from tokenomics_core.guard.verdict import Hit, verdict
from tokenomics_core.policy.document import step

_RESTORABLE = ("text", "json")


@dataclass(frozen=True, slots=True)
class Change:
    """text[start:end] becomes new. restored: a placeholder becomes the value that it stands for."""

    start: int
    end: int
    new: str = field(repr=False)
    restored: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One text in which rules find something, or a placeholder is.

    path: ``$.messages[0].content``, or the place of what stands elsewhere, such as ``query``. name: it is a
    member's name that is looked at. hits: up to the first that fails. matches: of the rules that hit.
    changes: in order, none overlap.
    """

    path: str
    name: bool
    text: str = field(repr=False)
    hits: tuple[Hit, ...]
    matches: tuple[Match, ...]
    changes: tuple[Change, ...]


def request_findings(
    compiled: CompiledRules,
    spans: Sequence[Span],
    value: Any,
    vault: Vault | None,
    literal: Sequence[str],
    place: str = "",
) -> Iterator[Finding]:
    """value: the whole body. vault: of what comes back; literal: texts that may hold placeholders themselves.

    Raises RuleFailed.
    """
    if vault is not None:
        for text in literal:
            vault.avoid(text)
    for index in compiled.places([span.text for span in spans]):
        span = spans[index]
        matches = compiled.scan(span.text)
        said = inspect(compiled, [span], value) if matches else None
        if said is None or not said.hits:
            continue
        changes: tuple[Change, ...] = ()
        for _, made in said.masked:
            changes = tuple(_masked(span, made, vault)) if made else (_whole(span),)
        yield _finding(place or json_path(span.path), span, said.hits, matches, changes)


def answer_finding(compiled: CompiledRules, span: Span, vault: Vault | None) -> Finding | None:
    """None for a text that stays as it is, and of which no rule says anything. Raises RuleFailed."""
    matches = compiled.scan(span.text) if compiled else []
    hits = verdict(compiled, matches)
    places = [
        Change(found.start, found.end, found.original, restored=True)
        for found in (find(span.text, vault, json_text=span.form == "json") if vault else ())
        if span.form in _RESTORABLE
    ]
    if not hits and not places:
        return None
    if any(hit.action == "mask" and compiled.rules[hit.rule].type == "jailbreak" for hit in hits):
        changes = [_whole(span)]
    elif hits and hits[-1].action == "fail":
        changes = []
    else:
        made = [
            each
            for each in _masked(span, masks(compiled, span.text, matches), None)
            if not any(place.start < each.end and each.start < place.end for place in places)
        ]
        changes = sorted([*places, *made], key=lambda change: change.start)
    return _finding(json_path(span.path), span, hits, matches, tuple(changes))


def json_path(path: Path) -> str:
    written = "$"
    for key in path:
        written = step(written, key)
    return written


def _finding(
    path: str, span: Span, hits: Sequence[Hit], matches: Sequence[Match], changes: tuple[Change, ...]
) -> Finding:
    rules = {hit.rule for hit in hits}
    surest: dict[tuple[int, int, int, str, str], Match] = {}
    # Several patterns of one detector may find the same value.
    for match in matches:
        key = (match.start, match.end, match.rule, match.kind, match.label)
        if match.rule in rules and (key not in surest or surest[key].score < match.score):
            surest[key] = match
    kept = tuple(surest[key] for key in sorted(surest))
    return Finding(path, span.form == "key", span.text, tuple(hits), kept, changes)


def _whole(span: Span) -> Change:
    return Change(0, len(span.text), JAILBREAK_REDACTED)


def _masked(span: Span, made: Sequence[Mask], vault: Vault | None) -> Iterator[Change]:
    for mask in made:
        new = as_name(mask.text) if span.form == "name" else mask.text
        if mask.restore and vault is not None and span.form in _RESTORABLE:
            value = value_of(span.text[mask.start : mask.end], span.form == "json")
            try:
                new = vault.placeholder(mask.restore, value)
            except VaultFull:
                new = mask.text
        yield Change(mask.start, mask.end, new)
