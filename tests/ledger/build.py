"""Exchanges and rows for tests, with everything filled in that a test does not care about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from tokenomics_core.dialects.base import Answer, Dialect, Framing, StreamReader, Usage
from tokenomics_core.exchange import Attempt, Exchange, Ingress
from tokenomics_core.json_body import JsonBody
from tokenomics_core.ledger import Row
from tokenomics_core.providers import Target
from tokenomics_core.refusal import Refusal

START = datetime(2026, 3, 2, 8, 16, 10, 480113, tzinfo=UTC)
TOKEN_HASH = "bba56f48ebdf2da3b43fd69610d07ff4f4b22b0398cae6fb94af3c3152e9252e"
WRAPPER = "tkn_0f8fad5b-d9cb-469f-a165-70867728950e"
KEY = "sk-proj-4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c"


class PlainDialect(Dialect):
    name = "openai_chat"
    operation = "chat"

    def input_texts(self, body: JsonBody) -> Iterator[str]:
        return iter(())

    def read_answer(self, body: dict[str, Any]) -> Answer:
        return Answer()

    def stream_reader(self, framing: Framing, *, hide_usage: bool = False) -> StreamReader:
        raise AssertionError("a row is made from an answer that was read")

    def error_body(self, refusal: Refusal, request_id: str) -> bytes:
        return b""

    def error_event(self, refusal: Refusal, request_id: str, framing: Framing) -> bytes:
        return b""


def an_attempt(number: int = 0, model: str = "gpt-4o", **changes: Any) -> Attempt:
    target = Target(scheme="https", host="api.openai.com", port=443, path="/v1/chat/completions")
    values: dict[str, Any] = {
        "number": number,
        "model": model,
        "provider": None,
        "provider_name": "openai",
        "policy": None,
        "target": target,
        "key_env": "OPENAI_API_KEY",
        "timeout": 30.0,
    }
    return Attempt(**(values | changes))


def an_exchange(**changes: Any) -> Exchange:
    """A streamed chat request of a known token that was answered at once."""
    values: dict[str, Any] = {
        "id": "tkn_" + "0123456789abcdef" * 2,
        "started": START,
        "clock": 100.0,
        "ingress": Ingress.BASE_URL,
        "method": "POST",
        "path": "/v1/chat/completions",
        "query": "",
        "dialect": PlainDialect(),
        "remote_addr": "127.0.0.1",
        "user_agent": "shop-bot/2.1",
        "agent": {"team": "billing"},
        "token": SimpleNamespace(hash=TOKEN_HASH),
        "policy": SimpleNamespace(policy=SimpleNamespace(metadata={"cost_center": "cc-204"})),
        "model": "gpt-4o",
        "stream": True,
        "attempts": [an_attempt()],
        "sent": True,
        "answer": Answer(
            usage=Usage(1500, 655, 1024, None, 192),
            id="chatcmpl-Zq81",
            model="gpt-4o-2024-11-20",
            finish_reason="stop",
            ended=True,
        ),
        "upstream_status": 200,
        "upstream_headers": {"x-request-id": "req_5d0e"},
        "request_bytes": 4321,
        "response_bytes": 9876,
        "status": 200,
    }
    return Exchange(**(values | changes))


def row_of(exchange: Exchange, **changes: Any) -> Row:
    values: dict[str, Any] = {
        "input_tokens": 1500,
        "output_tokens": 655,
        "estimated": False,
        "now": exchange.clock + 2.3105,
    }
    return Row.of(exchange, **(values | changes))


def a_row(number: int = 0, **changes: Any) -> Row:
    """A row with an id, and times one second apart, by number."""
    moment = START + timedelta(seconds=number)
    return replace(
        row_of(an_exchange()),
        **({"id": f"tkn_{number:032x}", "started_at": moment, "ended_at": moment} | changes),
    )
