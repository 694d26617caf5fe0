"""OpenAI's Responses API, over HTTP; its WebSocket sends the same events as frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import orjson

from tokenomics_core.dialects.base import Answer, Framing, Prompt, StreamReader
from tokenomics_core.dialects.errors import openai_error, responses_error_code
from tokenomics_core.dialects.openai_family import OpenAIDialect
from tokenomics_core.dialects.prompts import in_front, said_by_model, split
from tokenomics_core.dialects.reading import EventLog, EventReader
from tokenomics_core.dialects.texts import PER_MESSAGE, PER_REQUEST, content, dumped, items, objects, strings
from tokenomics_core.dialects.usage import mapping, openai_usage, text
from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal

ENDS = frozenset(["response.completed", "response.incomplete", "response.failed", "response.cancelled"])


class OpenAIResponses(OpenAIDialect):
    name: ClassVar[str] = "openai_responses"
    operation: ClassVar[str] = "chat"

    def input_texts(self, body: JsonBody) -> Iterator[str]:
        yield from strings(body.value.get("instructions"))
        yield from content(body.value.get("input"))
        yield from dumped(body.value.get("tools"))
        yield from dumped(mapping(body.value.get("text")).get("format"))
        yield from content(list(mapping(mapping(body.value.get("prompt")).get("variables")).values()))

    def input_overhead(self, body: JsonBody) -> int:
        return PER_REQUEST + PER_MESSAGE * len(items(body.value.get("input")))

    def add_prompts(self, body: JsonBody, prompts: Sequence[Prompt]) -> None:
        instructions, turns = split(prompts)
        if instructions:
            existing = body.value.get("instructions")
            if not (existing is None or isinstance(existing, str)):
                raise Refusal(400, "invalid_request", "instructions must be a string")
            body.set("instructions", in_front(instructions, existing or ""))
        if turns:
            _add_to_input(body, turns)

    def read_answer(self, body: dict[str, Any]) -> Answer:
        answer = Answer()
        read_response(body, answer)
        for item in objects(body.get("output")):
            for piece in content(item):
                answer.add_text(piece)
        answer.ended = text(body.get("status")) not in ("queued", "in_progress")
        return answer

    def stream_reader(self, framing: Framing, *, hide_usage: bool = False) -> StreamReader:
        return EventReader(framing, ResponsesLog(), self.read_answer)

    def error_event(self, refusal: Refusal, request_id: str, framing: Framing) -> bytes:
        """One event for two readers: the openai package raises on ``error``; Codex knows only
        ``response.failed``, and takes its ``response.error`` for final when the quota is spent."""
        failed = {"code": responses_error_code(refusal), "message": refusal.message}
        event = {
            "type": "response.failed",
            "sequence_number": 0,
            "response": {"id": request_id, "object": "response", "status": "failed", "error": failed},
            **openai_error(refusal),
        }
        return b"event: response.failed\ndata: " + orjson.dumps(event) + b"\n\n"


class ResponsesLog(EventLog):
    """Deltas are text; the last event carries the whole response with its usage."""

    def read(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if not isinstance(kind, str):
            return
        if kind.endswith(".delta"):
            if "audio.delta" not in kind:
                self.answer.add_text(text(event.get("delta")))
        elif kind in ENDS:
            read_response(mapping(event.get("response")), self.answer)
            self.answer.ended = True
        elif kind == "response.created":
            response = mapping(event.get("response"))
            self.answer.id = text(response.get("id"))
            self.answer.model = text(response.get("model"))


def read_response(response: dict[str, Any], answer: Answer) -> None:
    """What a response object says besides its output."""
    answer.id = text(response.get("id")) or answer.id
    answer.model = text(response.get("model")) or answer.model
    reason = text(mapping(response.get("incomplete_details")).get("reason"))
    answer.finish_reason = reason or text(response.get("status")) or answer.finish_reason
    if isinstance(usage := response.get("usage"), dict):
        answer.usage = openai_usage(usage)


def _add_to_input(body: JsonBody, turns: Sequence[Prompt]) -> None:
    said: list[Any] = [
        {"role": "assistant" if said_by_model(turn) else "user", "content": turn.content} for turn in turns
    ]
    given = body.value.get("input")
    if isinstance(given, list):
        body.prepend("input", said)
    elif given is None or isinstance(given, str):
        own = [] if given is None else [{"role": "user", "content": given}]
        body.set("input", [*said, *own])
    else:
        raise Refusal(400, "invalid_request", "input must be a string or an array")
