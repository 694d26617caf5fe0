"""Spans: which strings are looked at, format by format."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.guard import bodies
from tokenomics_core.guard.spans import (
    LONGEST_LABEL,
    Span,
    answer_spans,
    has_token_ids,
    logprobs_paths,
    request_spans,
)
from tokenomics_core.json_splice import splice

PNG = "data:image/png;base64,iVBORw0KGgo="
SEALED = "EqoBCkgIARAB+/=="


def seen(spans: list[Span]) -> list[str]:
    """The spans, one a word: the path, and the form where it is not text."""
    return [
        "/".join(map(str, span.path)) + ("" if span.form == "text" else f":{span.form}") for span in spans
    ]


REQUESTS: list[tuple[str, dict[str, Any], str]] = [
    (
        "chat",
        {
            "model": "gpt-4o",
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "developer", "content": "d", "name": "Ann"},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "t"},
                        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                        {"type": "image_url", "image_url": {"url": "https://a.test/ann@b.test.png"}},
                        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                        {"type": "file", "file": {"filename": "f.pdf", "file_data": PNG}},
                        {"type": "file", "file": {"file_id": "file-1"}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": None,
                    "refusal": "r",
                    "tool_calls": [
                        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                        {"id": "call_2", "type": "custom", "custom": {"name": "c", "input": "i"}},
                    ],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": '{"a":1}'},
                {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "t"}]},
                {"role": "assistant", "function_call": {"name": "g", "arguments": '{"b":2}'}},
                {"role": "function", "name": "g", "content": "out"},
            ],
            "functions": [{"name": "g", "description": "d", "parameters": {"type": "object"}}],
            "function_call": {"name": "g"},
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"title": "t"}, "strict": True},
            },
            "prediction": {"type": "content", "content": "p"},
            "stop": ["END"],
            "user": "ann",
            "safety_identifier": "s",
            "metadata": {"ticket": "m"},
            "prompt_cache_key": "k",
            "seed": 1234567890,
            "max_tokens": 100000,
            "logit_bias": {"1234567": -100},
            "stream_options": {"include_usage": True},
        },
        "messages/0/content messages/1/content messages/1/name messages/2/content/0/text "
        "messages/2/content/2/image_url/url messages/2/content/4/file/filename messages/3/refusal "
        "messages/3/tool_calls/0/function/name:name messages/3/tool_calls/0/function/arguments:json "
        "messages/3/tool_calls/1/custom/name:name messages/3/tool_calls/1/custom/input "
        "messages/4/content messages/5/content/0/text messages/6/function_call/name:name "
        "messages/6/function_call/arguments:json messages/7/name:name messages/7/content "
        "functions/0/name:name functions/0/description function_call/name:name "
        "tool_choice/function/name:name response_format/json_schema/name:name "
        "response_format/json_schema/schema/title prediction/content stop/0 user safety_identifier "
        "metadata/ticket",
    ),
    ("completions", {"model": "m", "prompt": "p", "suffix": "s"}, "prompt suffix"),
    ("completions, several", {"model": "m", "prompt": ["p", "q"]}, "prompt/0 prompt/1"),
    ("completions, tokens", {"model": "m", "prompt": [[1234567, 2], [3]]}, ""),
    ("embeddings", {"model": "m", "input": ["a", ""], "encoding_format": "float"}, "input/0"),
    ("embeddings, tokens", {"model": "m", "input": [1234567]}, ""),
    (
        "responses",
        {
            "model": "m",
            "instructions": "i",
            "input": [
                {"role": "user", "content": "c"},
                {
                    "type": "message",
                    "id": "msg_1",
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "t"},
                        {"type": "input_image", "image_url": PNG},
                        {"type": "input_image", "image_url": "https://a.test/x.png"},
                        {"type": "input_file", "filename": "f", "file_data": "JVBERi0="},
                    ],
                },
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [{"type": "summary_text", "text": "s"}],
                    "encrypted_content": SEALED,
                },
                {
                    "type": "function_call",
                    "call_id": "1",
                    "name": "f",
                    "arguments": "{}",
                    "status": "completed",
                },
                {"type": "function_call_output", "call_id": "1", "output": "o"},
                {
                    "type": "function_call_output",
                    "call_id": "1",
                    "output": [{"type": "input_text", "text": "o"}],
                },
                {
                    "type": "function_call_output",
                    "call_id": "1",
                    "output": {"id": "o", "card": 4111111111111111},
                },
                {"type": "custom_tool_call", "call_id": "2", "name": "patch", "input": "*** Begin"},
                {"type": "custom_tool_call_output", "call_id": "2", "output": "o"},
                {
                    "type": "mcp_call",
                    "id": "mcp_1",
                    "server_label": "l",
                    "name": "n",
                    "arguments": "{}",
                    "output": "o",
                },
                {
                    "type": "mcp_list_tools",
                    "server_label": "l",
                    "tools": [{"name": "n", "input_schema": {"properties": {"q": {"description": "d"}}}}],
                },
                {
                    "type": "local_shell_call",
                    "call_id": "3",
                    "action": {"type": "exec", "command": ["ls", "-l"], "env": {"type": "e"}},
                },
                {"type": "code_interpreter_call", "id": "ci", "code": "c", "container_id": "cntr_1"},
                {"type": "image_generation_call", "id": "ig", "result": "iVBORw0KGgo="},
                {"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": PNG}},
                {"type": "item_reference", "id": "msg_1"},
            ],
            "tools": [
                {"type": "function", "name": "f", "parameters": {"type": "object"}},
                {"type": "custom", "name": "patch", "format": {"type": "grammar", "definition": "start: x"}},
                {"type": "mcp", "server_label": "l", "server_url": "https://a.test", "headers": {"id": "h"}},
            ],
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {"description": "d"}}},
            "previous_response_id": "resp_1",
            "client_metadata": {"id": "x"},
        },
        "instructions input/0/content input/1/content/0/text input/1/content/2/image_url "
        "input/1/content/3/filename input/2/summary/0/text input/3/name:name input/3/arguments:json "
        "input/4/output input/5/output/0/text input/6/output/id input/6/output/card:number "
        "input/7/name:name input/7/input input/8/output input/9/server_label:name input/9/name:name "
        "input/9/arguments:json input/9/output input/10/server_label:name input/10/tools/0/name:name "
        "input/10/tools/0/input_schema/properties/q/description input/11/action/command/0 "
        "input/11/action/command/1 input/11/action/env/type input/12/code "
        "tools/0/name:name tools/1/name:name tools/1/format/definition tools/2/server_label:name "
        "tools/2/server_url tools/2/headers/id text/format/name:name text/format/schema/description",
    ),
    ("responses, a string", {"model": "m", "input": "i"}, "input"),
    (
        "anthropic",
        {
            "model": "m",
            "max_tokens": 128000,
            "metadata": {"user_id": "u"},
            "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": "c"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "t", "signature": SEALED},
                        {"type": "redacted_thinking", "data": SEALED},
                        {
                            "type": "tool_use",
                            "id": "toolu_1",
                            "name": "n",
                            "input": {
                                "id": "i",
                                "type": ["t"],
                                "n": 123456,
                                "short": 12345,
                                "a@b.co": {"x": 1.5},
                            },
                        },
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "r"},
                        {
                            "type": "tool_result",
                            "tool_use_id": "toolu_2",
                            "content": [
                                {"type": "text", "text": "r"},
                                {
                                    "type": "image",
                                    "source": {
                                        "type": "base64",
                                        "media_type": "image/png",
                                        "data": "iVBORw0=",
                                    },
                                },
                            ],
                        },
                        {
                            "type": "document",
                            "title": "d",
                            "source": {"type": "text", "media_type": "text/plain", "data": "plain"},
                        },
                        {
                            "type": "document",
                            "source": {"type": "content", "content": [{"type": "text", "text": "x"}]},
                        },
                        {"type": "image", "source": {"type": "url", "url": "https://a.test/i.png"}},
                    ],
                },
                {"role": "system", "content": "s"},
            ],
            "tools": [{"name": "n", "input_schema": {"properties": {"type": {"description": "d"}}}}],
            "tool_choice": {"type": "tool", "name": "n"},
            "mcp_servers": [
                {"type": "url", "url": "https://a.test", "name": "n", "authorization_token": "a"}
            ],
        },
        "metadata/user_id system/0/text messages/0/content messages/1/content/0/thinking "
        "messages/1/content/2/name:name messages/1/content/2/input/id messages/1/content/2/input/type/0 "
        "messages/1/content/2/input/n:number messages/1/content/2/input/a@b.co:key "
        "messages/2/content/0/content messages/2/content/1/content/0/text messages/2/content/2/title "
        "messages/2/content/2/source/data messages/2/content/3/source/content/0/text "
        "messages/2/content/4/source/url messages/3/content tools/0/name:name "
        "tools/0/input_schema/properties/type/description tool_choice/name:name mcp_servers/0/url "
        "mcp_servers/0/name:name mcp_servers/0/authorization_token",
    ),
    ("anthropic, system string", {"model": "m", "system": "s", "messages": []}, "system"),
    (
        "gemini",
        {
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"text": "t", "thoughtSignature": SEALED},
                        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0="}},
                        {"inlineData": {"mimeType": "text/csv", "data": "YSxi"}},
                        {"fileData": {"mimeType": "image/png", "fileUri": "gs://b/o"}},
                        {"functionCall": {"id": "1", "name": "f", "args": {"id": "i"}}},
                        {
                            "functionResponse": {
                                "id": "1",
                                "name": "f",
                                "response": {"type": "r", "n": 1234567},
                            }
                        },
                        {"executableCode": {"language": "PYTHON", "code": "c"}},
                        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "o"}},
                    ],
                }
            ],
            "systemInstruction": {"parts": [{"text": "s"}]},
            "tools": [
                {
                    "functionDeclarations": [
                        {"name": "f", "parameters": {"type": "OBJECT", "description": "d"}}
                    ]
                }
            ],
            "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["f"]}},
            "generationConfig": {
                "responseMimeType": "text/plain",
                "responseSchema": {"enum": ["a", 1234567]},
            },
            "cachedContent": "cachedContents/1",
        },
        "contents/0/parts/0/text contents/0/parts/2/inlineData/data contents/0/parts/3/fileData/fileUri "
        "contents/0/parts/4/functionCall/name:name contents/0/parts/4/functionCall/args/id "
        "contents/0/parts/5/functionResponse/name:name contents/0/parts/5/functionResponse/response/type "
        "contents/0/parts/5/functionResponse/response/n:number contents/0/parts/6/executableCode/code "
        "contents/0/parts/7/codeExecutionResult/outcome contents/0/parts/7/codeExecutionResult/output "
        "systemInstruction/parts/0/text tools/0/functionDeclarations/0/name:name "
        "tools/0/functionDeclarations/0/parameters/description "
        "toolConfig/functionCallingConfig/allowedFunctionNames/0:name generationConfig/responseMimeType "
        "generationConfig/responseSchema/enum/0 generationConfig/responseSchema/enum/1:number",
    ),
    (
        "gemini, snake case",
        {
            "contents": {
                "parts": [
                    {"inline_data": {"mime_type": "image/png", "data": "iVBORw0="}},
                    {"function_call": {"name": "f", "args": {"id": "i"}}},
                    {"function_response": {"name": "f", "response": {"id": "r"}}},
                    {"text": "t", "thought_signature": SEALED},
                ]
            },
            "system_instruction": {"parts": {"text": "s"}},
            "tools": [{"function_declarations": [{"name": "f", "parameters": {"title": "t"}}]}],
            "generation_config": {"response_schema": {"description": "d"}},
        },
        "contents/parts/1/function_call/name:name contents/parts/1/function_call/args/id "
        "contents/parts/2/function_response/name:name contents/parts/2/function_response/response/id "
        "contents/parts/3/text system_instruction/parts/text tools/0/function_declarations/0/name:name "
        "tools/0/function_declarations/0/parameters/title generation_config/response_schema/description",
    ),
    ("gemini, embed", {"model": "models/e", "content": {"parts": [{"text": "t"}]}}, "content/parts/0/text"),
    (
        "gemini, several",
        {"requests": [{"model": "models/e", "content": {"parts": [{"text": "t"}]}}]},
        "requests/0/content/parts/0/text",
    ),
    (
        "gemini, count",
        {"generateContentRequest": {"model": "m", "contents": [{"parts": [{"text": "t"}]}]}},
        "generateContentRequest/contents/0/parts/0/text",
    ),
    (
        "ollama chat",
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": "c", "images": ["iVBORw0KGgo="]},
                {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"id": "i"}}}]},
                {"role": "tool", "tool_name": "f", "content": "r"},
            ],
            "format": {"type": "object", "properties": {"id": {"description": "d"}}},
            "options": {"num_ctx": 131072},
        },
        "messages/0/content messages/1/tool_calls/0/function/name:name "
        "messages/1/tool_calls/0/function/arguments/id messages/2/tool_name:name messages/2/content "
        "format/properties/id/description",
    ),
    (
        "ollama generate",
        {
            "model": "m",
            "prompt": "p",
            "system": "s",
            "template": "t",
            "images": ["iVBORw0="],
            "context": [1234567],
        },
        "prompt system template",
    ),
    (
        "realtime session.update",
        {
            "type": "session.update",
            "event_id": "e",
            "session": {
                "type": "realtime",
                "model": "m",
                "instructions": "i",
                "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {}}],
                "audio": {
                    "input": {
                        "format": {"type": "audio/pcm", "rate": 24000},
                        "transcription": {"model": "w", "prompt": "p"},
                    },
                    "output": {"voice": "marin"},
                },
            },
        },
        "session/instructions session/tools/0/name:name session/tools/0/description "
        "session/audio/input/transcription/prompt",
    ),
    (
        "realtime conversation.item.create",
        {
            "type": "conversation.item.create",
            "previous_item_id": "p",
            "item": {
                "type": "message",
                "id": "i",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "t"},
                    {"type": "input_audio", "audio": "UklGRg==", "transcript": "w"},
                ],
            },
        },
        "item/content/0/text item/content/1/transcript",
    ),
    ("realtime sound", {"type": "input_audio_buffer.append", "audio": "UklGRg=="}, ""),
    (
        "realtime response.create",
        {"type": "response.create", "response": {"instructions": "i", "metadata": {"id": "m"}}},
        "response/instructions response/metadata/id",
    ),
    (
        "codex frame",
        {
            "type": "response.create",
            "model": "m",
            "input": [{"role": "user", "content": "c"}],
            "generate": False,
        },
        "input/0/content",
    ),
    (
        "unknown JSON",
        {
            "id": "i",
            "type": "t",
            "when": 1700000000,
            "few": 12345,
            "score": 0.1234567,
            "yes": True,
            "no": None,
            "list": [{"model": "m", "Ann+B": [[]]}, 1234567, "s"],
        },
        "id type when:number score:number list/0/model list/0/Ann+B:key list/1:number list/2",
    ),
]


@pytest.mark.parametrize(
    ("body", "expected"), [row[1:] for row in REQUESTS], ids=[row[0] for row in REQUESTS]
)
def test_requests(body: dict[str, Any], expected: str) -> None:
    assert seen(request_spans(body)) == expected.split()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([{"id": "a"}, "b", [1234567], {"messages": [{"role": "r", "content": "c"}]}],
         ["0/id", "1", "2/0:number", "3/messages/0/content"]),
        ([{"messages": [{"id": "a"}]}, {"odd key": 1}], ["1/odd key:key"]),
        ("text", [""]),
        ("", []),
        (1234567, [":number"]),
        (12345, []),
        (-1234567890.25, [":number"]),
        (True, []),
        (None, []),
        ([], []),
        ({}, []),
    ],
)  # fmt: skip
def test_any_json(value: Any, expected: list[str]) -> None:
    assert seen(request_spans(value)) == expected


ANSWERS: list[tuple[str, Any, str]] = [
    (
        "chat",
        {
            "id": "c",
            "object": "chat.completion",
            "created": 1700000000,
            "system_fingerprint": "fp",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "c",
                        "reasoning_content": "r",
                        "refusal": "n",
                        "annotations": [
                            {"type": "url_citation", "url_citation": {"url": "https://a.test", "title": "t"}}
                        ],
                        "audio": {"id": "a", "data": "UklGRg==", "transcript": "w", "expires_at": 1700000000},
                        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
                    },
                    "logprobs": {"content": [{"token": "c", "logprob": -0.1234567}]},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 1234567, "note": "n"},
        },
        "choices/0/message/content choices/0/message/reasoning_content choices/0/message/refusal "
        "choices/0/message/annotations/0/url_citation/url choices/0/message/annotations/0/url_citation/title "
        "choices/0/message/audio/transcript choices/0/message/tool_calls/0/function/name:name "
        "choices/0/message/tool_calls/0/function/arguments:json",
    ),
    ("completions", {"choices": [{"text": "t", "logprobs": None}]}, "choices/0/text"),
    (
        "embeddings",
        {"object": "list", "data": [{"object": "embedding", "embedding": [0.1234567], "index": 0}]},
        "",
    ),
    (
        "anthropic",
        {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": SEALED},
                {"type": "text", "text": "x", "citations": [{"type": "char_location", "cited_text": "q"}]},
                {"type": "tool_use", "id": "1", "name": "n", "input": {"type": "i"}},
            ],
            "stop_reason": "end_turn",
        },
        "content/0/thinking content/1/text content/1/citations/0/cited_text content/2/name:name "
        "content/2/input/type",
    ),
    (
        "anthropic event",
        {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": '{"a'}},
        "delta/partial_json:json",
    ),
    (
        "responses",
        {
            "id": "r",
            "object": "response",
            "created_at": 1700000000,
            "output": [
                {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "s"}]},
                {
                    "type": "message",
                    "id": "m",
                    "content": [
                        {
                            "type": "output_text",
                            "text": "t",
                            "annotations": [{"type": "url_citation", "url": "https://a.test", "title": "u"}],
                            "logprobs": [{"token": "t"}],
                        }
                    ],
                },
                {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
                {"type": "image_generation_call", "result": "iVBORw0="},
            ],
            "usage": {"input_tokens": 1},
            "metadata": {"id": "m"},
        },
        "output/0/summary/0/text output/1/content/0/text output/1/content/0/annotations/0/url "
        "output/1/content/0/annotations/0/title output/2/name:name output/2/arguments:json metadata/id",
    ),
    (
        "responses text event",
        {"type": "response.output_text.delta", "delta": "d", "logprobs": [], "obfuscation": "x7"},
        "delta",
    ),
    (
        "responses arguments event",
        {"type": "response.function_call_arguments.delta", "item_id": "i", "delta": '{"'},
        "delta:json",
    ),
    ("realtime sound", {"type": "response.output_audio.delta", "delta": "UklGRg=="}, ""),
    (
        "gemini",
        {
            "candidates": [
                {
                    "content": {
                        "role": "model",
                        "parts": [{"text": "t"}, {"functionCall": {"name": "f", "args": {"id": "i"}}}],
                    },
                    "finishReason": "STOP",
                    "logprobsResult": {"chosenCandidates": [{"token": "t"}]},
                    "safetyRatings": [{"category": "HARM", "probability": "LOW"}],
                    "groundingMetadata": {
                        "groundingChunks": [{"web": {"uri": "https://a.test", "title": "w"}}],
                        "groundingSupports": [{"segment": {"text": "q", "endIndex": 1234567}}],
                    },
                }
            ],
            "usageMetadata": {"promptTokenCount": 1},
            "modelVersion": "v",
            "responseId": "r",
        },
        "candidates/0/content/parts/0/text candidates/0/content/parts/1/functionCall/name:name "
        "candidates/0/content/parts/1/functionCall/args/id "
        "candidates/0/groundingMetadata/groundingChunks/0/web/uri "
        "candidates/0/groundingMetadata/groundingChunks/0/web/title "
        "candidates/0/groundingMetadata/groundingSupports/0/segment/text",
    ),
    ("gemini list", [{"candidates": [{"content": {"parts": [{"text": "t"}]}}]}],
     "0/candidates/0/content/parts/0/text"),
    (
        "ollama",
        {
            "model": "m",
            "created_at": "2025-01-01T00:00:00.123456Z",
            "message": {"role": "assistant", "content": "c", "thinking": "t"},
            "done": True,
            "total_duration": 5191566416,
        },
        "message/content message/thinking",
    ),
    ("unknown", {"id": "i", "result": {"type": "t"}, "n": 1234567}, "id result/type n:number"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_answers(body: Any, expected: str) -> None:
    assert seen(answer_spans(body)) == expected.split()


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({"choices": [{"logprobs": {"content": []}}, {"logprobs": None}, {"logprobs": {}}]},
         [("choices", 0, "logprobs")]),
        ({"output": [{"content": [{"type": "output_text", "text": "t", "logprobs": [{"token": "t"}]}]}]},
         [("output", 0, "content", 0, "logprobs")]),
        ({"type": "response.output_text.delta", "delta": "d", "logprobs": [{"token": "d"}]}, [("logprobs",)]),
        ({"candidates": [{"logprobsResult": {"topCandidates": [1]}}]}, [("candidates", 0, "logprobsResult")]),
        ({"content": [{"type": "tool_use", "input": {"logprobs": [1]}}], "usage": {}}, []),
    ],
)  # fmt: skip
def test_logprobs(body: dict[str, Any], paths: list[Any]) -> None:
    assert logprobs_paths(body) == paths
    if paths:
        assert logprobs_paths(json.loads(splice(json.dumps(body).encode(), {}, paths))) == []


@pytest.mark.parametrize(
    ("body", "given_as_tokens"),
    [
        ({"prompt": [1, 2]}, True),
        ({"prompt": [[1], [2]]}, True),
        ({"prompt": ["a", [3]]}, True),
        ({"input": [1.0]}, True),
        ({"context": [5], "prompt": "p"}, True),
        ({"prompt": "1"}, False),
        ({"prompt": ["a"], "input": [{"role": "user", "n": [1]}]}, False),
        ({"prompt": [], "input": [[]]}, False),
        ({"prompt": [True, None]}, False),
        ({"seed": [1]}, False),
        ([1, 2], False),
    ],
)
def test_token_ids(body: Any, given_as_tokens: bool) -> None:
    assert has_token_ids(body) is given_as_tokens


SECRET = "call me at five five five"


@pytest.mark.parametrize(
    ("part", "looked_at"),
    [
        # Labels are short, sealed and binary values are base64; what is neither is text.
        ({"type": "text", "id": "x" * LONGEST_LABEL}, False),
        ({"type": "text", "id": "x" * (LONGEST_LABEL + 1)}, True),
        ({"type": "thinking", "signature": SEALED}, False),
        ({"type": "thinking", "signature": SECRET}, True),
        ({"type": "redacted_thinking", "data": SECRET}, True),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": SECRET}}, True),
        ({"type": "image", "source": {"type": "text", "data": "AAAA"}}, True),
        ({"type": "input_audio", "input_audio": {"data": SECRET, "format": "wav"}}, True),
        ({"type": "image_url", "image_url": "data:image/png;base64," + SECRET}, True),
        ({"type": "image_url", "image_url": "data:image/png," + SECRET}, True),
        ({"type": "image_url", "image_url": "data:text/plain;base64,QUFB"}, True),
        ({"type": "image_url", "image_url": "DATA:image/png;charset=x;base64,QUFB"}, False),
        ({"type": "image_url", "image_url": "data: " + SECRET}, True),
        ({"type": "text", "text": PNG}, True),
        ({"type": "input_file", "file_data": "data:application/pdf;base64,QUFB"}, False),
        (
            {
                "type": "input_file",
                "file_data": "data:application/vnd.openxmlformats-officedocument.wordprocessingml.document"
                ";base64,QUFB",
            },
            False,
        ),
        ({"type": "input_file", "file_data": "data:application/json;base64,QUFB"}, True),
        ({"type": "image", "mimeType": "image/svg+xml", "data": "QUFB"}, True),
        ({"type": "image", "mimeType": ["image/png"], "data": SECRET}, True),
        ({"type": "x", "unlisted": "QUFB"}, True),
        ({"type": "x", "unlisted": {"id": "QUFB"}}, True),
        ({"type": ["x"], "role": {}, "name": "QUFB"}, True),
    ],
)
def test_what_labels_and_binary_data_may_be(part: dict[str, Any], looked_at: bool) -> None:
    assert bool(request_spans({"messages": [{"role": "user", "content": [part]}]})) is looked_at


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("file_path", False),
        ("x-api.$ref", False),
        ("", False),
        ("a" * 64, False),
        ("a" * 65, True),
        ("a@b.co", True),
        ("two words", True),
        ("größe", True),
        ("a\n", True),
        ("n12345", False),
        ("n123456", True),
        ("123456", True),
        ("x" * 58 + "123456", True),
        ("2025-01-01", False),
    ],
)
@pytest.mark.parametrize(
    ("around", "at"),
    [
        (lambda name: {"x": {name: 1}}, ["x"]),
        (lambda name: {"messages": [{"role": "tool", "content": {name: 1}}]}, ["messages", 0, "content"]),
        (lambda name: {"contents": [{"functionCall": {"args": {name: 1}}}]},
         ["contents", 0, "functionCall", "args"]),
        (lambda name: {"input": "", "tools": [{"parameters": {"properties": {name: {}}}}]},
         ["tools", 0, "parameters", "properties"]),
        (lambda name: {"messages": [{name: 1}]}, ["messages", 0]),
    ],
)  # fmt: skip
def test_member_names(around: Callable[[str], Any], at: list[Any], name: str, odd: bool) -> None:
    assert request_spans(around(name)) == ([Span((*at, name), name, "key")] if odd else [])
    # At the top they are the request's own.
    assert request_spans({name: 1}) == []


def test_schemas() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "description": "d",
        "properties": {
            "id": {"type": ["string", "null"], "format": "uuid", "pattern": "p", "examples": ["e", 1234567]},
            "type": {"enum": ["a", 1], "default": {"id": "x"}, "maximum": 9007199254740991},
            "enum": {"const": "c", "title": "t", "$ref": "#/$defs/x"},
            "any": {"anyOf": [{"description": "d"}, {"items": {"description": "d"}}], "x-note": "n"},
        },
        "required": ["id", "a@b.co"],
        "$defs": {"x": {"description": "d"}},
    }
    body = {"messages": [], "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}
    place = "tools/0/function/parameters/"
    assert [word.removeprefix(place) for word in seen(request_spans(body))[1:]] == [
        "description",
        "properties/id/pattern",
        "properties/id/examples/0",
        "properties/id/examples/1:number",
        "properties/type/enum/0",
        "properties/type/default/id",
        "properties/enum/const",
        "properties/enum/title",
        "properties/any/anyOf/0/description",
        "properties/any/anyOf/1/items/description",
        "properties/any/x-note",
        "required/1:name",
        "$defs/x/description",
    ]


AGENTS = [bodies.claude_code, bodies.codex, bodies.gemini_cli, bodies.opencode]


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agents_own_ids_are_no_spans(agent: Callable[[], dict[str, Any]]) -> None:
    spans = request_spans(agent())
    assert not {span.form for span in spans} & {"number", "key"}
    carriers = [span.path for span in spans if bodies.SESSION in span.text or bodies.DEVICE in span.text]
    assert carriers == ([("metadata", "user_id")] if agent is bodies.claude_code else [])
    assert not any(span.path[-1] in ("type", "id", "model", "signature", "required") for span in spans)


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agents_request_takes_little_time(agent: Callable[[], dict[str, Any]]) -> None:
    body = agent()
    best = 1.0
    for _ in range(50):
        start = time.perf_counter()
        spans = request_spans(body)
        best = min(best, time.perf_counter() - start)
    assert len(spans) > 100
    assert best < 0.003


def test_any_depth() -> None:
    value: Any = "x"
    for _ in range(1000):
        value = {"a": [value]}
    assert [span.text for span in request_spans(value)] == ["x"]
    assert [span.text for span in answer_spans({"choices": value["a"]})] == ["x"]


names = st.sampled_from(
    "type role id name data content input output response format delta arguments tools parameters "
    "properties messages parts functionCall functionResponse args audio logprobs result metadata odd@name "
    "1234567".split()
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("x" * 300)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5),
    max_leaves=25,
)


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@given(values)
def test_every_span_is_in_its_place_and_can_be_edited(value: Any) -> None:
    for spans in (request_spans(value), answer_spans(value)):
        places = [(span.path, span.form == "key") for span in spans]
        assert len(set(places)) == len(places)
        for span in spans:
            found = at(value, span.path)
            if span.form == "key":
                assert span.path[-1] == span.text
                assert len(span.path) > 1
            elif span.form == "number":
                assert repr(found) == span.text
            else:
                assert found == span.text
        assert splice(json.dumps(value).encode(), {place: "x" for place in places if not place[1]})


@given(values.filter(lambda value: isinstance(value, dict)))
def test_free_json_leaves_no_string_out(value: Any) -> None:
    wanted = []
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str) and item:
            wanted.append(item)
    body = {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "input": value}]}]}
    found = [span.text for span in request_spans(body) if span.form == "text"]
    assert sorted(found) == sorted(wanted)
