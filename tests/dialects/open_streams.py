"""Streams with all that can be open in one: text, thoughts, tool calls whose arguments are half said."""

from __future__ import annotations

import json
from typing import Any

from tests.dialects.streams import sse

WEATHER = '{"city":"Århus","days":[1,2]}'


def _chunk(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 1750000000}
    return {**head, "model": "gpt-4o", "choices": [choice], "usage": None}


def _calls(number: int, **function: str) -> list[dict[str, Any]]:
    call: dict[str, Any] = {"index": number, "function": function}
    return [call | {"id": f"call_{number}", "type": "function"} if "name" in function else call]


CHAT = sse(
    _chunk(role="assistant", content=""),
    _chunk(content="Hei "),
    _chunk(1, role="assistant", content="Moi"),
    _chunk(content="der"),
    _chunk(1, finish="stop"),
    _chunk(tool_calls=_calls(0, name="look", arguments="")),
    *[_chunk(tool_calls=_calls(0, arguments=WEATHER[at : at + 6])) for at in range(0, len(WEATHER), 6)],
    _chunk(tool_calls=_calls(1, name="look", arguments="")),
    _chunk(tool_calls=_calls(1, arguments='{"city"')),
    _chunk(finish="tool_calls"),
    {**_chunk(), "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}},
    "[DONE]",
)

COMPLETIONS = sse(
    *[
        {
            "id": "cmpl-9",
            "object": "text_completion",
            "created": 1750000000,
            "model": "davinci-002",
            "choices": [{"index": index, "text": said, "logprobs": None, "finish_reason": finish}],
        }
        for index, said, finish in [(0, "on", None), (1, "twi", None), (0, "ce", "stop"), (1, "ce", "stop")]
    ],
    "[DONE]",
)

_RESPONSE: dict[str, Any] = {
    "id": "resp_9",
    "object": "response",
    "created_at": 1750000000,
    "status": "in_progress",
    "model": "gpt-5",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": None,
}
_REASONING: dict[str, Any] = {"id": "rs_1", "type": "reasoning", "summary": []}
_SUMMARY = {"type": "summary_text", "text": "hm"}
_MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "in_progress",
    "content": [],
}
_TEXT: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
_SAID = {**_TEXT, "text": "Guten Tag"}
_CALL: dict[str, Any] = {
    "id": "fc_1",
    "type": "function_call",
    "call_id": "call_1",
    "name": "look",
    "status": "in_progress",
}
_CALLED = {**_CALL, "arguments": WEATHER, "status": "completed"}
_OUTPUT = [
    {**_REASONING, "summary": [_SUMMARY]},
    {**_MESSAGE, "status": "completed", "content": [_SAID]},
    _CALLED,
]


def _in(index: int, item: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"output_index": index, "item_id": item["id"], **more}


