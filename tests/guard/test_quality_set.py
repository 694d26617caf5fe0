"""The labelled set is what it says it is, and the detectors find what is in a part of it."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from bench.guard_quality import Count, counted, together
from bench.guard_set import Label, Sentence, families, sentences
from bench.guard_set.systems import Finding, ours


@cache
def whole() -> tuple[Sentence, ...]:
    return tuple(sentences())


def test_a_seed_makes_one_set() -> None:
    again = tuple(sentences())
    assert again == whole()
    assert again[:200] != tuple(sentences(4)[:200])


def test_it_is_large_and_has_every_class() -> None:
    labels = Counter(label.family for sentence in whole() for label in sentence.labels)
    assert len(whole()) >= 3000
    assert sum(not sentence.labels for sentence in whole()) >= 1000
    named = {family for section in families().values() for family in section}
    assert set(labels) == named
    assert min(labels.values()) >= 30


def test_the_spans_are_those_of_values() -> None:
    values: dict[str, set[str]] = {}
    for sentence in whole():
        assert "[[" not in sentence.text.replace("[[1000", "").replace("[[[", "")
        last = 0
        for label in sentence.labels:
            assert last <= label.start < label.end <= len(sentence.text)
            last = label.end
            value = sentence.text[label.start : label.end]
            assert value == value.strip()
            values.setdefault(label.kind, set()).add(value)
    assert all(len(found) >= 5 for found in values.values())
    assert all(value[:2].isalpha() and "@" not in value for value in values["iban"])
    assert all(value.count("@") == 1 for value in values["email"])
    assert all("PRIVATE KEY-----" in value[-40:] for value in values["private_key"])


def test_the_detectors_find_what_is_there() -> None:
    chosen = sentences(11)[:600]
    counts, faults = counted(chosen, ours().find([sentence.text for sentence in chosen]))
    every = [family for section in families().values() for family in section]
    total = together(counts, {*every, *counts})
    told = "\n".join(f"{fault.family}: {fault.kind}" for fault in faults)
    assert total.f1 >= 0.95, told


@pytest.mark.parametrize(
    ("findings", "right", "wrong", "missed"),
    [
        ([Finding(2, 6, ("ssn",))], 1, 0, 0),
        ([Finding(2, 4, ("ssn",))], 1, 0, 0),
        ([Finding(2, 3, ("ssn",))], 0, 1, 1),
        ([Finding(0, 9, ("ssn",))], 0, 1, 1),
        ([Finding(2, 6, ("phone",))], 0, 1, 1),
        ([Finding(2, 6, ("phone", "ssn"))], 1, 0, 0),
        ([], 0, 0, 1),
        ([Finding(2, 6, ("ssn",), 0.4)], 0, 0, 1),
        ([Finding(2, 6, ("ssn",)), Finding(2, 6, ("ssn",))], 1, 0, 0),
        ([Finding(2, 6, ("ssn",)), Finding(3, 6, ("phone",))], 1, 0, 0),
        ([Finding(2, 6, ("ssn",)), Finding(2, 7, ("phone",))], 1, 1, 0),
    ],
)
def test_scoring(findings: list[Finding], right: int, wrong: int, missed: int) -> None:
    sentence = Sentence("a 1234 and more", (Label(2, 6, "ssn", "ssn"),))
    counts, _ = counted([sentence], [findings], threshold=0.5)
    assert together(counts, counts) == Count(right, wrong, missed)
