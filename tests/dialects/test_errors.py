"""How each format says no: its own body, and the exception that its own SDK makes of it."""

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
from tokenomics_core.dialects.base import Framing
from tokenomics_core.refusal import Refusal

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
GEMINI = "/v1beta/models/g:generateContent"
REQUEST_ID = "req_00"


def body(path: str, refusal: Refusal, method: str = "POST", hints: tuple[str, ...] = ()) -> Any:
    return json.loads(recognise(method, path, hints).error_body(refusal, REQUEST_ID))


OPENAI = [
    (400, "invalid_json", "invalid_request_error"),
    (401, "invalid_token", "authentication_error"),
    (402, "budget_exceeded", "insufficient_quota"),
    (403, "model_not_allowed", "permission_error"),
    (404, "not_found", "invalid_request_error"),
    (413, "too_large", "invalid_request_error"),
    (426, "upgrade_required", "invalid_request_error"),
    (429, "rate_limited", "rate_limit_error"),
    (429, "budget_exceeded", "insufficient_quota"),
    (500, "internal_error", "server_error"),
    (502, "upstream_failed", "server_error"),
    (504, "upstream_timeout", "server_error"),
]


@pytest.mark.parametrize("path", [CHAT, RESPONSES, "/v1/completions", "/v1/embeddings", "/v1/models"])
@pytest.mark.parametrize(("status", "code", "kind"), OPENAI)
def test_openai_body(path: str, status: int, code: str, kind: str) -> None:
    assert body(path, Refusal(status, code, "no")) == {
        "error": {"message": "no", "type": kind, "param": None, "code": code}
    }


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_a_client_gives_up_only_what_is_spent(path: str) -> None:
    """Others hold what would do: the type that clients take for the end is not said."""
    waiting = Refusal(429, "budget_exceeded", "no", retryable=True)
    assert body(path, waiting)["error"]["type"] == "rate_limit_error"
    event = recognise("POST", RESPONSES).error_event(waiting, REQUEST_ID, "sse")
    assert json.loads(event.split(b"data: ")[1])["response"]["error"]["code"] == "rate_limit_exceeded"


ANTHROPIC = [
    (400, "invalid_request_error"),
    (401, "authentication_error"),
    (402, "billing_error"),
    (403, "permission_error"),
    (404, "not_found_error"),
    (413, "request_too_large"),
    (418, "invalid_request_error"),
    (429, "rate_limit_error"),
    (500, "api_error"),
    (502, "api_error"),
    (504, "timeout_error"),
    (529, "overloaded_error"),
]


@pytest.mark.parametrize(("status", "kind"), ANTHROPIC)
def test_anthropic_body(status: int, kind: str) -> None:
    assert body(MESSAGES, Refusal(status, "our_reason", "no")) == {
        "type": "error",
        "error": {"type": kind, "message": "no", "details": {"error_code": "our_reason"}},
        "request_id": REQUEST_ID,
    }


GOOGLE = [
    (400, "INVALID_ARGUMENT"),
    (401, "UNAUTHENTICATED"),
    (403, "PERMISSION_DENIED"),
    (404, "NOT_FOUND"),
    (413, "INVALID_ARGUMENT"),
    (429, "RESOURCE_EXHAUSTED"),
    (500, "INTERNAL"),
    (502, "UNAVAILABLE"),
    (503, "UNAVAILABLE"),
    (504, "DEADLINE_EXCEEDED"),
]


@pytest.mark.parametrize(("status", "name"), GOOGLE)
def test_gemini_body(status: int, name: str) -> None:
    assert body(GEMINI, Refusal(status, "our_reason", "no")) == {
        "error": {
            "code": status,
            "message": "no",
            "status": name,
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "OUR_REASON",
                    "domain": "tokenomics",
                }
            ],
        }
    }


def test_ollama_body() -> None:
    assert body("/api/chat", Refusal(403, "x", "no")) == {"error": "no"}


