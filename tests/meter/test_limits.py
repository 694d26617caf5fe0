from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.strategies import policies
from tokenomics_core.counters.question import HIGHEST, NANO, Claim, Denied, Limit, Question, Standing, Window
from tokenomics_core.counters.state import TokenState, ask
from tokenomics_core.meter.limits import Limits, refusal_message
from tokenomics_core.meter.periods import milliseconds
from tokenomics_core.policy import compile, parse

NOW = datetime(2025, 6, 1, 12, 30, tzinfo=UTC)
DAY = Window("calendar", start=1748736000000, end=1748822400000)
TOKENS = Limit("tokens:total", "tokens")
USD = Limit("usd:total", "usd")


def limits(
    *,
    provider: str = "openai",
    session: str = "",
    session_budget: Decimal | None = None,
    now: datetime = NOW,
    **fields: Any,
) -> tuple[Limit, ...]:
    policy = compile(parse(json.dumps({"base_key_env": "K"} | fields))).resolve_global()
    return Limits(policy).at(provider=provider, session=session, now=now, session_budget=session_budget)


def budget(**fields: Any) -> Limit:
    """The first limit of a policy with that budget alone."""
    return limits(session="s", budgets=[fields])[0]


def test_a_policy_without_limits_is_counted_all_the_same() -> None:
    assert limits() == (TOKENS, USD)
    assert limits(session="a:b") == (TOKENS, USD, Limit("session:a:b:usd:total", "usd"))


def test_the_order() -> None:
    found = limits(
        session="s",
        max_tokens=1000,
        rate_limit={
            "rules": [
                {"requests": 60, "tokens": 5000, "window": "1m"},
                {"tokens": 100, "window": "1h30m", "strategy": "fixed"},
                {"requests": 7},
            ],
            "max_parallel": 5,
        },
        budgets=[
            {"limit": 5, "period": "day", "name": "daily"},
            {"limit": 2, "scope": "session", "period": "36h"},
            {"limit": 9000, "unit": "tokens", "scope": "provider", "action": "warn"},
        ],
    )
    minute = Window("sliding", 60_000)
    assert found == (
        Limit("parallel", "parallel", limit=5),
        Limit("rate:requests:sliding:60000", "requests", minute, 60, "1m"),
        Limit("rate:tokens:sliding:60000", "tokens", minute, 5000, "1m", crossing=True),
        Limit("rate:tokens:fixed:5400000", "tokens", Window("fixed", 5_400_000), 100, "1h30m", crossing=True),
        Limit("rate:requests:sliding:60000", "requests", minute, 7, ""),
        Limit("tokens:total", "tokens", limit=1000),
        Limit("usd:day", "usd", DAY, 5 * NANO, "daily"),
        Limit("session:s:usd:rolling:129600000", "usd", Window("sliding", 129_600_000), 2 * NANO),
        Limit("provider:openai:tokens:total", "tokens", limit=9000, refuse=False),
        USD,
        Limit("session:s:usd:total", "usd"),
    )


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"limit": 1}, "usd:total"),
        ({"limit": 1, "unit": "tokens"}, "tokens:total"),
        ({"limit": 1, "period": "hour"}, "usd:hour"),
        ({"limit": 1, "period": "month", "timezone": "Europe/Berlin"}, "usd:month:Europe/Berlin"),
        ({"limit": 1, "period": "1.5h"}, "usd:rolling:5400000"),
        ({"limit": 1, "period": "90m"}, "usd:rolling:5400000"),
        ({"limit": 1, "scope": "session"}, "session:s:usd:total"),
        ({"limit": 1, "scope": "provider", "period": "day"}, "provider:openai:usd:day"),
    ],
)
def test_keys(fields: dict[str, Any], key: str) -> None:
    assert budget(**fields).key == key


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"limit": "0.1"}, 100_000_000),
        ({"limit": "0.000000001"}, 1),
        ({"limit": "2.50"}, 2_500_000_000),
        ({"limit": 10**15}, HIGHEST),
        ({"limit": 10**15, "unit": "tokens"}, 10**15),
    ],
)
def test_amounts(fields: dict[str, Any], limit: int) -> None:
    assert budget(**fields).limit == limit


