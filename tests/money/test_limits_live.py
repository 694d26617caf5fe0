"""Limits on a running gateway: what is refused, in which words, and what every answer tells of them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from tests.fake_provider import FakeProvider
from tests.money.governed import POLICY, Json, Token, create, rows_of, run_sdks, update, values
from tests.proxy.caller import Caller, Outcome
from tests.proxy.conftest import StartProxy
from tests.support.proxy import Proxy

CONFIG: Json = {
    "budgets": {"slice": 16, "wait": 0.3},
    "pricing": {"gpt-house": {"input": 1000, "output": 1000}},
}
HOUSE = "gpt-house"
"""A thousandth of a dollar for each token."""


@pytest.fixture(scope="module")
def gateway(make_proxy: StartProxy) -> Iterator[Proxy]:
    with make_proxy(CONFIG) as proxy:
        yield proxy
        assert proxy.refusals() == []


@pytest.fixture
def governed(gateway: Proxy, fake_provider: FakeProvider) -> Iterator[Callable[..., tuple[Caller, Token]]]:
    """Makes a client under a policy of these fields, and its token."""
    with ExitStack() as opened:

        def make(**policy: object) -> tuple[Caller, Token]:
            token = create(gateway, POLICY | policy)
            return opened.enter_context(Caller(gateway, token.key)), token

        yield make


Governed = Callable[..., tuple[Caller, Token]]


def rules(*rules: Json, **more: Json) -> Json:
    return {"rules": list(rules), **more}


def refused(outcome: Outcome, code: str) -> str:
    """The message of a refusal with this code."""
    assert (outcome.status, outcome.json["error"]["code"]) == (429, code), outcome.body
    return str(outcome.json["error"]["message"])


# Rates.


def test_requests_in_a_sliding_window(governed: Governed, fake_provider: FakeProvider) -> None:
    caller, token = governed(rate_limit=rules({"requests": 2, "window": "1m"}))
    first, second, third = (caller.ask() for _ in range(3))
    heads = [
        [outcome.headers[f"x-ratelimit-{name}-requests"] for name in ("limit", "remaining")]
        for outcome in (first, second)
    ]
    assert heads == [["2", "1"], ["2", "0"]]
    assert re.fullmatch(r"1m0s|5\d(\.\d+)?s", second.headers["x-ratelimit-reset-requests"])
    # The provider's own figures are of the key, which others use too.
    assert first.headers["x-ratelimit-remaining-tokens"] == "199000"
    assert refused(third, "rate_limited") == "rate limit exceeded: 2 requests in 1m window (max 2)"
    assert 50 <= int(third.headers["retry-after"]) <= 60
    assert len(fake_provider.records) == 2
    row = rows_of(caller.proxy, token.hash, 3)[-1]
    assert (row["status"], row["refusal"], row["upstream_status"]) == (429, "rate_limited", 0)
    assert row["cost_usd"] is None


def test_requests_in_a_fixed_window(governed: Governed) -> None:
    caller, _ = governed(rate_limit=rules({"requests": 2, "window": "2s", "strategy": "fixed"}))
    assert [caller.ask().status for _ in range(2)] == [200, 200]
    third = caller.ask()
    assert refused(third, "rate_limited") == "rate limit exceeded: 2 requests in 2s window (max 2)"
    time.sleep(int(third.headers["retry-after"]))
    # All at once, not one after another.
    assert [caller.ask().status for _ in range(2)] == [200, 200]


def test_whoever_crosses_a_rate_of_tokens_is_the_last(governed: Governed) -> None:
    caller, token = governed(rate_limit=rules({"tokens": 40, "window": "1h"}))
    crossing = caller.ask(text="[tokens=60] please")
    assert crossing.status == 200
    assert crossing.headers["x-ratelimit-limit-tokens"] == "40"
    (row,) = rows_of(caller.proxy, token.hash)
    used = row["input_tokens"] + row["output_tokens"]
    assert row["output_tokens"] == 60
    after = caller.ask()
    told = f"rate limit exceeded: {used} tokens in 1h window (max 40)"
    assert refused(after, "rate_limited") == told
    assert 3500 < int(after.headers["retry-after"]) <= 3600
    assert after.headers["x-should-retry"] == "false"


def test_requests_at_the_same_time(governed: Governed, fake_provider: FakeProvider) -> None:
    caller, _ = governed(rate_limit={"max_parallel": 2})
    body = {
        "model": "gpt-4o",
        "stream": True,
        "messages": [{"role": "user", "content": "[tokens=2000][delay=0.02]"}],
    }
    with ExitStack() as running:
        streams = [
            running.enter_context(caller.begin("POST", "/v1/chat/completions", body)) for _ in range(2)
        ]
        pieces = [stream.iter_raw() for stream in streams]
        assert all(next(piece) for piece in pieces)
        third = caller.ask()
        assert refused(third, "rate_limited") == "rate limit exceeded: 2 concurrent requests (max 2)"
        assert third.headers["retry-after"] == "1"
        # A client that leaves makes room.
        streams[0].close()
        caller.proxy.wait_for(caller.ask, lambda outcome: outcome.status == 200)


def test_a_change_of_the_limit_holds_for_the_next_request(governed: Governed) -> None:
    caller, token = governed(rate_limit=rules({"requests": 1, "window": "1h"}))
    assert [caller.ask().status for _ in range(2)] == [200, 429]
    update(caller.proxy, token.hash, {"rate_limit": rules({"requests": 2, "window": "1h"})})
    assert [caller.ask().status for _ in range(2)] == [200, 429]
    update(caller.proxy, token.hash, {"rate_limit": None})
    assert caller.ask().status == 200


# Budgets.


def test_a_top_up_lets_a_refused_client_go_on(governed: Governed) -> None:
    caller, token = governed(max_tokens=30)
    first = caller.ask(text="[tokens=60] please")
    assert first.status == 200
    assert first.headers["x-tokenomics-budget-unit"] == "tokens"
    (row,) = rows_of(caller.proxy, token.hash)
    used = row["input_tokens"] + row["output_tokens"]
    assert first.headers["x-tokenomics-budget-remaining"] == str(30 - used)
    spent = caller.ask()
    message = refused(spent, "budget_exceeded")
    assert re.fullmatch(rf"budget exceeded: used {used} \+ input \d+ > limit 30", message)
    assert spent.json["error"]["type"] == "insufficient_quota"
    # Waiting does not help, and neither does asking again.
    assert "retry-after" not in spent.headers
    assert spent.headers["x-should-retry"] == "false"
    update(caller.proxy, token.hash, {"max_tokens": 1000})
    assert caller.ask().status == 200


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/St_Johns"])
def test_a_day_ends_where_its_clock_says(governed: Governed, zone: str) -> None:
    budget = {"name": "daily", "limit": "0.02", "period": "day", "timezone": zone}
    caller, _ = governed(budgets=[budget])
    assert caller.ask(model=HOUSE, text="[tokens=60]").status == 200
    spent = caller.ask(model=HOUSE)
    now = datetime.now(ZoneInfo(zone))
    message = refused(spent, "budget_exceeded")
    told = (
        r'budget "daily" exceeded: remaining \$0\.00\d\d, required \$0\.0\d\d\d of \$0\.0200 \(day, '
        rf"{zone}\)"
    )
    assert re.fullmatch(told, message)
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), ZoneInfo(zone))
    left = (midnight.astimezone(UTC) - now.astimezone(UTC)).total_seconds()
    assert abs(int(spent.headers["retry-after"]) - left) < 3
    info = spent.json["error"]["budget_info"]
    assert info["budget"] == 0.02
    assert info["spent"] + info["remaining"] == pytest.approx(0.02)


def test_of_several_budgets_the_tightest_decides(governed: Governed) -> None:
    caller, token = governed(
        max_tokens=100_000,
        budgets=[
            {"name": "hourly", "limit": "5", "period": "hour"},
            {"name": "rolling", "limit": 50, "unit": "tokens", "period": "36h"},
            {"name": "lifetime", "limit": "0.30"},
        ],
    )
    outcome = caller.ask(model=HOUSE, text="[tokens=60]")
    assert outcome.status == 200
    (row,) = rows_of(caller.proxy, token.hash)
    used = row["input_tokens"] + row["output_tokens"]
    assert used <= 50
    assert outcome.headers["x-tokenomics-budget-unit"] == "tokens"
    assert outcome.headers["x-tokenomics-budget-remaining"] == str(50 - used)
    message = refused(caller.ask(model=HOUSE), "budget_exceeded")
    assert message.startswith(f'budget "rolling" exceeded: used {used} + input ')
    # With more room there the next one is the tightest.
    roomy = [
        {"name": "rolling", "limit": 5000, "unit": "tokens", "period": "36h"},
        {"name": "lifetime", "limit": "0.06"},
    ]
    update(caller.proxy, token.hash, {"budgets": roomy})
    outcome = caller.ask(model=HOUSE, text="[tokens=60]")
    spent = sum(Decimal(row["cost_usd"] or 0) for row in rows_of(caller.proxy, token.hash, 3))
    assert outcome.headers["x-tokenomics-budget-unit"] == "usd"
    assert Decimal(outcome.headers["x-tokenomics-budget-remaining"]) == Decimal("0.06") - spent
    message = refused(caller.ask(model=HOUSE), "budget_exceeded")
    assert message.startswith('budget "lifetime" exceeded: remaining $0.0')


def test_a_budget_that_warns_refuses_nothing(governed: Governed) -> None:
    caller, token = governed(
        budgets=[{"name": "watched-one", "limit": 50, "unit": "tokens", "action": "warn", "warn_at": 60}]
    )
    outcomes = [caller.ask(text="[tokens=20]") for _ in range(6)]
    assert [outcome.status for outcome in outcomes] == [200] * 6
    assert "x-tokenomics-output-cap" not in outcomes[0].headers
    assert [row["output_tokens"] for row in rows_of(caller.proxy, token.hash, 6)] == [20] * 6
    log = caller.proxy.wait_for(caller.proxy.output.read_text, lambda text: "watched-one" in text)
    (line,) = [line for line in log.splitlines() if "watched-one" in line]
    said = json.loads(line)["message"]
    assert re.search(r'60 % of budget "watched-one" is used: \d+ tokens of 50 tokens', said)
    assert token.key not in log


# What the SDKs raise.

ASKING = {
    "ask_openai": "RateLimitError",
    "ask_responses": "RateLimitError",
    "ask_anthropic": "RateLimitError",
    "ask_gemini": "ClientError",
}


@pytest.fixture(scope="module")
def raised(gateway: Proxy, provider_server: FakeProvider) -> dict[str, Json]:
    """What each SDK raises: where a rate is used up, and where a budget is."""
    provider_server.reset()
    rate = create(gateway, POLICY | {"rate_limit": rules({"requests": 1, "window": "40s"})})
    with Caller(gateway, rate.key) as caller:
        assert caller.ask().status == 200
    spent = create(gateway, POLICY | {"budgets": [{"name": "gone", "limit": 1, "unit": "tokens"}]})
    provider_server.reset()
    runs = {
        "rate": dict.fromkeys(ASKING, rate.key),
        "budget": dict.fromkeys(ASKING, spent.key),
    }
    found = {name: values(outcomes) for name, outcomes in run_sdks(gateway, runs).items()}
    assert provider_server.records == []
    return found


@pytest.mark.parametrize("check", ASKING)
def test_an_sdk_raises_its_own_error(raised: dict[str, Json], check: str) -> None:
    rate, budget = raised["rate"][check], raised["budget"][check]
    for error in (rate, budget):
        assert (error["error"], error["status"]) == (ASKING[check], 429)
    assert rate["code"] == "rate_limited"
    assert rate["message"] == "rate limit exceeded: 1 requests in 40s window (max 1)"
    assert 0 < int(rate["retry_after"]) <= 40
    assert rate["should_retry"] is None
    assert budget["code"] == "budget_exceeded"
    assert re.fullmatch(r'budget "gone" exceeded: used 0 \+ input \d+ > limit 1', budget["message"])
    assert (budget["retry_after"], budget["should_retry"]) == (None, "false")
