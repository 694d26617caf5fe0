"""Streams at the end of a budget: ended in their own format, read by the SDKs, billed as received."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator

import pytest

from tests.fake_provider import FakeProvider, Record
from tests.money.governed import POLICY, Json, create, rows_of, run_sdks, update, values
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.support.proxy import Proxy

LIMIT = 80
"""Tokens of a budget; at a thousandth of a dollar each, also as dollars."""

ENDLESS: Json = {"tokens": 4000, "delay": 0.05, "ignore_cap": True}
"""An answer that goes on in spite of every cap, for minutes. Slow: a busy machine must keep up with it."""

BUDGETS: dict[str, Json] = {
    "tokens": {"max_tokens": LIMIT},
    "usd": {"budgets": [{"name": "small", "limit": "0.08"}]},
}
CONFIG: Json = {
    "budgets": {"slice": 16, "wait": 0.5},
    "pricing": {f"{name}*": {"input": 1000, "output": 1000} for name in ("gpt-", "claude-", "gemini-")},
}

FINISHES = {
    "chat": ["length"],
    "completions": ["length"],
    "responses": ["response.incomplete", "incomplete", "max_output_tokens"],
    "messages": ["max_tokens"],
    "gemini": ["MAX_TOKENS"],
}
"""How each format says that an answer reached its cap, by check of the SDKs' script."""

NEAR = {"chat": 50, "completions": 58, "responses": 54, "messages": 46, "gemini": 46}
"""Events that come at once, so that no time is lost on the way to the end."""


@pytest.fixture(scope="module")
def gateway(make_proxy: StartProxy) -> Iterator[Proxy]:
    with make_proxy(CONFIG) as proxy:
        yield proxy
        assert proxy.refusals() == []


def assert_cut(row: Json, record: Record, most: int = LIMIT) -> None:
    """The provider was told at once; no more was billed than there was, and not much less was used."""
    assert record.left
    assert not record.finished
    billed = record.bill.input_tokens + record.bill.output_tokens
    recorded = row["input_tokens"] + row["output_tokens"]
    assert billed <= recorded <= most
    assert recorded >= 0.75 * most
    # Where the encoding is not published, a quarter is put on top.
    assert billed >= 0.6 * most
    assert row["reserved_tokens"] <= most
    assert (row["status"], row["estimated"]) == (200, 1)
    assert row["error"].startswith("budget")


# The official SDKs, in front of a provider that ignores every cap.


@pytest.fixture(scope="module")
def cuts(gateway: Proxy, provider_server: FakeProvider) -> dict[tuple[str, str], tuple[Json, Json, Record]]:
    """By unit and check: what the SDK saw, the row, and what the provider saw."""
    cases = list(itertools.product(BUDGETS, FINISHES))
    tokens = {case: create(gateway, POLICY | BUDGETS[case[0]]) for case in cases}
    provider_server.reset()
    provider_server.script([ENDLESS | {"fast": fast} for _ in BUDGETS for fast in NEAR.values()])
    keys = {unit: {check: tokens[unit, check].key for check in FINISHES} for unit in BUDGETS}
    outcomes = run_sdks(gateway, keys, say="1 2 3 4 5 6")
    records = provider_server.wait_ended(len(cases))
    assert provider_server.bugs == []
    return {
        (unit, check): (
            values(outcomes[unit])[check],
            rows_of(gateway, tokens[unit, check].hash)[0],
            record,
        )
        for (unit, check), record in zip(cases, records, strict=True)
    }


@pytest.mark.long
@pytest.mark.parametrize("check", FINISHES)
@pytest.mark.parametrize("unit", BUDGETS)
def test_an_sdk_reads_to_the_end(
    cuts: dict[tuple[str, str], tuple[Json, Json, Record]], unit: str, check: str
) -> None:
    seen, row, record = cuts[unit, check]
    assert seen["finish"] == FINISHES[check]
    (told,) = seen["told"]
    message = "budget exceeded: used " if unit == "tokens" else 'budget "small" exceeded: remaining $0.0'
    if check == "gemini":
        assert told.startswith(f"budget_exceeded: {message}")
    else:
        assert told["code"] == "budget_exceeded"
        assert told["message"].startswith(message)
    # What it was given is what was billed, and what it was told of that.
    words = len(seen["text"]) // len(" the")
    assert words <= record.bill.output_tokens
    assert words <= seen["tokens"] == row["output_tokens"]
    assert_cut(row, record)
    if unit == "usd":
        assert float(row["cost_usd"]) <= 0.08


# The formats that no SDK of ours reads.


RAW: dict[str, tuple[str, Json]] = {
    "ollama chat": ("/api/chat", {"model": "llama3.2", "messages": [{"role": "user", "content": "hello"}]}),
    "ollama generate": ("/api/generate", {"model": "llama3.2", "prompt": "hello"}),
    "gemini array": (
        "/v1beta/models/gemini-2.0-flash:streamGenerateContent",
        {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]},
    ),
    "chat without usage": (
        "/v1/chat/completions",
        {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "hello"}]},
    ),
}


