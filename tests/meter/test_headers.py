"""What an answer's head says of limits, budgets and cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.ledger.build import an_exchange
from tokenomics_core.counters.question import Claim, Limit, Standing, Window
from tokenomics_core.exchange import Exchange
from tokenomics_core.meter.headers import settled_headers, standing_headers
from tokenomics_core.meter.lease import Lease

NOW = 1_800_000_000_000
MINUTE = Window("sliding", 60_000)


def leased(*limits: tuple[Limit, int, int, int | None], **changes: Any) -> Exchange:
    """limits: with what is used, reserved, and when it resets."""
    exchange = an_exchange(**changes)
    exchange.lease = Lease(
        tuple(Claim(limit, 1) for limit, *_ in limits),
        10,
        10,
        None,
        tuple(Standing(limit.key, limit.limit, *standing) for limit, *standing in limits),
    )
    return exchange


def rate(unit: Any, limit: int, length: int = 60_000) -> Limit:
    return Limit(f"rate:{unit}:sliding:{length}", unit, Window("sliding", length), limit)


def test_rate_limits_by_the_names_that_sdks_know():
    exchange = leased(
        (rate("requests", 60), 12, 0, NOW + 59_500), (rate("tokens", 1000), 400, 100, NOW + 1_500)
    )
    assert standing_headers(exchange, NOW) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "48",
        "x-ratelimit-reset-requests": "59.5s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "500",
        "x-ratelimit-reset-tokens": "1.5s",
    }


@pytest.mark.parametrize(
    ("ahead", "text"),
    [
        (12, "12ms"),
        (1000, "1s"),
        (360_000, "6m0s"),
        (3_600_000, "1h0m0s"),
        (86_399_500, "23h59m59.5s"),
        (-5, "0ms"),
    ],
)
def test_durations_as_openai_writes_them(ahead: int, text: str):
    headers = standing_headers(leased((rate("requests", 60), 1, 0, NOW + ahead)), NOW)
    assert headers["x-ratelimit-reset-requests"] == text


def test_of_several_the_tightest_is_told():
    exchange = leased(
        (rate("requests", 100, 1000), 10, 0, NOW),
        (rate("requests", 1000), 950, 0, NOW),
        (rate("tokens", 5), 1, 0, NOW),
    )
    headers = standing_headers(exchange, NOW)
    assert headers["x-ratelimit-limit-requests"] == "1000"
    assert headers["x-ratelimit-remaining-requests"] == "50"


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ([], None),
        ([(Limit("usd:total", "usd"), 5, 0, None)], None),
        ([(Limit("tokens:total", "tokens", limit=100), 60, 10, None)], ("30", "tokens")),
        ([(Limit("usd:day", "usd", limit=2_500_000_000), 1, 0, None)], ("2.499999999", "usd")),
        (
            [
                (Limit("tokens:total", "tokens", limit=100), 10, 0, None),
                (Limit("usd:day", "usd", limit=100), 99, 0, None),
            ],
            ("0.000000001", "usd"),
        ),
        ([(Limit("usd:day", "usd", limit=100, refuse=False), 99, 0, None)], None),
        ([(Limit("tokens:total", "tokens", limit=100), 130, 0, None)], ("0", "tokens")),
    ],
)
def test_the_budget_of_which_least_is_left(limits: Any, told: tuple[str, str] | None):
    headers = standing_headers(leased(*limits), NOW)
    found = (headers.get("x-tokenomics-budget-remaining"), headers.get("x-tokenomics-budget-unit"))
    assert found == (told or (None, None))


def test_a_lowered_cap_and_the_cost_are_told():
    exchange = leased()
    exchange.output_cap = 77
    exchange.cost = Decimal("0.00000005")
    assert standing_headers(exchange, NOW)["x-tokenomics-output-cap"] == "77"
    assert settled_headers(exchange) == {"x-tokenomics-cost-usd": "0.00000005"}


def test_what_was_never_granted_tells_nothing():
    assert standing_headers(an_exchange(), NOW) == settled_headers(an_exchange()) == {}
