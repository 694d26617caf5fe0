"""Inspection: the rules on all texts of a request, and what is written in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenomics_core.guard import json_text
from tokenomics_core.guard.masks import JAILBREAK_REDACTED, JAILBREAK_REDACTED_JSON, Mask, as_name, masks
from tokenomics_core.guard.rules import CompiledRules
from tokenomics_core.guard.spans import Path, Span
from tokenomics_core.guard.vault import Vault, VaultFull, value_of
from tokenomics_core.guard.verdict import Hit, blocked, verdict

MOST_HITS = 100
"""Hits that are kept of one request."""

# A value that comes back must be able to stand where it stood: as text.
_RESTORABLE = ("text", "json")


@dataclass(slots=True)
class Inspected:
    """What the rules say of a request.

    hits: in the order of the texts, at most `MOST_HITS`. blocked: the error message where a rule fails it,
    and then nothing else was looked at; the empty string otherwise.
    masked: the texts that change, with their masks; no masks stand for a text that is replaced as a whole.
    """

    hits: list[Hit] = field(default_factory=list)
    blocked: str = ""
    masked: list[tuple[Span, list[Mask]]] = field(default_factory=list)
    literal: list[str] = field(default_factory=list)
    """Texts that may hold what looks like a placeholder and is the client's own."""

    def wanted(self) -> list[tuple[str, str]]:
        """Kind and value of everything that is to come back in the answer, in order."""
        return [
            (mask.restore, _value(span, mask))
            for span, found in self.masked
            for mask in found
            if mask.restore and span.form in _RESTORABLE
        ]

    def edits(self, vault: Vault | None) -> dict[tuple[Path, bool], str]:
        """The new texts by their places. vault: of the conversation; None restores nothing."""
        if vault is not None:
            for text in self.literal:
                vault.avoid(text)
        return {(span.path, span.form == "key"): _masked(span, found, vault) for span, found in self.masked}


def inspect(compiled: CompiledRules, spans: Sequence[Span], value: Any) -> Inspected:
    """The rules on the texts of a request. value: the whole body, for the roles of messages.

    Raises RuleFailed.
    """
    inspected = Inspected()
    if not compiled:
        return inspected
    for index in compiled.places([span.text for span in spans]):
        span = spans[index]
        matches = compiled.scan(span.text, label=span.form == "label")
        if not matches:
            continue
        role = _role(value, span.path) if any(match.sign for match in matches) else ""
        hits = verdict(compiled, matches, role)
        inspected.hits += hits[: MOST_HITS - len(inspected.hits)]
        if hits and hits[-1].action == "fail":
            inspected.blocked = blocked(hits[-1])
            return inspected
        if any(hit.action == "mask" and compiled.rules[hit.rule].type == "jailbreak" for hit in hits):
            inspected.masked.append((span, []))
        elif found := masks(compiled, span.text, matches):
            if span.form == "json":
                found = json_text.apart_from_escapes(span.text, 0, found)
            inspected.masked.append((span, found))
    if inspected.wanted():
        inspected.literal = [span.text for span in spans if "<" in span.text]
    return inspected


def _masked(span: Span, found: Sequence[Mask], vault: Vault | None) -> str:
    """The text of a span with its masks, or what stands in its place."""
    if not found:
        return JAILBREAK_REDACTED_JSON if span.form == "json" else JAILBREAK_REDACTED
    if span.form == "number":
        return found[0].text
    parts: list[str] = []
    at = 0
    for start, end, text in _replacements(span, found, vault):
        parts += [span.text[at:start], text]
        at = end
    return "".join([*parts, span.text[at:]])


def _replacements(span: Span, found: Sequence[Mask], vault: Vault | None) -> Iterator[tuple[int, int, str]]:
    for mask in found:
        text = as_name(mask.text) if span.form == "name" else mask.text
        if mask.restore and vault is not None and span.form in _RESTORABLE:
            try:
                text = vault.placeholder(mask.restore, _value(span, mask))
            except VaultFull:
                # Masked it is, it will not come back.
                text = mask.text
        if span.form == "json":
            yield from json_text.fitted(span.text, 0, False, mask.start, mask.end, text)
        else:
            yield mask.start, mask.end, text


def _value(span: Span, mask: Mask) -> str:
    return value_of(span.text[mask.start : mask.end], span.form == "json")


def _role(value: Any, path: Path) -> str:
    """``tool`` for what a tool gave back, else the role of the message, where there is one."""
    role = ""
    for step in path:
        if isinstance(value, dict):
            said = value.get("role")
            role = said if isinstance(said, str) else role
            kind = value.get("type")
            if (isinstance(kind, str) and kind.endswith(("_output", "tool_result"))) or step in _RESULTS:
                return "tool"
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return role
    return "tool" if role == "function" else role


_RESULTS = ("functionResponse", "function_response")
