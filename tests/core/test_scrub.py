"""Scrubbing: the key is gone from what comes back, however it was cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.scrub import REPLACEMENT, StreamScrubber, scrub

# Few letters, those of the replacement among them, so that near misses and overlaps are common.
secrets = st.text("ab]D", min_size=1, max_size=5).map(str.encode)
pieces = st.lists(st.text("ab]D[", max_size=6).map(str.encode), max_size=12)


@pytest.mark.parametrize(
    ("data", "secret", "expected"),
    [
        (b"", b"k", b""),
        (b"nothing here", b"sk-1", b"nothing here"),
        (b"sk-1", b"sk-1", b"[REDACTED]"),
        (b"a sk-1 b sk-1", b"sk-1", b"a [REDACTED] b [REDACTED]"),
        (b"sk-1sk-1", b"sk-1", b"[REDACTED][REDACTED]"),
        (b"sk-1 is kept when no key was sent", b"", b"sk-1 is kept when no key was sent"),
        (b"\xff\x00sk-1\xfe", b"sk-1", b"\xff\x00[REDACTED]\xfe"),
        (b"SK-1", b"sk-1", b"SK-1"),
    ],
)
def test_scrub(data: bytes, secret: bytes, expected: bytes) -> None:
    assert scrub(data, secret) == expected


def test_what_holds_no_secret_is_not_copied() -> None:
    data = b"x" * 100
    assert scrub(data, b"sk-1") is data


@given(secrets | st.just(b""), pieces)
def test_any_cut_gives_what_the_whole_gives(secret: bytes, parts: list[bytes]) -> None:
    scrubber = StreamScrubber(secret)
    passed = b"".join([scrubber.feed(part) for part in parts])
    assert passed + scrubber.close() == scrub(b"".join(parts), secret)


@given(secrets, pieces)
def test_no_more_is_held_than_may_become_the_secret(secret: bytes, parts: list[bytes]) -> None:
    scrubber = StreamScrubber(secret)
    seen = passed = b""
    for part in parts:
        seen += part
        passed += scrubber.feed(part)
        rest = seen.split(secret)[-1]
        beginnings = [size for size in range(len(secret)) if rest.endswith(secret[:size])]
        assert scrub(seen, secret) == passed + secret[: max(beginnings)]


def test_after_the_end_nothing_is_held() -> None:
    scrubber = StreamScrubber(b"secret")
    assert scrubber.feed(b"my sec") == b"my "
    assert (scrubber.close(), scrubber.close()) == (b"sec", b"")
    assert scrubber.feed(b"ret") == b"ret"


def test_the_replacement_and_what_follows_make_no_new_secret() -> None:
    scrubber = StreamScrubber(b"]x")
    assert scrubber.feed(b"]x") == REPLACEMENT
    assert scrubber.feed(b"x") == b"x"


def test_a_secret_that_comes_byte_by_byte() -> None:
    scrubber = StreamScrubber(b"sk-secret")
    data = b"data: sk-secret\n\n"
    assert [bytes([byte]) for byte in data if scrubber.feed(bytes([byte])) == REPLACEMENT] == [b"t"]


@given(secrets, pieces)
def test_replacement_of_the_same_length_keeps_the_length(secret: bytes, parts: list[bytes]) -> None:
    scrubber = StreamScrubber(secret, b"*" * len(secret))
    passed = b"".join([*(scrubber.feed(part) for part in parts), scrubber.close()])
    whole = b"".join(parts)
    assert passed == whole.replace(secret, b"*" * len(secret))
    assert len(passed) == len(whole)
