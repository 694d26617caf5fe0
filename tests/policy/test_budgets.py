"""Budgets and sessions of a policy: read digit for digit, refused with what to write instead."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tokenomics_core.policy import (
    Anomaly,
    Budget,
    PolicyError,
    SessionPart,
    compile,
    describe_change,
    merge_patch,
    parse,
    serialise,
)

KEY = {"base_key_env": "K"}


def with_limit(limit: str) -> str:
    """limit: JSON text."""
    return f'{{"base_key_env":"K","budgets":[{{"limit":{limit}}}]}}'


def refusal(**fields: Any) -> tuple[str, str]:
    with pytest.raises(PolicyError) as caught:
        parse(json.dumps(KEY | fields))
    return caught.value.path, caught.value.message


@pytest.mark.parametrize(
    ("limit", "read", "written"),
    [
        ("5", "5", "5"),
        ("0.1", "0.1", "0.1"),
        ('"0.1"', "0.1", "0.1"),
        ("0.10", "0.1", "0.1"),
        ("1e3", "1000", "1000"),
        ("0.000000001", "0.000000001", "1E-9"),
        ("999999999999.123456789", "999999999999.123456789", "999999999999.123456789"),
        ('"999999999999.123456789"', "999999999999.123456789", "999999999999.123456789"),
    ],
)
def test_a_limit_is_read_digit_for_digit(limit: str, read: str, written: str) -> None:
    policy = parse(with_limit(limit))
    assert policy.budgets[0].limit == Decimal(read)
    assert str(policy.budgets[0].limit) == str(Decimal(read))
    assert f'"budgets":[{{"limit":{written}}}]' in serialise(policy)
    assert parse(serialise(policy)) == policy


@pytest.mark.parametrize(
    ("limit", "detail"),
    [
        ('"much"', "must be a number or a decimal number in a string, not a string"),
        ('"1e3"', "must be a number or a decimal number in a string, not a string"),
        ('"1_000"', "must be a number or a decimal number in a string, not a string"),
        ('"$5"', "must be a number or a decimal number in a string, not a string"),
        ('""', "must be a number or a decimal number in a string, not a string"),
        ("true", "must be a number or a decimal number in a string, not a boolean"),
        ("[5]", "must be a number or a decimal number in a string, not an array"),
        ("1e300", "has too many digits"),
        ("0." + "1" * 200, "has too many digits"),
    ],
)
def test_a_limit_that_is_no_number(limit: str, detail: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse(with_limit(limit))
    assert caught.value.message == f"invalid policy JSON: $.budgets[0].limit {detail}"
    assert caught.value.path == "$.budgets[0].limit"


def test_a_patch_keeps_every_digit() -> None:
    old, digits = with_limit("0.1"), "123456789012.123456789"
    merged = merge_patch(old, f'{{"budgets":[{{"limit":{digits}}}],"x":1.50}}')
    assert merged == f'{{"base_key_env":"K","budgets":[{{"limit":{digits}}}],"x":1.50}}'
    (change,) = describe_change(old, with_limit(digits))
    assert (change.path, change.old, change.new) == ("$.budgets[0].limit", "0.1", digits)


def test_defaults() -> None:
    (budget,) = parse(with_limit("5")).budgets
    assert budget == Budget(
        limit=Decimal(5),
        unit="usd",
        period="total",
        scope="token",
        timezone="UTC",
        action="refuse",
        name="",
        warn_at=None,
    )
    policy = parse(json.dumps(KEY | {"unknown_price": "", "session": None}))
    assert (policy.budgets, policy.unknown_price, policy.session) == ((), "refuse", SessionPart())
    assert policy.session.anomaly == Anomaly()


@pytest.mark.parametrize(
    ("budget", "field", "message"),
    [
        ({}, "limit", "limit is required; write a number of usd above 0"),
        ({"unit": "tokens"}, "limit", "limit is required; write a number of tokens above 0"),
        ({"limit": 0}, "limit", "invalid limit 0; must be more than 0"),
        ({"limit": -1}, "limit", "invalid limit -1; must be more than 0"),
        ({"limit": 10**16}, "limit", f"invalid limit {10**16}; must be at most {10**15}"),
        ({"limit": "0.0000000001"}, "limit", "invalid limit 0.0000000001; must have at most 9 decimals"),
        (
            {"limit": "1.5", "unit": "tokens"},
            "limit",
            "invalid limit 1.5; must be a whole number of tokens",
        ),
        ({"limit": 1, "unit": "eur"}, "unit", 'invalid unit "eur"; must be tokens or usd'),
        (
            {"limit": 1, "period": "week"},
            "period",
            'invalid period "week"; must be total, hour, day, month, or a duration such as 36h'
            " (units ns, us, ms, s, m, h; a week is 168h)",
        ),
        ({"limit": 1, "period": "500ms"}, "period", 'invalid period "500ms"; must be at least one second'),
        ({"limit": 1, "period": "-1h"}, "period", 'invalid period "-1h"; must be at least one second'),
        ({"limit": 1, "scope": "user"}, "scope", 'invalid scope "user"; must be token, session, or provider'),
        (
            {"limit": 1, "timezone": "Mars"},
            "timezone",
            'invalid timezone "Mars"; must be UTC or a name such as Europe/Berlin',
        ),
        (
            {"limit": 1, "timezone": "../UTC"},
            "timezone",
            'invalid timezone "../UTC"; must be UTC or a name such as Europe/Berlin',
        ),
        (
            {"limit": 1, "timezone": "localtime"},
            "timezone",
            'invalid timezone "localtime"; must be UTC or a name such as Europe/Berlin',
        ),
        ({"limit": 1, "action": "block"}, "action", 'invalid action "block"; must be refuse or warn'),
        ({"limit": 1, "warn_at": 0}, "warn_at", "invalid warn_at 0; must be a percentage from 1 to 100"),
        ({"limit": 1, "warn_at": 101}, "warn_at", "invalid warn_at 101; must be a percentage from 1 to 100"),
    ],
)
def test_a_budget_that_makes_no_sense(budget: dict[str, Any], field: str, message: str) -> None:
    path, text = refusal(budgets=[{"limit": 1}, budget])
    assert (path, text) == (f"$.budgets[1].{field}", f"budget 1: {message}")


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        (
            {"unknown_price": "guess"},
            "$.unknown_price",
            'invalid unknown_price "guess"; must be refuse, assume, or allow',
        ),
        (
            {"session": {"budget_usd": 0}},
            "$.session.budget_usd",
            "session: invalid budget_usd 0; must be more than 0",
        ),
        (
            {"session": {"anomaly": {"freeze": 0}}},
            "$.session.anomaly.freeze",
            "session anomaly: invalid freeze 0; must be from 1 to 31536000 seconds",
        ),
        (
            {"session": {"anomaly": {"window": 2**40}}},
            "$.session.anomaly.window",
            "session anomaly: invalid window 1099511627776; must be from 1 to 31536000 seconds",
        ),
        (
            {"session": {"strict": 1}},
            "$.session.strict",
            "invalid policy JSON: $.session.strict must be true or false, not a number",
        ),
    ],
)
def test_what_else_is_refused(fields: dict[str, Any], path: str, message: str) -> None:
    assert refusal(**fields) == (path, message)


def test_budgets_are_the_same_for_every_entry() -> None:
    fields = {
        "budgets": [{"limit": 5}],
        "unknown_price": "assume",
        "session": {"budget_usd": "0.5", "anomaly": {"max_requests": -1, "max_usd": -1, "max_identical": 0}},
        "providers": {"openai": [KEY | {"model": "m"}]},
    }
    policy = compile(parse(json.dumps(KEY | fields)))
    overall, entry = policy.resolve_global(), policy.resolve("m")
    assert entry.provider_name == "openai"
    for part in (overall, entry):
        assert part.budgets == (Budget(limit=Decimal(5)),)
        assert part.unknown_price == "assume"
        assert part.session == SessionPart(budget_usd=Decimal("0.5"), anomaly=Anomaly(max_identical=0))
