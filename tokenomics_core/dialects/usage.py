"""Usage as providers write it, in one shape.

Vendors differ in what their numbers include. Here the input includes cached tokens and tool results, and the
output includes reasoning. A number that is missing, or is no whole number, stays None.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from tokenomics_core.dialects.base import Usage

_NUMBERS = tuple(field.name for field in fields(Usage))
_INPUT_DETAILS = ("input_tokens_details", "prompt_tokens_details", "input_token_details")
_OUTPUT_DETAILS = ("output_tokens_details", "completion_tokens_details", "output_token_details")


def count(value: Any) -> int | None:
    """A token count, or None for anything else."""
    return value if type(value) is int and value >= 0 else None


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def text(value: Any) -> str:
    """The value if it is a string, else the empty one."""
    return value if isinstance(value, str) else ""


def update(usage: Usage, newer: Usage) -> None:
    """Overlays what a later event says; what it does not mention stays."""
    for name in _NUMBERS:
        value = getattr(newer, name)
        if value is not None:
            setattr(usage, name, value)


def find_usage(body: dict[str, Any]) -> Usage:
    """The usage of an answer or event of any vendor."""
    if isinstance(raw := body.get("usage"), dict):
        if isinstance(billed := raw.get("billed_units") or raw.get("tokens"), dict):
            return openai_usage(billed)
        return openai_usage(raw)
    if isinstance(raw := body.get("usageMetadata"), dict):
        return gemini_usage(raw)
    if isinstance(raw := mapping(body.get("meta")).get("billed_units"), dict):
        return openai_usage(raw)
    return ollama_usage(body)


def openai_usage(raw: dict[str, Any]) -> Usage:
    """The names of OpenAI and of those who took them over, Anthropic's included."""
    inputs = _first_mapping(raw, _INPUT_DETAILS)
    outputs = _first_mapping(raw, _OUTPUT_DETAILS)
    usage = Usage(
        input_tokens=_first(raw, "input_tokens", "prompt_tokens"),
        output_tokens=_first(raw, "output_tokens", "completion_tokens", "candidates_token_count"),
        cached_input_tokens=_first(inputs, "cached_tokens"),
        cache_creation_tokens=_first(inputs, "cache_write_tokens"),
        reasoning_tokens=_first(outputs, "reasoning_tokens", "thinking_tokens"),
    )
    read, written = count(raw.get("cache_read_input_tokens")), count(raw.get("cache_creation_input_tokens"))
    if usage.cached_input_tokens is None:
        usage.cached_input_tokens = _first(raw, "cached_tokens", "prompt_cache_hit_tokens")
    if read is not None:
        usage.cached_input_tokens = read
    if written is not None:
        usage.cache_creation_tokens = written
    if count(raw.get("input_tokens")) is not None and not inputs:
        # Anthropic's input leaves out what the cache served or took.
        usage.input_tokens = raw["input_tokens"] + (read or 0) + (written or 0)
    _include_reasoning(usage, count(raw.get("total_tokens")))
    return usage


def gemini_usage(raw: dict[str, Any]) -> Usage:
    """Google's names: the prompt includes what was cached, the candidates leave out the thoughts."""
    prompt, tools = count(raw.get("promptTokenCount")), count(raw.get("toolUsePromptTokenCount"))
    said, thought = count(raw.get("candidatesTokenCount")), count(raw.get("thoughtsTokenCount"))
    return Usage(
        input_tokens=None if prompt is None and tools is None else (prompt or 0) + (tools or 0),
        output_tokens=None if said is None and thought is None else (said or 0) + (thought or 0),
        cached_input_tokens=count(raw.get("cachedContentTokenCount")),
        reasoning_tokens=thought,
    )


def ollama_usage(body: dict[str, Any]) -> Usage:
    """Ollama counts at the top of its last line."""
    return Usage(
        input_tokens=count(body.get("prompt_eval_count")), output_tokens=count(body.get("eval_count"))
    )


def _include_reasoning(usage: Usage, total: int | None) -> None:
    """Some who copied OpenAI's names leave reasoning out of the output; only their total tells."""
    said, thought, asked = usage.output_tokens, usage.reasoning_tokens, usage.input_tokens
    if said is not None and thought and asked is not None and total == asked + said + thought:
        usage.output_tokens = said + thought


def _first(raw: dict[str, Any], *names: str) -> int | None:
    return next((value for name in names if (value := count(raw.get(name))) is not None), None)


def _first_mapping(raw: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return next((value for name in names if isinstance(value := raw.get(name), dict)), {})
