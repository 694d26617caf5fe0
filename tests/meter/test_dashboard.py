from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.counters.question import NANO, Freeze, Seen, Unit, Used, Window
from tokenomics_core.counters.sqlite import SqliteCounters
from tokenomics_core.meter.dashboard import (
    SessionView,
    budgets_of,
    read_sessions,
    requests_in_last_minute,
    reset,
    session_of,
    sessions_json,
    spent_key,
    stats_json,
    views_of,
    with_requests,
)
from tokenomics_core.tokens import TokenRecord

NOW = 1_800_000_000_000
A, B = "a" * 64, "b" * 64


def used(
    key: str, amount: int = 0, *, token: str = A, reserved: int = 0, override: int | None = None
) -> Used:
    return Used(token, key, "usd", Window(), amount, reserved, override)


def none(token: str) -> None:
    return None


REST = [
    "usd:total",
    "tokens:total",
    "usd:hour",
    "tokens:day:Europe/Berlin",
    "usd:month:America/Argentina/Ushuaia",
    "tokens:rolling:5400000",
]


@given(st.text(alphabet="ab:usdtokenhr/", min_size=1, max_size=20), st.sampled_from(REST))
def test_the_session_of_a_counter_is_told_whatever_its_id(id: str, rest: str) -> None:
    assert session_of(f"session:{id}:{rest}") == id
    assert session_of(spent_key(id)) == id


@pytest.mark.parametrize(
    "key", ["usd:total", "tokens:hour", "provider:openai:usd:total", "parallel", "session:s", "session:s:x"]
)
def test_other_counters_are_of_no_session(key: str) -> None:
    assert session_of(key) == ""


def test_views() -> None:
    views = views_of(
        [
            used("usd:total", 5 * NANO),
            used("session:s:usd:total", 2 * NANO, override=4 * NANO),
            used("session:s:tokens:hour", 999),
            used("session:t:usd:total", reserved=7),
            used("session:reset:usd:total"),
            used("session:s:usd:total", NANO, token=B),
        ],
        [],
        lambda token: 10 * NANO if token == B else None,
    )
    assert views == [
        SessionView(A, "s", 4 * NANO, 2 * NANO),
        SessionView(B, "s", 10 * NANO, NANO),
        SessionView(A, "t", None, 0, 7),
    ]


def test_a_frozen_session_without_a_counter_is_one() -> None:
    frozen = [Freeze(A, "session:x:y", NOW, "loop"), Freeze(A, "token", None, "all"), Freeze(A, "odd", 0, "")]
    views = views_of([used("session:s:usd:total", NANO)], frozen, lambda token: NANO)
    assert [(view.name, view.id, view.budget) for view in views] == [
        ("default", "", None),
        ("s", "s", NANO),
        ("x:y", "x:y", NANO),
    ]
    assert stats_json(views) == {
        "total_sessions": 3,
        "frozen_sessions": 2,
        "active_sessions": 1,
        "total_budget": 2.0,
        "total_spent": 1.0,
        "total_remaining": 1.0,
    }


def test_a_token_is_a_session_while_it_has_no_other() -> None:
    total = used("usd:total", NANO)
    [view] = views_of([total], [], lambda token: NANO)
    assert (view.name, view.gate, view.budget, view.spent) == ("default", "token", None, NANO)
    views = views_of([total, used("session:s:usd:total", NANO)], [], none)
    assert [view.id for view in views] == ["s"]


def test_nothing() -> None:
    assert sessions_json([]) == {"sessions": [], "total_sessions": 0}
    assert set(stats_json([]).values()) == {0}


@pytest.mark.parametrize(
    ("budget", "spent", "remaining", "percentage"),
    [
        (10 * NANO, 0, 10.0, 0.0),
        (25_500_000_000, 12_342_000_000, 13.158, 48.4),
        (NANO, 3 * NANO, 0.0, 300.0),
        (0, NANO, 0.0, 0.0),
        (None, NANO, None, 0.0),
    ],
)
def test_one_session_as_json(
    budget: int | None, spent: int, remaining: float | None, percentage: float
) -> None:
    freeze = Freeze(A, "session:s", NOW, "loop")
    [told] = sessions_json([SessionView(A, "s", budget, spent, 0, freeze, 3)])["sessions"]
    assert told == {
        "session_id": "s",
        "token": A,
        "budget": None if budget is None else budget / NANO,
        "spent": spent / NANO,
        "remaining": remaining,
        "percentage_used": percentage,
        "is_frozen": True,
        "freeze_reason": "loop",
        "requests_last_minute": 3,
    }


def test_budgets_of_policies() -> None:
    def record(hash: str, policy: str) -> TokenRecord:
        return TokenRecord(hash, policy, None)  # type: ignore[arg-type]

    ninety = '{"base_key_env":"K","budgets":[{"limit":90,"scope":"session"},{"limit":1,"scope":"token"}]}'
    records = [
        record(A, '{"base_key_env":"K","session":{"budget_usd":"0.1"}}'),
        record(B, '{"base_key_env":"K"}'),
        record("c", "not valid any more"),
        record("d", ninety),
    ]
    budget_of = budgets_of(records, Decimal(10))
    assert [budget_of(token) for token in (A, B, "c", "d", "gone")] == [NANO // 10, *[10 * NANO] * 4]
    budget_of = budgets_of(records, None)
    assert [budget_of(token) for token in (A, B, "d")] == [NANO // 10, None, 90 * NANO]


def test_the_last_minute() -> None:
    seen = [Seen(NOW - age, "m", 0) for age in (60_001, 60_000, 59_999, 0)]
    assert requests_in_last_minute(seen, NOW) == 2


async def test_reset_touches_one_session_only(tmp_path: Path) -> None:
    counters = SqliteCounters(tmp_path / "counters.db", "test")
    await counters.open()
    keys: list[tuple[str, Unit]] = [
        ("session:a:usd:total", "usd"),
        ("session:a:tokens:total", "tokens"),
        ("session:a:b:usd:total", "usd"),
        ("session:a:usd:usd:total", "usd"),
        ("session:a:usd:tokens:total", "tokens"),
        ("usd:total", "usd"),
    ]
    try:
        for token in (A, B):
            for key, unit in keys:
                await counters.put(token, key, NANO, unit=unit, window=Window(), now=NOW)
                await counters.set_limit(token, key, 5, unit=unit, window=Window())
        await reset(counters, A, "a", NOW, keep_budget=True)
        after = {each.key: (each.used, each.override) for each in await counters.usage(A, now=NOW)}
        assert {key for key, value in after.items() if value == (0, 5)} == {keys[0][0], keys[1][0]}
        assert {key for key, value in after.items() if value == (NANO, 5)} == {key for key, _ in keys[2:]}
        await reset(counters, A, "a", NOW)
        views = await read_sessions(counters, NOW, none)
        assert [(view.token, view.id) for view in views] == [
            (B, "a"),
            (A, "a:b"),
            (B, "a:b"),
            (A, "a:usd"),
            (B, "a:usd"),
        ]
        assert (await with_requests(counters, views[0], NOW)).requests == 0
    finally:
        await counters.close()
