from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger.build import START, TOKEN_HASH, a_row
from tokenomics_core.meter.stats import MOST_MODELS, MOST_SESSIONS, OTHER, OTHER_MODELS, Stats

COUNTS = {"request_count": 0, "input_tokens": 0, "output_tokens": 0, "total_tokens": 0, "error_count": 0}
ZERO = {**COUNTS, "cost_usd": "0"}
SINCE = "2026-03-02T08:16:10Z"


def stats_of(*rows):
    stats = Stats(START)
    for row in rows:
        stats.add(row)
    return stats.snapshot()


def test_nothing_yet():
    empty = {"totals": ZERO, "by_model_and_key": [], "by_token": [], "by_session": []}
    assert stats_of() == {**empty, "since": SINCE}
    assert Stats(START).snapshot(empty) == {**empty, "since": SINCE, "all_time": empty}


def test_totals_models_and_tokens():
    small = a_row(1, model="gpt-4o-mini", input_tokens=10, output_tokens=5, cost_usd=Decimal("0.0000001"))
    large = a_row(
        2,
        model="claude-opus",
        base_key_env="ANTHROPIC_KEY",
        input_tokens=100,
        output_tokens=50,
        cost_usd=Decimal("12"),
        session_id="night",
    )
    failed = a_row(
        3,
        model="gpt-4o-mini",
        input_tokens=3,
        output_tokens=0,
        status=429,
        token_hash="f" * 64,
        error="slow down",
    )
    assert stats_of(small, large, failed) == {
        "totals": {
            "request_count": 3,
            "input_tokens": 113,
            "output_tokens": 55,
            "total_tokens": 168,
            "error_count": 1,
            "cost_usd": "12.0000001",
        },
        "by_model_and_key": [
            {
                "model": "claude-opus",
                "base_key_env": "ANTHROPIC_KEY",
                "request_count": 1,
                "input_tokens": 100,
                "output_tokens": 50,
                "total_tokens": 150,
                "error_count": 0,
                "cost_usd": "12",
            },
            {
                "model": "gpt-4o-mini",
                "base_key_env": "OPENAI_API_KEY",
                "request_count": 2,
                "input_tokens": 13,
                "output_tokens": 5,
                "total_tokens": 18,
                "error_count": 1,
                "cost_usd": "0.0000001",
            },
        ],
        "by_token": [
            {
                "token_hash": TOKEN_HASH[:16],
                "request_count": 2,
                "input_tokens": 110,
                "output_tokens": 55,
                "total_tokens": 165,
                "error_count": 0,
                "cost_usd": "12.0000001",
                "last_model": "claude-opus",
                "base_key_env": "OPENAI_API_KEY",
                "first_seen": "2026-03-02T08:16:11Z",
                "last_seen": "2026-03-02T08:16:12Z",
            },
            {
                "token_hash": "f" * 16,
                "request_count": 1,
                "input_tokens": 3,
                "output_tokens": 0,
                "total_tokens": 3,
                "error_count": 1,
                "cost_usd": "0",
                "last_model": "gpt-4o-mini",
                "base_key_env": "OPENAI_API_KEY",
                "first_seen": "2026-03-02T08:16:13Z",
                "last_seen": "2026-03-02T08:16:13Z",
            },
        ],
        "by_session": [
            {
                "session_id": "night",
                "token_hash": TOKEN_HASH[:16],
                "request_count": 1,
                "input_tokens": 100,
                "output_tokens": 50,
                "total_tokens": 150,
                "error_count": 0,
                "cost_usd": "12",
                "first_seen": "2026-03-02T08:16:12Z",
                "last_seen": "2026-03-02T08:16:12Z",
            }
        ],
        "since": SINCE,
    }


def test_the_keys_stand_in_the_documented_order():
    snapshot = stats_of(a_row(1))
    counters = ["request_count", "input_tokens", "output_tokens", "total_tokens", "error_count", "cost_usd"]
    assert list(snapshot) == ["totals", "by_model_and_key", "by_token", "by_session", "since"]
    assert list(snapshot["totals"]) == counters
    assert list(snapshot["by_model_and_key"][0]) == ["model", "base_key_env", *counters]
    assert list(snapshot["by_token"][0]) == [
        "token_hash",
        *counters,
        "last_model",
        "base_key_env",
        "first_seen",
        "last_seen",
    ]


