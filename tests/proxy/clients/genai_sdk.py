"""The google-genai package: what its users do, and what it raises.

The client is kept in a variable: the SDK closes its connections as soon as nobody holds it.
"""

from __future__ import annotations

from typing import Any

from google import genai
from google.genai import types
from harness import TEXT, main

MODEL = "gemini-2.5-flash"


def _client() -> genai.Client:
    return genai.Client(http_options=types.HttpOptions(timeout=10_000))


def _tools() -> Any:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    function = types.FunctionDeclaration(name="lookup", parameters_json_schema=schema)
    manual = types.AutomaticFunctionCallingConfig(disable=True)
    tool = types.Tool(function_declarations=[function])
    return types.GenerateContentConfig(tools=[tool], automatic_function_calling=manual)


def text() -> dict[str, Any]:
    config = types.GenerateContentConfig(system_instruction="be brief")
    client = _client()
    answer = client.models.generate_content(model=MODEL, contents=TEXT, config=config)
    usage = answer.usage_metadata
    assert usage is not None
    return {"text": answer.text, "usage": [usage.prompt_token_count, usage.candidates_token_count]}


def stream() -> dict[str, Any]:
    client = _client()
    chunks = list(client.models.generate_content_stream(model=MODEL, contents=TEXT))
    usage = chunks[-1].usage_metadata
    assert usage is not None
    return {
        "text": "".join(chunk.text or "" for chunk in chunks),
        "usage": [usage.prompt_token_count, usage.candidates_token_count],
    }


def tools() -> dict[str, Any]:
    client = _client()
    answer = client.models.generate_content(model=MODEL, contents=TEXT, config=_tools())
    call = (answer.function_calls or [])[0]
    return {"name": call.name, "args": call.args}


def count_tokens() -> int | None:
    client = _client()
    return client.models.count_tokens(model=MODEL, contents=TEXT).total_tokens


def embeddings() -> int:
    client = _client()
    answer = client.models.embed_content(model="gemini-embedding-001", contents=TEXT)
    return len((answer.embeddings or [])[0].values or [])


def models() -> list[str | None]:
    client = _client()
    return [model.name for model in client.models.list()]


async def async_text() -> str | None:
    client = _client()
    answer = await client.aio.models.generate_content(model=MODEL, contents=TEXT)
    return answer.text


async def async_stream() -> str:
    client = _client()
    chunks = await client.aio.models.generate_content_stream(model=MODEL, contents=TEXT)
    return "".join([chunk.text or "" async for chunk in chunks])


def _failing(status: int) -> None:
    client = _client()
    client.models.generate_content(model=f"fail-{status}", contents=TEXT)


if __name__ == "__main__":
    main(globals(), failing=_failing, statuses=[400, 401, 403, 404, 429, 500])
