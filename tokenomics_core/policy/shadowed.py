"""Shadowed parts of a policy: what can never have an effect, because something else decides before it.

Told is only what holds for every text and every model. Two patterns that happen to find the same are not
compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import re2

from tokenomics_core.guard.detector import DEFAULT_SCORE
from tokenomics_core.guard.detectors import named
from tokenomics_core.guard.jailbreak import DEFAULT_THRESHOLD, REFERENCE
from tokenomics_core.guard.keywords import Keywords
from tokenomics_core.policy.document import quoted, step
from tokenomics_core.policy.regex import compile_pattern, found
from tokenomics_core.policy.schema import Policy, ProviderPolicy, Rule
from tokenomics_core.policy.unknown import PolicyWarning

_Placed = tuple[str, Rule]

_EVERYTHING = frozenset(("", ".*", ".*?", "^", "$", "^.*", ".*$", "^.*$", "(?s).*"))
"""Patterns that find every model, as people write them."""

MOST_COMPARISONS = 1_000_000
"""Of keywords with keywords; above it only equal ones are told."""

_DOUBT = 0.5
"""The lowest factor by which a message's role lowers what a sign of a jailbreak says."""


def shadowed(policy: Policy) -> list[PolicyWarning]:
    """Rules in the order of the document, then provider entries. The policy is a valid one."""
    own = _placed(policy.rules, "$")
    warnings = list(_rules([], own))
    for name, entries in policy.providers.items():
        for index, entry in enumerate(entries):
            warnings += _rules(own, _placed(entry.rules, step(step("$.providers", name), index)))
    return warnings + list(_entries(policy))


def _placed(rules: Sequence[Rule], path: str) -> list[_Placed]:
    return [(f"{path}.rules[{index}]", rule) for index, rule in enumerate(rules)]


def _rules(before: Sequence[_Placed], rules: Sequence[_Placed]) -> Iterator[PolicyWarning]:
    """before: rules that are looked at first, and told of elsewhere."""
    for index, (path, rule) in enumerate(rules):
        within = list(_within(rule, path))
        yield from within
        earlier = [*before, *rules[:index]]
        if why := _no_effect(rule, earlier, rules[index + 1 :]):
            yield PolicyWarning(path, why)
        else:
            told = {warning.path for warning in within}
            yield from (each for each in _parts(rule, path, earlier) if each.path not in told)


def _no_effect(rule: Rule, earlier: Sequence[_Placed], later: Sequence[_Placed]) -> str:
    """Why the whole rule has none; the empty string when it may have."""
    for path, other in earlier:
        if _same(other, rule):
            return f"does the same as {path}"
    for path, other in earlier:
        if _refuses(other, rule) and _covers(other, rule):
            return f"has no effect: {path} refuses everything that it finds"
        if _masks_alike(other, rule):
            return f"has no effect: {path} masks everything that it finds, and decides how it looks"
    for path, other in later if rule.action == "mask" else ():
        if _refuses(other, rule) and _covers(other, rule):
            return f"masks nothing that is passed on: {path} refuses everything that it finds"
    return ""


def _parts(rule: Rule, path: str, earlier: Sequence[_Placed]) -> Iterator[PolicyWarning]:
    """Single keywords and detectors of a rule that is not shadowed as a whole."""
    field = {"keyword": "keywords", "pii": "detect"}.get(rule.type, "")
    words: Sequence[str] = getattr(rule, field) if field else ()
    told: dict[int, str] = {}
    for other_path, other in earlier:
        if words and other.type == rule.type and _refuses(other, rule):
            for index, covered in enumerate(_covered(other, rule)):
                if covered:
                    told.setdefault(index, other_path)
    for index, other_path in sorted(told.items()):
        yield PolicyWarning(
            f"{path}.{field}[{index}]",
            f"{quoted(words[index])} has no effect: {other_path} refuses everything that it finds",
        )


def _covered(other: Rule, rule: Rule) -> list[bool]:
    """Of each keyword or detector of a rule, whether the other one finds it too."""
    if rule.type == "keyword":
        return _covered_keywords(other.keywords, rule.keywords)
    return [_covers(other, rule.model_copy(update={"detect": (word,)})) for word in rule.detect]


def _refuses(other: Rule, rule: Rule) -> bool:
    """Whether the other one fails wherever this one looks. One that may fail to be checked covers nothing."""
    return other.action == "fail" and other.on_error != "warn" and other.scope in (rule.scope, "both")


def _same(one: Rule, other: Rule) -> bool:
    alike = all(
        getattr(one, field) == getattr(other, field)
        for field in ("type", "action", "scope", "style", "restore", "restore_secrets", "on_error")
    )
    return alike and _covers(one, other) and _covers(other, one)


def _masks_alike(other: Rule, rule: Rule) -> bool:
    """Whether the other one masks the very same characters, and gives them back as this one does."""
    if not (other.action == rule.action == "mask" and other.scope in (rule.scope, "both")):
        return False
    if (other.restore, other.restore_secrets) != (rule.restore, rule.restore_secrets):
        return False
    if rule.type == "keyword":
        return rule.type == other.type and _folded(rule.keywords) == _folded(other.keywords)
    return _covers(other, rule)


# What one rule finds, and another does.


def _covers(other: Rule, rule: Rule) -> bool:
    """Whether the other one finds something in every text in which this one does."""
    if other.type != rule.type:
        return False
    if rule.type == "regex":
        return rule.pattern == other.pattern
    if rule.type == "keyword":
        return all(_covered_keywords(other.keywords, rule.keywords))
    if rule.type == "jailbreak":
        return _covers_jailbreak(other, rule)
    wider, wanted = _measures(other), _measures(rule)
    return bool(wanted) and all(shape in wider and wider[shape] <= least for shape, least in wanted.items())


