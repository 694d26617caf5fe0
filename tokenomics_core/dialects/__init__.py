"""Dialects: the wire formats, one file each, and the table that tells which one a request speaks."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import unquote

from tokenomics_core.dialects.anthropic_messages import AnthropicCountTokens, AnthropicMessages
from tokenomics_core.dialects.base import Dialect
from tokenomics_core.dialects.errors import reference_error_body
from tokenomics_core.dialects.frames import frame_reader, is_websocket_path
from tokenomics_core.dialects.gemini import Gemini, GeminiCountTokens, GeminiEmbeddings
from tokenomics_core.dialects.ollama import OllamaChat, OllamaGenerate
from tokenomics_core.dialects.openai_chat import OpenAIChat
from tokenomics_core.dialects.openai_completions import OpenAICompletions
from tokenomics_core.dialects.openai_embeddings import OpenAIEmbeddings
from tokenomics_core.dialects.openai_realtime import OpenAIRealtime
from tokenomics_core.dialects.openai_responses import OpenAIResponses
from tokenomics_core.dialects.unknown import Unknown

__all__ = ["Dialect", "frame_reader", "is_websocket_path", "recognise", "reference_error_body"]

ANY = ""

_CHAT = OpenAIChat()
_MESSAGES = AnthropicMessages()
_GEMINI = Gemini()
_OLLAMA = OllamaChat()

# Method and end of the path; the first match counts. Azure's deployments and base paths stand in front.
_FORMATS: list[tuple[str, str, Dialect | None]] = [
    (ANY, "/chat/completions", _CHAT),
    ("POST", "/completions", OpenAICompletions()),
    ("POST", "/embeddings", OpenAIEmbeddings()),
    ("POST", "/responses", OpenAIResponses()),
    ("GET", "/realtime", OpenAIRealtime()),
    # OpenAI's Assistants: not Anthropic's messages.
    ("POST", "/threads/[^/]+/messages", None),
    ("POST", "/messages", _MESSAGES),
    ("POST", "/messages/count_tokens", AnthropicCountTokens()),
    ("POST", "/(models|tunedmodels|endpoints)/.+:(stream)?generatecontent", _GEMINI),
    ("POST", "/(models|tunedmodels|endpoints)/.+:counttokens", GeminiCountTokens()),
    ("POST", "/(models|tunedmodels|endpoints)/.+:(batch)?embedcontents?", GeminiEmbeddings()),
    ("POST", "/api/chat", _OLLAMA),
    ("POST", "/api/generate", OllamaGenerate()),
]
_TABLE = [(method, re.compile(end + "$"), dialect) for method, end, dialect in _FORMATS]

# Whose words a refusal takes on any other path: by a header that only its SDK sends, else by the path.
_HINTS: list[tuple[str, str, Dialect]] = [
    ("anthropic-version", "/v1/messages(/|$)|/publishers/anthropic/|^/api/claude", _MESSAGES),
    ("x-goog-api-key", r"/v1(alpha|beta)\d*/(?!openai/)|/publishers/google/", _GEMINI),
    ("", r"^/api/(?!v\d)", _OLLAMA),
    ("", "", _CHAT),
]
_ERRORS = [(header, re.compile(path), dialect) for header, path, dialect in _HINTS]
_UNKNOWN = {
    (dialect, bills): Unknown(dialect, bills=bills) for _, _, dialect in _HINTS for bills in (True, False)
}


def recognise(method: str, path: str, hints: Collection[str] = ()) -> Dialect:
    """The dialect of a request; `unknown` for every path that is none of the formats.

    path: without the query. hints: the lower-case names of the request's headers.
    """
    method = method.upper()
    plain = unquote(path).rstrip("/").lower()
    for verb, end, dialect in _TABLE:
        if verb in (ANY, method) and end.search(plain):
            if dialect is not None:
                return dialect
            break
    errors = next((found for header, _, found in _ERRORS if header and header in hints), None)
    errors = errors or next(found for _, pattern, found in _ERRORS if pattern.search(plain))
    return _UNKNOWN[errors, method in ("POST", "PUT", "PATCH")]
