"""AnswerGuard: the rules on what comes back, whole or streamed, and the values that it gets back.

Output rules look at what the model wrote; after that the conversation's placeholders become the values again.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from tokenomics_core.dialects.base import Framing
from tokenomics_core.guard.filter import RuleFilter
from tokenomics_core.guard.masks import as_name
from tokenomics_core.guard.pieces import TextFilter
from tokenomics_core.guard.rules import CompiledRules
from tokenomics_core.guard.spans import Path, Span, answer_spans, logprobs_paths
from tokenomics_core.guard.stream import FrameGuard, StreamGuard
from tokenomics_core.guard.vault import Vault
from tokenomics_core.guard.verdict import Hit
from tokenomics_core.json_reading import stands_twice
from tokenomics_core.json_splice import distinct, splice

_NONE = CompiledRules([], "output")
# A response tells what it was asked with. These are the client's own words; it gets its values back in them.
_ECHOES = frozenset(["instructions", "metadata", "tools", "prompt", "user", "safety_identifier", "text"])

MOST_HITS = 100
"""Hits of one answer that are told."""


class AnswerGuard:
    """One answer. vault: None where nothing is restored. report: is told what the rules found, in order.

    A text that holds several values that one rule covers is told of once.
    """

    def __init__(self, compiled: CompiledRules, vault: Vault | None, report: Callable[[Hit], None]) -> None:
        self.compiled = compiled
        self.vault = vault
        self.told: set[Hit] = set()
        """Hits that were told. Whoever guards one answer after the other empties it."""
        self._tell = report

    @property
    def idle(self) -> bool:
        """Whether every answer passes as it is."""
        return not self.compiled and (self.vault is None or not self.vault.known)

    def stream(self, framing: Framing) -> StreamGuard:
        return StreamGuard(framing, self._filter, self._whole)

    def frames(self) -> FrameGuard:
        return FrameGuard(self._filter, self._whole)

    def body(self, raw: bytes) -> bytes:
        """A whole JSON answer. Raises RuleViolation, RuleFailed, and ValueError for what is no JSON."""
        value = orjson.loads(raw)
        if stands_twice(raw):
            # What was looked at is what is given.
            raw = orjson.dumps(value)
        edits: dict[tuple[Path, bool], str] = {}
        for span in answer_spans(value):
            text = self._whole(span)
            if text is not None:
                edits[span.path, span.form == "key"] = text
        if not edits:
            return raw
        return splice(raw, distinct(value, edits), set(logprobs_paths(value)))

    def lines(self, raw: bytes) -> bytes:
        """Lines of JSON. Raises as `body` does, and ValueError before a rule is asked."""
        lines = raw.splitlines(keepends=True)
        for line in lines:
            if line.strip():
                orjson.loads(line)
        return b"".join(self.body(line) if line.strip() else line for line in lines)

    def text(self, text: str) -> str:
        """An answer that is plain text."""
        return self._whole(Span((), text, "text")) or text

    def _filter(self, channel: object, json_text: bool) -> TextFilter:
        return RuleFilter(self.compiled, self.vault, json_text, self._report)

    def _whole(self, span: Span) -> str | None:
        """The new text of a string that comes whole; None when it stays."""
        restore = self.vault if span.form in ("text", "json") else None
        compiled = _NONE if _is_echo(span.path) else self.compiled
        text = RuleFilter(compiled, restore, span.form == "json", self._report)
        pieces = [*text.feed(span.text), *text.close()]
        if not any(piece.changed for piece in pieces):
            return None
        if span.form == "number":
            return next(piece.text for piece in pieces if piece.changed)
        if span.form == "name":
            return "".join(as_name(piece.text) if piece.changed else piece.text for piece in pieces)
        return "".join(piece.text for piece in pieces)

    def _report(self, hit: Hit) -> None:
        # A stream says a text in deltas, and again when it is done.
        if hit not in self.told and len(self.told) < MOST_HITS:
            self.told.add(hit)
            self._tell(hit)


def _is_echo(path: Path) -> bool:
    return len(path) > 1 and path[0] == "response" and path[1] in _ECHOES
