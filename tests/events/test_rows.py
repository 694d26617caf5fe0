"""The events of a request, from its row."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.ledger.build import START, TOKEN_HASH
from tokenomics_core.counters.question import Denied, Limit, Settled, Standing, Window
from tokenomics_core.events import Event, agent_request, events_of, server_start
from tokenomics_core.events.types import TYPES, dollars
from tokenomics_core.ledger import Row
from tokenomics_core.meter.budget import refused as refusal_of

HEAD = {"token_hash": TOKEN_HASH[:16], "token_prefix": TOKEN_HASH[:16], "token_hash_full": TOKEN_HASH}
ABOUT = {**HEAD, "model": "gpt-4o", "request_id": "req_1"}
AGENT = {"agent_id": "a7", "team": "billing", "environment": ""}
TOTAL = Limit("tokens:total", "tokens", limit=1000)


def a_row(**changes: Any) -> Row:
    values: dict[str, Any] = {
        "id": "req_1",
        "started_at": START,
        "ended_at": START + timedelta(seconds=1),
        "duration_ms": 1000,
        "token_hash": TOKEN_HASH,
        "requested_model": "gpt-4o",
        "model": "gpt-4o",
        "provider": "openai",
        "status": 200,
        "upstream_status": 200,
        "input_tokens": 12,
        "output_tokens": 30,
        "remote_addr": "10.0.0.7",
    }
    return Row(**(values | changes))


def refused(code: str, error: str, status: int = 429, **changes: Any) -> Row:
    return a_row(
        refusal=code,
        error=error,
        status=status,
        upstream_status=0,
        input_tokens=0,
        output_tokens=0,
        **changes,
    )


def the(events: list[Event], type: str) -> dict[str, Any]:
    (found,) = [each for each in events if each.type == type]
    return dict(found.data)


def types(events: list[Event]) -> list[str]:
    assert {each.type for each in events} <= set(TYPES)
    return [each.type for each in events]


def test_an_answered_request() -> None:
    events = events_of(a_row(cost_usd=Decimal("0.00033"), session_id="s1"))
    assert types(events) == ["budget.update", "request.completed"]
    assert the(events, "request.completed") == {
        **ABOUT,
        "stream": False,
        "status_code": 200,
        "input_tokens": 12,
        "output_tokens": 30,
        "error": False,
        "provider": "openai",
        "duration_ms": 1000,
        "cost_usd": "0.00033",
        "session_id": "s1",
    }
    assert the(events, "budget.update") == {**ABOUT, "input_tokens": 12, "output_tokens": 30}


def test_an_error_of_the_provider_is_a_completed_request() -> None:
    events = events_of(a_row(status=500, upstream_status=500, input_tokens=0, output_tokens=0))
    assert types(events) == ["request.completed"]
    assert the(events, "request.completed")["error"] is True


def test_nothing_is_completed_without_an_answer() -> None:
    assert events_of(a_row(status=502, upstream_status=0, input_tokens=0, output_tokens=0)) == []
    upgrade = a_row(kind="upgrade", status=101, upstream_status=101, input_tokens=0, output_tokens=0)
    assert events_of(upgrade) == []


def test_the_running_total_and_its_limit() -> None:
    day = Limit("tokens:day", "tokens", Window("calendar"), 100, name="daily")
    settled = [(day, Settled("tokens:day", 10, 52)), (TOTAL, Settled("tokens:total", 400, 442))]
    events = events_of(a_row(), settled=settled)
    assert the(events, "budget.update")["used"] == 442
    assert the(events, "budget.update")["limit"] == 1000
    threshold = the(events, "budget.threshold")
    assert threshold == {**HEAD, "budget": "daily", "unit": "tokens", "percent": 50, "used": 52, "limit": 100}


def test_a_total_without_a_limit_has_none() -> None:
    settled = [
        (Limit("tokens:day", "tokens", limit=100), Settled("", 0, 42)),
        (Limit("tokens:total", "tokens"), Settled("tokens:total", 0, 42)),
    ]
    update = the(events_of(a_row(), settled=settled), "budget.update")
    assert update["used"] == 42
    assert "limit" not in update


@pytest.mark.parametrize(
    ("before", "after", "percents"),
    [(0, 499, []), (499, 500, [50]), (500, 501, []), (0, 1000, [50, 80, 100]), (790, 1400, [80, 100])],
)
def test_each_threshold_is_told_once(before: int, after: int, percents: list[int]) -> None:
    events = events_of(a_row(), settled=[(TOTAL, Settled(TOTAL.key, before, after))])
    assert [each.data["percent"] for each in events if each.type == "budget.threshold"] == percents


def test_money_is_told_in_dollars() -> None:
    limit = Limit("usd:month", "usd", limit=10_000_000_000, name="team")
    events = events_of(a_row(), settled=[(limit, Settled("usd:month", 4_000_000_000, 5_000_000_001))])
    threshold = the(events, "budget.threshold")
    assert (threshold["used_usd"], threshold["limit_usd"]) == ("5.000000001", "10.00")
    assert "used" not in threshold
    assert [dollars(each) for each in (0, 1, 1_500_000_000)] == ["0.00", "0.000000001", "1.50"]


def test_rules() -> None:
    row = refused(
        "rule_violation",
        "request blocked by rule 2",
        403,
        rule_matches=[
            {"name": "watch", "action": "warn", "message": 'matched regex rule "watch"'},
            {"action": "log", "message": 'matched regex rule "x"'},
            {"name": "secrets", "action": "fail", "message": 'matched regex rule "secrets"'},
            {"name": "pii", "action": "mask", "message": 'detected PII in rule "pii": email'},
            {"action": "mask", "message": "content redacted before forwarding"},
        ],
    )
    events = events_of(row, agent={**AGENT, "rule_name": "mine"})
    assert types(events) == [
        "rule.warning",
        "rule.match",
        "rule.violation",
        "rule.mask",
        "openclaw.agent.error",
    ]
    message = 'matched regex rule "watch"'
    assert the(events, "rule.warning") == {
        **ABOUT,
        "rule_name": "watch",
        "action": "warn",
        "message": message,
    }
    assert the(events, "rule.match")["rule_name"] == ""
    assert the(events, "rule.match")["action"] == "log"
    assert the(events, "rule.violation") == {
        **ABOUT,
        "rule_name": "secrets",
        "message": 'matched regex rule "secrets"',
        "agent_id": "a7",
        "team": "billing",
    }
    assert the(events, "rule.mask") == {**ABOUT, "rule_name": "pii"}


def test_a_mask_of_no_named_rule_is_told_once() -> None:
    row = a_row(rule_matches=[{"action": "mask", "message": "content redacted before forwarding"}] * 2)
    assert types(events_of(row)).count("rule.mask") == 1


TOKENS = Denied("limit", TOTAL, used=950, reserved=10, asked=50, standings=())
DAY = Limit("usd:day", "usd", Window("calendar"), 2_000_000_000, name="team")
MONEY = Denied(
    "limit", DAY, used=1_900_000_000, asked=200_000_000, standings=(Standing("usd:day", None, 0, 0),)
)
SESSION = Denied("limit", Limit("session:s:usd:total", "usd", limit=10**9), used=10**9, asked=5)


@pytest.mark.parametrize(
    ("denied", "told"),
    [
        (TOKENS, {"unit": "tokens", "used": 960, "input": 50, "limit": 1000}),
        (MONEY, {"unit": "usd", "used_usd": "1.90", "required_usd": "0.20", "limit_usd": "2.00"}),
        (SESSION, {"unit": "usd", "used_usd": "1.00", "required_usd": "0.000000005", "limit_usd": "1.00"}),
    ],
    ids=["tokens", "money", "session"],
)
def test_a_spent_budget_tells_its_numbers(denied: Denied, told: dict[str, Any]) -> None:
    refusal = refusal_of(denied, 0)
    events = events_of(refused(refusal.code, refusal.message), exceeded=refusal.exceeded)
    assert types(events) == ["budget.exceeded"]
    assert the(events, "budget.exceeded") == {**ABOUT, "error": refusal.message, **told}


@pytest.mark.parametrize(
    ("code", "type"),
    [
        ("rate_limited", "rate.exceeded"),
        ("model_not_allowed", "model.denied"),
        ("session_frozen", "session.frozen"),
        ("anomaly", "session.anomaly"),
    ],
)
def test_refusals(code: str, type: str) -> None:
    events = events_of(refused(code, "why", session_id="s1"))
    assert types(events) == [type]
    told = the(events, type)
    assert (told["error"], told["model"], told["token_hash"]) == ("why", "gpt-4o", TOKEN_HASH[:16])
    assert ("session_id" in told) is type.startswith("session.")


@pytest.mark.parametrize("code", ["missing_token", "invalid_token", "client_credentials_missing"])
def test_nobody(code: str) -> None:
    events = events_of(refused(code, "invalid token", 401, token_hash=""), agent=AGENT)
    assert types(events) == ["auth.failed"]
    assert the(events, "auth.failed") == {"code": code, "error": "invalid token", "remote_addr": "10.0.0.7"}


def test_agents() -> None:
    words = {"agent_id": "a7", "team": "billing"}
    assert agent_request(TOKEN_HASH, "gpt-4o", AGENT) == Event(
        "openclaw.agent.request", {**HEAD, "model": "gpt-4o", "status": 0, **words}
    )
    told = the(events_of(a_row(), agent=AGENT), "openclaw.agent.success")
    assert told == {**ABOUT, "status": 200, **words}
    failed = the(events_of(refused("rate_limited", "slow down"), agent=AGENT), "openclaw.agent.error")
    assert failed == {**ABOUT, "status": 429, "error": "slow down", **words}
    broken = events_of(a_row(error="the provider broke off"), agent=AGENT)
    assert the(broken, "openclaw.agent.error")["error"] == "the provider broke off"
    # A tag of the policy is no header.
    assert "openclaw.agent.success" not in types(events_of(a_row(metadata={"team": "x"})))
    assert "openclaw.agent.success" not in types(events_of(a_row(), agent={"team": ""}))


def test_the_start_shows_no_login() -> None:
    event = server_start(http_port=1, https_port=2, tls=True, upstream="https://u:p@api.example/v1?key=x")
    assert event.data["upstream"] == "https://api.example/v1"
