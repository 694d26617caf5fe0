from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.config.schema import Anomaly
from tokenomics_core.counters.question import NANO, Watch
from tokenomics_core.counters.state import TokenState, thaw, watch
from tokenomics_core.json_body import JsonBody
from tokenomics_core.meter.anomaly import UNRELATED, WatchSettings, fingerprint, settings, watch_of
from tokenomics_core.policy import Anomaly as PolicyAnomaly

CHAT = "/v1/chat/completions"
BASE: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
DEFAULTS = Anomaly()
ON = Anomaly(enabled=True)
START = 1_800_000_000_000


def print_of(value: dict[str, Any], dialect: str = "openai_chat", path: str = CHAT) -> str:
    return fingerprint(dialect, path, JsonBody(json.dumps(value).encode()))


@pytest.mark.parametrize("name", sorted(UNRELATED))
def test_members_that_do_not_change_the_answer(name: str) -> None:
    assert print_of(BASE | {name: "x"}) == print_of(BASE) == print_of(BASE | {name: {"y": [1]}})


@pytest.mark.parametrize(
    "change",
    [
        {"model": "n"},
        {"messages": [{"role": "user", "content": "ho"}]},
        {"max_tokens": 6},
        {"temperature": 0.1},
        {"service_tier": "flex"},
        {"tools": []},
        {"input": "x"},
        {"prompt": "x"},
        {"previous_response_id": "resp_1"},
    ],
)
def test_all_others_do(change: dict[str, Any]) -> None:
    assert print_of(BASE | change) != print_of(BASE)


def test_embeddings_and_completions_differ_by_their_input() -> None:
    for member in ("input", "prompt"):
        prints = {print_of({"model": "m", member: f"text {n}"}, "openai", "/v1/embeddings") for n in range(9)}
        assert len(prints) == 9


def test_path_and_dialect_count_and_streaming_does_not() -> None:
    value = {"contents": [{"parts": [{"text": "hi"}]}]}
    one = print_of(value, "gemini", "/v1beta/models/g:generateContent")
    assert one == print_of(value, "gemini", "/v1beta/models/g:streamGenerateContent")
    assert one != print_of(value, "gemini", "/v1beta/models/h:generateContent")
    assert one != print_of(value, "unknown", "/v1beta/models/g:generateContent")


def test_order_and_white_space_do_not_count() -> None:
    one = JsonBody(b'{"model":"m", "input": {"a":1,"b":2}}')
    other = JsonBody(b'{ "input":{"b":2,"a":1},"model":"m","user":"u"}\n')
    assert fingerprint("d", "/p", one) == fingerprint("d", "/p", other)


@given(st.dictionaries(st.sampled_from([*UNRELATED, "model", "input"]), st.integers(), max_size=6))
def test_a_body_is_told_by_what_is_related(value: dict[str, int]) -> None:
    related = {name: number for name, number in value.items() if name not in UNRELATED}
    assert print_of(value) == print_of(related)


def test_what_cannot_be_written_canonically() -> None:
    assert print_of({"seed": 10**30}) == print_of({"seed": 10**30}) != print_of({"seed": 10**30 + 1})
    deep = b'{"input":' + b"[" * 1000 + b"]" * 1000 + b"}"
    assert fingerprint("d", "/p", JsonBody(deep)) == fingerprint("d", "/p", JsonBody(deep + b" "))


def test_no_body_is_no_fingerprint() -> None:
    assert fingerprint("unknown", "/v1/models", None) == ""


def test_it_is_cheap() -> None:
    body = JsonBody(json.dumps(BASE | {"tools": [{"name": "t" * 50}] * 1300, "stream": True}).encode())
    assert len(body.render()) > 80_000
    took = []
    for _ in range(20):
        before = time.perf_counter()
        fingerprint("openai_chat", CHAT, body)
        took.append(time.perf_counter() - before)
    assert min(took) < 0.001


def of_policy(**said: Any) -> PolicyAnomaly:
    return PolicyAnomaly.model_validate(said)


def test_settings_are_off_unless_said() -> None:
    assert settings(of_policy(), DEFAULTS) is None
    assert settings(of_policy(), ON) == WatchSettings()
    assert settings(of_policy(enabled=True), DEFAULTS) == WatchSettings()
    assert settings(of_policy(enabled=False), ON) is None


def test_a_policy_goes_over_the_configuration() -> None:
    policy = of_policy(enabled=True, max_usd="0.25", window=10, max_identical=0)
    config = Anomaly(max_requests=7, max_usd=Decimal(9), freeze=0.5)
    assert settings(policy, config) == WatchSettings(
        max_requests=7, max_repeats=0, max_spend=NANO // 4, window=10_000, freeze=500
    )


def about(fingerprint: str, cost: int = 0, chosen: WatchSettings | None = None) -> Watch:
    return watch_of(chosen or WatchSettings(), "session:s", fingerprint, "m", cost)


def test_the_fourth_identical_request_is_a_loop() -> None:
    state = TokenState()
    found = [watch(state, about("f"), START + n) for n in range(4)]
    assert found[:3] == [None, None, None]
    assert found[3] is not None
    assert found[3].told == "Loop detected: 4 identical requests"
    assert thaw(state, "session:s")
    assert watch(state, about("f"), START + 5) is None


def test_requests_without_a_body_are_no_loop() -> None:
    state = TokenState()
    assert [watch(state, about(""), START + n) for n in range(50)] == [None] * 50
    # They part what came before and after.
    for n in range(20):
        assert watch(state, about("f" if n % 3 else ""), START + 100 + n) is None


def test_steady_slow_traffic_is_no_rush() -> None:
    state = TokenState()
    for n in range(500):
        assert watch(state, about(str(n)), START + n * 1000) is None


def test_a_rush_is_found_at_the_101st_request_in_a_minute() -> None:
    state = TokenState()
    assert all(watch(state, about(str(n)), START + n * 500) is None for n in range(100))
    found = watch(state, about("x"), START + 50_000)
    assert found is not None
    assert found.told == "Rate limit exceeded: 101 requests in 1 minute"
    assert found.message == "Exceeded rate limit: 101 requests/minute"


def test_velocity_counts_the_request_itself() -> None:
    state = TokenState()
    assert watch(state, about("a", NANO), START) is None
    found = watch(state, about("b", 1), START + 1)
    assert found is not None
    assert found.told == "High spending velocity: $1.0001/minute"