RESPONSES_EVENTS: list[dict[str, Any]] = [
    {"sequence_number": at, **event}
    for at, event in enumerate(
        [
            {"type": "response.created", "response": _RESPONSE},
            {"type": "response.in_progress", "response": _RESPONSE},
            {"type": "response.output_item.added", "output_index": 0, "item": _REASONING},
            {
                "type": "response.reasoning_summary_part.added",
                **_in(0, _REASONING, summary_index=0, part={**_SUMMARY, "text": ""}),
            },
            {
                "type": "response.reasoning_summary_text.delta",
                **_in(0, _REASONING, summary_index=0, delta="hm"),
            },
            {
                "type": "response.reasoning_summary_text.done",
                **_in(0, _REASONING, summary_index=0, text="hm"),
            },
            {
                "type": "response.reasoning_summary_part.done",
                **_in(0, _REASONING, summary_index=0, part=_SUMMARY),
            },
            {"type": "response.output_item.done", "output_index": 0, "item": _OUTPUT[0]},
            {"type": "response.output_item.added", "output_index": 1, "item": _MESSAGE},
            {"type": "response.content_part.added", **_in(1, _MESSAGE, content_index=0, part=_TEXT)},
            *[
                {
                    "type": "response.output_text.delta",
                    **_in(1, _MESSAGE, content_index=0, delta=said, logprobs=[]),
                }
                for said in ("Guten ", "Tag")
            ],
            {
                "type": "response.output_text.done",
                **_in(1, _MESSAGE, content_index=0, text="Guten Tag", logprobs=[]),
            },
            {"type": "response.content_part.done", **_in(1, _MESSAGE, content_index=0, part=_SAID)},
            {"type": "response.output_item.done", "output_index": 1, "item": _OUTPUT[1]},
            {"type": "response.output_item.added", "output_index": 2, "item": {**_CALL, "arguments": ""}},
            *[
                {
                    "type": "response.function_call_arguments.delta",
                    **_in(2, _CALL, delta=WEATHER[at : at + 9]),
                }
                for at in range(0, len(WEATHER), 9)
            ],
            {"type": "response.function_call_arguments.done", **_in(2, _CALL, arguments=WEATHER)},
            {"type": "response.output_item.done", "output_index": 2, "item": _CALLED},
            {
                "type": "response.completed",
                "response": {
                    **_RESPONSE,
                    "status": "completed",
                    "output": _OUTPUT,
                    "usage": {
                        "input_tokens": 5,
                        "input_tokens_details": {"cached_tokens": 0},
                        "output_tokens": 6,
                        "output_tokens_details": {"reasoning_tokens": 2},
                        "total_tokens": 11,
                    },
                },
            },
        ]
    )
]
RESPONSES = sse(*RESPONSES_EVENTS, named=True)


def _block(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


ANTHROPIC = sse(
    {
        "type": "message_start",
        "message": {
            "id": "msg_9",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 5, "output_tokens": 1},
        },
    },
    _block(0, type="thinking", thinking="", signature=""),
    {"type": "ping"},
    _delta(0, type="thinking_delta", thinking="let me "),
    _delta(0, type="thinking_delta", thinking="see"),
    _delta(0, type="signature_delta", signature="Zm9v"),
    {"type": "content_block_stop", "index": 0},
    _block(1, type="text", text=""),
    _delta(1, type="text_delta", text="Bon"),
    _delta(1, type="text_delta", text="jour"),
    {"type": "content_block_stop", "index": 1},
    _block(2, type="tool_use", id="toolu_1", name="look", input={}),
    _delta(2, type="input_json_delta", partial_json=""),
    *[
        _delta(2, type="input_json_delta", partial_json=WEATHER[at : at + 5])
        for at in range(0, len(WEATHER), 5)
    ],
    {"type": "content_block_stop", "index": 2},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 6},
    },
    {"type": "message_stop"},
    named=True,
)


def _gemini(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"parts": [*parts], "role": "model"}, "index": 0, **more}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8},
        "modelVersion": "gemini-2.5-flash",
        "responseId": "r9",
    }


_GEMINI = [
    _gemini({"text": "so", "thought": True}),
    _gemini({"text": "Bom "}),
    _gemini({"text": "dia"}),
    _gemini({"functionCall": {"name": "look", "args": json.loads(WEATHER)}}),
    _gemini({"text": ""}, finishReason="STOP"),
]
GEMINI_SSE = sse(*_GEMINI, end="\r\n\r\n")
GEMINI_ARRAY = b"[" + b",\r\n".join(json.dumps(each, indent=2).encode() for each in _GEMINI) + b"\n]\n"

OLLAMA_GENERATE = b"".join(
    json.dumps({"model": "llama3.2", "created_at": "2025-06-15T00:00:00Z", **line}).encode() + b"\n"
    for line in [
        {"response": "Hal", "done": False},
        {"response": "lo", "done": False},
        {"response": "", "done": True, "done_reason": "stop", "prompt_eval_count": 5, "eval_count": 6},
    ]
)
