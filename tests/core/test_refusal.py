"""What a refusal says to programs beyond its message, in each vendor's shape."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types

from tokenomics_core.dialects import recognise, reference_error_body
from tokenomics_core.refusal import Refusal

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
GEMINI = "/v1beta/models/g:generateContent"
INFO = {"budget": 10.0, "spent": 7.5, "remaining": 2.5}
SPENT = Refusal(429, "budget_exceeded", "spent", retryable=False, extra={"budget_info": INFO})
WILD = Refusal(429, "anomaly", "blocked", extra={"anomaly_reason": "Loop detected"})


def body(path: str, refusal: Refusal) -> Any:
    return json.loads(recognise("POST", path).error_body(refusal, "req_00"))


def test_nothing_extra() -> None:
    given = {"anomaly_reason": "x"}
    refusal = Refusal(429, "anomaly", "blocked", extra=given)
    given.clear()
    assert refusal.extra == {"anomaly_reason": "x"}
    assert Refusal(429, "anomaly", "blocked").extra == {}
    assert list(body(CHAT, Refusal(429, "anomaly", "blocked"))["error"]) == [
        "message",
        "type",
        "param",
        "code",
    ]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (429, "budget_exceeded", "insufficient_quota"),
        (429, "anomaly", "rate_limit_exceeded"),
        (429, "session_frozen", "rate_limit_exceeded"),
        (429, "rate_limited", "rate_limit_error"),
        (503, "store_unavailable", "service_unavailable"),
        (403, "price_unknown", "permission_error"),
        (400, "session_required", "invalid_request_error"),
        (400, "invalid_session_id", "invalid_request_error"),
        (503, "not_cleared", "server_error"),
    ],
)
def test_openai_type(status: int, code: str, kind: str) -> None:
    assert body(CHAT, Refusal(status, code, "no"))["error"]["type"] == kind


def test_openai_extra() -> None:
    assert body(CHAT, SPENT)["error"] == {
        "message": "spent",
        "type": "insufficient_quota",
        "param": None,
        "code": "budget_exceeded",
        "budget_info": INFO,
    }
    assert body(CHAT, WILD)["error"]["anomaly_reason"] == "Loop detected"


@pytest.mark.parametrize("path", [CHAT, MESSAGES, GEMINI])
def test_extra_never_takes_a_member_away(path: str) -> None:
    plain = Refusal(429, "anomaly", "blocked")
    sly = Refusal(429, "anomaly", "blocked", extra=dict.fromkeys(("message", "type", "code", "status"), "x"))
    said, expected = body(path, sly)["error"], body(path, plain)["error"]
    assert {name: said[name] for name in expected if name != "details"} == {
        name: value for name, value in expected.items() if name != "details"
    }


def test_anthropic_extra() -> None:
    assert body(MESSAGES, SPENT)["error"] == {
        "type": "rate_limit_error",
        "message": "spent",
        "details": {"error_code": "budget_exceeded"},
        "budget_info": INFO,
    }


def test_gemini_extra_is_flat_text() -> None:
    [details] = body(GEMINI, SPENT)["error"]["details"]
    assert details == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "BUDGET_EXCEEDED",
        "domain": "tokenomics",
        "metadata": {
            "budget_info.budget": "10.0",
            "budget_info.spent": "7.5",
            "budget_info.remaining": "2.5",
        },
    }
    [details] = body(GEMINI, WILD)["error"]["details"]
    assert details["metadata"] == {"anomaly_reason": "Loop detected"}


def test_reference_extra() -> None:
    assert reference_error_body(WILD) == (
        b'{"error":{"code":429,"message":"blocked","type":"tokenomics_error",'
        b'"anomaly_reason":"Loop detected"}}\n'
    )


def test_ollama_has_room_for_a_message_only() -> None:
    assert body("/api/chat", SPENT) == {"error": "spent"}


def answer(path: str, refusal: Refusal) -> dict[str, Any]:
    return {
        "status_code": refusal.status,
        "content": recognise("POST", path).error_body(refusal, "req_00"),
        "headers": {"content-type": "application/json"},
    }


def test_openai_sdk_shows_it() -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(**answer(CHAT, SPENT)))
    http = httpx2.Client(transport=transport)
    client = openai.OpenAI(api_key="k", base_url="http://localhost/v1", max_retries=0, http_client=http)
    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(model="m", messages=[])
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["budget_info"] == INFO


def test_anthropic_sdk_shows_it() -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(**answer(MESSAGES, WILD)))
    http = httpx2.Client(transport=transport)
    client = anthropic.Anthropic(api_key="k", base_url="http://localhost", max_retries=0, http_client=http)
    with pytest.raises(anthropic.RateLimitError) as raised:
        client.messages.create(model="m", max_tokens=1, messages=[])
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["error"]["anomaly_reason"] == "Loop detected"


def test_genai_sdk_shows_it() -> None:
    http = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(**answer(GEMINI, SPENT))))
    options = genai_types.HttpOptions(base_url="http://localhost", httpx_client=http)
    client = genai.Client(api_key="k", http_options=options)
    with pytest.raises(genai_errors.ClientError) as raised:
        client.models.generate_content(model="g", contents="x")
    details = raised.value.details["error"]["details"]
    assert details[0]["metadata"]["budget_info.remaining"] == "2.5"
