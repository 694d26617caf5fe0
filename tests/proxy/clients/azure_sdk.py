"""The openai package as a client of Azure."""

from __future__ import annotations

from typing import Any

import openai
from harness import TEXT, main

MESSAGES: Any = [{"role": "user", "content": TEXT}]


def _client() -> openai.AzureOpenAI:
    return openai.AzureOpenAI(timeout=10, max_retries=0)


def text() -> str | None:
    answer = _client().chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    return answer.choices[0].message.content


def stream() -> dict[str, Any]:
    """Azure's first chunk has no choices: it must arrive."""
    chunks = list(_client().chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True))
    return {
        "text": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
        "without_choices": sum(1 for chunk in chunks if not chunk.choices),
    }


def embeddings() -> int:
    answer = _client().embeddings.create(model="text-embedding-3-small", input=TEXT)
    return len(answer.data[0].embedding)


async def async_text() -> str | None:
    async with openai.AsyncAzureOpenAI(timeout=10, max_retries=0) as client:
        answer = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        return answer.choices[0].message.content


def error_429() -> None:
    _client().chat.completions.create(model="fail-429", messages=MESSAGES)


if __name__ == "__main__":
    main(globals())