def test_what_is_too_high_is_clamped() -> None:
    found = limits(
        max_tokens=2**63 - 1,
        rate_limit={"rules": [{"requests": 2**63 - 1, "tokens": 2**60}], "max_parallel": 2**60},
    )
    assert [limit.limit for limit in found] == [HIGHEST, HIGHEST, HIGHEST, HIGHEST, None]


def test_what_is_negative_limits_nothing() -> None:
    rules = [{"requests": -1, "tokens": 0}]
    assert limits(max_tokens=-5, rate_limit={"rules": rules, "max_parallel": -1}) == (TOKENS, USD)


@pytest.mark.parametrize(("strategy", "kind"), [("", "sliding"), ("fixed", "fixed"), ("Fixed", "sliding")])
def test_strategies(strategy: str, kind: str) -> None:
    first = limits(rate_limit={"rules": [{"requests": 1, "window": "500us", "strategy": strategy}]})[0]
    assert (first.window.kind, first.window.length, first.name) == (kind, 1, "500us")


def test_a_budget_per_session_needs_a_session() -> None:
    assert limits(budgets=[{"limit": 1, "scope": "session"}]) == (TOKENS, USD)


def test_a_provider_has_one_counter_whatever_its_case() -> None:
    budgets = [{"limit": 1, "scope": "provider"}]
    assert limits(provider="OpenAI", budgets=budgets) == limits(provider="openai", budgets=budgets)


@pytest.mark.parametrize(
    ("of_policy", "default", "limit"),
    [
        (None, None, None),
        (None, Decimal("0.5"), NANO // 2),
        ("2", Decimal(10), 2 * NANO),
        ("2", None, 2 * NANO),
        (None, Decimal("0.0000000019"), 1),
        (None, Decimal(0), 0),
    ],
)
def test_the_budget_of_a_session(of_policy: str | None, default: Decimal | None, limit: int | None) -> None:
    policy = compile(
        parse(json.dumps({"base_key_env": "K", "session": {"budget_usd": of_policy}}))
    ).resolve_global()
    found = Limits(policy).at(provider="", session="s", now=NOW, session_budget=default)
    assert found[-1] == Limit("session:s:usd:total", "usd", limit=limit)


def test_a_lifetime_budget_is_counted_once() -> None:
    found = limits(max_tokens=10, budgets=[{"limit": 1}, {"limit": 2, "scope": "session"}], session="s")
    assert [limit.key for limit in found] == ["tokens:total", "usd:total", "session:s:usd:total"]


def test_calendar_periods_move_on() -> None:
    policy = compile(
        parse('{"base_key_env":"K","budgets":[{"limit":1,"period":"day","timezone":"Europe/Berlin"}]}')
    )
    made = Limits(policy.resolve_global())
    seen = [
        made.at(provider="", session="", now=now)[0].window
        for now in (NOW, NOW.replace(hour=21, minute=59), NOW.replace(hour=22, minute=0), NOW)
    ]
    assert seen[0] == seen[1] == seen[3]
    assert seen[2].start == seen[0].end == milliseconds(NOW.replace(hour=22, minute=0))


def test_when_budgets_warn() -> None:
    fields = {"budgets": [{"limit": 1, "warn_at": 50}, {"limit": 1, "period": "day", "scope": "session"}]}
    made = Limits(compile(parse(json.dumps({"base_key_env": "K"} | fields))).resolve_global())
    found = made.at(provider="p", session="s", now=NOW)
    assert [made.warn_at(limit) for limit in found] == [50, None, None, None]


@given(
    policies,
    st.sampled_from(["", "s", "a:usd:day"]),
    st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1)),
)
def test_limits_of_any_policy(document: dict[str, Any], session: str, now: datetime) -> None:
    made = Limits(compile(parse(json.dumps(document))).resolve_global())
    now = now.replace(tzinfo=UTC)
    found = made.at(provider="p", session=session, now=now)
    assert found == made.at(provider="p", session=session, now=now)
    keys = {limit.key for limit in found}
    assert {"tokens:total", "usd:total"} <= keys
    assert (f"session:{session}:usd:total" in keys) is bool(session)
    for limit in found:
        assert limit.limit is None or 0 <= limit.limit <= HIGHEST
        assert limit.window.kind != "calendar" or limit.window.start <= milliseconds(now) < limit.window.end
        assert (limit.window.length > 0) is (limit.window.kind in ("fixed", "sliding"))
        assert limit.crossing is limit.key.startswith("rate:tokens:")
        if limit.limit is not None:
            code, message = refusal_message(Denied("limit", limit, used=limit.limit, asked=1))
            assert code in ("rate_limited", "budget_exceeded")
            assert "\n" not in message


