"""Beginnings of matches: complete for every match, and tight enough that ordinary text flows on."""

from __future__ import annotations

import time
from typing import Any

import pytest
import re2
from hypothesis import example, given
from hypothesis import strategies as st

from tokenomics_core.guard.partial import Beginnings, beginnings


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def _assert_all_beginnings(pattern: str, text: str) -> int:
    """Checks each beginning of each match, in its place; gives the number of matches."""
    data = text.encode()
    begun = _compiled(beginnings(pattern))
    held = Beginnings([pattern])
    count = 0
    for match in _compiled(pattern).finditer(data):
        count += 1
        start, end = match.span()
        for cut in range(start, end + 1):
            if cut < len(data) and data[cut] & 0xC0 == 0x80:
                continue
            found = begun.fullmatch(data[:cut], start)
            assert found is not None, (pattern, text, data[start:cut])
            assert held.hold(data[:cut]) <= start
    return count


MATCHES = [
    (r"\b\d{3}-\d{2}-\d{4}\b", "a 123-45-6789 b"),
    (r"\b(?:\+?1[-.\s]?)?\(?\d{3}\)?[-.\s]?\d{3}[-.\s]?\d{4}\b", "1-(555) 123-4567"),
    (r"\b(?:mongodb|postgres|mysql|redis)://[^\s]+\b", "see postgres://u:p@h/db."),
    (r"-----BEGIN (?:RSA |EC |DSA )?PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----"),
    (r"(?i)(act\s+as|you\s+are)\s+(\w+\s+)*(evil|hacker)", "You are now a very Evil hacker"),
    (r"(?i)\bdrop table\b", "x DROP table y"),
    ("a(?i)b|c", "aB C"),
    ("(?:a(?i)b|c)d", "aBd Cd"),
    ("(?i:a)b|(?i)c(?-i)D", "Ab CD"),
    ("(?s-m:a.b)", "a\nb"),
    ("(?ms)^a.b$\nc", "x\na\nb\nc"),
    ("(?m)^a$", "b\na\nb"),
    ("(?U)a+b", "aaab"),
    ("a+?b*?c??d{2,3}?", "aabcddd"),
    ("^ab|\\Acd", "cd"),
    ("ab$", "ab"),
    ("ab\\z", "ab"),
    (r"a\Bb\b c", "ab c"),
    (r"\Bbc", "abc"),
    (r"(?:a\B)b", "ab"),
    (r"(?:\bfoo\b ?)+!", "foo foo!"),
    (r"\x41\x{1F600}\101\012\a\f\t\n\r\v\.", "A😀A\n\a\f\t\n\r\v."),
    (r"\0(?:1)2", "\0" + "12"),
    (r"\Qa.*b\E+c", "a.*bbc"),
    (r"x\Q[(\\", "x[(\\\\"),
    (r"x\Qa\E{2}", "xaa"),
    (r"a\Q\E+b", "aab"),
    (r"\d\D\w\W\s\S", "1xa! b"),
    (r"\pL\p{Greek}\PN\P{Greek}\p{^Lu}", "éβxyz"),
    (r"[[:alpha:]]+[[:^digit:]][^a-c]", "abc!d"),
    (r"[]a]+[^]b]x", "]a]cx"),
    (r"[a\]\-\x{e9}\d-]+z", "a]-é1z"),
    (r"[\pL-]+!", "é-a!"),
    (r"[!-[:a]x]", "[x]"),
    (r"[\d-[:alpha:]]+!", "1a-!"),
    (r"[a-]+[-z]+!", "a-z!"),
    (r"[[:x]+y", "[:xy"),
    (r"(?P<one>a)(?<two>b)(c)", "abc"),
    ("a{,3}b{x}{c", "a{,3}b{x}{c"),
    ("a{01}", "a{01}"),
    ("(a|bc)*d{2,}(?:ef){0}g{0}h{1}", "bcaddh"),
    ("(?:ab){2,3}(?:cd)?(?:ef)+x", "abababcdefefx"),
    ("(?:ab){1,1}c", "abc"),
    ("x{2}(?i){3}", "xxxxxx"),
    ("(?:|a)(?:b|)c", "abc"),
    ("", "a"),
    ("(?:)", "a"),
    (r"\b*a^*b", "ab"),
    ("(?:foo|foobar|fob|)x", "foobarx"),
    ("Straße|日本語|é+", "die Straße, 日本語, éé"),
    ("(?i)straße|k+", "STRAẞE \u212akK"),
]


@pytest.mark.parametrize(("pattern", "text"), MATCHES)
def test_every_beginning_of_a_match_is_a_beginning(pattern: str, text: str) -> None:
    assert _assert_all_beginnings(pattern, text) > 0