def test_reference_body() -> None:
    refusal = Refusal(429, "rate_limited", 'rate limit exceeded: "x"')
    assert reference_error_body(refusal) == (
        b'{"error":{"code":429,"message":"rate limit exceeded: \\"x\\"","type":"tokenomics_error"}}\n'
    )


# Method, path, headers, a member by which the vendor's error is told.
STYLES = [
    ("GET", "/v1/models", (), "openai"),
    ("GET", "/v1/models", ("anthropic-version", "x-api-key"), "anthropic"),
    ("GET", "/v1/models", ("x-goog-api-key",), "gemini"),
    ("POST", CHAT, ("anthropic-version",), "openai"),
    ("POST", "/v1/messages/batches", (), "anthropic"),
    ("GET", MESSAGES, (), "anthropic"),
    ("POST", "/api/claude_cli/bootstrap", (), "anthropic"),
    ("POST", "/v1/projects/p/locations/l/publishers/anthropic/models/c:rawPredict", (), "anthropic"),
    ("GET", "/v1beta/models", (), "gemini"),
    ("POST", "/v1beta/models/imagen:predict", (), "gemini"),
    ("GET", "/v1beta/openai/models", (), "openai"),
    ("GET", "/api/tags", (), "ollama"),
    ("GET", "/api/v1/models", (), "openai"),
    ("POST", "/v1/threads/t/messages", (), "openai"),
    ("GET", "/", (), "openai"),
]


@pytest.mark.parametrize(("method", "path", "hints", "style"), STYLES)
def test_style_of_unknown_paths(method: str, path: str, hints: tuple[str, ...], style: str) -> None:
    said = body(path, Refusal(401, "invalid_token", "no"), method, hints)
    error = said["error"]
    expected = {
        "openai": error
        == {"message": "no", "type": "authentication_error", "param": None, "code": "invalid_token"}
        if isinstance(error, dict)
        else False,
        "anthropic": "request_id" in said,
        "gemini": isinstance(error, dict) and error.get("status") == "UNAUTHENTICATED",
        "ollama": error == "no",
    }
    assert [name for name, holds in expected.items() if holds] == [style]


def openai_client(answer: httpx2.Response) -> openai.OpenAI:
    http = httpx2.Client(transport=httpx2.MockTransport(lambda _: answer))
    return openai.OpenAI(api_key="k", base_url="http://localhost/v1", max_retries=0, http_client=http)


def anthropic_client(answer: httpx2.Response) -> anthropic.Anthropic:
    http = httpx2.Client(transport=httpx2.MockTransport(lambda _: answer))
    return anthropic.Anthropic(api_key="k", base_url="http://localhost", max_retries=0, http_client=http)


def genai_client(answer: httpx.Response) -> genai.Client:
    http = httpx.Client(transport=httpx.MockTransport(lambda _: answer))
    options = genai_types.HttpOptions(base_url="http://localhost", httpx_client=http)
    return genai.Client(api_key="k", http_options=options)


def refused(path: str, status: int, code: str = "our_reason") -> dict[str, Any]:
    content = recognise("POST", path).error_body(Refusal(status, code, "no"), REQUEST_ID)
    return {"status_code": status, "content": content, "headers": {"content-type": "application/json"}}


def streamed(path: str, framing: Framing = "sse", before: bytes = b"") -> dict[str, Any]:
    """A stream that is ended by a refusal."""
    event = recognise("POST", path).error_event(Refusal(429, "budget_exceeded", "spent"), REQUEST_ID, framing)
    kind = "text/event-stream" if framing == "sse" else "application/json"
    return {"status_code": 200, "content": before + event, "headers": {"content-type": kind}}


CLASSES = [
    (400, "BadRequestError"),
    (401, "AuthenticationError"),
    (403, "PermissionDeniedError"),
    (404, "NotFoundError"),
    (429, "RateLimitError"),
    (500, "InternalServerError"),
]


@pytest.mark.parametrize(("status", "name"), CLASSES)
def test_openai_raises(status: int, name: str) -> None:
    client = openai_client(httpx2.Response(**refused(CHAT, status)))
    with pytest.raises(getattr(openai, name)) as raised:
        client.chat.completions.create(model="m", messages=[])
    assert raised.value.code == "our_reason"
    assert "no" in raised.value.message