@pytest.mark.parametrize(
    ("limit", "numbers", "code", "message"),
    [
        (
            Limit("parallel", "parallel", limit=3),
            (0, 3, 1),
            "rate_limited",
            "rate limit exceeded: 3 concurrent requests (max 3)",
        ),
        (
            Limit("rate:requests:sliding:60000", "requests", limit=60, name="1m"),
            (60, 0, 1),
            "rate_limited",
            "rate limit exceeded: 60 requests in 1m window (max 60)",
        ),
        (
            Limit("rate:tokens:fixed:3600000", "tokens", limit=100000, name="1h", crossing=True),
            (100000, 200, 50),
            "rate_limited",
            "rate limit exceeded: 100200 tokens in 1h window (max 100000)",
        ),
        (
            Limit("tokens:total", "tokens", limit=1000),
            (900, 50, 60),
            "budget_exceeded",
            "budget exceeded: used 950 + input 60 > limit 1000",
        ),
        (
            Limit("tokens:day", "tokens", DAY, 1000, "daily"),
            (950, 0, 60),
            "budget_exceeded",
            'budget "daily" exceeded: used 950 + input 60 > limit 1000',
        ),
        (
            Limit("session:s:usd:total", "usd", limit=10 * NANO),
            (7 * NANO, NANO // 2, 5 * NANO),
            "budget_exceeded",
            "Budget exceeded. Remaining: $2.5000, Required: $5.0000",
        ),
        (
            Limit("session:s:usd:total", "usd", limit=NANO, name="task"),
            (NANO, 0, 1),
            "budget_exceeded",
            'budget "task" exceeded: remaining $0.0000, required $0.0001 of $1.0000 (total)',
        ),
        (
            Limit("usd:day", "usd", DAY, 5 * NANO, "daily"),
            (4_999_950_000, 0, 10_000_001),
            "budget_exceeded",
            'budget "daily" exceeded: remaining $0.0000, required $0.0101 of $5.0000 (day, UTC)',
        ),
        (
            Limit("session:a:usd:day:usd:month:Europe/Berlin", "usd", DAY, NANO, 'o"ne\n'),
            (2 * NANO, 0, 0),
            "budget_exceeded",
            'budget "o\\"ne\\n" exceeded:'
            " remaining $0.0000, required $0.0000 of $1.0000 (month, Europe/Berlin)",
        ),
        (
            Limit("usd:rolling:129600000", "usd", Window("sliding", 129_600_000), NANO),
            (NANO, 0, NANO),
            "budget_exceeded",
            "budget exceeded: remaining $0.0000, required $1.0000 of $1.0000 (36h)",
        ),
    ],
)
def test_messages(limit: Limit, numbers: tuple[int, int, int], code: str, message: str) -> None:
    used, reserved, asked = numbers
    assert refusal_message(Denied("limit", limit, used, reserved, asked)) == (code, message)


def test_a_limit_set_by_hand_is_the_one_that_is_told() -> None:
    limit = Limit("session:s:usd:total", "usd", limit=10 * NANO)
    by_hand = (Standing(limit.key, 2 * NANO, NANO, 0),)
    denied = Denied("limit", limit, NANO, 0, 3 * NANO, standings=by_hand)
    assert refusal_message(denied)[1] == "Budget exceeded. Remaining: $1.0000, Required: $3.0000"


def test_of_two_limits_of_one_counter_the_one_that_refused_is_told() -> None:
    found = limits(max_tokens=1000, budgets=[{"limit": 500, "unit": "tokens", "name": "half"}])
    question = Question("q", "t", 1, 2, tuple(Claim(each, 600) for each in found if each.unit == "tokens"))
    denied = ask(TokenState(), question)
    assert isinstance(denied, Denied)
    assert refusal_message(denied)[1] == 'budget "half" exceeded: used 0 + input 600 > limit 500'
