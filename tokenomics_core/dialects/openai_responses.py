"""OpenAI's Responses API, over HTTP; its WebSocket sends the same events as frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import orjson

from tokenomics_core.dialects.base import (
    TEXT_LIMIT,
    Answer,
    Framing,
    OutputCap,
    Prompt,
    Stop,
    StreamReader,
    Usage,
)
from tokenomics_core.dialects.caps import lower, named
from tokenomics_core.dialects.errors import openai_error, responses_error_code
from tokenomics_core.dialects.media import OPENAI, media_tokens
from tokenomics_core.dialects.openai_family import OpenAIDialect, usage_numbers
from tokenomics_core.dialects.openai_responses_output import Output
from tokenomics_core.dialects.prompts import in_front, said_by_model, split
from tokenomics_core.dialects.reading import Ending, EventLog, EventReader, note_error
from tokenomics_core.dialects.reasoning import may_reason
from tokenomics_core.dialects.texts import PER_MESSAGE, PER_REQUEST, content, dumped, items, objects, strings
from tokenomics_core.dialects.usage import count, mapping, openai_usage, text
from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal

_CAP = "max_output_tokens"
_LEAST_CAP = 16

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

    def output_cap(self, path: str, body: JsonBody, model: str) -> OutputCap:
        return OutputCap(named(body.value, _CAP), _LEAST_CAP, hidden=may_reason(body.value, model))

    def set_output_cap(self, body: JsonBody, model: str, tokens: int) -> None:
        lower(body, tokens, _CAP)

    def media_tokens(self, body: JsonBody) -> int:
        return media_tokens(body.value.get("input"), OPENAI)

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
    """Deltas are text; the last event carries the whole response with its usage.

    Realtime's events are the same, with ``response.done`` at the end.
    """

    def __init__(self, answer: Answer | None = None) -> None:
        super().__init__(answer)
        self._output = Output()
        self._created: dict[str, Any] | None = None
        self._last: dict[str, Any] = {}

    def read(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if not isinstance(kind, str):
            return
        self._last = event
        if kind.endswith(".delta"):
            piece = event.get("delta")
            if isinstance(piece, str) and "audio.delta" not in kind:
                if self.answer.text_length < TEXT_LIMIT:
                    self._output.add(event, piece)
                self.answer.add_text(piece)
        elif kind == "error" and "error" not in event:
            note_error(self.answer, {**event, "type": ""})
        elif kind in ENDS:
            read_response(mapping(event.get("response")), self.answer)
            self.answer.ended = True
        elif kind == "response.created":
            response = mapping(event.get("response"))
            self.answer.id = text(response.get("id"))
            self.answer.model = text(response.get("model"))
            self._created = response
        else:
            self._output.note(kind, event)

    def end(self, stop: Stop, usage: Usage, usage_wanted: bool) -> Ending | None:
        """As if ``max_output_tokens`` was reached: what is open is closed, the response is incomplete."""
        if self.answer.ended:
            return []
        events, items = self._output.close()
        response = {
            **self._response(),
            "status": "incomplete",
            "incomplete_details": {"reason": _CAP},
            "output": items,
            "usage": usage_numbers(usage),
            "tokenomics": stop.told(),
        }
        if self._created is None:
            events.insert(0, {"type": "response.created", "response": self._response()})
        events.append({"type": "response.incomplete", "response": response})
        last = count(self._last.get("sequence_number"))
        first = 0 if last is None else last + 1
        return [{**event, "sequence_number": first + at} for at, event in enumerate(events)]

    def end_session_response(self, stop: Stop, usage: Usage) -> list[dict[str, Any]]:
        """The same for Realtime, whose events are not numbered."""
        _, items = self._output.close()
        known = self._created
        response = known or {"id": "resp_tokenomics", "object": "realtime.response", "status": "in_progress"}
        done = {
            **response,
            "status": "incomplete",
            "status_details": {"type": "incomplete", "reason": _CAP},
            "output": items,
            "usage": usage_numbers(usage),
            "tokenomics": stop.told(),
        }
        started = [] if known else [{"type": "response.created", "response": {**response, "output": []}}]
        return [*started, {"type": "response.done", "response": done}]

    def _response(self) -> dict[str, Any]:
        """The response as it was created, or one as it would have been."""
        return self._created or {
            "id": "resp_tokenomics",
            "object": "response",
            "created_at": 0,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": self.answer.model,
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": None,
        }


def read_response(response: dict[str, Any], answer: Answer) -> None:
    """What a response object says besides its output."""
    answer.id = text(response.get("id")) or answer.id
    answer.model = text(response.get("model")) or answer.model
    reason = text(mapping(response.get("incomplete_details")).get("reason"))
    answer.finish_reason = reason or text(response.get("status")) or answer.finish_reason
    note_error(answer, response.get("error") or mapping(response.get("status_details")).get("error"))
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
