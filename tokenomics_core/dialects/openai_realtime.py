"""OpenAI's Realtime API: one WebSocket, whose URL names the model of the session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qs

from tokenomics_core.dialects.base import Answer, Framing, OutputCap, Prompt, StreamReader
from tokenomics_core.dialects.caps import lowered, named
from tokenomics_core.dialects.media import OPENAI, media_tokens
from tokenomics_core.dialects.openai_family import OpenAIDialect
from tokenomics_core.dialects.openai_responses import ResponsesLog, read_response
from tokenomics_core.dialects.prompts import in_front, split
from tokenomics_core.dialects.reading import EventReader
from tokenomics_core.dialects.reasoning import may_reason
from tokenomics_core.dialects.texts import content, dumped, strings
from tokenomics_core.dialects.usage import mapping, text
from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal

_CAPS = ("max_output_tokens", "max_response_output_tokens")


class OpenAIRealtime(OpenAIDialect):
    """The body of a request is the ``response.create`` frame."""

    name: ClassVar[str] = "openai_realtime"
    operation: ClassVar[str] = "chat"
    # What the session heard before is billed as input, and stands in no frame that asks for a response.
    counts_tokens: ClassVar[bool] = False

    def model(self, path: str, query: str, body: JsonBody | None) -> str:
        """``model`` of the query, or Azure's ``deployment``; raises Refusal when it names two."""
        asked = parse_qs(query)
        named = set(asked.get("model", []) + asked.get("deployment", []))
        if len(named) > 1:
            raise Refusal(400, "invalid_model", "the URL names more than one model")
        return named.pop() if named else ""

    def set_model(self, path: str, body: JsonBody | None, model: str) -> str:
        """There is no other model for a session that has begun."""
        return path

    def is_stream(self, path: str, query: str, body: JsonBody | None) -> bool:
        return False

    def input_texts(self, body: JsonBody) -> Iterator[str]:
        response = mapping(body.value.get("response"))
        yield from strings(response.get("instructions"))
        yield from content(response.get("input"))
        yield from dumped(response.get("tools"))

    def add_prompts(self, body: JsonBody, prompts: Sequence[Prompt]) -> None:
        """Into the instructions of the one response; a session's own are then no longer in force for it."""
        instructions, turns = split(prompts)
        if turns:
            raise Refusal(403, "prompts_not_supported", "only system prompts can be injected into Realtime")
        if instructions:
            response = mapping(body.value.get("response"))
            joined = in_front(instructions, text(response.get("instructions")))
            body.set("response", {**response, "instructions": joined})

    def output_cap(self, path: str, body: JsonBody, model: str) -> OutputCap:
        """``inf`` is no cap. Sound is output without being text, and is what a session speaks by default."""
        response = mapping(body.value.get("response"))
        spoken = response.get("output_modalities") or response.get("modalities")
        asked = named(response, *_CAPS)
        return OutputCap(asked, hidden=spoken != ["text"] or may_reason(response, model))

    def set_output_cap(self, body: JsonBody, model: str, tokens: int) -> None:
        """In the older name where that stands."""
        response = body.value.get("response")
        if response is None or isinstance(response, dict):
            response = response or {}
            standing = [name for name in _CAPS if response.get(name) is not None]
            body.set("response", {**response, **lowered(response, tokens, *standing or [_CAPS[0]])})

    def media_tokens(self, body: JsonBody) -> int:
        return media_tokens(mapping(body.value.get("response")).get("input"), OPENAI)

    def read_answer(self, body: dict[str, Any]) -> Answer:
        answer = Answer(ended=True)
        read_response(body, answer)
        return answer

    def stream_reader(self, framing: Framing, *, hide_usage: bool = False) -> StreamReader:
        return EventReader(framing, ResponsesLog(), self.read_answer)
