"""A head matches wherever its pattern does."""

from __future__ import annotations

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guard.jailbreak_texts import ATTACKS
from tokenomics_core.guard.detectors import detectors
from tokenomics_core.guard.jailbreak import signs
from tokenomics_core.guard.patterns import PatternSet
from tokenomics_core.guard.prefilter import head


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"\bsk-proj-[A-Za-z0-9_-]{40,}", r"\bsk\-proj\-[A-Za-z0-9_-]{6}"),
        (r"(?:AKIA|ASIA)[0-9A-Z]{16}\b", r"(?:AKIA|ASIA)[0-9A-Z]{6}"),
        (r"\b\d{3}-\d{2}-\d{4}\b", r"\b\d{3}\-\d{2}\-\d{4}\b"),
        (r"[a-z0-9]{40}x", "[a-z0-9]{24}"),
        (r"(?:ab|cd{30,})x", r"(?:ab|cd{24})"),
        ("a*b", "a*b"),
        (r"foo.{0,50}bar", "foo"),
        (r"\C", r"\C"),
    ],
)
def test_heads(pattern: str, expected: str) -> None:
    assert head(pattern) == expected


_atoms = st.sampled_from(["a", "b", "abc", "abcd", r"\d", "[ab]", r"\b", "(?i:B)", ".", "^", "$", "-"])
_patterns = st.recursive(
    _atoms,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4).map("".join)
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})")
        | st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{7}", "{0,9}", "{8,}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        )
    ),
    max_leaves=8,
)


@settings(max_examples=500, deadline=None)
@given(_patterns, st.text("abcABd1-\n ", max_size=24))
def test_no_match_is_missed(pattern: str, text: str) -> None:
    for match in re2.finditer(pattern, text):
        assert re2.compile(head(pattern)).match(text, match.start()) is not None


def test_the_common_pass_names_every_pattern_that_matches() -> None:
    shapes = [shape.pattern for detector in detectors().values() for shape in detector.shapes]
    patterns = list(dict.fromkeys([*shapes, *(sign.pattern for sign in signs())]))
    groups = ["sign" if pattern in {sign.pattern for sign in signs()} else "" for pattern in patterns]
    common = PatternSet(patterns, groups)
    texts = [text.replace("«", "").replace("»", "") for each in detectors().values() for text in each.found]
    texts += [str(text) for attacks in ATTACKS.values() for text in attacks]
    found = 0
    for text in texts:
        data = text.encode()
        candidates = set(common.candidates(data))
        for index in range(len(patterns)):
            if next(common.spans(index, data), None) is not None:
                found += 1
                assert index in candidates, (patterns[index], text)
    assert found > len(texts)
