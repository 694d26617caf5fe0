"""The path of a request of which only the body is at hand, told by its shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class NoPath(ValueError):
    """Where a body belongs cannot be told; the message is one line with a remedy."""


def guess_path(body: Mapping[str, Any]) -> str:
    """The path to which a body of this shape is sent, without anything else to tell by.

    ``contents`` is Gemini's, and its model is in the path, so a ``model`` member has to name it. ``messages``
    is Anthropic's where something only Anthropic has stands beside it (``system``, ``anthropic_version``,
    ``stop_sequences``, ``thinking``, tools with ``input_schema``, blocks such as ``tool_use``) or the model's
    name begins with ``claude``; else OpenAI's chat. ``input`` is OpenAI's embeddings where the model's name
    or a member says so, else its responses. ``prompt`` is the legacy completions. All else goes to
    an unknown path. Raises NoPath.
    """
    named = body.get("model")
    model = named if isinstance(named, str) else ""
    if "contents" in body:
        if not model:
            raise NoPath(
                "a Gemini request has its model in its path; give --path /v1beta/models/MODEL:generateContent"
            )
        return f"/v1beta/models/{model.removeprefix('models/')}:generateContent"
    if "messages" in body:
        return "/v1/messages" if _is_anthropic(body, model) else "/v1/chat/completions"
    if "input" in body or "instructions" in body:
        embeds = "embed" in model.lower() or "encoding_format" in body or "dimensions" in body
        return "/v1/embeddings" if embeds else "/v1/responses"
    return "/v1/completions" if "prompt" in body else "/"


def _is_anthropic(body: Mapping[str, Any], model: str) -> bool:
    if model.startswith("claude") or any(
        name in body for name in ("system", "anthropic_version", "stop_sequences", "thinking")
    ):
        return True
    if any("input_schema" in tool for tool in _objects(body.get("tools"))):
        return True
    blocks = (
        block for message in _objects(body.get("messages")) for block in _objects(message.get("content"))
    )
    return any(block.get("type") in ("tool_use", "tool_result", "thinking", "document") for block in blocks)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    return (each for each in (value if isinstance(value, list) else ()) if isinstance(each, dict))
