"""The official SDKs at the end of a budget: what their users see of a stream that is ended, and of a refusal.

Each check takes the wrapper token in the variable ``TOKEN_<check>``, else the one in the SDK's own variable,
and says what stands in ``SAY``.
"""

from __future__ import annotations

import inspect
import os
from typing import Any

import anthropic
import openai
from google import genai
from google.genai import errors, types
from harness import main

CAP = 64_000


def _token(default: str) -> str:
    frames = inspect.stack()
    return os.environ.get(f"TOKEN_{frames[2].function}") or os.environ[default]


def _say() -> str:
    return os.environ.get("SAY", "hello")


def _messages() -> Any:
    return [{"role": "user", "content": _say()}]


def _openai() -> openai.OpenAI:
    return openai.OpenAI(api_key=_token("OPENAI_API_KEY"), timeout=20, max_retries=0)


def _anthropic() -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=_token("ANTHROPIC_API_KEY"), timeout=20, max_retries=0)


def _gemini() -> genai.Client:
    options = types.HttpOptions(timeout=20_000)
    return genai.Client(api_key=_token("GOOGLE_API_KEY"), http_options=options)


# Streams: the text, why it ended as the format says it, why as the gateway says it, and the output's tokens.


def chat() -> dict[str, Any]:
    chunks: list[Any] = list(
        _openai().chat.completions.create(
            model="gpt-4o",
            messages=_messages(),
            stream=True,
            stream_options={"include_usage": True},
            max_completion_tokens=16_000,
        )
    )
    choices = [choice for chunk in chunks for choice in chunk.choices]
    return {
        "text": "".join(choice.delta.content or "" for choice in choices),
        "finish": [choice.finish_reason for choice in choices if choice.finish_reason],
        "told": [chunk.tokenomics for chunk in chunks if hasattr(chunk, "tokenomics")],
        "tokens": chunks[-1].usage.completion_tokens,
    }


def completions() -> dict[str, Any]:
    chunks: list[Any] = list(
        _openai().completions.create(
            model="gpt-3.5-turbo-instruct",
            prompt=_say(),
            stream=True,
            stream_options={"include_usage": True},
            max_tokens=4000,
        )
    )
    choices = [choice for chunk in chunks for choice in chunk.choices]
    return {
        "text": "".join(choice.text for choice in choices),
        "finish": [choice.finish_reason for choice in choices if choice.finish_reason],
        "told": [chunk.tokenomics for chunk in chunks if hasattr(chunk, "tokenomics")],
        "tokens": chunks[-1].usage.completion_tokens,
    }


def responses() -> dict[str, Any]:
    events: list[Any] = list(
        _openai().responses.create(model="gpt-4o", input=_say(), stream=True, max_output_tokens=16_000)
    )
    response = events[-1].response
    assert response.output_text == "".join(
        event.delta for event in events if event.type == "response.output_text.delta"
    )
    return {
        "text": response.output_text,
        "finish": [events[-1].type, response.status, response.incomplete_details.reason],
        "told": [response.tokenomics],
        "tokens": response.usage.output_tokens,
    }


def messages() -> dict[str, Any]:
    told = []
    with _anthropic().messages.stream(
        model="claude-sonnet-4-6", max_tokens=CAP, messages=_messages()
    ) as events:
        for event in events:
            if event.type == "message_delta":
                told.append((event.model_extra or {}).get("tokenomics"))
        final: Any = events.get_final_message()
    return {
        "text": "".join(block.text for block in final.content),
        "finish": [final.stop_reason],
        "told": told,
        "tokens": final.usage.output_tokens,
    }


def gemini() -> dict[str, Any]:
    """This package shows no members that it does not know; the reason stands in the model's status too."""
    client = _gemini()
    config = types.GenerateContentConfig(max_output_tokens=CAP)
    chunks: list[Any] = list(
        client.models.generate_content_stream(model="gemini-2.0-flash", contents=_say(), config=config)
    )
    reasons = [chunk.candidates[0].finish_reason for chunk in chunks if chunk.candidates]
    return {
        "text": "".join(chunk.text or "" for chunk in chunks),
        "finish": [reason.value for reason in reasons if reason],
        "told": [chunk.model_status.message for chunk in chunks if chunk.model_status],
        "tokens": chunks[-1].usage_metadata.candidates_token_count,
    }


# Whole answers: the text, or what was raised.


def ask_openai() -> dict[str, Any]:
    client = _openai()
    try:
        answer = client.chat.completions.create(model="gpt-4o", messages=_messages())
    except openai.APIStatusError as error:
        body: Any = error.body
        return _raised(error, error.response.headers, body["code"], body["message"])
    return {"text": answer.choices[0].message.content}


def ask_responses() -> dict[str, Any]:
    client = _openai()
    try:
        answer = client.responses.create(model="gpt-4o", input=_say())
    except openai.APIStatusError as error:
        body: Any = error.body
        return _raised(error, error.response.headers, body["code"], body["message"])
    return {"text": answer.output_text}


def ask_anthropic() -> dict[str, Any]:
    client = _anthropic()
    try:
        answer: Any = client.messages.create(model="claude-sonnet-4-6", max_tokens=CAP, messages=_messages())
    except anthropic.APIStatusError as error:
        body: Any = error.body
        told = body["error"]
        return _raised(error, error.response.headers, told["details"]["error_code"], told["message"])
    return {"text": answer.content[0].text}


def ask_gemini() -> dict[str, Any]:
    client = _gemini()
    try:
        answer = client.models.generate_content(model="gemini-2.0-flash", contents=_say())
    except errors.APIError as error:
        details: Any = error.details
        code = details["error"]["details"][0]["reason"].lower()
        headers = getattr(error.response, "headers", {})
        return _raised(error, headers, code, str(error.message))
    return {"text": answer.text}


def _raised(error: Any, headers: Any, code: str, message: str) -> dict[str, Any]:
    return {
        "error": type(error).__name__,
        "status": getattr(error, "status_code", getattr(error, "code", None)),
        "code": code,
        "message": message,
        "retry_after": headers.get("retry-after"),
        "should_retry": headers.get("x-should-retry"),
    }


if __name__ == "__main__":
    main(globals())
