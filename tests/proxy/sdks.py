"""The official SDKs: the script that drives each (see clients/), and what its checks must give."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ANSWER = "pong: héllo 👋 wörld"
_ARGUMENTS = '{"city": "héllo 👋 wörld"}'
_DONE = {"type": "response.completed", "status": None}


@dataclass(frozen=True)
class Sdk:
    """values: result by check. errors: class and status of the exception by check."""

    script: str
    provider: str
    key_env: str
    values: dict[str, Any]
    errors: dict[str, tuple[str, int | None]] = field(default_factory=dict)

    @property
    def policy(self) -> dict[str, Any]:
        return {"base_key_env": self.key_env, "default_provider": self.provider}


SDKS = {
    "openai": Sdk(
        "openai_sdk.py",
        "openai",
        "OPENAI_API_KEY",
        values={
            "text": {"text": ANSWER, "finish": "stop", "usage": [9, 5]},
            "stream": {"text": ANSWER, "finish": "stop", "usage": []},
            "stream_with_usage": {"text": ANSWER, "usage": [9, 5]},
            "tools": {"name": "lookup", "arguments": _ARGUMENTS},
            "tools_stream": {"name": "lookup", "arguments": _ARGUMENTS},
            "tool_result": ANSWER,
            "embeddings": [8, 8],
            "models": True,
            "completions": ANSWER,
            "responses": {"text": ANSWER, "usage": [9, 5]},
            "responses_stream": {"text": ANSWER, "last": "response.completed"},
            "upload": 1_024_000,
            "transcription": "heard 10000 bytes",
            "speech": [2052, "fffb9000"],
            "async_text": ANSWER,
            "async_stream": ANSWER,
        },
        errors={
            "error_400": ("BadRequestError", 400),
            "error_401": ("AuthenticationError", 401),
            "error_403": ("PermissionDeniedError", 403),
            "error_404": ("NotFoundError", 404),
            "error_429": ("RateLimitError", 429),
            "error_500": ("InternalServerError", 500),
            "error_in_stream": ("APIError", None),
            "unknown_path": ("NotFoundError", 404),
        },
    ),
    "azure": Sdk(
        "azure_sdk.py",
        "azure_openai",
        "AZURE_OPENAI_API_KEY",
        values={
            "text": ANSWER,
            "stream": {"text": ANSWER, "without_choices": 1},
            "embeddings": 8,
            "async_text": ANSWER,
        },
        errors={"error_429": ("RateLimitError", 429)},
    ),
    "anthropic": Sdk(
        "anthropic_sdk.py",
        "anthropic",
        "ANTHROPIC_API_KEY",
        values={
            "text": {"text": ANSWER, "stop": "end_turn", "usage": [9, 5]},
            "stream": {"text": ANSWER, "stop": "end_turn", "usage": [7, 5]},
            "raw_stream": [
                "message_start",
                "content_block_start",
                *["content_block_delta"] * 5,
                "content_block_stop",
                "message_delta",
                "message_stop",
            ],
            "tools": {"name": "lookup", "input": {"city": "héllo 👋 wörld"}, "stop": "tool_use"},
            "tools_stream": {"name": "lookup", "input": {"city": "héllo 👋 wörld"}},
            "cache": [[70, 0], [0, 70]],
            "output_limit": "max_tokens",
            "count_tokens": 7,
            "models": ["claude-sonnet-4-6"],
            "bearer": ANSWER,
            "async_text": ANSWER,
            "async_stream": ANSWER,
        },
        errors={
            "error_400": ("BadRequestError", 400),
            "error_401": ("AuthenticationError", 401),
            "error_403": ("PermissionDeniedError", 403),
            "error_404": ("NotFoundError", 404),
            "error_413": ("ContentTooLargeError", 413),
            "error_429": ("RateLimitError", 429),
            "error_500": ("InternalServerError", 500),
            "error_529": ("OverloadedError", 529),
            "error_in_stream": ("APIStatusError", 200),
        },
    ),
    "genai": Sdk(
        "genai_sdk.py",
        "google_gemini",
        "GOOGLE_API_KEY",
        values={
            "text": {"text": ANSWER, "usage": [9, 5]},
            "stream": {"text": ANSWER, "usage": [7, 5]},
            "tools": {"name": "lookup", "args": {"city": "héllo 👋 wörld"}},
            "count_tokens": 7,
            "embeddings": 8,
            "models": ["models/gemini-2.5-flash", "models/gemini-2.5-pro"],
            "async_text": ANSWER,
            "async_stream": ANSWER,
        },
        errors={
            "error_400": ("ClientError", 400),
            "error_401": ("ClientError", 401),
            "error_403": ("ClientError", 403),
            "error_404": ("ClientError", 404),
            "error_429": ("ClientError", 429),
            "error_500": ("ServerError", 500),
        },
    ),
    "sockets": Sdk(
        "socket_clients.py",
        "openai",
        "OPENAI_API_KEY",
        values={
            "codex": [
                {**_DONE, "text": "", "usage": [3, 0]},
                {**_DONE, "text": ANSWER, "usage": [7, 5]},
                {**_DONE, "text": "pong: second", "usage": [5, 3]},
            ],
            "codex_error": {
                "first": {"type": "error", "text": "", "usage": None, "status": 429},
                "then": ANSWER,
            },
            "sdk_responses": ANSWER,
            "sdk_realtime": {"text": ANSWER, "usage": [7, 5]},
        },
    ),
}
