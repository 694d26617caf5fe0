"""Price: what a model costs, and what a request comes to at that price.

Every amount is a Decimal in USD. Rates are USD per 1,000,000 tokens and have at most DECIMALS decimals. Sums
are exact: they are never rounded, and an amount that could only be given rounded raises decimal.Inexact.
A small amount prints as ``5E-8``; format it with ``f"{usd:f}"``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Clamped, Context, Decimal, Inexact, InvalidOperation, Overflow

from tokenomics_core.dialects.base import Usage

CLASSES = ("input", "cached_input", "cache_creation", "output", "reasoning", "request")
"""What a cost is made of. Every token is in one class only: ``input`` has no cached tokens in it."""

DECIMALS = 12

ZERO = Decimal(0)
_PER_MILLION = -6
# Not the thread's context: that one rounds at 28 digits, and anybody may change it.
_EXACT = Context(prec=80, traps=[Clamped, Inexact, InvalidOperation, Overflow])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """USD per 1,000,000 tokens. reasoning: None means that it is billed as other output."""

    input: Decimal
    cached_input: Decimal
    cache_creation: Decimal
    output: Decimal
    reasoning: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier(Rates):
    """Rates of a whole request whose input, cached tokens included, is above that many tokens."""

    above: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(Rates):
    """What a model costs from one date on. A price of zero is a price: the model is free.

    id: names the row for good, such as ``genai-prices:openai/o3@2025-06-10``; without a date when the source
        gives none. A row that holds for hours of the day ends in them: ``@01:00-04:00``.
    source: where the row stands: ``config``, ``table``, ``assumed``, or genai-prices with its version.
    as_of: the date from which the row holds.
    request: USD for each request.
    tiers: by rising `Tier.above`; the rates of the price itself are for requests below all of them.
    batch: what the same costs in a batch, where that is less.
    unmetered: what else the source charges for and token counts do not show, by its names.
    """

    id: str
    source: str
    as_of: date | None = None
    request: Decimal = ZERO
    tiers: tuple[Tier, ...] = ()
    batch: Price | None = None
    unmetered: tuple[str, ...] = ()

    def rates(self, input_tokens: int) -> Rates:
        """The rates for a request with that much input, cached tokens included."""
        for tier in reversed(self.tiers):
            if input_tokens > tier.above:
                return tier
        return self


@dataclass(frozen=True, slots=True)
class Cost:
    """USD of one request. by_class: CLASSES to USD, all of them, adding up to usd exactly."""

    usd: Decimal
    by_class: dict[str, Decimal]


def cost(price: Price, usage: Usage, *, batch: bool = False) -> Cost:
    """What the usage costs. A count that is None costs nothing: whoever estimates puts a number there.

    Where the parts are more than their total (a provider that leaves cached tokens out of its input, say),
    the parts are billed as they are, and nothing else.
    """
    price = _in(price, batch)
    cached = _count(usage.cached_input_tokens)
    created = _count(usage.cache_creation_tokens)
    reasoning = _count(usage.reasoning_tokens)
    total_input = max(_count(usage.input_tokens), cached + created)
    total_output = max(_count(usage.output_tokens), reasoning)
    rates = price.rates(total_input)
    by_class = {
        "input": _amount(rates.input, total_input - cached - created),
        "cached_input": _amount(rates.cached_input, cached),
        "cache_creation": _amount(rates.cache_creation, created),
        "output": _amount(rates.output, total_output - reasoning),
        "reasoning": _amount(_reasoning(rates), reasoning),
        "request": price.request,
    }
    usd = ZERO
    for amount in by_class.values():
        usd = _EXACT.add(usd, amount)
    return Cost(usd, by_class)


def upper_bound(price: Price, input_tokens: int, output_tokens: int, *, batch: bool = False) -> Decimal:
    """USD that no request within these counts exceeds, however they divide into cached and reasoning tokens.

    Writing to a cache can cost more than reading input, and a lower tier more than a higher one.
    """
    price = _in(price, batch)
    return _EXACT.add(
        price.request,
        max(
            _EXACT.add(
                _amount(max(rates.input, rates.cached_input, rates.cache_creation), _count(input_tokens)),
                _amount(max(rates.output, _reasoning(rates)), _count(output_tokens)),
            )
            for rates in _reachable(price, input_tokens)
        ),
    )


def highest_output_rate(price: Price, input_tokens: int) -> Decimal:
    """USD per 1,000,000 tokens of output that a request within that much input never exceeds."""
    return max(max(rates.output, _reasoning(rates)) for rates in _reachable(price, input_tokens))


def _in(price: Price, batch: bool) -> Price:
    return price.batch if batch and price.batch is not None else price


def _reachable(price: Price, input_tokens: int) -> Iterator[Rates]:
    yield price
    for tier in price.tiers:
        if input_tokens > tier.above:
            yield tier


def _reasoning(rates: Rates) -> Decimal:
    return rates.output if rates.reasoning is None else rates.reasoning


def _count(tokens: int | None) -> int:
    return max(tokens, 0) if tokens else 0


def _amount(rate: Decimal, tokens: int) -> Decimal:
    if not tokens or not rate:
        return ZERO
    return _EXACT.scaleb(_EXACT.multiply(rate, tokens), _PER_MILLION)
