"""What OpenAI's formats share: errors, the deployment in an Azure path, usage in a stream."""

from __future__ import annotations

from typing import Any

import orjson

from tokenomics_core.dialects.base import Dialect, Framing, Usage
from tokenomics_core.dialects.errors import openai_error
from tokenomics_core.dialects.paths import DEPLOYMENT, named_model, renamed_model
from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal


class OpenAIDialect(Dialect):
    """Base of the formats whose errors and streams are OpenAI's."""

    def model(self, path: str, query: str, body: JsonBody | None) -> str:
        """Azure answers with the deployment in the path, whatever the body says: so it is what is judged."""
        return named_model(DEPLOYMENT, path) or super().model(path, query, body)

    def set_model(self, path: str, body: JsonBody | None, model: str) -> str:
        if body is not None:
            body.set("model", model)
        return renamed_model(DEPLOYMENT, path, model)

    def error_body(self, refusal: Refusal, request_id: str) -> bytes:
        return orjson.dumps(openai_error(refusal))

    def error_event(self, refusal: Refusal, request_id: str, framing: Framing) -> bytes:
        return b"data: " + orjson.dumps(openai_error(refusal)) + b"\n\n"


def ask_for_usage(body: JsonBody) -> bool:
    """Sets ``stream_options.include_usage``, keeping the other options; False when nothing was to be done."""
    options = body.value.get("stream_options")
    if body.value.get("stream") is not True or not (options is None or isinstance(options, dict)):
        return False
    options = options or {}
    if options.get("include_usage") is True:
        return False
    body.set("stream_options", {**options, "include_usage": True})
    return True


def is_usage_only(event: dict[str, Any]) -> bool:
    """The extra chunk that `ask_for_usage` asked for. Azure's first has no choices either, nor usage."""
    return event.get("choices") == [] and isinstance(event.get("usage"), dict)


def wants_usage(body: JsonBody) -> bool:
    """Whether the client itself asked for that chunk."""
    options = body.value.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def usage_numbers(usage: Usage, asked: str = "input", said: str = "output") -> dict[str, Any]:
    """A usage object in OpenAI's words; what nobody knows is 0. asked, said: the names of the two sides."""
    inputs, outputs = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        f"{asked}_tokens": inputs,
        f"{asked}_tokens_details": {"cached_tokens": usage.cached_input_tokens or 0},
        f"{said}_tokens": outputs,
        f"{said}_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": inputs + outputs,
    }