def _measures(rule: Rule) -> dict[tuple[str, int], float]:
    """The detectors' shapes that a rule looks for, and the score from which on each counts."""
    measures: dict[tuple[str, int], float] = {}
    for word in rule.detect:
        for detector in named(word):
            for index, shape in enumerate(detector.shapes):
                if rule.strict and not shape.reference:
                    continue
                least = 0.0 if shape.reference else DEFAULT_SCORE
                measures[detector.name, index] = least if rule.min_score is None else float(rule.min_score)
    return measures


def _covers_jailbreak(other: Rule, rule: Rule) -> bool:
    if other.strict and not rule.strict:
        return False
    if other.threshold is None:
        return rule.threshold is None or float(rule.threshold) >= DEFAULT_THRESHOLD
    if rule.threshold is not None:
        return other.threshold <= rule.threshold
    # A pattern of the original counts whatever its score.
    lowest = min(sign.weight for sign in REFERENCE) * _DOUBT
    return float(other.threshold) <= min(DEFAULT_THRESHOLD, lowest)


def _covered_keywords(others: Sequence[str], keywords: Sequence[str]) -> list[bool]:
    """Of each keyword, whether one of the others is found wherever it is."""
    known = set(_folded(others))
    compared = others if len(others) * len(keywords) <= MOST_COMPARISONS else ()
    return [
        word.casefold() in known or any(_in_keyword(other, word) for other in compared) for word in keywords
    ]


def _in_keyword(word: str, keyword: str) -> bool:
    """Whether `word` is found wherever `keyword` is: it is a part of it that stands as a word."""
    if word.casefold() not in keyword.casefold():
        return False
    if len(word) == len(keyword):
        return True
    # A keyword's ends are bounded by what is around it: here by what makes it be found at all.
    before, after = (_neighbour(keyword[at]) for at in (0, -1))
    text = before + keyword + after
    own = Keywords((word,))
    return any(
        match.start() >= 1 and match.end() <= len(text) - 1 and own.bounded(text, match.start(), match.end())
        for match in re2.finditer(own.pattern, text)
    )


def _neighbour(end: str) -> str:
    return " " if not end.isascii() or end.isalnum() or end == "_" else "x"


def _folded(keywords: Sequence[str]) -> list[str]:
    return [keyword.casefold() for keyword in keywords]


# Within one rule.


def _within(rule: Rule, path: str) -> Iterator[PolicyWarning]:
    if rule.type == "keyword":
        yield from _keywords(rule, path)
    elif rule.type == "pii":
        yield from _detect(rule, path)


def _keywords(rule: Rule, path: str) -> Iterator[PolicyWarning]:
    folded = _folded(rule.keywords)
    first: dict[str, int] = {}
    for index, word in enumerate(folded):
        place = f"{path}.keywords[{index}]"
        if first.setdefault(word, index) != index:
            yield PolicyWarning(place, f"{quoted(rule.keywords[index])} stands twice; case does not count")
        elif rule.action != "mask" and len(folded) ** 2 <= MOST_COMPARISONS:
            # A longer word masks more.
            for other in dict.fromkeys(rule.keywords):
                if other.casefold() != word and _in_keyword(other, rule.keywords[index]):
                    yield PolicyWarning(
                        place, f"{quoted(rule.keywords[index])} adds nothing: {quoted(other)} is a part of it"
                    )
                    break


def _detect(rule: Rule, path: str) -> Iterator[PolicyWarning]:
    words = [word.lower() for word in rule.detect]
    found_by = {word: frozenset(detector.name for detector in named(word)) for word in words}
    for index, word in enumerate(words):
        place = f"{path}.detect[{index}]"
        wider = next((other for other in words if found_by[word] < found_by[other]), None)
        if word in words[:index]:
            yield PolicyWarning(place, f"{quoted(word)} stands twice")
        elif wider is not None:
            yield PolicyWarning(place, f"{quoted(word)} adds nothing: {quoted(wider)} finds it too")
        elif not _measures(rule.model_copy(update={"detect": (word,)})):
            yield PolicyWarning(place, f"{quoted(word)} finds nothing: no pattern of it is a strict one")


# Provider entries: the first one that matches a model has it.


def _entries(policy: Policy) -> Iterator[PolicyWarning]:
    before: list[tuple[str, str, ProviderPolicy]] = []
    for name, entries in policy.providers.items():
        for index, entry in enumerate(entries):
            path = step(step("$.providers", name), index)
            taker = next(((where, of) for where, of, other in before if _takes(other, entry)), None)
            if taker is not None:
                where, of = taker
                if of.casefold() == name.casefold():
                    why = f"no model reaches this entry: {where} matches first"
                else:
                    why = (
                        f"{where} matches first: only requests that are sent to {name}'s own host"
                        " reach this entry"
                    )
                yield PolicyWarning(path, why)
            before.append((path, name, entry))


def _takes(other: ProviderPolicy, entry: ProviderPolicy) -> bool:
    """Whether every model that matches the entry matches the other one."""
    if other.model_regex in _EVERYTHING and (other.model_regex or not other.model):
        return True
    if not (entry.model or entry.model_regex):
        return False
    by_name = not entry.model or entry.model == other.model or _finds(other.model_regex, entry.model)
    return by_name and entry.model_regex in ("", other.model_regex)


def _finds(pattern: str, model: str) -> bool:
    return bool(pattern) and found(compile_pattern(pattern), model)
