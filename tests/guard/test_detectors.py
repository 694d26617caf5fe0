"""Every detector of the folder keeps what its own data promises, and leaves everyday text alone."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenomics_core.guard.detector import DEFAULT_SCORE, Detector, Shape
from tokenomics_core.guard.detectors import GROUPS, REFERENCE, detectors, index, named, names
from tokenomics_core.guard.score import score

from .everyday_texts import EVERYDAY_TEXTS

Finding = tuple[int, int, float, bool]
"""Start, end, score, whether a reference shape found it."""

ALL = list(detectors().values())
SHAPES = [pytest.param(d, s, id=f"{d.name}-{n}") for d in ALL for n, s in enumerate(d.shapes)]
CHECKED = [pytest.param(d, s, id=f"{d.name}-{n}") for d in ALL for n, s in enumerate(d.shapes) if s.check]


def findings(detector: Detector, text: str) -> Iterator[Finding]:
    for shape in detector.shapes:
        pattern = re2.compile(shape.pattern)
        for match in pattern.finditer(text):
            start, end = match.span(pattern.groups)
            yield start, end, score(detector, shape, text, start, end), shape.reference


def spans(detector: Detector, text: str) -> list[tuple[int, int]]:
    """Of what counts by default; findings that overlap are one."""
    merged: list[tuple[int, int]] = []
    for start, end, sure, reference in sorted(findings(detector, text)):
        if not reference and sure < DEFAULT_SCORE:
            continue
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


@pytest.mark.parametrize("detector", ALL, ids=lambda d: d.name)
def test_a_detector_has_enough_examples(detector: Detector) -> None:
    family = any(other.family == detector.name for other in ALL)
    assert detector.shapes or family
    if detector.shapes:
        assert len(detector.found) >= 3
        assert len(detector.clean) >= 3
    assert detector.label
    assert all(word == word.lower() and word.strip() for word in (*detector.near, *detector.unlike))


@pytest.mark.parametrize(
    ("detector", "text"), [pytest.param(d, t, id=f"{d.name}-{n}") for d in ALL for n, t in enumerate(d.found)]
)
def test_it_finds_the_marked_value(detector: Detector, text: str) -> None:
    before, marked, after = re.fullmatch(r"([^«]*)«([^»]*)»([^«»]*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    assert spans(detector, before + marked + after) == [(len(before), len(before) + len(marked))]


@pytest.mark.parametrize(
    ("detector", "text"), [pytest.param(d, t, id=f"{d.name}-{n}") for d in ALL for n, t in enumerate(d.clean)]
)
def test_it_finds_nothing_in_clean_text(detector: Detector, text: str) -> None:
    assert [text[start:end] for start, end in spans(detector, text)] == []


@pytest.mark.parametrize(("detector", "shape"), SHAPES)
def test_a_shape_is_sound(detector: Detector, shape: Shape) -> None:
    assert re2.compile(shape.pattern).groups <= 1
    assert re2.compile(shape.pattern).search("") is None
    for value in (shape.score, shape.valid, shape.invalid):
        assert 0.0 <= value <= 1.0


@pytest.mark.parametrize("detector", ALL, ids=lambda d: d.name)
def test_everyday_text_holds_no_value(detector: Detector) -> None:
    """At a score of 0.5 nobody finds anything in it, the shapes of the original included."""
    found = [
        (text, text[start:end])
        for text in EVERYDAY_TEXTS
        for start, end, sure, _ in findings(detector, text)
        if sure >= DEFAULT_SCORE
    ]
    assert found == []


@pytest.mark.parametrize(("detector", "shape"), CHECKED)
@given(data=st.data())
@settings(max_examples=15, deadline=None, derandomize=True)
def test_a_check_accepts_or_refuses_whatever_matches(
    detector: Detector, shape: Shape, data: st.DataObject
) -> None:
    matching = st.from_regex(re.compile(shape.pattern, re.ASCII), fullmatch=True)
    text = data.draw(matching)
    match = re2.compile(shape.pattern).search(text)
    if match is not None:
        assert 0.0 <= score(detector, shape, text, *match.span(match.re.groups)) <= 1.0


def test_the_names_of_the_original_come_first_and_in_order() -> None:
    assert names()[: len(REFERENCE)] == REFERENCE
    assert all(any(shape.reference for shape in detectors()[name].shapes) for name in REFERENCE)


def test_a_name_finds_its_family() -> None:
    found = [detector.name for detector in named("National_ID")]
    assert found[0] == "national_id"
    assert {"uk_nino", "de_tax_id", "br_cpf", "in_pan"} <= set(found)
    assert [detector.name for detector in named("SSN")] == ["ssn"]


def test_a_group_is_all_detectors_of_a_kind() -> None:
    for group, kind in GROUPS.items():
        assert named(group.upper()) == tuple(d for d in ALL if kind is None or d.kind == kind)
    assert {"email", "ssn"} <= {detector.name for detector in named("personal")}


def test_all_names_are_known_and_no_other() -> None:
    assert all(named(name) for name in names() if name not in GROUPS)
    assert len(set(names())) == len(names())
    with pytest.raises(KeyError):
        named("shoe_size")


def test_detectors_that_contradict_each_other_are_refused() -> None:
    one = ALL[0]
    with pytest.raises(ValueError, match="two detectors"):
        index([one, one])
    with pytest.raises(ValueError, match="two detectors"):
        index([replace(one, name="all")])
    with pytest.raises(ValueError, match="lower case"):
        index([replace(one, name="SSN")])
    with pytest.raises(ValueError, match="no detector"):
        index([replace(one, family="nobody")])


WORDS = Detector("x", "X", "personal", (), near=("tax id", "ssn", "身份证"), unlike=("order",))


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("", 0.3),
        ("SSN: ", 0.65),
        ("tax_id=", 0.65),
        ("Tax-ID ", 0.65),
        ("assn ", 0.3),
        ("ssns ", 0.3),
        ("ssn" + " " * 45, 0.65),
        ("ssn" + " " * 46, 0.3),
        ("xssn" + " " * 45, 0.3),
        ("我的身份证号", 0.65),
        ("order ", 0.0),
        ("order ssn ", 0.3),
    ],
)
def test_words_before_a_value_count(before: str, expected: float) -> None:
    assert score(WORDS, Shape("v", score=0.3), before + "v and", len(before), len(before) + 1) == expected


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        (" is my SSN", 0.65),
        (" (tax id)", 0.65),
        ("ssn", 0.65),
        (" order", 0.3),
        (" my ssns", 0.3),
        (" " * 37 + "ssn", 0.65),
        (" " * 37 + "ssns", 0.3),
        (" " * 38 + "ssn", 0.3),
    ],
)
def test_words_behind_a_value_raise_its_score(behind: str, expected: float) -> None:
    assert score(WORDS, Shape("v", score=0.3), "a v" + behind, 2, 3) == expected


def test_what_a_check_refuses_no_word_brings_back() -> None:
    shape = Shape("v", check=lambda value: False)
    assert score(WORDS, shape, "ssn v", 4, 5) == 0.0


def test_the_detectors_import_without_stdnum() -> None:
    code = (
        "import sys; from tokenomics_core.guard.detectors import names; assert names();"
        "assert not any(m.split('.')[0] == 'stdnum' for m in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