@pytest.mark.parametrize(
    ("changes", "requests", "errors"),
    [
        ({"status": 429, "upstream_status": 0, "refusal": "rate_limited", "error": "slow"}, 1, 1),
        ({"status": 403, "upstream_status": 0, "refusal": "model_not_allowed", "error": "no"}, 1, 1),
        ({"status": 502, "upstream_status": 0, "refusal": "upstream_unreachable", "error": "no"}, 1, 1),
        ({"status": 400, "upstream_status": 0, "refusal": "invalid_json", "error": "no"}, 0, 0),
        ({"status": 401, "upstream_status": 0, "refusal": "token_expired", "error": "no"}, 0, 0),
        ({"status": 500, "upstream_status": 0, "refusal": "key_missing", "error": "no"}, 0, 0),
        ({"status": 400, "upstream_status": 400}, 1, 1),
        ({"status": 401, "upstream_status": 401}, 1, 1),
        ({"status": 500, "upstream_status": 500}, 1, 1),
        ({"status": 200, "error": "the stream broke off"}, 1, 1),
        ({"status": 101, "upstream_status": 101, "kind": "upgrade"}, 0, 0),
        ({"status": 403, "upstream_status": 403, "kind": "upgrade"}, 1, 1),
        ({"kind": "frame"}, 1, 0),
    ],
)
def test_what_is_counted(changes, requests, errors):
    totals = stats_of(a_row(1, **changes))["totals"]
    assert (totals["request_count"], totals["error_count"]) == (requests, errors)


def test_an_unknown_token_is_in_no_token_line():
    assert stats_of(a_row(1, token_hash=""))["by_token"] == []


def test_made_up_model_names_do_not_fill_the_memory():
    snapshot = stats_of(*(a_row(number, model=f"made-up-{number}") for number in range(MOST_MODELS + 50)))
    assert len(snapshot["by_model_and_key"]) == MOST_MODELS + 1
    other = next(entry for entry in snapshot["by_model_and_key"] if entry["model"] == OTHER_MODELS)
    assert other["request_count"] == 50


def test_sessions_of_two_tokens_are_two():
    first = a_row(1, session_id="s", token_hash="1" * 64)
    second = a_row(2, session_id="s", token_hash="2" * 64)
    assert {entry["token_hash"] for entry in stats_of(first, second, first)["by_session"]} == {
        "1" * 16,
        "2" * 16,
    }


def test_a_session_that_was_quiet_for_longest_joins_the_others():
    rows = [a_row(number, session_id=f"run-{number}") for number in range(MOST_SESSIONS)]
    again = a_row(5000, session_id="run-0")
    snapshot = stats_of(*rows, again, *(a_row(6000 + more, session_id=f"late-{more}") for more in range(3)))
    names = {entry["session_id"]: entry for entry in snapshot["by_session"]}
    assert len(names) == MOST_SESSIONS + 1
    assert names["run-0"]["request_count"] == 2
    assert {"run-1", "run-2", "run-3"}.isdisjoint(names)
    assert names[OTHER] == {
        "session_id": OTHER,
        "token_hash": "",
        "request_count": 3,
        "input_tokens": 4500,
        "output_tokens": 1965,
        "total_tokens": 6465,
        "error_count": 0,
        "cost_usd": "0",
        "first_seen": "2026-03-02T08:16:11Z",
        "last_seen": "2026-03-02T08:16:13Z",
    }


rows = st.builds(
    lambda model, token, session, tokens, status: a_row(
        1,
        model=model,
        session_id=session,
        cost_usd=Decimal(tokens) / 10**9,
        token_hash=token * 64,
        input_tokens=tokens,
        output_tokens=tokens // 2,
        status=status,
        upstream_status=status,
        ended_at=START + timedelta(seconds=tokens),
    ),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from("012"),
    st.sampled_from("xy"),
    st.integers(0, 10**6),
    st.sampled_from([200, 404, 500]),
)


@given(st.lists(rows, max_size=30))
def test_every_list_adds_up_to_the_totals(found):
    snapshot = stats_of(*found)
    for entries in (snapshot["by_model_and_key"], snapshot["by_token"], snapshot["by_session"]):
        for counter in COUNTS:
            assert sum(entry[counter] for entry in entries) == snapshot["totals"][counter]
        cost = sum(Decimal(entry["cost_usd"]) for entry in entries)
        assert cost == Decimal(snapshot["totals"]["cost_usd"])
        totals = [entry["total_tokens"] for entry in entries]
        assert totals == sorted(totals, reverse=True)
    assert snapshot["totals"]["error_count"] == sum(row.status >= 400 for row in found)
