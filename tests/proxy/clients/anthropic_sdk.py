"""The anthropic package: what its users do, and what it raises."""

from __future__ import annotations

import uuid
from typing import Any

import anthropic
from harness import TEXT, main

MODEL = "claude-sonnet-4-6"
MESSAGES: Any = [{"role": "user", "content": TEXT}]
TOOLS: Any = [
    {"name": "lookup", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
]


def _client() -> anthropic.Anthropic:
    return anthropic.Anthropic(timeout=10, max_retries=0)


def _create(model: str = MODEL, **options: Any) -> Any:
    options = {"max_tokens": 100, "messages": MESSAGES, **options}
    return _client().messages.create(model=model, **options)


def text() -> dict[str, Any]:
    answer = _create(system="be brief")
    usage = [answer.usage.input_tokens, answer.usage.output_tokens]
    return {"text": answer.content[0].text, "stop": answer.stop_reason, "usage": usage}


def stream() -> dict[str, Any]:
    with _client().messages.stream(model=MODEL, max_tokens=100, messages=MESSAGES) as events:
        text = "".join(events.text_stream)
        final = events.get_final_message()
    usage = [final.usage.input_tokens, final.usage.output_tokens]
    return {"text": text, "stop": final.stop_reason, "usage": usage}


def raw_stream() -> list[str]:
    return [event.type for event in _create(stream=True)]


def tools() -> dict[str, Any]:
    answer = _create(tools=TOOLS)
    block = answer.content[0]
    return {"name": block.name, "input": block.input, "stop": answer.stop_reason}


def tools_stream() -> dict[str, Any]:
    with _client().messages.stream(model=MODEL, max_tokens=100, messages=MESSAGES, tools=TOOLS) as events:
        block: Any = events.get_final_message().content[0]
    return {"name": block.name, "input": block.input}


def cache() -> list[list[int | None]]:
    """The first call writes the marked block to the cache, the second reads it."""
    manual = f"{uuid.uuid4().hex:280}"
    system = [{"type": "text", "text": manual, "cache_control": {"type": "ephemeral"}}]
    usages = [_create(system=system).usage for _ in range(2)]
    return [[usage.cache_creation_input_tokens, usage.cache_read_input_tokens] for usage in usages]


def output_limit() -> str | None:
    stop: str | None = _create(max_tokens=1).stop_reason
    return stop


def count_tokens() -> int:
    return _client().messages.count_tokens(model=MODEL, messages=MESSAGES).input_tokens


def models() -> list[str]:
    return [model.id for model in _client().models.list()]


def bearer() -> str:
    """The other way to authenticate: auth_token instead of api_key."""
    client = anthropic.Anthropic(auth_token=_client().api_key, api_key=None, timeout=10, max_retries=0)
    answer: Any = client.messages.create(
        model=MODEL, max_tokens=100, messages=MESSAGES, extra_headers={"X-Api-Key": anthropic.Omit()}
    )
    text: str = answer.content[0].text
    return text


async def async_text() -> str:
    async with anthropic.AsyncAnthropic(timeout=10, max_retries=0) as client:
        answer: Any = await client.messages.create(model=MODEL, max_tokens=100, messages=MESSAGES)
        text: str = answer.content[0].text
        return text


async def async_stream() -> str:
    async with (
        anthropic.AsyncAnthropic(timeout=10, max_retries=0) as client,
        client.messages.stream(model=MODEL, max_tokens=100, messages=MESSAGES) as events,
    ):
        return "".join([piece async for piece in events.text_stream])


def _failing(status: int) -> None:
    _create(f"fail-{status}")


def error_in_stream() -> None:
    for _ in _create("error-in-stream", stream=True):
        pass


if __name__ == "__main__":
    main(globals(), failing=_failing, statuses=[400, 401, 403, 404, 413, 429, 500, 529])
