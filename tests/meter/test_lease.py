"""What a request takes of its limits, and how it is counted while it streams."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.counters.question import Claim, Granted, Limit, Standing
from tokenomics_core.dialects.base import Answer, Usage
from tokenomics_core.meter.largest_answer import largest_answer
from tokenomics_core.meter.lease import Lease, Rate, amounts, claims, nano, rate_of, usd
from tokenomics_core.meter.prices import Prices, cost

TOKENS = Limit("tokens:total", "tokens", limit=1000)
MONEY = Limit("usd:total", "usd", limit=10**9)
REQUESTS = Limit("rate:requests:sliding:60000", "requests", limit=10)
PRICES = Prices({"cheap": {"input": 1, "output": 2}, "dear": {"input": "0.5", "output": 40, "reasoning": 60}})


def price(name: str):
    from datetime import UTC, datetime

    return PRICES.price("openai", name, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("dollars", "units"),
    [("0", 0), ("1", 10**9), ("0.0000000001", 1), ("0.0000000011", 2), ("12.5", 12_500_000_000)],
)
def test_a_part_of_a_billionth_is_paid_whole(dollars: str, units: int):
    assert nano(Decimal(dollars)) == units


@given(st.decimals(0, 10_000, places=12))
def test_what_is_counted_is_never_less_than_what_it_cost(dollars: Decimal):
    assert dollars <= usd(nano(dollars)) < dollars + Decimal("1e-9")


def test_each_limit_is_asked_in_its_unit():
    asked = claims((REQUESTS, TOKENS, MONEY), 100, Rate(5000, 20), 2)
    assert [(claim.base, claim.per_token) for claim in asked] == [(1, 0), (100, 2), (5000, 40)]


def test_the_dearest_of_the_models_that_may_answer_is_reserved_for():
    assert rate_of([price("cheap"), price("dear"), None], 1000) == Rate(1_000_000, 60_000)
    assert rate_of([], 1000) == Rate()


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 10_000))
def test_no_bill_within_the_counts_is_above_what_is_reserved(tokens_in: int, tokens_out: int, thought: int):
    rate = rate_of([price("dear")], tokens_in)
    usage = Usage(tokens_in, tokens_out, 0, 0, min(thought, tokens_out))
    bill = cost(price("dear"), usage).usd  # type: ignore[arg-type]
    assert nano(bill) <= rate.input_usd + rate.output_usd * tokens_out


def test_what_was_used_is_told_for_tokens_and_money_only():
    used = amounts((REQUESTS, TOKENS, MONEY), 30, Decimal("0.002"))
    assert used == ((TOKENS, 30), (MONEY, 2_000_000))
    assert amounts((MONEY,), 30, None) == ((MONEY, 0),)


def lease(granted: int = 100, **changes: object) -> Lease:
    values: dict[str, object] = {"left": 900, "slice": 100, **changes}
    return Lease((Claim(TOKENS, 50, 1), Claim(MONEY, 10, 7)), 50, granted, **values)  # type: ignore[arg-type]


def test_new_pieces_are_counted_once():
    answer, held = Answer(), lease()
    for piece in ("a", "bb", "ccc"):
        answer.add_text(piece)
        held.count(answer, len)
    held.count(answer, len)
    assert held.counted == 6
    assert dict(held.progress()) == {"tokens:total": 56, "usd:total": 52}


def test_the_providers_own_word_counts_where_it_is_more():
    answer, held = Answer(usage=Usage(70, 40)), lease()
    answer.add_text("abc")
    held.count(answer, len)
    # 20 tokens of input more than estimated are taken from the output's room.
    assert held.counted == 60


def test_models_that_cut_text_by_themselves_are_counted_with_a_reserve():
    answer, held = Answer(), lease(over=1.25)
    answer.add_text("abcdefgh")
    held.count(answer, len)
    assert held.counted == 10


def test_more_is_asked_for_when_three_quarters_are_used():
    held = lease()
    held.counted = 74
    assert not held.short
    held.counted = 75
    assert held.short
    held.extended(Granted(100, 700))
    assert not held.short
    assert (held.granted, held.slice, held.left) == (200, 200, 700)


@pytest.mark.parametrize(("counted", "short"), [(100, False), (101, True)])
def test_what_has_its_whole_answer_asks_for_no_more(counted: int, short: bool):
    held = lease(most=100)
    held.counted = held.shown = counted
    assert held.short == short


def test_without_a_limit_a_stream_still_tells_what_a_crash_would_leave():
    answer, held = Answer(), lease(left=None)
    answer.add_text("x" * 222)
    held.count_roughly(answer)
    assert not held.short
    answer.add_text("xxx")
    held.count_roughly(answer)
    assert held.counted == 75
    assert held.short
    held.unextended()
    assert not held.short


def test_without_a_limit_a_whole_answer_asks_for_nothing():
    held = lease(left=None, slice=0)
    held.counted = 10**6
    assert not held.short


def test_the_free_room_is_that_of_the_tightest():
    tokens, money = Standing("tokens:total", 1000, 100, 200), Standing("usd:total", 10**9, 0, 10**9 - 70)
    assert lease().free((tokens, money)) == 10
    assert lease().free(()) is None


@pytest.mark.parametrize(
    ("model", "most"),
    [
        ("gpt-4o-mini", 16_384),
        ("openai/gpt-4o-2024-05-13", 4_096),
        ("gpt-5-mini", 128_000),
        ("GPT-4-turbo", 4_096),
        ("claude-3-haiku-20240307", 4_096),
        ("claude-sonnet-4-5", 64_000),
        ("gemini-2.5-pro", 65_536),
        ("llama3", None),
        ("", None),
    ],
)
def test_the_longest_answer_of_a_model(model: str, most: int | None):
    assert largest_answer(model) == most