@pytest.mark.parametrize("name", RAW)
def test_other_formats_end_whole(gateway: Proxy, fake_provider: FakeProvider, name: str) -> None:
    created = create(gateway, POLICY | BUDGETS["tokens"])
    fake_provider.script([ENDLESS | {"fast": 50}])
    path, body = RAW[name]
    with Caller(gateway, created.key) as caller:
        outcome = caller.send("POST", path, body)
    assert (outcome.status, outcome.broken) == (200, False)
    if name == "gemini array":
        last = json.loads(outcome.body)[-1]
        assert last["candidates"][0]["finishReason"] == "MAX_TOKENS"
    elif name == "chat without usage":
        assert outcome.body.endswith(b"data: [DONE]\n\n")
        last = outcome.events[-1]
        assert last["choices"][0]["finish_reason"] == "length"
        assert not any(event.get("usage") for event in outcome.events)
    else:
        last = json.loads(outcome.body.splitlines()[-1])
        assert (last["done"], last["done_reason"]) == (True, "length")
    assert last["tokenomics"]["code"] == "budget_exceeded"
    (record,) = fake_provider.wait_ended(timeout=2)
    assert_cut(rows_of(gateway, created.hash)[0], record)


def test_a_policy_that_shrinks_ends_what_runs(gateway: Proxy, fake_provider: FakeProvider) -> None:
    created = create(gateway, POLICY | {"max_tokens": 1_000_000})
    fake_provider.script([ENDLESS | {"delay": 0.01}])
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    with (
        Caller(gateway, created.key) as caller,
        caller.begin("POST", "/v1/chat/completions", body) as answer,
    ):
        received = b""
        for data in answer.iter_raw():
            if not received:
                assert "x-tokenomics-output-cap" not in answer.headers
                update(gateway, created.hash, {"max_tokens": 60})
            received += data
    assert received.endswith(b"data: [DONE]\n\n")
    assert b'"finish_reason":"length"' in received
    assert b"> limit 60" in received
    (record,) = fake_provider.wait_ended(timeout=2)
    assert record.left
    assert record.bill.output_tokens < 1000
    row = rows_of(gateway, created.hash)[0]
    assert abs(row["output_tokens"] - record.bill.output_tokens) < 20


# The other way: the request's own cap is lowered, and the provider ends by itself.

SPEAK = "9 8 7 6 5 4 3 2 1 0"
"""More tokens to every tokenizer than to the fake provider."""

CAPPED: dict[str, tuple[str, Json, str, tuple[str, ...]]] = {
    "chat": (
        "/v1/chat/completions",
        {"model": "gpt-4o", "messages": [{"role": "user", "content": SPEAK}], "max_tokens": 16_000},
        '"finish_reason":"length"',
        ("max_tokens",),
    ),
    "chat without a cap": (
        "/v1/chat/completions",
        {"model": "gpt-4o", "messages": [{"role": "user", "content": SPEAK}]},
        '"finish_reason":"length"',
        ("max_tokens",),
    ),
    "completions": (
        "/v1/completions",
        {"model": "gpt-3.5-turbo-instruct", "prompt": SPEAK, "max_tokens": 4000},
        '"finish_reason":"length"',
        ("max_tokens",),
    ),
    "responses": (
        "/v1/responses",
        {"model": "gpt-4o", "input": SPEAK, "max_output_tokens": 16_000},
        '"status":"incomplete"',
        ("max_output_tokens",),
    ),
    "messages": (
        "/v1/messages",
        {
            "model": "claude-sonnet-4-6",
            "messages": [{"role": "user", "content": SPEAK}],
            "max_tokens": 64_000,
        },
        '"stop_reason":"max_tokens"',
        ("max_tokens",),
    ),
    "gemini": (
        "/v1beta/models/gemini-2.0-flash:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": SPEAK}]}]},
        '"finishReason":"MAX_TOKENS"',
        ("generationConfig", "maxOutputTokens"),
    ),
    "ollama": (
        "/api/chat",
        {"model": "llama3.2", "messages": [{"role": "user", "content": SPEAK}], "stream": False},
        '"done_reason":"length"',
        ("options", "num_predict"),
    ),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("name", CAPPED)
def test_the_cap_is_lowered(gateway: Proxy, fake_provider: FakeProvider, name: str, stream: bool) -> None:
    created = create(gateway, POLICY | BUDGETS["tokens"])
    fake_provider.script([{"tokens": 4000}])
    path, body, ending, place = CAPPED[name]
    if stream and name == "gemini":
        path = "/v1beta/models/gemini-2.0-flash:streamGenerateContent?alt=sse"
    elif stream or name == "ollama":
        body = body | {"stream": stream}
    with Caller(gateway, created.key) as caller:
        begun = time.monotonic()
        outcome = caller.send("POST", path, body, headers={"anthropic-version": "2023-06-01"})
        assert time.monotonic() - begun < 5
    assert (outcome.status, outcome.broken) == (200, False)
    assert ending in outcome.body.decode().replace(": ", ":")
    assert b"tokenomics" not in outcome.body
    record = fake_provider.last
    assert record.finished
    cap = record.json
    for member in place:
        cap = cap[member]
    assert outcome.headers["x-tokenomics-output-cap"] == str(cap)
    (row,) = rows_of(gateway, created.hash)
    assert row["output_tokens"] == record.bill.output_tokens == cap
    assert row["input_tokens"] == record.bill.input_tokens
    assert (row["estimated"], row["error"]) == (0, None)
    assert row["input_tokens"] + row["output_tokens"] <= row["reserved_tokens"] <= LIMIT
    # Near the end a stream takes half of what is free; the room is there to be used.
    assert cap >= (LIMIT / 3 if stream else LIMIT / 2)
