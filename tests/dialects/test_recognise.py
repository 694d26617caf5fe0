"""Which path speaks which format, and which model it names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tokenomics_core.dialects import frame_reader, is_websocket_path, recognise
from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal

PATHS = [
    ("POST", "/v1/chat/completions", "openai_chat"),
    ("POST", "/chat/completions", "openai_chat"),
    ("POST", "/openai/v1/chat/completions", "openai_chat"),
    ("POST", "/v1beta/openai/chat/completions", "openai_chat"),
    ("POST", "/openai/deployments/gpt-4o/chat/completions", "openai_chat"),
    ("POST", "/v1/chat/completions/", "openai_chat"),
    ("POST", "/V1/Chat/Completions", "openai_chat"),
    ("POST", "/v1/chat/%63ompletions", "openai_chat"),
    ("post", "/v1/chat/completions", "openai_chat"),
    ("GET", "/v1/chat/completions", "openai_chat"),
    ("GET", "/v1/chat/completions/chatcmpl-1", "unknown"),
    ("POST", "/v1/completions", "openai_completions"),
    ("POST", "/openai/deployments/d/completions", "openai_completions"),
    ("POST", "/v1/embeddings", "openai_embeddings"),
    ("POST", "/v1/responses", "openai_responses"),
    ("POST", "/openai/v1/responses", "openai_responses"),
    ("GET", "/v1/responses", "unknown"),
    ("GET", "/v1/responses/resp_1", "unknown"),
    ("POST", "/v1/responses/input_tokens", "unknown"),
    ("POST", "/v1/responses/resp_1/cancel", "unknown"),
    ("DELETE", "/v1/responses/resp_1", "unknown"),
    ("GET", "/v1/realtime", "openai_realtime"),
    ("POST", "/v1/realtime/client_secrets", "unknown"),
    ("POST", "/v1/messages", "anthropic_messages"),
    ("POST", "/anthropic/v1/messages", "anthropic_messages"),
    ("POST", "/v1/messages/count_tokens", "anthropic_count_tokens"),
    ("POST", "/v1/messages/batches", "unknown"),
    ("POST", "/v1/threads/thread_1/messages", "unknown"),
    ("POST", "/v1beta/models/gemini-2.5-flash:generateContent", "gemini"),
    ("POST", "/v1beta/models/gemini-2.5-flash:streamGenerateContent", "gemini"),
    ("POST", "/v1beta/models/gemini-2.5-flash%3AgenerateContent", "gemini"),
    ("POST", "/v1beta/tunedModels/mine:generateContent", "gemini"),
    ("POST", "/v1/projects/p/locations/l/publishers/google/models/g:generateContent", "gemini"),
    ("POST", "/v1/projects/p/locations/l/endpoints/77:streamGenerateContent", "gemini"),
    ("POST", "/v1beta/models/g:countTokens", "gemini_count_tokens"),
    ("POST", "/v1beta/models/g:embedContent", "gemini_embeddings"),
    ("POST", "/v1beta/models/g:batchEmbedContents", "gemini_embeddings"),
    ("POST", "/v1beta/models/imagen:predict", "unknown"),
    ("GET", "/v1beta/models/g", "unknown"),
    ("POST", "/api/chat", "ollama_chat"),
    ("POST", "/api/generate", "ollama_generate"),
    ("GET", "/api/tags", "unknown"),
    ("GET", "/v1/models", "unknown"),
    ("POST", "/v1/audio/transcriptions", "unknown"),
    ("POST", "/v1/images/generations", "unknown"),
    ("POST", "/v1/files", "unknown"),
    ("POST", "/", "unknown"),
    ("POST", "", "unknown"),
    ("POST", "*", "unknown"),
]


@pytest.mark.parametrize(("method", "path", "name"), PATHS)
def test_recognise(method: str, path: str, name: str) -> None:
    assert recognise(method, path).name == name


MODELS: list[tuple[str, str, Any, str]] = [
    ("/v1/chat/completions", "", {"model": "gpt-4o"}, "gpt-4o"),
    ("/v1/chat/completions", "", {}, ""),
    ("/v1/chat/completions", "", {"model": 7}, ""),
    ("/v1/chat/completions", "", None, ""),
    ("/openai/deployments/dep/chat/completions", "", None, "dep"),
    ("/openai/deployments/dep/chat/completions", "", {}, "dep"),
    # Azure takes the deployment, so that is what the policy must judge.
    ("/openai/deployments/dep/chat/completions", "", {"model": "gpt-4o"}, "dep"),
    ("/openai/deployments/my%20dep/embeddings", "", {}, "my dep"),
    ("/openai/%64eployments/dep/embeddings", "", {"model": "gpt-4o"}, "dep"),
    ("/openai/Deployments/dep/audio/speech", "", {"model": "gpt-4o"}, "dep"),
    ("/v1/messages", "", {"model": "claude"}, "claude"),
    ("/v1beta/models/gemini-2.5-flash:generateContent", "", {"model": "other"}, "gemini-2.5-flash"),
    ("/v1beta/models/g%3AgenerateContent", "", {}, "g"),
    ("/v1beta/models/a%2Fb:generateContent", "", {}, "a/b"),
    ("/v1/projects/p/locations/l/publishers/google/models/g:streamGenerateContent", "", {}, "g"),
    ("/v1/projects/p/locations/l/publishers/anthropic/models/c:rawPredict", "", {"model": "x"}, "c"),
    ("/model/anthropic.claude-v1:0/invoke", "", {}, "anthropic.claude-v1:0"),
    (
        "/model/arn%3Aaws%3Abedrock%3Aus%3A1%3Aprofile%2Fx/converse-stream",
        "",
        {},
        "arn:aws:bedrock:us:1:profile/x",
    ),
    ("/model/x/v1/chat/completions", "", {"model": "gpt-4o"}, "gpt-4o"),
    ("/v1/images/generations", "", {"model": "gpt-image-1"}, "gpt-image-1"),
    ("/v1/rerank", "model=x", {}, ""),
    ("/api/chat", "", {"model": "llama3.2"}, "llama3.2"),
]


@pytest.mark.parametrize(("path", "query", "body", "model"), MODELS)
def test_model(path: str, query: str, body: Any, model: str) -> None:
    parsed = None if body is None else JsonBody(json.dumps(body).encode())
    assert recognise("POST", path).model(path, query, parsed) == model


REALTIME = [
    ("model=gpt-realtime", "gpt-realtime"),
    ("api-version=1&deployment=mine", "mine"),
    ("model=a&model=a", "a"),
    ("call_id=x", ""),
    ("", ""),
]


@pytest.mark.parametrize(("query", "model"), REALTIME)
def test_realtime_model(query: str, model: str) -> None:
    assert recognise("GET", "/v1/realtime").model("/v1/realtime", query, None) == model


def test_realtime_names_one_model() -> None:
    with pytest.raises(Refusal) as refused:
        recognise("GET", "/v1/realtime").model("/v1/realtime", "model=a&deployment=b", None)
    assert refused.value.status == 400


def test_ollama_reads_names_in_any_case() -> None:
    with pytest.raises(Refusal) as refused:
        recognise("POST", "/api/chat").model("/api/chat", "", JsonBody(b'{"Model":"b"}'))
    assert refused.value.status == 400


RENAMED = [
    ("/v1/chat/completions", "/v1/chat/completions"),
    ("/openai/deployments/old/chat/completions", "/openai/deployments/n%2Few/chat/completions"),
    ("/v1beta/models/old:generateContent", "/v1beta/models/n%2Few:generateContent"),
    ("/v1beta/models/old%3AgenerateContent", "/v1beta/models/n%2Few:generateContent"),
    ("/v1/projects/p%20x/locations/l/endpoints/1:generateContent",) * 2,
    ("/v1/responses", "/v1/responses"),
    ("/api/chat", "/api/chat"),
]


@pytest.mark.parametrize(("path", "renamed"), RENAMED)
def test_set_model_in_the_path(path: str, renamed: str) -> None:
    if "endpoints" in path:
        renamed = path.replace("/1:", "/n%2Few:")
    assert recognise("POST", path).set_model(path, None, "n/ew") == renamed


def test_set_model_in_the_body() -> None:
    body = JsonBody(b'{"model": "old",  "messages": [1.0e3]}')
    recognise("POST", "/v1/messages").set_model("/v1/messages", body, "new")
    assert body.render() == b'{"model": "new",  "messages": [1.0e3]}'


STREAMS = [
    ("/v1/chat/completions", "", b'{"stream": true}', True),
    ("/v1/chat/completions", "", b'{"stream": 1}', False),
    ("/v1/chat/completions", "", b"{}", False),
    ("/v1/embeddings", "", b'{"stream": true}', False),
    ("/v1/messages", "", b'{"stream": true}', True),
    ("/v1beta/models/g:generateContent", "alt=sse", b'{"stream": true}', False),
    ("/v1beta/models/g:streamGenerateContent", "alt=sse", b"{}", True),
    ("/v1beta/models/g:streamGenerateContent", "", b"{}", True),
    ("/api/chat", "", b"{}", True),
    ("/api/generate", "", b'{"stream": false}', False),
    ("/v1/other", "", b'{"stream": true}', True),
]


@pytest.mark.parametrize(("path", "query", "body", "stream"), STREAMS)
def test_is_stream(path: str, query: str, body: bytes, stream: bool) -> None:
    assert recognise("POST", path).is_stream(path, query, JsonBody(body)) is stream


FRAMINGS = [
    ("/v1/chat/completions", "", "sse"),
    ("/v1beta/models/g:streamGenerateContent", "alt=sse", "sse"),
    ("/v1beta/models/g:streamGenerateContent", "key=1&%24alt=sse", "sse"),
    ("/v1beta/models/g:streamGenerateContent", "alt=json", "json_array"),
    ("/v1beta/models/g:streamGenerateContent", "", "json_array"),
    ("/api/chat", "", "ndjson"),
    ("/other", "", "sse"),
]


@pytest.mark.parametrize(("path", "query", "framing"), FRAMINGS)
def test_framing(path: str, query: str, framing: str) -> None:
    assert recognise("POST", path).framing(path, query) == framing


@pytest.mark.parametrize(
    ("path", "understood"),
    [
        ("/v1/responses", True),
        ("/v1/Responses/", True),
        ("/v1/realtime", True),
        ("/v1/realtime/translations", False),
        ("/v1/chat/completions", False),
        ("/", False),
    ],
)
def test_is_websocket_path(path: str, understood: bool) -> None:
    assert is_websocket_path(path) is understood
    if understood:
        assert frame_reader(path, "model=m")


def test_instances_are_shared() -> None:
    assert recognise("POST", "/v1/messages") is recognise("POST", "/x/v1/messages")
    assert recognise("GET", "/v1/models") is recognise("GET", "/v1/files")
