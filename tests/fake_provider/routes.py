"""Which path is answered by which function, and in whose words it is refused."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.fake_provider import errors
from tests.fake_provider.call import Call, Reply
from tests.fake_provider.dialects import (
    anthropic_messages,
    gemini,
    ollama,
    openai_chat,
    openai_other,
    openai_responses,
    socket_realtime,
    socket_responses,
)
from tests.fake_provider.errors import ProviderError
from tests.fake_provider.websocket import WebSocket

Handler = Callable[[Call], Reply]
SocketHandler = Callable[[Call, WebSocket], Awaitable[None]]


class Route(NamedTuple):
    method: str
    path: re.Pattern[str]
    dialect: str
    answer: Handler


def _route(method: str, path: str, dialect: str, answer: Handler) -> Route:
    return Route(method, re.compile(path), dialect, answer)


# A base path may stand before each; a group named model names the model.
ROUTES = [
    _route("POST", r"/openai/deployments/(?P<model>[^/]+)/chat/completions$", "openai", openai_chat.chat),
    _route("POST", r"/openai/deployments/(?P<model>[^/]+)/embeddings$", "openai", openai_other.embeddings),
    _route("POST", r"/chat/completions$", "openai", openai_chat.chat),
    _route("POST", r"/completions$", "openai", openai_other.completions),
    _route("POST", r"/embeddings$", "openai", openai_other.embeddings),
    _route("POST", r"/responses$", "openai", openai_responses.responses),
    _route("GET", r"/responses/[^/]+$", "openai", openai_responses.retrieve),
    _route("POST", r"/v1/files$", "openai", openai_other.upload),
    _route("POST", r"/audio/(transcriptions|translations)$", "openai", openai_other.transcription),
    _route("POST", r"/audio/speech$", "openai", openai_other.speech),
    _route("POST", r"/images/generations$", "openai", openai_other.images),
    _route("POST", r"/moderations$", "openai", openai_other.moderations),
    _route("POST", r"/v1/messages$", "anthropic", anthropic_messages.messages),
    _route("POST", r"/v1/messages/count_tokens$", "anthropic", anthropic_messages.count_tokens),
    _route("POST", r"/models/(?P<model>[^/]+):generateContent$", "gemini", gemini.generate),
    _route("POST", r"/models/(?P<model>[^/]+):streamGenerateContent$", "gemini", gemini.stream_generate),
    _route("POST", r"/models/(?P<model>[^/]+):countTokens$", "gemini", gemini.count_tokens),
    _route("POST", r"/models/(?P<model>[^/]+):(embedContent|batchEmbedContents)$", "gemini", gemini.embed),
    _route("GET", r"/v1beta/models$", "gemini", gemini.models),
    _route("GET", r"/v1/models$", "openai", openai_other.models),
    _route("GET", r"/v1/models/[^/]+$", "openai", openai_other.model),
    _route("POST", r"/api/chat$", "ollama", ollama.chat),
    _route("POST", r"/api/generate$", "ollama", ollama.generate),
    _route("POST", r"/api/embed$", "ollama", ollama.embed),
    _route("GET", r"/api/tags$", "ollama", ollama.tags),
]

SOCKETS: dict[str, SocketHandler] = {
    "/responses": socket_responses.serve,
    "/realtime": socket_realtime.serve,
}


def find(call: Call) -> tuple[str, Handler | None]:
    """The dialect of the request and what answers it; None for a path that does not exist."""
    for route in ROUTES:
        match = route.path.search(call.path)
        if match and route.method == call.record.method:
            call.model_in_path = match.groupdict().get("model", "")
            return route.dialect, route.answer
    return _dialect_of(call), None


def reply(call: Call, dialect: str, answer: Handler | None) -> Reply:
    """The answer, or the dialect's own refusal."""
    try:
        if call.manner.fail:
            message = call.manner.message or f"failing with {call.manner.fail} as asked"
            raise ProviderError(call.manner.fail, message, call.manner.code)
        if dialect != "ollama" and not has_key(call):
            raise ProviderError(401, "Incorrect API key provided.")
        if answer is None:
            code = "unknown_url" if dialect == "openai" else ""
            raise ProviderError(404, f"Invalid URL ({call.record.method} {call.path})", code)
        return answer(call)
    except ProviderError as error:
        return errors.reply(call, dialect, error)


def find_socket(call: Call) -> SocketHandler | None:
    """What serves a WebSocket on this path."""
    return next((serve for path, serve in SOCKETS.items() if call.path.endswith(path)), None)


def has_key(call: Call) -> bool:
    """A real provider knows no wrapper tokens."""
    return bool(call.record.key) and "tkn_" not in call.record.key


def _dialect_of(call: Call) -> str:
    if call.header("anthropic-version") or call.header("x-api-key"):
        return "anthropic"
    if "/v1beta/" in call.path or call.header("x-goog-api-key"):
        return "gemini"
    return "ollama" if call.path.startswith("/api/") else "openai"
