"""The cap on a request's output: what it is, and that it is only ever lowered. What media cost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialects.test_streams import JSON
from tokenomics_core.dialects import recognise
from tokenomics_core.dialects.base import OutputCap
from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal

CHAT = "/v1/chat/completions"
LEGACY = "/v1/completions"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
GEMINI = "/v1beta/models/g:generateContent"
OLLAMA = "/api/chat"
REALTIME = "/v1/realtime"


def body_of(value: dict[str, Any]) -> JsonBody:
    return JsonBody(json.dumps(value).encode())


def dialect_of(path: str) -> Any:
    return recognise("GET" if path == REALTIME else "POST", path)


def cap(path: str, value: dict[str, Any], model: str = "m") -> OutputCap:
    found = dialect_of(path).output_cap(path, body_of(value), model)
    assert isinstance(found, OutputCap)
    return found


ASKED: list[tuple[str, dict[str, Any], OutputCap]] = [
    (CHAT, {}, OutputCap(None)),
    (CHAT, {"max_tokens": 5}, OutputCap(5)),
    (CHAT, {"max_tokens": 5, "max_completion_tokens": 9, "n": 3}, OutputCap(9, choices=3)),
    (CHAT, {"modalities": ["text", "audio"]}, OutputCap(None, hidden=True)),
    (LEGACY, {"max_tokens": 0, "prompt": "x"}, OutputCap(0)),
    (LEGACY, {"max_tokens": 7, "n": 2, "best_of": 4, "prompt": ["a", "b", "c"]}, OutputCap(7, choices=12)),
    (LEGACY, {"prompt": [1, 2, 3]}, OutputCap(None)),
    (LEGACY, {"prompt": [[1, 2], [3]]}, OutputCap(None, choices=2)),
    (LEGACY, {"prompt": []}, OutputCap(None)),
    (RESPONSES, {"max_output_tokens": 50}, OutputCap(50, 16)),
    (MESSAGES, {"max_tokens": 64000}, OutputCap(64000)),
    (
        MESSAGES,
        {"max_tokens": 64000, "thinking": {"type": "enabled", "budget_tokens": 2000}},
        OutputCap(64000, 2001, hidden=True),
    ),
    (
        MESSAGES,
        {"max_tokens": 1, "thinking": {"type": "disabled", "budget_tokens": 2000}},
        OutputCap(1),
    ),
    (MESSAGES, {"max_tokens": 1, "thinking": {"type": "adaptive"}}, OutputCap(1, hidden=True)),
    (GEMINI, {}, OutputCap(None)),
    (GEMINI, {"generationConfig": {"maxOutputTokens": 8, "candidateCount": 2}}, OutputCap(8, choices=2)),
    (GEMINI, {"generation_config": {"max_output_tokens": 8, "candidate_count": 2}}, OutputCap(8, choices=2)),
    (
        GEMINI,
        {"generationConfig": {"maxOutputTokens": 8, "max_output_tokens": 9}, "generation_config": {}},
        OutputCap(9),
    ),
    (GEMINI, {"generationConfig": {"responseModalities": ["TEXT"]}}, OutputCap(None)),
    (GEMINI, {"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}, OutputCap(None, hidden=True)),
    (OLLAMA, {"options": {"num_predict": 10}}, OutputCap(10)),
    (OLLAMA, {"options": {"num_predict": -1}}, OutputCap(None)),
    (REALTIME, {"response": {"max_output_tokens": "inf"}}, OutputCap(None, hidden=True)),
    (
        REALTIME,
        {"response": {"max_output_tokens": 4096, "output_modalities": ["text"]}},
        OutputCap(4096),
    ),
    (REALTIME, {}, OutputCap(None, hidden=True)),
    ("/v1/embeddings", {"input": "x"}, OutputCap(0)),
    ("/v1/messages/count_tokens", {"max_tokens": 9}, OutputCap(0)),
    ("/v1beta/models/g:countTokens", {}, OutputCap(0)),
    ("/v1/elsewhere", {"max_tokens": 9}, OutputCap(0)),
]


@pytest.mark.parametrize(("path", "value", "expected"), ASKED)
def test_what_a_request_allows_itself(path: str, value: dict[str, Any], expected: OutputCap) -> None:
    assert cap(path, value) == expected


@pytest.mark.parametrize("wrong", ["100", -1, 1.5, True, None, [5], {}])
def test_a_value_of_another_type_is_none(wrong: Any) -> None:
    assert cap(CHAT, {"max_tokens": wrong, "n": wrong}) == OutputCap(None)
    assert cap(CHAT, {"max_tokens": wrong, "max_completion_tokens": 5}).asked == 5
    assert cap(GEMINI, {"generationConfig": {"maxOutputTokens": wrong}}).asked is None
    assert cap(GEMINI, {"generationConfig": wrong}).asked is None
    body = body_of({"max_tokens": wrong})
    dialect_of(CHAT).set_output_cap(body, "gpt-4o", 20)
    assert json.loads(body.render()) == {"max_tokens": 20}


REASONING: list[tuple[str, dict[str, Any], str, bool]] = [
    *[
        (CHAT, {}, model, True)
        for model in (
            "o1 o3-mini o4-mini-2025-04-16 gpt-5 gpt-5.1 gpt-5-codex openai/gpt-5-mini codex-mini-latest "
            "my-o3 openai.gpt-oss-120b deepseek-reasoner deepseek-r1 grok-4 gemini-2.5-flash QwQ-32B"
        ).split()
    ],
    *[
        (CHAT, {}, model, False)
        for model in (
            "gpt-4o gpt-4.1-mini gpt-3.5-turbo chatgpt-4o-latest claude-sonnet-4-5 llama3.2 "
            "mistral-large gemini-2.0-flash olmo-2 pro1 davinci-002"
        ).split()
    ],
    (CHAT, {"reasoning_effort": "none"}, "gpt-5.1", False),
    (CHAT, {"reasoning_effort": "minimal"}, "gpt-5", True),
    (CHAT, {"reasoning_effort": "low"}, "llama", True),
    (CHAT, {"reasoning": {"enabled": False}}, "x/qwen3", False),
    (CHAT, {"reasoning": {"max_tokens": 9}}, "llama", True),
    (CHAT, {"thinking": {"type": "enabled"}}, "claude", True),
    (CHAT, {"model": "o3"}, "my-deployment", True),
    (RESPONSES, {"reasoning": {"effort": "high"}}, "m", True),
    (RESPONSES, {"reasoning": {"effort": "none"}}, "gpt-5.2", False),
    (RESPONSES, {"reasoning": {"summary": "auto"}}, "m", True),
    (RESPONSES, {}, "gpt-5", True),
    (RESPONSES, {}, "gpt-4o", False),
    (GEMINI, {}, "gemini-2.5-pro", True),
    (GEMINI, {}, "gemini-3-pro-preview", True),
    (GEMINI, {}, "gemini-flash-latest", True),
    (GEMINI, {}, "gemini-2.0-flash", False),
    (GEMINI, {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}, "gemini-2.5-flash", False),
    (GEMINI, {"generation_config": {"thinking_config": {"thinking_budget": 0}}}, "gemini-2.5-flash", False),
    (GEMINI, {"generationConfig": {"thinkingConfig": {"thinkingBudget": -1}}}, "m", True),
    (GEMINI, {"generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}}}, "gemini-3-flash", True),
    (OLLAMA, {"think": True}, "deepseek-r1", False),
]


@pytest.mark.parametrize(("path", "value", "model", "hidden"), REASONING)
def test_output_that_does_not_show(path: str, value: dict[str, Any], model: str, hidden: bool) -> None:
    assert cap(path, value, model).hidden is hidden


SET: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    (CHAT, {}, "gpt-4o", {"max_tokens": 20}),
    (CHAT, {}, "", {"max_tokens": 20}),
    (CHAT, {}, "gpt-5-mini", {"max_completion_tokens": 20}),
    (CHAT, {}, "o3", {"max_completion_tokens": 20}),
    (CHAT, {"max_tokens": 9}, "o3", {"max_tokens": 9}),
    (CHAT, {"max_tokens": 90}, "o3", {"max_tokens": 20}),
    (CHAT, {"max_completion_tokens": 90}, "gpt-4o", {"max_completion_tokens": 20}),
    (
        CHAT,
        {"max_tokens": 90, "max_completion_tokens": 10},
        "m",
        {"max_tokens": 20, "max_completion_tokens": 10},
    ),
    (LEGACY, {"max_tokens": 90}, "m", {"max_tokens": 20}),
    (RESPONSES, {"max_output_tokens": 21}, "m", {"max_output_tokens": 20}),
    (RESPONSES, {}, "m", {"max_output_tokens": 20}),
    (MESSAGES, {"max_tokens": 64000}, "m", {"max_tokens": 20}),
    (GEMINI, {}, "m", {"generationConfig": {"maxOutputTokens": 20}}),
    (
        GEMINI,
        {"generation_config": {"max_output_tokens": 90, "top_k": 1}},
        "m",
        {"generation_config": {"max_output_tokens": 20, "top_k": 1}},
    ),
    (
        GEMINI,
        {"generation_config": {"topK": 1}},
        "m",
        {"generation_config": {"topK": 1, "max_output_tokens": 20}},
    ),
    (
        GEMINI,
        {"generationConfig": {"max_output_tokens": 90}, "generation_config": {"maxOutputTokens": 5}},
        "m",
        {"generationConfig": {"max_output_tokens": 20}, "generation_config": {"maxOutputTokens": 5}},
    ),
    (OLLAMA, {"options": {"seed": 1, "num_predict": -1}}, "m", {"options": {"seed": 1, "num_predict": 20}}),
    (OLLAMA, {}, "m", {"options": {"num_predict": 20}}),
    (REALTIME, {"response": {"max_output_tokens": "inf"}}, "m", {"response": {"max_output_tokens": 20}}),
    (
        REALTIME,
        {"response": {"max_response_output_tokens": 900}},
        "m",
        {"response": {"max_response_output_tokens": 20}},
    ),
    (
        REALTIME,
        {"type": "response.create"},
        "m",
        {"type": "response.create", "response": {"max_output_tokens": 20}},
    ),
    ("/v1/embeddings", {"input": "x"}, "m", {"input": "x"}),
    ("/v1/messages/count_tokens", {"max_tokens": 90}, "m", {"max_tokens": 90}),
    ("/v1/elsewhere", {"max_tokens": 90}, "m", {"max_tokens": 90}),
]


@pytest.mark.parametrize(("path", "value", "model", "expected"), SET)
def test_the_cap_is_set(path: str, value: dict[str, Any], model: str, expected: dict[str, Any]) -> None:
    body = body_of(value)
    dialect_of(path).set_output_cap(body, model, 20)
    assert json.loads(body.render()) == expected


def test_options_that_ollama_would_read_in_any_case() -> None:
    with pytest.raises(Refusal):
        dialect_of(OLLAMA).model(OLLAMA, "", body_of({"model": "m", "Options": {"num_predict": 9}}))


PATHS = [CHAT, LEGACY, RESPONSES, MESSAGES, GEMINI, OLLAMA, REALTIME, "/v1/embeddings", "/v1/elsewhere"]
NAMES = (
    "max_tokens max_completion_tokens max_output_tokens maxOutputTokens generationConfig options num_predict "
    "generation_config response thinking reasoning n best_of prompt messages content parts input images type"
).split()
BODIES = st.dictionaries(
    st.sampled_from(NAMES),
    JSON | st.integers(0, 100) | st.dictionaries(st.sampled_from(NAMES), JSON | st.integers(0, 100)),
)


@given(value=BODIES, path=st.sampled_from(PATHS), tokens=st.integers(1, 60))
@settings(max_examples=400, deadline=None)
def test_never_raised_and_never_an_error(value: dict[str, Any], path: str, tokens: int) -> None:
    dialect = dialect_of(path)
    body = body_of(value)
    before = dialect.output_cap(path, body, "gpt-5")
    dialect.set_output_cap(body, "gpt-5", tokens)
    after = dialect.output_cap(path, JsonBody(body.render()), "gpt-5")
    assert after.choices == before.choices
    if before.asked is not None:
        assert after.asked == min(before.asked, tokens)
    else:
        assert after.asked in (None, tokens)
    assert dialect.media_tokens(body) >= 0


def messages(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "hi"}, {"role": "user", "content": [*parts]}]}


def contents(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": "hi"}, *parts]}], **more}


PDF = "A" * 40_000
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
MEDIA: list[tuple[str, dict[str, Any], int]] = [
    (CHAT, {"messages": [{"role": "user", "content": "hi"}]}, 0),
    (CHAT, messages({"type": "text", "text": "data:image/png;base64,AAAA"}), 0),
    (CHAT, messages({"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}), 1600),
    (CHAT, messages({"type": "image_url", "image_url": {"url": "x", "detail": "low"}}), 85),
    (CHAT, messages({"type": "file", "file": {"file_data": "data:application/pdf;base64," + PDF}}), 10_007),
    (CHAT, messages({"type": "file", "file": {"file_id": "file-1"}}), 1000),
    (CHAT, messages({"type": "input_audio", "input_audio": {"data": "A" * 640_000, "format": "wav"}}), 465),
    (CHAT, messages({"type": "input_audio", "input_audio": {"data": "A" * 64_000, "format": "mp3"}}), 195),
    (RESPONSES, {"input": "hi"}, 0),
    (
        RESPONSES,
        {
            "input": [
                {"role": "user", "content": [{"type": "input_image", "image_url": "x", "detail": "low"}]}
            ]
        },
        85,
    ),
    (
        RESPONSES,
        {"input": [{"type": "function_call_output", "output": [{"type": "input_image", "image_url": "x"}]}]},
        1600,
    ),
    (
        RESPONSES,
        {"input": [{"type": "computer_call_output", "output": {"type": "computer_screenshot"}}]},
        1600,
    ),
    (MESSAGES, messages(IMAGE, IMAGE), 3200),
    (MESSAGES, messages({"type": "tool_result", "content": [IMAGE]}), 1600),
    (MESSAGES, messages({"type": "document", "source": {"type": "base64", "data": PDF}}), 10_000),
    (MESSAGES, messages({"type": "document", "source": {"type": "url", "url": "x"}}), 1000),
    (MESSAGES, messages({"type": "document", "source": {"type": "text", "data": PDF}}), 0),
    (MESSAGES, messages({"type": "document", "source": {"type": "content", "content": [IMAGE]}}), 1600),
    (GEMINI, contents(), 0),
    (GEMINI, contents({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}), 1290),
    (
        GEMINI,
        contents(
            {"inline_data": {"mime_type": "image/png", "data": "AAAA"}},
            generationConfig={"mediaResolution": "MEDIA_RESOLUTION_LOW"},
        ),
        258,
    ),
    (GEMINI, contents({"fileData": {"mimeType": "application/pdf", "fileUri": "x"}}), 1000),
    (GEMINI, contents({"inlineData": {"mimeType": "audio/mp3", "data": "A" * 64_000}}), 13 * 32),
    (GEMINI, contents({"inlineData": {"mimeType": "video/mp4", "data": "A" * 64_000}}), 13 * 290),
    (OLLAMA, {"messages": [{"role": "user", "content": "hi", "images": ["AAAA", "AAAA"]}]}, 3200),
    ("/api/generate", {"prompt": "hi", "images": ["AAAA"]}, 1600),
    ("/api/generate", {"prompt": "hi"}, 0),
    ("/v1/embeddings", {"input": "hi"}, 0),
]


def test_a_part_whose_type_is_no_word() -> None:
    value = {"messages": [{"role": "user", "content": [{"type": ["image"], "text": "hi"}]}]}
    assert list(dialect_of(MESSAGES).input_texts(body_of(value))) == ["hi"]
    assert dialect_of(MESSAGES).media_tokens(body_of(value)) == 0


@pytest.mark.parametrize(("path", "value", "tokens"), MEDIA)
def test_media_are_estimated(path: str, value: dict[str, Any], tokens: int) -> None:
    assert dialect_of(path).media_tokens(body_of(value)) == tokens