@pytest.mark.parametrize(("status", "name"), CLASSES)
def test_anthropic_raises(status: int, name: str) -> None:
    client = anthropic_client(httpx2.Response(**refused(MESSAGES, status)))
    with pytest.raises(getattr(anthropic, name)) as raised:
        client.messages.create(model="m", max_tokens=1, messages=[])
    assert raised.value.body["error"]["message"] == "no"


@pytest.mark.parametrize(
    ("status", "name"), [(s, "ClientError" if s < 500 else "ServerError") for s, _ in CLASSES]
)
def test_genai_raises(status: int, name: str) -> None:
    client = genai_client(httpx.Response(**refused(GEMINI, status)))
    with pytest.raises(getattr(genai_errors, name)) as raised:
        client.models.generate_content(model="g", contents="x")
    assert (raised.value.code, raised.value.message) == (status, "no")


def test_openai_raises_in_a_chat_stream() -> None:
    before = b'data: {"id":"c","object":"chat.completion.chunk","choices":[]}\n\n'
    client = openai_client(httpx2.Response(**streamed(CHAT, before=before)))
    stream = client.chat.completions.create(model="m", messages=[], stream=True)
    with pytest.raises(openai.APIError, match="spent") as raised:
        list(stream)
    assert (raised.value.code, raised.value.type) == ("budget_exceeded", "insufficient_quota")


def test_openai_raises_in_a_completions_stream() -> None:
    client = openai_client(httpx2.Response(**streamed("/v1/completions")))
    stream = client.completions.create(model="m", prompt="x", stream=True)
    with pytest.raises(openai.APIError, match="spent"):
        list(stream)


def test_openai_raises_in_a_responses_stream() -> None:
    client = openai_client(httpx2.Response(**streamed(RESPONSES)))
    stream = client.responses.create(model="m", input="x", stream=True)
    with pytest.raises(openai.APIError, match="spent") as raised:
        list(stream)
    assert raised.value.code == "budget_exceeded"


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("budget_exceeded", 429, "insufficient_quota"),
        ("rate_limited", 429, "rate_limit_exceeded"),
        ("internal_error", 500, "internal_error"),
    ],
)
def test_a_failed_response_has_a_code_that_codex_knows(code: str, status: int, said: str) -> None:
    event = recognise("POST", RESPONSES).error_event(Refusal(status, code, "no"), REQUEST_ID, "sse")
    assert event.startswith(b"event: response.failed\ndata: ")
    assert event.endswith(b"\n\n")
    value = json.loads(event.split(b"data: ")[1])
    assert value["type"] == "response.failed"
    assert value["response"]["error"] == {"code": said, "message": "no"}


def test_anthropic_raises_in_a_stream() -> None:
    before = b'event: ping\ndata: {"type":"ping"}\n\n'
    client = anthropic_client(httpx2.Response(**streamed(MESSAGES, before=before)))
    stream = client.messages.create(model="m", max_tokens=1, messages=[], stream=True)
    with pytest.raises(anthropic.APIStatusError, match="spent"):
        list(stream)


def test_genai_raises_in_a_stream() -> None:
    before = b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\r\n\r\n'
    client = genai_client(httpx.Response(**streamed(GEMINI, before=before)))
    stream = client.models.generate_content_stream(model="g", contents="x")
    with pytest.raises(genai_errors.ClientError, match="spent") as raised:
        list(stream)
    assert raised.value.status == "RESOURCE_EXHAUSTED"


def test_gemini_error_ends_an_array() -> None:
    event = recognise("POST", GEMINI).error_event(Refusal(429, "x", "spent"), REQUEST_ID, "json_array")
    assert json.loads(b'[{"a":1}' + event)[1]["error"]["code"] == 429


def test_ollama_error_is_a_line() -> None:
    event = recognise("POST", "/api/chat").error_event(Refusal(429, "x", "spent"), REQUEST_ID, "ndjson")
    assert event == b'{"error":"spent"}\n'
