"""Streams as the vendors send them, and what must be read out of each."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tokenomics_core.dialects.base import Usage


def sse(*events: Any, end: str = "\n\n", named: bool = False) -> bytes:
    """Events as server-sent; a string stands for itself, a value for its JSON."""
    pieces = []
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
        line = end[: len(end) // 2]
        name = f"event: {event['type']}{line}" if named else ""
        pieces.append(f"{name}data: {data}{end}")
    return "".join(pieces).encode()


def chunk(*, id: str = "chatcmpl-1", finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {"id": id, "object": "chat.completion.chunk", "model": "gpt-4o-2024-08-06", "choices": [choice]}


def usage_chunk(id: str = "chatcmpl-1", **usage: Any) -> dict[str, Any]:
    return {
        "id": id,
        "object": "chat.completion.chunk",
        "model": "gpt-4o-2024-08-06",
        "choices": [],
        "usage": usage,
    }


@dataclass(frozen=True)
class Stream:
    name: str
    path: str
    data: bytes
    text: str
    usage: Usage
    finish_reason: str
    model: str
    id: str
    query: str = ""
    hidden: bytes = field(default=b"", compare=False)
    """What `hide_usage` takes out."""


OPENAI_USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 7,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 3, "accepted_prediction_tokens": 0},
}
_EXTRA = sse(usage_chunk(**OPENAI_USAGE))
_CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}}

CHAT = Stream(
    "chat",
    "/v1/chat/completions",
    b": OPENROUTER PROCESSING\n\n"
    + sse(
        chunk(role="assistant", content=""),
        chunk(content="Grüße"),
        chunk(content=" 👋"),
        chunk(finish="stop"),
    )
    + _EXTRA
    + sse("[DONE]"),
    text="Grüße 👋",
    usage=Usage(12, 7, 4, None, 3),
    finish_reason="stop",
    model="gpt-4o-2024-08-06",
    id="chatcmpl-1",
    hidden=_EXTRA,
)
CHAT_TOOLS = Stream(
    "chat tools",
    "/v1/chat/completions",
    sse(
        chunk(role="assistant", content=None, tool_calls=[_CALL]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"q":'}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": '"x"}'}}]),
        chunk(finish="tool_calls"),
        "[DONE]",
        end="\r\n\r\n",
    ),
    text='look{"q":"x"}',
    usage=Usage(),
    finish_reason="tool_calls",
    model="gpt-4o-2024-08-06",
    id="chatcmpl-1",
)
AZURE = Stream(
    "azure",
    "/openai/deployments/gpt-4o/chat/completions",
    sse(
        {"id": "", "model": "", "object": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
        chunk(content="hi"),
        chunk(finish="stop"),
        "[DONE]",
    ),
    text="hi",
    usage=Usage(),
    finish_reason="stop",
    model="gpt-4o-2024-08-06",
    id="chatcmpl-1",
)
COMPLETIONS = Stream(
    "completions",
    "/v1/completions",
    sse(
        {"id": "cmpl-1", "model": "davinci-002", "choices": [{"text": "on", "index": 0}]},
        {"id": "cmpl-1", "model": "davinci-002", "choices": [{"text": "ce", "finish_reason": "length"}]},
    )
    + _EXTRA
    + sse("[DONE]"),
    text="once",
    usage=Usage(12, 7, 4, None, 3),
    finish_reason="length",
    model="davinci-002",
    id="cmpl-1",
    hidden=_EXTRA,
)

RESPONSES_USAGE = {
    "input_tokens": 40,
    "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 49,
}
_RESPONSE = {"id": "resp_1", "object": "response", "model": "gpt-5", "status": "in_progress", "usage": None}
RESPONSES = Stream(
    "responses",
    "/v1/responses",
    sse(
        {"type": "response.created", "sequence_number": 0, "response": _RESPONSE},
        {"type": "response.reasoning_summary_text.delta", "delta": "hm. "},
        {"type": "response.output_text.delta", "item_id": "m", "delta": "ja"},
        {"type": "response.function_call_arguments.delta", "item_id": "f", "delta": "{}"},
        {"type": "response.output_text.done", "text": "ja"},
        {
            "type": "response.completed",
            "response": {**_RESPONSE, "status": "completed", "usage": RESPONSES_USAGE},
        },
        named=True,
    ),
    text="hm. ja{}",
    usage=Usage(40, 9, 8, 2, 5),
    finish_reason="completed",
    model="gpt-5",
    id="resp_1",
)
RESPONSES_CUT = Stream(
    "responses incomplete",
    "/v1/responses",
    sse(
        {"type": "response.created", "response": _RESPONSE},
        {
            "type": "response.incomplete",
            "response": {
                **_RESPONSE,
                "status": "incomplete",
                "incomplete_details": {"reason": "max_output_tokens"},
                "usage": {"input_tokens": 0, "output_tokens": 0},
            },
        },
        named=True,
    ),
    text="",
    usage=Usage(0, 0),
    finish_reason="max_output_tokens",
    model="gpt-5",
    id="resp_1",
)
ANTHROPIC = Stream(
    "anthropic",
    "/v1/messages",
    sse(
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "claude-sonnet-4-5",
                "content": [],
                "stop_reason": None,
                "usage": {
                    "input_tokens": 10,
                    "cache_creation_input_tokens": 100,
                    "cache_read_input_tokens": 1000,
                    "output_tokens": 1,
                },
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "thinking_delta", "thinking": "so. "},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "signature_delta", "signature": "Zm9v"},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "ping"},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "ça va "}},
        {
            "type": "content_block_start",
            "index": 2,
            "content_block": {"type": "tool_use", "id": "t", "name": "look", "input": {}},
        },
        {
            "type": "content_block_delta",
            "index": 2,
            "delta": {"type": "input_json_delta", "partial_json": "{}"},
        },
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 25, "output_tokens_details": {"thinking_tokens": 6}},
        },
        {"type": "message_stop"},
        named=True,
    ),
    text="so. ça va look{}",
    usage=Usage(1110, 25, 1000, 100, 6),
    finish_reason="tool_use",
    model="claude-sonnet-4-5",
    id="msg_1",
)


def gemini_chunk(text: str, said: int, **more: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0, **more}
    counts = {"promptTokenCount": 20, "totalTokenCount": 40, "thoughtsTokenCount": 5}
    counts |= {"candidatesTokenCount": said, "cachedContentTokenCount": 6, "toolUsePromptTokenCount": 2}
    return {
        "candidates": [candidate],
        "usageMetadata": counts,
        "modelVersion": "gemini-2.5-flash",
        "responseId": "r1",
    }


_CALLED = gemini_chunk("", 7, finishReason="STOP")
_CALLED["candidates"][0]["content"]["parts"] = [{"functionCall": {"name": "look", "args": {"q": '}]\\"'}}}]
_GEMINI_CHUNKS = [gemini_chunk("eins [", 3), gemini_chunk('"zwei" {', 5), _CALLED]
_GEMINI: dict[str, Any] = {
    "text": 'eins ["zwei" {look{"q":"}]\\\\\\""}',
    "usage": Usage(22, 12, 6, None, 5),
    "finish_reason": "STOP",
    "model": "gemini-2.5-flash",
    "id": "r1",
}
GEMINI_SSE = Stream(
    "gemini sse",
    "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
    sse(*_GEMINI_CHUNKS, end="\r\n\r\n"),
    query="alt=sse",
    **_GEMINI,
)
GEMINI_ARRAY = Stream(
    "gemini array",
    "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
    b"[" + b",\r\n".join(json.dumps(each, indent=2).encode() for each in _GEMINI_CHUNKS) + b"\n]\n",
    **_GEMINI,
)
_LLAMA = {"model": "llama3.2", "created_at": "2025-06-15T00:00:00Z"}
OLLAMA = Stream(
    "ollama",
    "/api/chat",
    b"".join(
        json.dumps({**_LLAMA, **line}, ensure_ascii=False).encode() + b"\n"
        for line in [
            {"message": {"role": "assistant", "content": "Äh"}, "done": False},
            {"message": {"role": "assistant", "content": "m"}, "done": False},
            {
                "message": {"role": "assistant", "content": ""},
                "done": True,
                "done_reason": "stop",
                "prompt_eval_count": 26,
                "eval_count": 2,
            },
        ]
    ),
    text="Ähm",
    usage=Usage(26, 2),
    finish_reason="stop",
    model="llama3.2",
    id="",
)

STREAMS = [
    CHAT,
    CHAT_TOOLS,
    AZURE,
    COMPLETIONS,
    RESPONSES,
    RESPONSES_CUT,
    ANTHROPIC,
    GEMINI_SSE,
    GEMINI_ARRAY,
    OLLAMA,
]
