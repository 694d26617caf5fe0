"""Requests as agents send them, in size and in shape."""

from __future__ import annotations

from typing import Any

DEVICE = "ab12" * 16
SESSION = "0f2c9b1e-7d52-4f0a-9c3e-51c0d7a4b8e2"


def schema(number: int, descriptions: bool = True) -> dict[str, Any]:
    """A tool's schema with nested objects, lists, enums and defaults."""
    words = "What it is for, in one or two sentences that a model can follow. " * 2
    member: dict[str, Any] = {"type": "string", **({"description": words} if descriptions else {})}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "file_path": member,
            "mode": {"type": "string", "enum": ["read", "write", "append"], "description": words},
            "limit": {"type": "integer", "minimum": 1, "maximum": 9007199254740991, "default": 120},
            "edits": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"old": member, "new": member, f"flag_{number}": {"type": "boolean"}},
                    "required": ["old", "new"],
                    "additionalProperties": False,
                },
            },
            "either": {"anyOf": [{"type": "string", "format": "uri"}, {"type": "null"}]},
        },
        "required": ["file_path"],
        "additionalProperties": False,
    }


def claude_code() -> dict[str, Any]:
    """Anthropic's messages: 25 tools, system blocks, tool calls and their results; about 85 KB."""
    cached = {"type": "ephemeral", "ttl": "1h"}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "<system-reminder>" + "as before. " * 80}]}
    ]
    for turn in range(10):
        call = {"type": "tool_use", "id": f"toolu_{turn}", "name": "Read"}
        result = {"type": "tool_result", "tool_use_id": f"toolu_{turn}", "content": "line of code\n" * 40}
        thought = {"type": "thinking", "thinking": "It should be there.", "signature": "EqoBCkgIARAB" * 20}
        messages += [
            {
                "role": "assistant",
                "content": [thought, {**call, "input": {"file_path": f"/home/me/{turn}.py"}}],
            },
            {"role": "user", "content": [result]},
        ]
    return {
        "model": "claude-sonnet-4-5",
        "max_tokens": 64000,
        "stream": True,
        "thinking": {"type": "adaptive"},
        "metadata": {"user_id": f'{{"device_id":"{DEVICE}","session_id":"{SESSION}"}}'},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "medium"},
        "system": [
            {"type": "text", "text": "You are a coding agent. " * 20},
            {"type": "text", "text": "Follow the rules of the house. " * 300, "cache_control": cached},
        ],
        "tools": [
            {"name": f"Tool{n}", "description": "Reads and writes. " * 75, "input_schema": schema(n)}
            for n in range(25)
        ],
        "messages": messages,
    }


def codex() -> dict[str, Any]:
    """OpenAI's Responses."""
    return {
        "model": "gpt-5-codex",
        "instructions": "You are a coding agent. " * 700,
        "input": [
            {
                "type": "message",
                "role": "developer",
                "content": [{"type": "input_text", "text": "Rules. " * 900}],
            },
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix it."}]},
            {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "gAAAAABo-_" * 100},
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "shell",
                "arguments": '{"command":["ls"]}',
            },
            {"type": "function_call_output", "call_id": "call_1", "output": "a.py\nb.py"},
        ],
        "tools": [
            {
                "type": "function",
                "name": f"t{n}",
                "description": "Runs. " * 60,
                "strict": False,
                "parameters": schema(n),
            }
            for n in range(15)
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": SESSION,
        "text": {"verbosity": "low"},
        "client_metadata": {"x-codex-installation-id": SESSION},
    }


def gemini_cli() -> dict[str, Any]:
    """Gemini's generateContent."""
    return {
        "contents": [
            {"role": "user", "parts": [{"text": "Here is the context. " * 200}]},
            {"role": "model", "parts": [{"functionCall": {"name": "ls", "args": {"path": "/home/me"}}}]},
            {
                "role": "user",
                "parts": [{"functionResponse": {"id": "1", "name": "ls", "response": {"output": "a\nb"}}}],
            },
        ],
        "systemInstruction": {"role": "user", "parts": [{"text": "You are an agent. " * 500}]},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": f"f{n}", "description": "Runs. " * 50, "parametersJsonSchema": schema(n)}
                    for n in range(12)
                ]
            }
        ],
        "generationConfig": {"temperature": 0, "topP": 1, "thinkingConfig": {"includeThoughts": True}},
    }


def opencode() -> dict[str, Any]:
    """OpenAI's chat."""
    call = {"id": "call_1", "type": "function", "function": {"name": "bash", "arguments": '{"command":"ls"}'}}
    return {
        "model": "gpt-4o",
        "max_tokens": 32000,
        "messages": [
            {"role": "system", "content": "You are an agent. " * 500},
            {"role": "user", "content": "Fix it."},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "a.py"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": f"t{n}", "description": "Runs. " * 90, "parameters": schema(n)},
            }
            for n in range(12)
        ],
        "tool_choice": "auto",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
