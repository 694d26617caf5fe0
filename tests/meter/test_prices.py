"""What usage costs at a price."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.dialects.base import Usage
from tokenomics_core.meter.prices import CLASSES, Price, Prices, Tier, assumed, cost, upper_bound

PRICES = Prices()
BEFORE = datetime(2025, 5, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def usage(total_in=0, out=0, cached=0, created=0, reasoning=0):
    return Usage(total_in, out, cached, created, reasoning)


@pytest.mark.parametrize(
    ("provider", "model", "at", "used", "usd"),
    [
        # 800 x 2.50 + 200 x 1.25 + 500 x 10.00
        ("openai", "gpt-4o", NOW, usage(1000, 500, cached=200), "0.00725"),
        # 1000 x 2.00 + 2000 x 8.00, of which 1500 are reasoning
        ("openai", "o3", NOW, usage(1000, 2000, reasoning=1500), "0.018"),
        # 1000 x 10.00 + 2000 x 40.00, before the price cut of 2025-06-10
        ("openai", "o3", BEFORE, usage(1000, 2000, reasoning=1500), "0.09"),
        # 1000 x 3.00 + 6000 x 0.30 + 3000 x 3.75 + 1000 x 15.00
        ("anthropic", "claude-sonnet-4-5", NOW, usage(10_000, 1000, cached=6000, created=3000), "0.03105"),
        # 200,000 x 1.25 + 1000 x 10.00: not above the limit yet
        ("google_gemini", "gemini-2.5-pro", NOW, usage(200_000, 1000), "0.26"),
        # 200,001 x 2.50 + 1000 x 15.00: one above, and every token costs more
        ("google_gemini", "gemini-2.5-pro", NOW, usage(200_001, 1000), "0.5150025"),
        # Cached tokens count towards the limit: 200,000 x 2.50 + 50,000 x 0.25 + 1000 x 15.00
        ("google_gemini", "gemini-2.5-pro", NOW, usage(250_000, 1000, cached=50_000), "0.5275"),
        ("openai", "text-embedding-3-small", NOW, usage(1_000_000), "0.02"),
        # 0.014 for the request + 1000 x 3.00 + 1000 x 15.00
        ("perplexity", "sonar-pro", NOW, usage(1000, 1000), "0.032"),
        # 1000 x 2.00 + 1000 x 8.00 + 1000 x 3.00 for reasoning
        ("perplexity", "sonar-deep-research", NOW, usage(1000, 2000, reasoning=1000), "0.013"),
        ("openrouter", "deepseek/deepseek-r1:free", NOW, usage(1000, 1000), "0"),
    ],
)
def test_hand_computed(provider, model, at, used, usd):
    price = PRICES.price(provider, model, at)
    assert price is not None
    result = cost(price, used)
    assert result.usd == Decimal(usd)
    assert tuple(result.by_class) == CLASSES
    assert sum(result.by_class.values()) == result.usd


def test_by_class():
    price = PRICES.price("anthropic", "claude-sonnet-4-5", NOW)
    used = usage(10_000, 1000, cached=6000, created=3000, reasoning=400)
    assert cost(price, used).by_class == {
        "input": Decimal("0.003"),
        "cached_input": Decimal("0.0018"),
        "cache_creation": Decimal("0.01125"),
        "output": Decimal("0.009"),
        "reasoning": Decimal("0.006"),
        "request": Decimal(0),
    }


def test_batch_costs_what_the_table_says():
    price = PRICES.price("openai", "gpt-4o", NOW)
    used = usage(1000, 500, cached=200)
    # 800 x 1.25 + 200 x 1.25 (cached input has no batch rate) + 500 x 5.00
    assert cost(price, used, batch=True).usd == Decimal("0.00375")
    assert price.batch.id == "genai-prices:openai/gpt-4o+batch"
    assert upper_bound(price, 1000, 500, batch=True) == Decimal("0.00375")


def test_batch_without_a_rate_of_its_own_costs_the_same():
    price = assumed("1", "2")
    assert cost(price, usage(10, 10), batch=True) == cost(price, usage(10, 10))


@pytest.mark.parametrize(
    ("used", "usd"),
    [
        (Usage(), "0"),
        (Usage(input_tokens=0, output_tokens=0), "0"),
        (Usage(input_tokens=None, output_tokens=10), "0.00002"),
        # The parts without their total, and parts above it: they are billed, and nothing twice.
        (Usage(cached_input_tokens=10), "0.00001"),
        (Usage(input_tokens=5, cached_input_tokens=10, cache_creation_tokens=10), "0.00002"),
        (Usage(output_tokens=5, reasoning_tokens=10), "0.00002"),
        (Usage(input_tokens=-5, output_tokens=-5), "0"),
    ],
)
def test_counts_that_are_missing_or_do_not_agree(used, usd):
    assert cost(assumed(1, 2), used).usd == Decimal(usd)


def test_no_rounding_at_the_precision_of_the_thread():
    price = assumed("999999.123456789012", 0)
    tokens = 987_654_321_987_654_321
    exact = Fraction(price.input) * tokens / 1_000_000
    assert Fraction(cost(price, usage(tokens)).usd) == exact


def test_assumed_names_its_rates():
    price = assumed(30, "60.5")
    assert (price.id, price.source, price.as_of) == ("assumed:30/60.5", "assumed", None)
    assert (price.input, price.cached_input, price.cache_creation) == (30, 30, 30)
    assert price.output == Decimal("60.5")
    assert assumed("1E+2", 0).id == "assumed:100/0"


amounts = st.decimals(0, 1000, places=6)
counts = st.integers(0, 10_000_000)
few = st.integers(0, 400)
rates = st.fixed_dictionaries(
    {
        "input": amounts,
        "cached_input": amounts,
        "cache_creation": amounts,
        "output": amounts,
        "reasoning": st.none() | amounts,
    }
)


@st.composite
def prices(draw, *, rising=False):
    """rising: no rate of a higher tier is below that of a lower one."""
    base = draw(rates)
    tiers = []
    for above in sorted(draw(st.sets(few, max_size=2))):
        last = tiers[-1] if tiers else None
        if rising:
            more = draw(st.integers(1, 3))
            lower = {name: getattr(last, name) if last else base[name] for name in base}
            values = {name: None if rate is None else rate * more for name, rate in lower.items()}
        else:
            values = draw(rates)
        tiers.append(Tier(above=above, **values))
    return Price(id="test:x", source="test", request=draw(amounts), tiers=tuple(tiers), **base)


@st.composite
def usages(draw, count=counts):
    plain, cached, created, answer, reasoning = (draw(count) for _ in range(5))
    return usage(plain + cached + created, answer + reasoning, cached, created, reasoning)


@given(prices(), usages() | usages(few))
def test_classes_add_up_to_the_exact_sum(price, used):
    result = cost(price, used)
    at = price.rates(used.input_tokens)
    plain = used.input_tokens - used.cached_input_tokens - used.cache_creation_tokens
    reasoning = at.output if at.reasoning is None else at.reasoning
    per_million = (
        Fraction(at.input) * plain
        + Fraction(at.cached_input) * used.cached_input_tokens
        + Fraction(at.cache_creation) * used.cache_creation_tokens
        + Fraction(at.output) * (used.output_tokens - used.reasoning_tokens)
        + Fraction(reasoning) * used.reasoning_tokens
    )
    assert Fraction(result.usd) == per_million / 1_000_000 + Fraction(price.request)
    assert sum(result.by_class.values()) == result.usd
    assert all(isinstance(amount, Decimal) and amount >= 0 for amount in result.by_class.values())


@given(
    prices(rising=True),
    usages(few),
    few,
    st.sampled_from(
        [
            ("input_tokens",),
            ("input_tokens", "cached_input_tokens"),
            ("input_tokens", "cache_creation_tokens"),
            ("output_tokens",),
            ("output_tokens", "reasoning_tokens"),
        ]
    ),
)
def test_more_tokens_of_a_class_never_cost_less(price, used, more, counts):
    before = cost(price, used).usd
    for name in counts:
        setattr(used, name, getattr(used, name) + more)
    assert cost(price, used).usd >= before


@given(prices())
def test_no_tokens_cost_the_request(price):
    assert cost(price, usage()).usd == cost(price, Usage()).usd == price.request == upper_bound(price, 0, 0)


@given(prices(), usages(few), few, few)
def test_nothing_within_the_counts_exceeds_the_upper_bound(price, used, more_in, more_out):
    bound = upper_bound(price, used.input_tokens + more_in, used.output_tokens + more_out)
    assert cost(price, used).usd <= bound


def test_upper_bound_of_a_request():
    price = PRICES.price("anthropic", "claude-sonnet-4-5", NOW)
    # All of the input may be written to the cache: 1000 x 3.75 + 100 x 15.00
    assert upper_bound(price, 1000, 100) == Decimal("0.00525")
    assert upper_bound(PRICES.price("openai", "gpt-4o", NOW), 1000, 100) == Decimal("0.0035")
