from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("+0", 0.0),
        ("0s", 0.0),
        ("5s", 5.0),
        ("+5s", 5.0),
        ("-5s", -5.0),
        ("-1h30m", -5400.0),
        ("1m", 60.0),
        ("24h", 86400.0),
        ("1h30m", 5400.0),
        ("1h30m10.5s", 5410.5),
        ("30m1h", 5400.0),
        ("1m1m", 120.0),
        ("1.5h", 5400.0),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("250ms", 0.25),
        ("3us", 3e-6),
        ("3µs", 3e-6),
        ("3μs", 3e-6),
        ("7ns", 7e-9),
        ("0.9ns", 0.0),
        ("2562047h", 2562047 * 3600.0),
    ],
)
def test_reads_what_go_reads(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "write it like"),
        ("-", "write it like"),
        ("+-1s", "write it like"),
        ("--1s", "write it like"),
        ("h", "write it like"),
        (".s", "write it like"),
        (" 1s", "write it like"),
        ("1h-30m", "write it like"),
        ("1.5.5s", "has no unit"),
        ("5", "has no unit"),
        ("00", "has no unit"),
        ("1h30", "has no unit"),
        ("1s ", "unknown unit"),
        ("1 s", "unknown unit"),
        ("7d", 'unknown unit "d"'),
        ("7xd", "unknown unit"),
        ("1h30d", 'unknown unit "d"'),
        ("1mo", 'unknown unit "mo"'),
        ("1y", 'unknown unit "y"'),
        ("1H", 'unknown unit "H"'),
        ("1e3s", 'unknown unit "e"'),
        ("1,5h", 'unknown unit ","'),
        ("٣s", "write it like"),
        ("2562048h", "292 years"),
        ("9" * 5000 + "h", "292 years"),
        ("1s\n", "unknown unit"),
    ],
)
def test_refuses_everything_else(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^invalid duration") as caught:
        parse_duration(text)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


@given(st.integers(0, 1000), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_parts_add_up(hours: int, minutes: int, seconds: int, milliseconds: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s{milliseconds}ms"
    expected = hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    assert parse_duration(text) == pytest.approx(expected, rel=1e-12)
    assert parse_duration("-" + text) == -parse_duration(text)


@given(st.text("+-.0123456789nuµmshd ", max_size=12))
def test_any_text_is_a_number_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_duration(text), float)
