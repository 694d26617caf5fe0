"""Where a value may stand: every member of every format, every path, URLs, names."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.fake_provider import FakeProvider
from tests.money.governed import Json, Token, create, rows_of
from tests.proxy.attacks import ask, request
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import ANTHROPIC, FORMATS, GEMINI, OPENAI, Format
from tests.proxy.guarding import MAIL, ONE_PROVIDER, TEXT, VALUES, passed, pii, ruled
from tests.support.proxy import Proxy


@pytest.fixture(scope="module")
def gateway(make_proxy: StartProxy) -> Iterator[Proxy]:
    with make_proxy() as proxy:
        yield proxy
        assert proxy.refusals() == []
        # Of everything that was tried here, nothing is left in any file: rows, counters, logs.
        for value in (*VALUES, base64.b64encode(MAIL.encode()).decode(), quote(MAIL, safe="")):
            assert proxy.files_with(value) == []


@pytest.fixture(scope="module")
def masking(gateway: Proxy) -> Token:
    return create(gateway, ruled(pii("email", "credit_card")))


@pytest.fixture(scope="module")
def failing(gateway: Proxy) -> Token:
    return create(gateway, ruled(pii("email", "credit_card", action="fail")))


TOOL: Json = {"type": "object", "properties": {"city": {"type": "string"}}}
PLACES: dict[str, tuple[Format, Json]] = {
    "schema description": (
        OPENAI,
        {"tools": [{"type": "function", "function": {"name": "f", "description": TEXT, "parameters": TOOL}}]},
    ),
    "schema default": (
        OPENAI,
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {
                            "type": "object",
                            "properties": {"to": {"type": "string", "default": MAIL, "enum": [MAIL]}},
                        },
                    },
                }
            ]
        },
    ),
    "schema key": (
        OPENAI,
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "parameters": {"type": "object", "properties": {MAIL: {}}}},
                }
            ]
        },
    ),
    "tool name": (
        OPENAI,
        {"tools": [{"type": "function", "function": {"name": MAIL, "parameters": TOOL}}]},
    ),
    "user": (OPENAI, {"user": MAIL}),
    "metadata": (OPENAI, {"metadata": {"mail": MAIL, "n": 4111111111111111}}),
    "metadata key": (OPENAI, {"metadata": {MAIL: "x"}}),
    "stop": (OPENAI, {"stop": [MAIL]}),
    "response format": (
        OPENAI,
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"description": TEXT}},
            }
        },
    ),
    "prediction": (OPENAI, {"prediction": {"type": "content", "content": TEXT}}),
    "unknown member": (OPENAI, {"x_new": {"deep": [[{"a": TEXT}]]}}),
    "member name": (OPENAI, {"x_new": {f"the {MAIL}": 1}}),
    "number": (OPENAI, {"x_new": {"card": 4111111111111111}}),
    "safety identifier": (OPENAI, {"safety_identifier": MAIL}),
    "system block": (ANTHROPIC, {"system": [{"type": "text", "text": TEXT}]}),
    "system": (ANTHROPIC, {"system": TEXT}),
    "user id": (ANTHROPIC, {"metadata": {"user_id": MAIL}}),
    "user id in JSON": (ANTHROPIC, {"metadata": {"user_id": json.dumps({"mail": MAIL})}}),
    "claude tool": (ANTHROPIC, {"tools": [{"name": "f", "description": TEXT, "input_schema": TOOL}]}),
    "document": (
        ANTHROPIC,
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "document",
                            "title": TEXT,
                            "context": TEXT,
                            "source": {"type": "text", "media_type": "text/plain", "data": TEXT},
                        }
                    ],
                }
            ]
        },
    ),
    "tool use": (
        ANTHROPIC,
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": [TEXT], MAIL: 1}}
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "t",
                            "content": [{"type": "text", "text": TEXT}],
                        }
                    ],
                },
            ]
        },
    ),
    "system instruction": (GEMINI, {"systemInstruction": {"parts": [{"text": TEXT}]}}),
    "function response": (
        GEMINI,
        {
            "contents": [
                {
                    "role": "user",
                    "parts": [{"functionResponse": {"name": "f", "response": {"a": {"b": TEXT, MAIL: 1}}}}],
                }
            ]
        },
    ),
    "function declaration": (
        GEMINI,
        {"tools": [{"functionDeclarations": [{"name": "f", "description": TEXT, "parameters": TOOL}]}]},
    ),
    "label": (GEMINI, {"labels": {"owner": MAIL}}),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("restore", [False, True])
def test_places(gateway: Proxy, fake_provider: FakeProvider, place: str, restore: bool) -> None:
    format, members = PLACES[place]
    token = create(gateway, ruled(pii("email", "credit_card", restore=restore)))
    with Caller(gateway, token.key) as caller:
        outcome = caller.ask(format, text="hello", **members)
    assert outcome.status == 200
    assert passed(fake_provider) == []
    assert "REDACTED" in fake_provider.last.body.decode() or "_1>" in fake_provider.last.body.decode()
    failing = create(gateway, ruled(pii("email", "credit_card", action="fail")))
    with Caller(gateway, failing.key) as caller:
        assert caller.ask(format, text="hello", **members).status == 403
    assert len(fake_provider.records) == 1


def _parts(text: str) -> list[Json]:
    return [{"parts": [{"text": text}]}]


PATHS: list[tuple[str, Json]] = [
    ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": ["a", TEXT], "suffix": TEXT}),
    ("/v1/embeddings", {"model": "text-embedding-3-small", "input": ["a", TEXT]}),
    ("/v1/embeddings", {"model": "text-embedding-3-small", "input": TEXT}),
    ("/v1/responses", {"model": "gpt-4o", "input": TEXT, "instructions": TEXT}),
    ("/v1/responses", {"model": "gpt-4o", "input": [{"role": "user", "content": TEXT}]}),
    (
        "/v1/responses",
        {
            "model": "gpt-4o",
            "input": [
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": json.dumps({"a": TEXT})},
                {"type": "function_call_output", "call_id": "c", "output": TEXT},
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": TEXT}]},
            ],
        },
    ),
    ("/v1/images/generations", {"model": "gpt-image-1", "prompt": TEXT}),
    ("/v1/audio/speech", {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": TEXT}),
    ("/v1/moderations", {"input": [{"type": "text", "text": TEXT}]}),
    ("/v1/conversations", {"items": [{"type": "message", "role": "user", "content": TEXT}]}),
    ("/v1/messages/count_tokens", ANTHROPIC.body(ANTHROPIC.model, TEXT, False)),
    (f"/v1beta/models/{GEMINI.model}:countTokens", {"contents": _parts(TEXT)}),
    (
        f"/v1beta/models/{GEMINI.model}:countTokens",
        {"generateContentRequest": {"model": "models/x", "contents": _parts(TEXT)}},
    ),
    ("/v1beta/models/gemini-embedding-001:embedContent", {"content": _parts(TEXT)[0]}),
    (
        "/v1beta/models/gemini-embedding-001:batchEmbedContents",
        {"requests": [{"model": "models/gemini-embedding-001", "content": _parts(TEXT)[0]}]},
    ),
    ("/api/chat", OPENAI.body("llama3", TEXT, False)),
    ("/api/generate", {"model": "llama3", "prompt": TEXT, "system": TEXT}),
    ("/api/embed", {"model": "llama3", "input": [TEXT]}),
    ("/v1/threads/t/messages", {"role": "user", "content": TEXT}),
    ("/v1/fine_tuning/jobs", {"model": "gpt-4o", "metadata": {"a": TEXT}}),
    ("/v1/rerank", {"model": "x", "query": TEXT, "documents": [{"text": TEXT}]}),
]


@pytest.mark.parametrize(("path", "body"), PATHS, ids=[f"{at} {path}" for at, (path, _) in enumerate(PATHS)])
def test_paths(gateway: Proxy, fake_provider: FakeProvider, path: str, body: Json) -> None:
    """Whatever is asked for: the text is masked where it stands, or refused."""
    for fields in ({}, {"restore": True}, {"action": "fail"}):
        token = create(gateway, ruled(pii("email", **fields)))
        head = GEMINI.head(token.key) if "beta/models" in path else OPENAI.head(token.key)
        if "messages" in path:
            head = ANTHROPIC.head(token.key)
        with Caller(gateway, token.key) as caller:
            answer = caller.client.post(path, json=body, headers=head)
        assert (answer.status_code == 403) == ("action" in fields), answer.text
    assert passed(fake_provider) == []
    masked, restored = fake_provider.records
    assert masked.json == json.loads(json.dumps(body).replace(MAIL, "[REDACTED]"))
    assert restored.json == json.loads(json.dumps(body).replace(MAIL, "<EMAIL_1>"))


URLS = [
    "/v1/files/alice.liddell@wonderland.example",
    "/v1/files/alice.liddell%40wonderland.example",
    "/v1/files?after=alice.liddell@wonderland.example",
    "/v1/files?after=alice.liddell%40wonderland.example",
    "/v1/files?after=%2561lice.liddell%2540wonderland.example",
    "/v1/files?4111+1111+1111+1111",
    "/v1/files?a=" + base64.b64encode(f"to {MAIL} now".encode()).decode(),
]


@pytest.mark.parametrize("url", URLS)
def test_a_url_holds_no_value(gateway: Proxy, fake_provider: FakeProvider, url: str) -> None:
    for action in ("mask", "fail"):
        token = create(gateway, ONE_PROVIDER | {"rules": [pii("email", "credit_card", action=action)]})
        answer = ask(gateway, request("GET", url, token=token.key))
        assert (answer.status, answer.code) == (403, "rule_violation")
        assert MAIL.encode() not in answer.body
        head = ["Upgrade: websocket", "Connection: Upgrade"]
        head += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
        query = url.partition("?")[2] or "model=alice.liddell@wonderland.example"
        assert ask(gateway, request("GET", f"/v1/realtime?{query}", *head, token=token.key)).status == 403
    assert fake_provider.records == []


def test_an_upload_s_url_holds_no_value(gateway: Proxy, fake_provider: FakeProvider) -> None:
    token = create(gateway, ruled(pii("email"), uninspected="allow"))
    with Caller(gateway, token.key) as caller:
        head = {"authorization": f"Bearer {token.key}"}
        answer = caller.client.post("/v1/files?to=" + MAIL, files={"file": b"x"}, headers=head)
    assert answer.json()["error"]["code"] == "rule_violation"
    assert fake_provider.records == []


USUAL = [
    "/v1/responses/resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
    "/v1/threads/thread_abc123XYZ456abc123XYZ456/runs/run_abc123XYZ456abc123XYZ456",
    "/v1/messages/batches/msgbatch_013Zva2CMHLNnXjNJJKqJ2EF?limit=20&after_id=msgbatch_013Zva2CMHLNnX",
    "/v1/files/file-abc123XYZ456abc123XYZ456/content",
    "/v1beta/models/gemini-2.5-flash-preview-04-17",
]


@pytest.mark.parametrize("url", USUAL)
def test_usual_urls_pass(gateway: Proxy, fake_provider: FakeProvider, url: str) -> None:
    token = create(gateway, ruled(pii("all", action="fail"), {"type": "jailbreak", "action": "fail"}))
    assert ask(gateway, request("GET", url, token=token.key)).status != 403
    assert fake_provider.last.target == url


@pytest.mark.parametrize("action", ["mask", "fail"])
def test_a_model_s_name_holds_no_value(gateway: Proxy, fake_provider: FakeProvider, action: str) -> None:
    token = create(gateway, ONE_PROVIDER | {"rules": [pii("email", action=action)]})
    with Caller(gateway, token.key) as caller:
        for format in FORMATS:
            outcome = caller.ask(format, MAIL)
            assert outcome.status == 403
            assert "Email Address" in format.told(outcome.json)[1]
    rows = rows_of(gateway, token.hash, len(FORMATS))
    assert [row["model"] for row in rows] == [None] * len(FORMATS)
    assert fake_provider.records == []
