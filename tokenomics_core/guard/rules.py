"""The rules of a policy, compiled: one common pass for all patterns, exact places for those that match.

`scan` finds, `hold` tells how much of a text's end may still become a match. What matches mean for a request
is told by `verdict`, what stands in their place by `masks`.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from tokenomics_core.guard.detector import BEHIND, DEFAULT_SCORE, STEP, Detector, Shape
from tokenomics_core.guard.detectors import detectors, named
from tokenomics_core.guard.jailbreak import Sign, signs
from tokenomics_core.guard.keywords import Keywords
from tokenomics_core.guard.partial import Beginnings
from tokenomics_core.guard.patterns import Characters, PatternSet
from tokenomics_core.guard.score import score
from tokenomics_core.guard.views import View, unsettled, views
from tokenomics_core.policy.schema import Rule

TIME_LIMIT = 2.0
"""Seconds in which one text must be scanned. Patterns take linear time; this is for what nobody foresaw."""

FAILED = "failed"
"""The kind of a match that tells of a rule which could not be checked."""

# The last twelve digits of a UUID look like a card number.
_UUID_END = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-\Z")
_UUID_BEFORE = 24

_SEPARATOR = "\n\x00\n"


class RuleFailed(Exception):
    """A rule could not be checked. rule: its index; reason: one line without any matched text."""

    def __init__(self, rule: int, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule
        self.reason = reason


class Match(NamedTuple):
    """A rule found something. start, end: characters of the original text.

    whole: where it was found, with what stands around the value and makes it one.
    kind: the detector's name, ``keyword``, ``regex``, the category of a jailbreak's sign, or `FAILED`.
    label: for messages: the detector's, the keyword, the sign's id, or why the rule failed.
    order: the place in the rule's own list. score: how sure it is.
    """

    rule: int
    start: int
    end: int
    whole: tuple[int, int]
    kind: str
    label: str
    order: int = 0
    score: float = 1.0
    secret: bool = False
    sign: Sign | None = None


@dataclass(frozen=True, slots=True)
class _Use:
    """What a rule wants of a pattern."""

    rule: int
    kind: str
    label: str = ""
    order: int = 0
    detector: Detector | None = None
    shape: Shape | None = None
    least: float = 0.0
    strict: bool = False
    keywords: Keywords | None = None
    sign: Sign | None = None


@dataclass(slots=True)
class _Scan:
    """What is known while one text is scanned. deadline: of the clock. failed: the reason, by rule.

    seen: matches that another reading gave, which need no second look.
    """

    deadline: float
    undecided: set[tuple[int, int]] | None
    label: bool
    found: dict[Match, None] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    seen: set[tuple[int, int, int, str]] = field(default_factory=set)


class CompiledRules:
    """The rules of one direction. Indexes are those of the policy's whole list."""

    def __init__(
        self,
        rules: Sequence[Rule],
        scope: str,
        *,
        time_limit: float = TIME_LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """scope: ``input`` or ``output``. clock: monotonic seconds. Raises ValueError for a pattern that RE2
        does not compile."""
        self.rules = tuple(rules)
        self.active = tuple(at for at, rule in enumerate(self.rules) if rule.scope in (scope, "both"))
        self._time_limit = time_limit
        self._clock = clock
        uses: dict[str, list[_Use]] = {}
        for index in self.active:
            for pattern, use in _uses(index, self.rules[index]):
                uses.setdefault(pattern, []).append(use)
        groups = [each[0].kind if each[0].sign is not None else "" for each in uses.values()]
        self._patterns = PatternSet(list(uses), groups)
        self._uses = list(uses.values())
        self.may_replace_all = any(
            self.rules[index].type == "jailbreak" and self.rules[index].action == "mask"
            for index in self.active
        )
        """A mask may replace a whole text: nothing of it can go out before its end is seen."""

    def __bool__(self) -> bool:
        return bool(self.active)

    def scan(
        self,
        text: str,
        since: int = 0,
        undecided: set[tuple[int, int]] | None = None,
        *,
        label: bool = False,
    ) -> list[Match]:
        """What the rules find in text[since:]; text[:since] is what stands before, for context.

        undecided: takes where values stand that words behind the end of the text could still make matches.
        label: the text names things, as a path does: only detectors count, and where they are sure.
        Raises RuleFailed for the first rule that failed without ``on_error: warn``. Of one that says so there
        is a match of the kind `FAILED`.
        """
        scan = _Scan(self._clock() + self._time_limit, undecided, label)
        for reading in _readings(text, since):
            for index in self._patterns.candidates(reading.data):
                self._find(reading, index, scan)
        for rule, reason in sorted(scan.failed.items()):
            if self.rules[rule].on_error != "warn":
                raise RuleFailed(rule, reason)
            scan.found[Match(rule, since, since, (since, since), FAILED, reason)] = None
        return list(scan.found)

    def hold(self, text: str, since: int = 0) -> int:
        """Where the end of text begins of which what follows may still make, or change, a match.

        No match that is not there yet reaches over that place, whatever comes; and all before it may be read
        for itself.
        """
        if self.may_replace_all:
            return since
        # Behind this place anything may come of what stands there.
        settled = since + unsettled(text[since:])
        begun = min(
            reading.origin(self._beginnings.hold(reading.data, reading.begin))
            for reading in _readings(text[:settled], since)
            # What was decoded as a whole joins nothing around it.
            if reading.view.in_place
        )
        return settled if begun >= settled else since + unsettled(text[since:begun])

    def places(self, texts: Sequence[str]) -> Sequence[int]:
        """Indexes of the texts in which something may be found, at the cost of one pass over all together."""
        if len(texts) < 2 or self._patterns.anchored:
            return range(len(texts)) if self.active else ()
        together = _SEPARATOR.join(texts)
        begins: list[int] = []
        at = 0
        for text in texts:
            begins.append(at)
            at += len(text) + len(_SEPARATOR)
        touched: set[int] = set()
        for view in views(together):
            data = view.text.encode("utf-8", "replace")
            for index in self._patterns.candidates(data):
                characters = Characters(view.text, data)
                for begin, finish, _, _ in self._patterns.spans(index, data):
                    first, last = view.span(*characters.span(begin, finish))
                    low, high = bisect_right(begins, first) - 1, bisect_right(begins, max(first, last - 1))
                    touched.update(range(low, high))
                    if len(touched) == len(texts):
                        return range(len(texts))
        return sorted(touched)

    @cached_property
    def _beginnings(self) -> Beginnings:
        return Beginnings(self._patterns.patterns)

    def _find(self, reading: _Reading, index: int, scan: _Scan) -> None:
        """Adds the matches of one pattern in one reading."""
        uses = self._uses[index]
        characters = Characters(reading.text, reading.data)
        apart = not reading.view.in_place
        spans = self._patterns.spans(index, reading.data, reading.begin)
        for number, (begin, finish, start, end) in enumerate(spans):
            (whole_first, first), (last, whole_last) = (
                characters.span(begin, start),
                characters.span(end, finish),
            )
            whole = reading.place(whole_first, whole_last)
            if apart and "\0" in reading.text[first:last]:
                # It joins two runs that have nothing to do with each other.
                continue
            place = whole if (begin, finish) == (start, end) else reading.place(first, last)
            if (known := (index, *place, reading.text[first:last])) in scan.seen:
                # Another reading says the same.
                continue
            scan.seen.add(known)
            for use in uses:
                if use.rule in scan.failed:
                    continue
                try:
                    match = _judged(use, reading.text, first, last, place, whole, scan)
                except Exception as error:
                    # Its words may hold the value.
                    scan.failed[use.rule] = f"{use.label or use.kind}: {type(error).__name__}"
                    continue
                if match is not None:
                    scan.found[match] = None
            if number % 32 == 0 and self._clock() > scan.deadline:
                scan.failed |= {use.rule: f"took longer than {self._time_limit:g} s" for use in uses}
                return


class _Reading:
    """A view of text[since:] behind the context that belongs to it.

    text: both. begin: bytes of the context in data, which is text as UTF-8.
    """

    def __init__(self, context: str, view: View, since: int) -> None:
        self.view = view
        self.text = context + view.text
        self.data = self.text.encode("utf-8", "replace")
        self._context = len(context)
        self._since = since
        self._same = not (context or since) and view.same
        ascii = len(self.data) == len(self.text)
        self.begin = len(context) if ascii else len(context.encode("utf-8", "replace"))

    def place(self, first: int, last: int) -> tuple[int, int]:
        """Where text[first:last] stands in the original."""
        if self._same:
            return first, last
        first, last = first - self._context, last - self._context
        if last <= first:
            return (self._since + self.view.origin(first),) * 2
        start, end = self.view.span(first, last)
        return self._since + start, self._since + end

    def origin(self, byte: int) -> int:
        """Where in the original the character at this byte begins."""
        at = Characters(self.text, self.data).span(byte, byte)[0]
        return self._since + self.view.origin(at - self._context)


def _readings(text: str, since: int) -> Iterator[_Reading]:
    """All that text[since:] may be read as, each behind what the text before may be read as."""
    before, context = "", ""
    if since:
        before = text[:since]
        context = next((view.text for view in views(before)[1:] if view.in_place), before)
        text = text[since:]
    plain, *others = views(text)
    yield _Reading(before, plain, since)
    if context != before and not any(view.in_place for view in others):
        yield _Reading(context, plain, since)
    for view in others:
        yield _Reading(context if view.in_place else "", view, since)


def _uses(index: int, rule: Rule) -> Iterator[tuple[str, _Use]]:
    """The patterns of a rule."""
    if rule.type == "regex":
        yield rule.pattern, _Use(index, "regex", rule.name or "regex")
    elif rule.type == "keyword":
        keywords = Keywords(rule.keywords)
        yield keywords.pattern, _Use(index, "keyword", keywords=keywords)
    elif rule.type == "jailbreak":
        for sign in signs():
            if sign.reference or not rule.strict:
                yield sign.pattern, _Use(index, sign.category, sign.id, sign=sign)
    else:
        seen: set[str] = set()
        for order, word in enumerate(rule.detect):
            for detector in named(word):
                if detector.name not in seen:
                    seen.add(detector.name)
                    # Asked for by its family's name, it is called by its family's label.
                    family = detectors().get(detector.family) if detector.family == word.lower() else None
                    label = (family or detector).label
                    yield from _shapes(index, rule, detector, label, order)


def _shapes(index: int, rule: Rule, detector: Detector, label: str, order: int) -> Iterator[tuple[str, _Use]]:
    for shape in detector.shapes:
        if rule.strict and not shape.reference:
            continue
        if rule.min_score is not None:
            least = float(rule.min_score)
        else:
            least = 0.0 if shape.reference else DEFAULT_SCORE
        yield (
            shape.pattern,
            _Use(index, detector.name, label, order, detector, shape, least, strict=rule.strict),
        )


def _judged(
    use: _Use,
    text: str,
    first: int,
    last: int,
    place: tuple[int, int],
    whole: tuple[int, int],
    scan: _Scan,
) -> Match | None:
    """The value text[first:last] as the match of a rule, if it is one. place, whole: in the original."""
    if scan.label and use.detector is None:
        return None
    if use.keywords is not None:
        if not use.keywords.bounded(text, first, last):
            return None
        order = use.keywords.place(text[first:last])
        return Match(use.rule, *place, whole, use.kind, use.keywords.keywords[order], order)
    if use.detector is None or use.shape is None:
        return Match(use.rule, *place, whole, use.kind, use.label, sign=use.sign)
    if last - first == 12 and not use.strict and _UUID_END.search(text, max(0, first - _UUID_BEFORE), first):
        return None
    sure = 1.0
    least = max(use.least, DEFAULT_SCORE) if scan.label else use.least
    if least > 0 or not use.shape.reference:
        sure = score(use.detector, use.shape, text, first, last)
        if sure < least or sure <= 0:
            more_to_come = scan.undecided is not None and len(text) - last <= BEHIND
            if more_to_come and scan.undecided is not None and sure > 0 and sure + STEP >= least:
                scan.undecided.add(whole)
            return None
    secret = use.detector.kind == "secret"
    return Match(use.rule, *place, whole, use.kind, use.label, use.order, sure, secret)
