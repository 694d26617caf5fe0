"""The wire formats in which clients ask: where each has its model, its text, its token and its errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """One format with everything that a test needs to ask in it.

    path: of a request for a model, streamed or not. body: for a model and a text, streamed or not.
    head: the headers of its SDK with a token. told: kind and message of an error body in its own form;
        raises KeyError or TypeError for any other form.
    text: the answer's text, of a body.
    """

    name: str
    dialect: str
    provider: str
    key_env: str
    model: str
    other_model: str
    path: Callable[[str, bool], str]
    body: Callable[[str, str, bool], Json]
    head: Callable[[str], dict[str, str]]
    told: Callable[[Json], tuple[str, str]]
    text: Callable[[Json], str]
    ending: bytes

    @property
    def policy(self) -> Json:
        return {"base_key_env": self.key_env, "default_provider": self.provider}


def _openai_body(model: str, text: str, stream: bool) -> Json:
    body: Json = {"model": model, "messages": [{"role": "user", "content": text}]}
    return body | ({"stream": True} if stream else {})


def _openai_told(body: Json) -> tuple[str, str]:
    error = body["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error["code"], error["message"]


def _anthropic_body(model: str, text: str, stream: bool) -> Json:
    return {"max_tokens": 500, **_openai_body(model, text, stream)}


def _anthropic_told(body: Json) -> tuple[str, str]:
    assert body["type"] == "error"
    return body["error"]["type"], body["error"]["message"]


def _gemini_body(model: str, text: str, stream: bool) -> Json:
    return {"contents": [{"role": "user", "parts": [{"text": text}]}]}


def _gemini_told(body: Json) -> tuple[str, str]:
    error = body["error"]
    assert isinstance(error["code"], int)
    return error["status"], error["message"]


OPENAI = Format(
    name="openai",
    dialect="openai_chat",
    provider="openai",
    key_env="OPENAI_API_KEY",
    model="gpt-4o",
    other_model="gpt-4o-mini",
    path=lambda model, stream: "/v1/chat/completions",
    body=_openai_body,
    head=lambda token: {"Authorization": f"Bearer {token}"},
    told=_openai_told,
    text=lambda body: str(body["choices"][0]["message"]["content"]),
    ending=b"data: [DONE]\n\n",
)
ANTHROPIC = Format(
    name="anthropic",
    dialect="anthropic_messages",
    provider="anthropic",
    key_env="ANTHROPIC_API_KEY",
    model="claude-sonnet-4-6",
    other_model="claude-haiku-4-5",
    path=lambda model, stream: "/v1/messages",
    body=_anthropic_body,
    head=lambda token: {"x-api-key": token, "anthropic-version": "2023-06-01"},
    told=_anthropic_told,
    text=lambda body: str(body["content"][0]["text"]),
    ending=b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
)
GEMINI = Format(
    name="gemini",
    dialect="gemini",
    provider="google_gemini",
    key_env="GOOGLE_API_KEY",
    model="gemini-2.5-flash",
    other_model="gemini-2.5-pro",
    path=lambda model, stream: (
        f"/v1beta/models/{model}:streamGenerateContent?alt=sse"
        if stream
        else f"/v1beta/models/{model}:generateContent"
    ),
    body=_gemini_body,
    head=lambda token: {"x-goog-api-key": token},
    told=_gemini_told,
    text=lambda body: str(body["candidates"][0]["content"]["parts"][0]["text"]),
    ending=b"\r\n\r\n",
)
FORMATS = [OPENAI, ANTHROPIC, GEMINI]


def by_name(value: object) -> str | None:
    """The name of a format as the id of a test's parameter."""
    return value.name if isinstance(value, Format) else None
