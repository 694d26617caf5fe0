"""Whole answers: usage as each vendor writes it, and what else they say of themselves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dialects.streams import OPENAI_USAGE, RESPONSES_USAGE
from tokenomics_core.dialects import recognise
from tokenomics_core.dialects.base import Answer, Usage
from tokenomics_core.dialects.usage import find_usage

USAGES: list[Any] = [
    pytest.param({"usage": OPENAI_USAGE}, Usage(12, 7, 4, None, 3), id="openai"),
    pytest.param({"usage": RESPONSES_USAGE}, Usage(40, 9, 8, 2, 5), id="responses"),
    pytest.param({"usage": {"prompt_tokens": 8, "total_tokens": 8}}, Usage(8), id="embeddings"),
    pytest.param(
        {
            "usage": {
                "input_tokens": 10,
                "output_tokens": 3,
                "cache_read_input_tokens": 1000,
                "cache_creation_input_tokens": 100,
            }
        },
        Usage(1110, 3, 1000, 100),
        id="anthropic",
    ),
    pytest.param(
        {"usage": {"prompt_tokens": 50, "completion_tokens": 5, "cache_read_input_tokens": 20}},
        Usage(50, 5, 20),
        id="anthropic behind OpenAI's names",
    ),
    pytest.param(
        {"usage": {"input_tokens": 1, "output_tokens": 2, "prompt_tokens": 8, "completion_tokens": 9}},
        Usage(1, 2),
        id="both names",
    ),
    pytest.param(
        {"usage": {"prompt_tokens": 5, "candidates_token_count": 6}}, Usage(5, 6), id="candidates_token_count"
    ),
    pytest.param(
        {
            "usage": {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 141,
                "completion_tokens_details": {"reasoning_tokens": 100},
            }
        },
        Usage(32, 109, None, None, 100),
        id="reasoning beside the output",
    ),
    pytest.param(
        {"usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 4}},
        Usage(9, 2, 4),
        id="deepseek",
    ),
    pytest.param(
        {
            "usage": {
                "total_tokens": 12,
                "input_tokens": 7,
                "output_tokens": 5,
                "input_token_details": {"text_tokens": 7, "cached_tokens": 3},
            }
        },
        Usage(7, 5, 3),
        id="realtime",
    ),
    pytest.param(
        {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 13}},
        Usage(9, 4),
        id="gemini",
    ),
    pytest.param(
        {
            "usageMetadata": {
                "promptTokenCount": 9,
                "toolUsePromptTokenCount": 5,
                "thoughtsTokenCount": 6,
                "cachedContentTokenCount": 2,
            }
        },
        Usage(14, 6, 2, None, 6),
        id="gemini, thoughts and tools",
    ),
    pytest.param(
        {
            "usage": {
                "billed_units": {"input_tokens": 5, "output_tokens": 6},
                "tokens": {"input_tokens": 70, "output_tokens": 6},
            }
        },
        Usage(5, 6),
        id="cohere",
    ),
    pytest.param(
        {"usage": {"tokens": {"input_tokens": 7, "output_tokens": 6}}}, Usage(7, 6), id="cohere tokens"
    ),
    pytest.param(
        {"meta": {"billed_units": {"input_tokens": 5, "output_tokens": 6}}}, Usage(5, 6), id="cohere v1"
    ),
    pytest.param({"prompt_eval_count": 3, "eval_count": 4, "done": True}, Usage(3, 4), id="ollama"),
    pytest.param({"usage": {"type": "duration", "seconds": 12}}, Usage(), id="transcription by time"),
    pytest.param({"usage": {"prompt_tokens": 0, "completion_tokens": 0}}, Usage(0, 0), id="zero"),
    pytest.param({"usage": None}, Usage(), id="null"),
    pytest.param({"usage": {"prompt_tokens": "1", "completion_tokens": 2.0}}, Usage(), id="no integers"),
    pytest.param({}, Usage(), id="nothing"),
]


@pytest.mark.parametrize(("body", "usage"), USAGES)
def test_find_usage(body: dict[str, Any], usage: Usage) -> None:
    assert find_usage(body) == usage


def answer_of(path: str, body: dict[str, Any], method: str = "POST") -> Answer:
    return recognise(method, path).read_answer(body)


# Path, body, text, usage, finish reason, model, id.
ANSWERS: list[Any] = [
    pytest.param(
        "/v1/chat/completions",
        {
            "id": "chatcmpl-1",
            "model": "gpt-4o",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"},
                {
                    "index": 1,
                    "message": {
                        "content": None,
                        "tool_calls": [{"function": {"name": "look", "arguments": "{}"}}],
                    },
                    "finish_reason": "tool_calls",
                },
            ],
            "usage": OPENAI_USAGE,
        },
        "alook{}",
        Usage(12, 7, 4, None, 3),
        ("stop", "gpt-4o", "chatcmpl-1"),
        id="chat",
    ),
    pytest.param(
        "/v1/completions",
        {
            "id": "cmpl-1",
            "model": "d",
            "choices": [{"text": "a", "finish_reason": "length"}],
            "usage": OPENAI_USAGE,
        },
        "a",
        Usage(12, 7, 4, None, 3),
        ("length", "d", "cmpl-1"),
        id="completions",
    ),
    pytest.param(
        "/v1/embeddings",
        {"object": "list", "model": "e", "data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 8}},
        "",
        Usage(8),
        ("", "e", ""),
        id="embeddings",
    ),
    pytest.param(
        "/v1/responses",
        {
            "id": "resp_1",
            "object": "response",
            "status": "completed",
            "model": "gpt-5",
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm "}]},
                {"type": "message", "content": [{"type": "output_text", "text": "a", "annotations": []}]},
                {"type": "image_generation_call", "result": "AAAA"},
            ],
            "usage": RESPONSES_USAGE,
        },
        "hm a",
        Usage(40, 9, 8, 2, 5),
        ("completed", "gpt-5", "resp_1"),
        id="responses",
    ),
    pytest.param(
        "/v1/messages",
        {
            "id": "msg_1",
            "type": "message",
            "model": "claude",
            "content": [{"type": "text", "text": "a"}, {"type": "tool_use", "name": "look", "input": {}}],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 3, "output_tokens": 4},
        },
        "alook{}",
        Usage(3, 4),
        ("tool_use", "claude", "msg_1"),
        id="anthropic",
    ),
    pytest.param(
        "/v1beta/models/g:generateContent",
        {
            "candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "MAX_TOKENS"}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4},
            "modelVersion": "g-001",
            "responseId": "r",
        },
        "a",
        Usage(3, 4),
        ("MAX_TOKENS", "g-001", "r"),
        id="gemini",
    ),
    pytest.param(
        "/v1beta/models/g:embedContent",
        {"embedding": {"values": [0.1]}, "usageMetadata": {"promptTokenCount": 3}},
        "",
        Usage(3),
        ("", "", ""),
        id="gemini embeddings",
    ),
    pytest.param(
        "/api/chat",
        {
            "model": "l",
            "message": {"content": "a"},
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": 3,
            "eval_count": 4,
        },
        "a",
        Usage(3, 4),
        ("stop", "l", ""),
        id="ollama",
    ),
    pytest.param(
        "/v1/messages/count_tokens", {"input_tokens": 2095}, "", Usage(), ("", "", ""), id="anthropic count"
    ),
    pytest.param(
        "/v1beta/models/g:countTokens", {"totalTokens": 31}, "", Usage(), ("", "", ""), id="gemini count"
    ),
    pytest.param(
        "/v1/responses/input_tokens",
        {"object": "response.input_tokens", "input_tokens": 11},
        "",
        Usage(),
        ("", "", ""),
        id="responses count",
    ),
    pytest.param(
        "/v1/images/generations",
        {
            "created": 1,
            "data": [{"b64_json": "AAAA"}],
            "usage": {"input_tokens": 50, "output_tokens": 4160, "input_tokens_details": {"text_tokens": 50}},
        },
        "",
        Usage(50, 4160),
        ("", "", ""),
        id="images",
    ),
    pytest.param(
        "/v1/audio/transcriptions",
        {"text": "heard", "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 45}},
        "",
        Usage(14, 45),
        ("", "", ""),
        id="transcription",
    ),
    pytest.param(
        "/v1/projects/p/locations/l/publishers/anthropic/models/c:rawPredict",
        {
            "id": "msg_1",
            "type": "message",
            "model": "c",
            "content": [{"type": "text", "text": "a"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 2},
        },
        "",
        Usage(5, 4, 2),
        ("end_turn", "c", "msg_1"),
        id="anthropic on an unknown path",
    ),
    pytest.param(
        "/v1/chat/completions",
        {
            "id": "c",
            "finish_reason": "COMPLETE",
            "message": {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
            "usage": {"billed_units": {"input_tokens": 5, "output_tokens": 6}},
        },
        "a",
        Usage(5, 6),
        ("COMPLETE", "", "c"),
        id="cohere on the chat path",
    ),
]


@pytest.mark.parametrize(("path", "body", "text", "usage", "said"), ANSWERS)
def test_read_answer(
    path: str, body: dict[str, Any], text: str, usage: Usage, said: tuple[str, str, str]
) -> None:
    answer = answer_of(path, body)
    assert "".join(answer.text) == text
    assert answer.usage == usage
    assert (answer.finish_reason, answer.model, answer.id) == said
    assert answer.ended


def test_what_is_fetched_is_not_billed_again() -> None:
    body = {"id": "resp_1", "object": "response", "status": "completed", "usage": RESPONSES_USAGE}
    assert answer_of("/v1/responses/resp_1", body, "GET").usage == Usage()
    assert answer_of("/v1/responses/compact", body).usage == Usage(40, 9, 8, 2, 5)


def test_a_response_in_the_background_has_not_ended() -> None:
    assert not answer_of("/v1/responses", {"id": "resp_1", "status": "queued", "usage": None}).ended


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("/v1/chat/completions", True),
        ("/v1/embeddings", True),
        ("/v1/messages", True),
        ("/v1beta/models/g:generateContent", True),
        ("/v1/messages/count_tokens", False),
        ("/v1beta/models/g:countTokens", False),
        ("/v1/rerank", False),
    ],
)
def test_counts_tokens(path: str, counts: bool) -> None:
    assert recognise("POST", path).counts_tokens is counts
