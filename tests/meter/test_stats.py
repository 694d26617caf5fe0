from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger.build import START, TOKEN_HASH, a_row
from tokenomics_core.meter.stats import MOST_MODELS, OTHER_MODELS, Stats

ZERO = {"request_count": 0, "input_tokens": 0, "output_tokens": 0, "total_tokens": 0, "error_count": 0}


def stats_of(*rows):
    stats = Stats()
    for row in rows:
        stats.add(row)
    return stats.snapshot()


def test_nothing_yet():
    assert stats_of() == {"totals": ZERO, "by_model_and_key": [], "by_token": []}


def test_totals_models_and_tokens():
    small = a_row(1, model="gpt-4o-mini", input_tokens=10, output_tokens=5)
    large = a_row(2, model="claude-opus", base_key_env="ANTHROPIC_KEY", input_tokens=100, output_tokens=50)
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
            },
            {
                "model": "gpt-4o-mini",
                "base_key_env": "OPENAI_API_KEY",
                "request_count": 2,
                "input_tokens": 13,
                "output_tokens": 5,
                "total_tokens": 18,
                "error_count": 1,
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
                "last_model": "gpt-4o-mini",
                "base_key_env": "OPENAI_API_KEY",
                "first_seen": "2026-03-02T08:16:13Z",
                "last_seen": "2026-03-02T08:16:13Z",
            },
        ],
    }


def test_the_keys_stand_in_the_documented_order():
    snapshot = stats_of(a_row(1))
    counters = ["request_count", "input_tokens", "output_tokens", "total_tokens", "error_count"]
    assert list(snapshot) == ["totals", "by_model_and_key", "by_token"]
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


rows = st.builds(
    lambda model, token, tokens, status: a_row(
        1,
        model=model,
        token_hash=token * 64,
        input_tokens=tokens,
        output_tokens=tokens // 2,
        status=status,
        upstream_status=status,
        ended_at=START + timedelta(seconds=tokens),
    ),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from("012"),
    st.integers(0, 10**6),
    st.sampled_from([200, 404, 500]),
)


@given(st.lists(rows, max_size=30))
def test_every_list_adds_up_to_the_totals(found):
    snapshot = stats_of(*found)
    for entries in (snapshot["by_model_and_key"], snapshot["by_token"]):
        for counter in ZERO:
            assert sum(entry[counter] for entry in entries) == snapshot["totals"][counter]
        totals = [entry["total_tokens"] for entry in entries]
        assert totals == sorted(totals, reverse=True)
    assert snapshot["totals"]["error_count"] == sum(row.status >= 400 for row in found)