@pytest.mark.parametrize(
    ("pattern", "text", "start"),
    [
        (r"\d{3}-\d{2}", "abc 12", 4),
        (r"\d{3}-\d{2}", "abc 123-", 4),
        (r"\d{3}-\d{2}", "abc 1234-", 5),
        (r"\d{3}-\d{2}", "abc 1x", 6),
        (r"\d{3}-\d{2}", "abc 123-45", 4),
        (r"\d{3}-\d{2}", "abc 123-45 ", 11),
        (r"\b\d{3}", "a12", 3),
        (r"\B\d{3}", "a12", 1),
        (r"foo\b", "foo", 0),
        (r"foo\b", "foox", 4),
        (r"foo\bbar", "foob", 4),
        ("^foo", "fo", 0),
        ("^foo", " fo", 3),
        ("(?m)^foo", "x\nfo", 2),
        ("(?i)foo", "a FO", 2),
        ("foo", "a FO", 4),
        ("a(?i)b|c", "xC", 1),
        ("(?:a(?i)b|c)d", "cX", 2),
        ("(?:a(?i)b)d", "aBD", 3),
        ("foo.*bar", "foo baz", 0),
        ("foo.*bar", "foo baz\n", 8),
        ("(?s)foo.*bar", "foo baz\n", 0),
        ("a{2,3}b", "aaaa", 1),
        ("(?:ab){2}c", "abababx", 7),
        ("(?:ab){2}c", "ababab", 2),
        ("[^a]b", "a", 1),
        ("ab|abc|b", "ab", 0),
        ("aab", "aaa", 1),
        ("", "abc", 3),
        ("abc", "", 0),
        ("a|a||", "-a", 1),
    ],
)
def test_nothing_but_beginnings_is_held(pattern: str, text: str, start: int) -> None:
    assert Beginnings([pattern]).hold(text.encode()) == start


def test_the_longest_of_all_beginnings_counts() -> None:
    patterns = Beginnings(["34", r"\b123", "23x"])
    assert patterns.hold(b"0 123") == 2
    assert patterns.hold(b"0123") == 2
    assert patterns.hold(b"0124") == 4
    assert patterns.hold(b"01 3") == 3


def test_without_patterns_nothing_is_held() -> None:
    assert Beginnings([]).hold(b"abc", 1) == 3


def test_what_was_passed_on_counts_only_as_the_character_before() -> None:
    assert Beginnings(["abc"]).hold(b"xab", 2) == 3
    assert Beginnings(["abc"]).hold(b"xab", 1) == 1
    assert Beginnings([r"\bbc"]).hold(b"ab", 1) == 2
    assert Beginnings([r"\Bbc"]).hold(b"ab", 1) == 1
    assert Beginnings(["^bc"]).hold(b"ab", 1) == 2
    assert Beginnings(["(?m)^bc"]).hold(b"a\nb", 2) == 2


def test_places_are_in_bytes() -> None:
    text = "日本 é 12".encode()
    assert Beginnings([r"\d{3}"]).hold(text) == len(text) - 2


@pytest.mark.parametrize(
    "pattern",
    [
        *["(", ")", "a**", "[a", "(?=a)", "(?<!a)b", r"a\1", "(?P=n)", r"\Cab", "a{1001}", r"\8", "\udc80"],
        "(" * 5000 + ")" * 5000,
    ],
    ids=range(13),
)
def test_a_pattern_that_cannot_be_told_holds_everything(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"RE2|deep"):
        beginnings(pattern)
    assert Beginnings(["x", pattern]).hold(b"abcdef", 2) == 2


def test_a_class_may_be_quoted_before_a_byte_escape() -> None:
    assert _assert_all_beginnings(r"\Q\C\E", r"a \C") == 1


# Patterns over a small alphabet, so that random texts hold many matches.
ATOMS = st.sampled_from(
    ["a", "b", "é", "-", ".", r"\w", r"\pL", "[ab]", "[^a]", r"\x61", "(?i:B)", "(?s:.)", r"\Qa-\E"]
)
ASSERTIONS = st.sampled_from([r"\b", r"\B", "^", "$", "(?m:^)", "(?m:$)", r"\A", r"\z"])
OPERATORS = st.sampled_from(["", "*", "+", "?", "{2}", "{0}", "{1,2}", "{2,}", "{0,2}", "*?", "+?", "{2,3}?"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    group = st.tuples(st.sampled_from(["(?:", "(", "(?i:", "(?ms:", "(?P<n>", "(?i)(?:"]), inner, OPERATORS)
    return st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=4).map(lambda branches: f"(?:{'|'.join(branches)})"),
        group.map(lambda parts: f"{parts[0]}{parts[1]}){parts[2]}".replace("(?P<n>", "(")),
    )


LEAVES = st.one_of(
    st.tuples(ATOMS, OPERATORS).map("".join),
    ASSERTIONS,
    st.sampled_from(["", "(?i)", "(?-i)", "(?s)", "(?m)"]),
)
PATTERNS = st.recursive(LEAVES, _grown, max_leaves=12)
TEXTS = st.text(alphabet="aaabbBé- \n", max_size=16)


