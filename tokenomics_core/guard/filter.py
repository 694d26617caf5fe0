"""RuleFilter: the rules on a text that comes in pieces.

What is passed on, over all pieces, is what would be passed on of the whole text. Held back is only the end of
it that may still become a value, or a placeholder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from tokenomics_core.guard import json_text as json_syntax
from tokenomics_core.guard.masks import JAILBREAK_REDACTED, JAILBREAK_REDACTED_JSON, Mask, masks
from tokenomics_core.guard.pieces import Piece
from tokenomics_core.guard.rules import CompiledRules, Match
from tokenomics_core.guard.vault import Vault, find, unfinished
from tokenomics_core.guard.verdict import Hit, blocked, verdict
from tokenomics_core.guard.views import unsettled
from tokenomics_core.guard.violation import RuleViolation

MOST_HELD = 64 * 1024
"""Characters that are held back at most."""

CONTEXT = 64
"""Characters that were passed on and are still looked at, as what stands before a value."""

_OFTEN = 2048
"""Held characters up to which every new piece is looked at; above, once a sixteenth has come."""


class RuleFilter:
    """One text, such as the content of one choice.

    compiled: the rules for what comes back. vault: where placeholders come from; None restores nothing.
    json_text: the text is JSON itself. report: is told every hit, once.
    """

    def __init__(
        self,
        compiled: CompiledRules,
        vault: Vault | None,
        json_text: bool,
        report: Callable[[Hit], None],
    ) -> None:
        self._compiled = compiled
        self._vault = vault
        self._json = json_text
        self._report = report
        self._text = ""
        self._since = 0
        """What is before it in the text was passed on."""
        self._looked = 0
        self._in_string = False
        self._signs: list[Match] = []
        """Of a jailbreak, in all that was passed on: they add up."""
        self._reported: set[Hit] = set()

    def feed(self, text: str) -> list[Piece]:
        """What can be passed on now. Raises RuleViolation, and RuleFailed."""
        self._text += text
        held = len(self._text) - self._since
        if held > _OFTEN and len(self._text) - self._looked < held // 16:
            return []
        self._looked = len(self._text)
        until = self._settled()
        if held > MOST_HELD:
            until = max(until, len(self._text) - MOST_HELD // 2)
        return self._pass_on(until, last=False) if until > self._since else []

    def close(self) -> list[Piece]:
        """All that is left, as the end of the text."""
        return self._pass_on(len(self._text), last=True)

    def _settled(self) -> int:
        """Up to where nothing that follows changes anything."""
        until = self._compiled.hold(self._text, self._since) if self._compiled else len(self._text)
        if self._vault is not None:
            until = min(until, unfinished(self._text, self._vault, self._since, self._json))
        if self._json and self._compiled:
            until = min(until, json_syntax.open_bare(self._text, self._since, self._in_string))
        return until

    def _pass_on(self, until: int, *, last: bool) -> list[Piece]:
        text, since = self._text, self._since
        undecided: set[tuple[int, int]] = set()
        matches = self._matches(undecided, last=last) if self._compiled else []
        places = self._placeholders()
        extents = [*(match.whole for match in matches), *((place.start, place.end) for place in places)]
        # What is behind these is not there yet.
        extents += [(start, len(text) + 1) for start, _ in undecided]
        until = self._clear_of(until, extents, last=last)
        if until <= since and not last:
            return []
        self._judge([match for match in matches if match.whole[1] <= until])
        if self._compiled.may_replace_all and last and self._replaced_whole():
            mask = JAILBREAK_REDACTED_JSON if self._json else JAILBREAK_REDACTED
            pieces = [Piece(len(text) - since, mask, True)] if len(text) > since else []
        else:
            found = masks(self._compiled, text, matches)
            if self._json:
                found = json_syntax.apart_from_escapes(text, since, found)
            made = [*places, *self._outside(found, places)]
            pieces = self._pieces([mask for mask in made if mask.end <= until], until)
        self._forget(until)
        return pieces

    def _matches(self, undecided: set[tuple[int, int]], *, last: bool) -> list[Match]:
        if last or len(self._text) - self._since > MOST_HELD:
            return self._compiled.scan(self._text, self._since)
        # What is not settled may become anything.
        settled = self._since + unsettled(self._text[self._since :])
        return self._compiled.scan(self._text[:settled], self._since, undecided)

    def _placeholders(self) -> list[Mask]:
        if self._vault is None:
            return []
        return [
            Mask(found.start, found.end, _quoted(found.original) if self._json else found.original)
            for found in find(self._text, self._vault, self._since, self._json)
        ]

    def _outside(self, made: Sequence[Mask], places: Sequence[Mask]) -> list[Mask]:
        """Masks that are no placeholder's own characters. One that reaches beyond it takes it in."""
        return [
            mask
            for mask in made
            if not any(place.start <= mask.start and mask.end <= place.end for place in places)
        ]

    def _clear_of(self, until: int, extents: Sequence[tuple[int, int]], *, last: bool) -> int:
        """The place up to which no value is cut in two, nor anything that is read as one."""
        full = len(self._text) - self._since > MOST_HELD
        while not last:
            crossing = [start for start, end in extents if start < until < end]
            if not crossing:
                break
            until = min(crossing)
            if full and until <= self._since:
                raise RuleViolation("response blocked: a value that a rule covers is too long to be checked")
            if self._compiled and not full:
                until = self._since + unsettled(self._text[self._since : until])
        return until

    def _judge(self, matches: list[Match]) -> None:
        if not matches:
            return
        others = [match for match in matches if match.sign is None]
        self._signs += [match for match in matches if match.sign is not None]
        for hit in verdict(self._compiled, [*others, *self._signs]):
            self._tell(hit)
            if hit.action == "fail":
                raise RuleViolation(blocked(hit, output=True))

    def _tell(self, hit: Hit) -> None:
        if hit.rule not in {told.rule for told in self._reported}:
            self._reported.add(hit)
            self._report(hit)

    def _replaced_whole(self) -> bool:
        rules = self._compiled.rules
        return any(hit.action == "mask" and rules[hit.rule].type == "jailbreak" for hit in self._reported)

    def _pieces(self, made: Sequence[Mask], until: int) -> list[Piece]:
        pieces: list[Piece] = []
        at = self._since
        for start, end, text in sorted(self._replacements(made)):
            if start < at:
                # It began in what another mask took in.
                start, text = at, ""
                if end <= at:
                    continue
            if start > at:
                pieces.append(Piece(start - at, self._text[at:start], False))
            pieces.append(Piece(end - start, text, True))
            at = end
        if until > at:
            pieces.append(Piece(until - at, self._text[at:until], False))
        return pieces

    def _replacements(self, made: Sequence[Mask]) -> list[tuple[int, int, str]]:
        if not self._json:
            return [(mask.start, mask.end, mask.text) for mask in made]
        return [
            part
            for mask in made
            for part in json_syntax.fitted(
                self._text, self._since, self._in_string, mask.start, mask.end, mask.text
            )
        ]

    def _forget(self, until: int) -> None:
        if self._json:
            self._in_string = json_syntax.in_string_after(self._text[self._since : until], self._in_string)
        kept = max(0, until - CONTEXT)
        self._text = self._text[kept:]
        self._since = until - kept
        self._looked = min(self._looked, len(self._text))


def _quoted(original: str) -> str:
    return json.dumps(original, ensure_ascii=False)[1:-1]
