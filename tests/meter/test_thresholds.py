"""Telling once that a budget is nearly used up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.counters.question import Limit, Settled
from tokenomics_core.meter.thresholds import crossed, warning

TOKENS = Limit("tokens:total", "tokens", limit=1000)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (0, 799, False),
        (0, 800, True),
        (799, 801, True),
        (800, 900, False),
        (700, 5000, True),
        (900, 100, False),
    ],
)
def test_the_line_is_crossed_once(before: int, after: int, told: bool):
    assert crossed(TOKENS, Settled("tokens:total", before, after), 80) == told


def test_without_a_limit_there_is_no_line():
    assert not crossed(Limit("usd:total", "usd"), Settled("usd:total", 0, 10**12), 80)


@given(st.lists(st.integers(0, 400), max_size=20), st.integers(1, 100))
def test_in_one_window_it_is_told_at_most_once(amounts: list[int], percent: int):
    used, told = 0, 0
    for amount in amounts:
        told += crossed(TOKENS, Settled("tokens:total", used, used + amount), percent)
        used += amount
    assert told == (used * 100 >= 1000 * percent)


def test_the_words():
    day = Limit("usd:day", "usd", limit=2_000_000_000, name="daily")
    assert warning(day, Settled("usd:day", 0, 1_700_000_000), 80) == (
        '80 % of budget "daily" is used: $1.7000 of $2.0000'
    )
    assert warning(TOKENS, Settled("tokens:total", 0, 950), 90) == (
        "90 % of the budget tokens:total is used: 950 tokens of 1,000 tokens"
    )
