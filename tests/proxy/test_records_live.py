"""What is written down of an exchange is what happened: rows, statistics, log lines, and no secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.caller import Caller
from tests.proxy.formats import ANTHROPIC, FORMATS, GEMINI, OPENAI, Format, Json, by_name
from tests.support.proxy import Proxy
from tests.support.raw_http import exchange, request_bytes

CACHED = [{"type": "text", "text": "a long text " * 20, "cache_control": {"type": "ephemeral"}}]


@pytest.fixture(scope="module")
def gateway(make_proxy: Callable[..., Proxy]) -> Iterator[Proxy]:
    """Of its own, so that its statistics are of these tests alone."""
    with make_proxy() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def tokens(gateway: Proxy) -> dict[str, dict[str, Any]]:
    policies = {format.name: format.policy for format in FORMATS}
    policies["ollama"] = {"base_key_env": "NOT_SET", "default_provider": "ollama"}
    return {name: gateway.create_token(policy) for name, policy in policies.items()}


@pytest.fixture
def caller_of(
    gateway: Proxy, tokens: dict[str, dict[str, Any]], fake_provider: FakeProvider
) -> Iterator[Callable[[str], Caller]]:
    opened: list[Caller] = []

    def make(name: str) -> Caller:
        opened.append(Caller(gateway, tokens[name]["token"]))
        return opened[-1]

    yield make
    for one in opened:
        one.client.close()


def read_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


# Tokens, by format.

SAY = {"messages": [{"role": "user", "content": "hello"}]}
CASES: dict[str, tuple[str, str, str, Json]] = {
    "chat": ("openai", "/v1/chat/completions", "openai_chat", {"model": "gpt-4o", **SAY}),
    "chat stream": (
        "openai",
        "/v1/chat/completions",
        "openai_chat",
        {"model": "gpt-4o", "stream": True, **SAY},
    ),
    "chat stream with reasoning": (
        "openai",
        "/v1/chat/completions",
        "openai_chat",
        {"model": "o3", "reasoning_effort": "low", "stream": True, **SAY},
    ),
    "chat stream with several answers": (
        "openai",
        "/v1/chat/completions",
        "openai_chat",
        {"model": "gpt-4o", "n": 3, "stream": True, **SAY},
    ),
    "responses": ("openai", "/v1/responses", "openai_responses", {"model": "gpt-4o", "input": "hello"}),
    "responses stream": (
        "openai",
        "/v1/responses",
        "openai_responses",
        {"model": "gpt-4o", "input": "hello", "stream": True},
    ),
    "completions": (
        "openai",
        "/v1/completions",
        "openai_completions",
        {"model": "gpt-4o", "prompt": "hello"},
    ),
    "completions stream": (
        "openai",
        "/v1/completions",
        "openai_completions",
        {"model": "gpt-4o", "prompt": "hello", "stream": True},
    ),
    "embeddings": (
        "openai",
        "/v1/embeddings",
        "openai_embeddings",
        {"model": "text-embedding-3-small", "input": ["hello", "again"]},
    ),
    "messages": (
        "anthropic",
        "/v1/messages",
        "anthropic_messages",
        {"model": "claude-sonnet-4-6", "max_tokens": 50, "system": CACHED, **SAY},
    ),
    "messages stream": (
        "anthropic",
        "/v1/messages",
        "anthropic_messages",
        {"model": "claude-sonnet-4-6", "max_tokens": 50, "system": CACHED, "stream": True, **SAY},
    ),
    "gemini with thoughts": (
        "gemini",
        "/v1beta/models/gemini-2.5-pro:generateContent",
        "gemini",
        {
            "contents": [{"parts": [{"text": "hello"}]}],
            "generationConfig": {"thinkingConfig": {"thinkingBudget": 100}},
            "cachedContent": "cachedContents/something-long",
        },
    ),
    "gemini stream": (
        "gemini",
        "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        "gemini",
        {
            "contents": [{"parts": [{"text": "hello"}]}],
            "generationConfig": {"thinkingConfig": {"thinkingBudget": 100}},
        },
    ),
    "gemini array": (
        "gemini",
        "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
        "gemini",
        {"contents": [{"parts": [{"text": "hello"}]}]},
    ),
    "ollama": ("ollama", "/api/chat", "ollama_chat", {"model": "llama3.2", **SAY}),
    "ollama whole": (
        "ollama",
        "/api/generate",
        "ollama_generate",
        {"model": "llama3.2", "prompt": "hello", "stream": False},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_tokens_are_those_that_were_billed(
    caller_of: Callable[[str], Caller], fake_provider: FakeProvider, name: str
) -> None:
    """Twice: the second time the cache answers a part of it."""
    format, path, dialect, body = CASES[name]
    caller = caller_of(format)
    for _ in range(2):
        assert caller.send("POST", path, body, headers={"anthropic-version": "2023-06-01"}).status == 200
    rows = caller.rows(2)
    for row, record in zip(rows, fake_provider.records, strict=True):
        bill = record.bill
        assert (row["input_tokens"], row["output_tokens"]) == (bill.input_tokens, bill.output_tokens)
        details = ("cached_input_tokens", "cache_creation_tokens", "reasoning_tokens")
        assert {key: row[key] or 0 for key in details} == {key: getattr(bill, key) for key in details}
        assert (row["estimated"], row["dialect"], row["error"]) == (0, dialect, None)
        assert row["stream"] == ("stream" in name or name in ("gemini array", "ollama"))
    if dialect == "anthropic_messages":
        written, read = (record.bill for record in fake_provider.records)
        assert written.cache_creation_tokens == read.cached_input_tokens > 50


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("format", FORMATS, ids=by_name)
def test_zero_stays_zero(
    caller_of: Callable[[str], Caller], fake_provider: FakeProvider, format: Format, stream: bool
) -> None:
    fake_provider.script([{"do": "zero-usage"}])
    caller = caller_of(format.name)
    assert caller.ask(format, stream=stream).status == 200
    row = caller.row()
    assert (row["input_tokens"], row["output_tokens"], row["estimated"]) == (0, 0, 0)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("format", FORMATS, ids=by_name)
def test_no_usage_is_counted_here(
    caller_of: Callable[[str], Caller], fake_provider: FakeProvider, format: Format, stream: bool
) -> None:
    """The filler is one token a piece, for the provider and for tokenizers."""
    fake_provider.script([{"do": "no-usage", "tokens": 40}])
    caller = caller_of(format.name)
    assert caller.ask(format, text="count this, please", stream=stream).status == 200
    row = caller.row()
    assert (row["output_tokens"], row["estimated"]) == (40, 1)
    assert 5 <= row["input_tokens"] <= 20


@pytest.mark.parametrize("format", FORMATS, ids=by_name)
@pytest.mark.parametrize("status", [400, 401, 404, 429])
def test_error_of_the_provider_costs_nothing(
    caller_of: Callable[[str], Caller], fake_provider: FakeProvider, format: Format, status: int
) -> None:
    fake_provider.script([{"status": status}])
    caller = caller_of(format.name)
    assert caller.ask(format).status == status
    row = caller.row()
    assert (row["status"], row["upstream_status"], row["refusal"]) == (status, status, None)
    assert (row["input_tokens"], row["output_tokens"], row["estimated"]) == (0, 0, 0)


# The other fields.


def test_row(gateway: Proxy, tokens: dict[str, dict[str, Any]], fake_provider: FakeProvider) -> None:
    policy = {**OPENAI.policy, "metadata": {"team": "core", "cost": "42"}}
    created = gateway.create_token(policy)
    agent = {"X-OpenClaw-Agent-ID": "a-1", "X-OpenClaw-Team": "theirs", "X-OpenClaw-Skill": ""}
    begun = datetime.now(UTC)
    with Caller(gateway, created["token"]) as caller:
        fake_provider.script([{"first_byte": 0.2}])
        outcome = caller.send(
            "POST",
            "/v1/chat/completions?trace=secret",
            OPENAI.body("gpt-4o", "hello", False),
            headers=agent,
        )
        row = caller.row()
    assert outcome.headers["x-client-request-id"] == row["id"]
    assert fake_provider.last.header("x-client-request-id") == row["id"]
    assert not [name for name in fake_provider.last.header_names() if "openclaw" in name]
    started, ended = read_time(row["started_at"]), read_time(row["ended_at"])
    assert begun - timedelta(seconds=0.1) <= started <= ended <= datetime.now(UTC)
    assert 200 <= row["duration_ms"] < 5000
    times = {name: row["attempts"][0][name] for name in ("began_ms", "ended_ms")}
    assert 0 < times["began_ms"] <= times["ended_ms"] - 200 <= row["duration_ms"] - 199
    expected = {
        "kind": "request",
        "parent_id": None,
        "token_hash": created["hash"],
        "ingress": "base_url",
        "method": "POST",
        "path": "/v1/chat/completions",
        "operation": "chat",
        "requested_model": "gpt-4o",
        "model": "gpt-4o",
        "actual_model": "gpt-4o",
        "fallback_model": None,
        "provider": "openai",
        "base_key_env": "OPENAI_API_KEY",
        "upstream_host": "127.0.0.1",
        "upstream_url": f"{fake_provider.url}/v1/chat/completions",
        "status": 200,
        "upstream_status": 200,
        "refusal": None,
        "finish_reason": "stop",
        "rate_limit_remaining_requests": 9999,
        "rate_limit_remaining_tokens": 199000,
        "rate_limit_reset": "8ms",
        "upstream_id": "chatcmpl-000001",
        "upstream_request_id": "req_000000000001",
        "retry_count": 0,
        "attempts": [{"model": "gpt-4o", "provider": "openai", "status": 200, "reason": "", **times}],
        "rule_matches": [],
        "metadata": {"agent_id": "a-1", "team": "core", "cost": "42"},
        "request_bytes": fake_provider.last.body_bytes,
        "response_bytes": len(outcome.body),
        "remote_addr": "127.0.0.1",
    }
    assert {key: row[key] for key in expected} == expected
    assert gateway.files_with("trace=secret") == []


def test_row_of_anthropic(caller_of: Callable[[str], Caller], fake_provider: FakeProvider) -> None:
    caller = caller_of("anthropic")
    caller.ask(ANTHROPIC, stream=True)
    row = caller.row()
    found = {
        key: row[key] for key in ("finish_reason", "upstream_id", "upstream_request_id", "rate_limit_reset")
    }
    assert found == {
        "finish_reason": "end_turn",
        "upstream_id": "msg_000001",
        "upstream_request_id": "req_000000000001",
        "rate_limit_reset": "2026-01-02T03:04:05Z",
    }
    assert (row["rate_limit_remaining_requests"], row["rate_limit_remaining_tokens"]) == (999, 79000)


def test_row_of_gemini(caller_of: Callable[[str], Caller], fake_provider: FakeProvider) -> None:
    caller = caller_of("gemini")
    caller.ask(GEMINI, stream=True)
    row = caller.row()
    assert (row["finish_reason"], row["upstream_id"]) == ("STOP", "gem-000001")
    assert row["actual_model"] == GEMINI.model


# Statistics and log.


def test_stats_are_the_sum_of_the_rows(
    gateway: Proxy, caller_of: Callable[[str], Caller], fake_provider: FakeProvider
) -> None:
    """Over all that was asked of this gateway so far."""
    fake_provider.script([{}, {"status": 503}, {"reset": "before_headers"}, {"do": "no-usage"}])
    for format in FORMATS:
        caller_of(format.name).ask(format)
    last = caller_of("openai")
    last.ask(stream=True)
    last.row()
    rows = gateway.rows(0)
    stats = httpx.get(f"{gateway.http_url}/stats", trust_env=False).json()
    assert list(stats) == ["totals", "by_model_and_key", "by_token", "by_session", "since", "all_time"]

    def summed(chosen: list[dict[str, Any]]) -> dict[str, Any]:
        inputs = sum(row["input_tokens"] for row in chosen)
        outputs = sum(row["output_tokens"] for row in chosen)
        failed = sum(1 for row in chosen if row["status"] >= 400 or row["error"])
        return {
            "request_count": len(chosen),
            "input_tokens": inputs,
            "output_tokens": outputs,
            "total_tokens": inputs + outputs,
            "error_count": failed,
            "cost_usd": f"{sum(Decimal(row['cost_usd'] or 0) for row in chosen):f}",
        }

    assert stats["totals"] == summed(rows)
    for entry in stats["by_model_and_key"]:
        wanted = (entry.pop("model"), entry.pop("base_key_env"))
        assert entry == summed([row for row in rows if (row["model"], row["base_key_env"]) == wanted])
    for entry in stats["by_token"]:
        of_token = [row for row in rows if row["token_hash"].startswith(entry["token_hash"])]
        assert len(entry["token_hash"]) == 16
        assert {key: entry[key] for key in summed([])} == summed(of_token)
        assert entry["last_model"] == of_token[-1]["model"]
    for part in ("by_model_and_key", "by_token"):
        totals = [entry["total_tokens"] for entry in stats[part]]
        assert totals == sorted(totals, reverse=True)


def log_lines(proxy: Proxy, name: str, count: int) -> list[dict[str, Any]]:
    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in proxy.log().splitlines() if name in line]

    return proxy.wait_for(read, lambda lines: len(lines) >= count)


def test_log_line(gateway: Proxy, caller_of: Callable[[str], Caller], fake_provider: FakeProvider) -> None:
    caller = caller_of("openai")
    caller.ask(stream=True)
    (line,), row = log_lines(gateway, caller.name, 1), caller.row()
    assert list(line) == [
        *("timestamp", "method", "path", "token_hash", "model", "base_key_env", "upstream_url"),
        *("status_code", "duration_ms", "input_tokens", "output_tokens", "stream", "remote_addr"),
        *("user_agent", "upstream_request_id", "upstream_id", "client_request_id", "cost_usd"),
    ]
    assert line["cost_usd"] == row["cost_usd"]
    assert line["token_hash"] == row["token_hash"][:16]
    assert (line["client_request_id"], line["status_code"]) == (row["id"], 200)
    assert line["timestamp"].endswith("000Z")


def test_log_is_off_by_default(start_proxy: Callable[..., Proxy], fake_provider: FakeProvider) -> None:
    """Only who was turned away for his token is named."""
    proxy = start_proxy({"logging": {"disable_request": True}})
    with Caller(proxy, proxy.token(OPENAI.policy)) as known, Caller(proxy, "tkn_unknown") as unknown:
        known.ask()
        unknown.ask()
        (line,) = log_lines(proxy, unknown.name, 1)
        assert (line["status_code"], line["error"]) == (401, "invalid token")
        known.row()
        assert known.name not in proxy.log()


# Secrets.


def test_no_secret_is_written(
    gateway: Proxy, tokens: dict[str, dict[str, Any]], fake_provider: FakeProvider
) -> None:
    """After all of the above and some more: no key, no token, in no file and on no output."""
    strange = "tkn_0badc0de-0000-4000-8000-000000000000"
    key = tokens["openai"]["token"]
    for text in (f"/v1/models/{key}", f"/v1/models?key={key}", f"/{key}/x?{key}={key}"):
        exchange(gateway.http_port, request_bytes(text, {"model": key}, key=strange), timeout=0.2)
        exchange(gateway.http_port, request_bytes(text, {"model": key}, key=key), timeout=0.2)
    exchange(gateway.http_port, f"GET {key} HTTP/9.9\r\n{key}: {key}\r\n\r\n".encode(), timeout=0.2)
    fake_provider.script(
        [{"do": "echo-key"}, {"do": "echo-key", "status": 200}, {"do": "echo-key", "status": 200}]
    )
    real = gateway.keys["OPENAI_API_KEY"]
    with Caller(gateway, key) as caller:
        for stream in (False, False, True):
            outcome = caller.ask(stream=stream, headers={"User-Agent": f"{caller.name} {key}"})
            assert real not in str(outcome)
        caller.rows(0)
    httpx.get(f"{gateway.http_url}/stats", trust_env=False)
    assert gateway.stop() == 0
    for secret in (strange, *(created["token"] for created in tokens.values()), *gateway.keys.values()):
        assert gateway.files_with(secret) == []