@given(PATTERNS, TEXTS)
@example(r"(?:a\B|\b-)+b", "a-ab")
@example(r"(?:(?:a$|\n)b?)*-", "a\nb-")
def test_every_beginning_of_random_matches_is_a_beginning(pattern: str, text: str) -> None:
    try:
        _compiled(pattern)
    except re2.error:
        return
    _assert_all_beginnings(pattern, text)


LITERAL = st.text(alphabet="ab-", min_size=1, max_size=6)


@given(st.lists(LITERAL, min_size=1, max_size=6), st.text(alphabet="ab-", max_size=12), st.integers(0, 12))
def test_words_are_held_exactly_as_far_as_they_begin(words: list[str], text: str, since: int) -> None:
    since = min(since, len(text))
    expected = next(at for at in range(since, len(text) + 1) if any(w.startswith(text[at:]) for w in words))
    assert Beginnings(words).hold(text.encode(), since) == expected
    assert Beginnings(["|".join(words)]).hold(text.encode(), since) == expected


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("a{1000}b", "a" * 1000 + "b"),
        ("(?:a{10}){100}b", "a" * 1000 + "b"),
        ("a" * 1500, "a" * 1500),
        ("(?s)<.{0,1000}>", "<" + "é" * 999 + ">"),
    ],
)
def test_long_matches(pattern: str, text: str) -> None:
    held = Beginnings([pattern])
    data = ("- " + text).encode()
    for cut in [2, 3, 500, 900, len(data) - 1, len(data)]:
        assert held.hold(data[:cut].decode(errors="ignore").encode()) <= 2
    assert held.hold(data + b" -") == len(data) + 2 or pattern.startswith("(?s)")


def test_a_pattern_too_large_for_its_limits_is_held_without_them() -> None:
    held = Beginnings([r"<[\pL\pN]{2,400}>", r"\d{3}-\d"])
    assert held.hold(("<" + "é" * 300).encode()) == 0
    assert held.hold(b"<ab> 12") == 5
    assert held.hold(b"<ab! ") == 5


COUNTERS = r"(?i:(?:\b|_)heroku)(?:[^a-z][^\x00]{0,40}?)?\b([0-9a-f]{8}(?:-[0-9a-f]{4}){3})!"


@pytest.mark.parametrize(
    ("text", "since", "start"),
    [
        ("a _Hero", 0, 2),
        ("a _Heroku", 0, 2),
        ("a _Heroku", 3, 9),
        ("a  heroku", 3, 3),
        ("a heroku: x", 0, 2),
        ("a heroku: x", 2, 2),
        ("a heroku: x", 3, 11),
        ("xheroku: x", 1, 10),
        ("a heroku: " + "x" * 39, 0, 2),
        ("a heroku: " + "x" * 42, 0, 52),
        ("a heroku: " + "x" * 30 + " 0123abcd-0123-45", 0, 2),
        ("a heroku: " + "x" * 30 + " 0123abcd-0123-4567-89ab!", 0, 2),
        ("a heroku: " + "x" * 30 + " 0123abcd-0123-4567-89ab?", 0, 65),
    ],
)
def test_counters_behind_a_word_that_was_found(text: str, since: int, start: int) -> None:
    assert Beginnings([COUNTERS, "zzz"]).hold(text.encode(), since) == start


def test_every_beginning_of_a_match_with_counters() -> None:
    assert _assert_all_beginnings(COUNTERS, "see Heroku=" + "-" * 40 + "0123abcd-0123-4567-89ab!") == 1
    pattern = rf"(?:{COUNTERS[:-1]})+"
    assert _assert_all_beginnings(pattern, "heroku: 0123abcd-0123-4567-89ab") == 1


@pytest.mark.long
def test_thousands_of_words_share_their_beginnings() -> None:
    words = [f"{'abcdefgh'[n % 8]}word{n * 7919 % 100_000}" for n in range(10_000)]
    pattern = r"(?i)(?:" + "|".join(rf"\b{word}\b" for word in words) + ")"
    started = time.perf_counter()
    source = beginnings(pattern)
    assert len(source) < 40 * len(pattern)
    held = Beginnings([pattern])
    assert time.perf_counter() - started < 60
    assert held.hold(b"x aWORD") == 2
    assert held.hold(b"x aWORX") == 7
    assert held.hold(b"prose and " * 6_000 + words[17].encode()) == 60_000


def test_time_is_linear_in_the_text() -> None:
    held = Beginnings([r"(?i)(act\s+as|you\s+are)\s+(\w+\s+)*(evil|hacker)", r"(?:a*)*b", r"(?:\w+\s?)*!"])
    text = b"you are " + b"word " * 200_000
    started = time.perf_counter()
    assert held.hold(text) == 0
    assert time.perf_counter() - started < 5
