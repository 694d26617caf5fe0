"""The openai package: what its users do, and what it raises."""

from __future__ import annotations

import io
from typing import Any

import openai
from harness import TEXT, main

MODEL = "gpt-4o-mini"
MESSAGES: Any = [{"role": "system", "content": "be brief"}, {"role": "user", "content": TEXT}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "lookup",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


def _client(**options: Any) -> openai.OpenAI:
    return openai.OpenAI(timeout=10, max_retries=0, **options)


def _async_client() -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(timeout=10, max_retries=0)


def text() -> dict[str, Any]:
    answer = _client().chat.completions.create(model=MODEL, messages=MESSAGES)
    usage = answer.usage
    assert usage is not None
    return {
        "text": answer.choices[0].message.content,
        "finish": answer.choices[0].finish_reason,
        "usage": [usage.prompt_tokens, usage.completion_tokens],
    }


def stream() -> dict[str, Any]:
    """Without asking for usage: every chunk must have a choice, as many a user's code expects."""
    chunks = list(_client().chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    return {
        "text": "".join(chunk.choices[0].delta.content or "" for chunk in chunks),
        "finish": chunks[-1].choices[0].finish_reason,
        "usage": [chunk.usage for chunk in chunks if chunk.usage],
    }


def stream_with_usage() -> dict[str, Any]:
    chunks = list(
        _client().chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    usage = chunks[-1].usage
    assert usage is not None
    return {
        "text": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
        "usage": [usage.prompt_tokens, usage.completion_tokens],
    }


def tools() -> dict[str, Any]:
    answer = _client().chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS)
    call: Any = (answer.choices[0].message.tool_calls or [])[0]
    return {"name": call.function.name, "arguments": call.function.arguments}


def tools_stream() -> dict[str, Any]:
    name, arguments = "", ""
    for chunk in _client().chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS, stream=True):
        for call in chunk.choices[0].delta.tool_calls or []:
            if call.function:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    return {"name": name, "arguments": arguments}


def tool_result() -> str | None:
    call = {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
    messages: Any = [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": TEXT},
    ]
    answer = _client().chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)
    return answer.choices[0].message.content


def embeddings() -> list[int]:
    answer = _client().embeddings.create(model="text-embedding-3-small", input=[TEXT, "another"])
    return [len(item.embedding) for item in answer.data]


def models() -> bool:
    return "gpt-4o" in [model.id for model in _client().models.list()]


def completions() -> str:
    answer = _client().completions.create(model="gpt-3.5-turbo-instruct", prompt=TEXT)
    return answer.choices[0].text


def responses() -> dict[str, Any]:
    answer = _client().responses.create(model=MODEL, instructions="be brief", input=TEXT)
    assert answer.usage is not None
    return {"text": answer.output_text, "usage": [answer.usage.input_tokens, answer.usage.output_tokens]}


def responses_stream() -> dict[str, Any]:
    deltas, last = "", None
    for event in _client().responses.create(model=MODEL, input=TEXT, stream=True):
        if event.type == "response.output_text.delta":
            deltas += event.delta
        last = event.type
    return {"text": deltas, "last": last}


def upload() -> int:
    file = io.BytesIO(bytes(range(256)) * 4000)
    return _client().files.create(file=("data.bin", file), purpose="assistants").bytes


def transcription() -> str:
    file = ("sound.mp3", io.BytesIO(b"\xff\xfb" * 5000))
    return _client().audio.transcriptions.create(model="gpt-4o-transcribe", file=file).text


def speech() -> list[Any]:
    answer = _client().audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input=TEXT)
    return [len(answer.content), answer.content[:4].hex()]


async def async_text() -> str | None:
    async with _async_client() as client:
        answer = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
        return answer.choices[0].message.content


async def async_stream() -> str:
    async with _async_client() as client:
        chunks = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])


def _failing(status: int) -> None:
    _client().chat.completions.create(model=f"fail-{status}", messages=MESSAGES)


def error_in_stream() -> None:
    for _ in _client().chat.completions.create(model="error-in-stream", messages=MESSAGES, stream=True):
        pass


def unknown_path() -> None:
    _client().get("/no/such/path", cast_to=object)


if __name__ == "__main__":
    main(globals(), failing=_failing, statuses=[400, 401, 403, 404, 429, 500])
