"""Anthropic's Messages API, and its token count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import orjson

from tokenomics_core.dialects.base import Answer, Dialect, Framing, Prompt, StreamReader
from tokenomics_core.dialects.errors import anthropic_error
from tokenomics_core.dialects.prompts import in_front, prepend_to_array, said_by_model, split
from tokenomics_core.dialects.reading import EventLog, EventReader
from tokenomics_core.dialects.texts import PER_MESSAGE, PER_REQUEST, content, dumped, objects
from tokenomics_core.dialects.usage import count, mapping, openai_usage, text
from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal

_INPUTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


class AnthropicMessages(Dialect):
    name: ClassVar[str] = "anthropic_messages"
    operation: ClassVar[str] = "chat"

    def input_texts(self, body: JsonBody) -> Iterator[str]:
        yield from content(body.value.get("system"))
        for message in objects(body.value.get("messages")):
            yield from content(message.get("content"))
        yield from dumped(body.value.get("tools"))

    def input_overhead(self, body: JsonBody) -> int:
        return PER_REQUEST + PER_MESSAGE * len(objects(body.value.get("messages")))

    def add_prompts(self, body: JsonBody, prompts: Sequence[Prompt]) -> None:
        """System prompts go to ``system``: the API knows no message of that role."""
        instructions, turns = split(prompts)
        if instructions:
            _add_to_system(body, instructions)
        prepend_to_array(
            body,
            "messages",
            [
                {"role": "assistant" if said_by_model(turn) else "user", "content": turn.content}
                for turn in turns
            ],
        )

    def read_answer(self, body: dict[str, Any]) -> Answer:
        answer = Answer(
            usage=openai_usage(mapping(body.get("usage"))),
            id=text(body.get("id")),
            model=text(body.get("model")),
            finish_reason=text(body.get("stop_reason")),
            ended=True,
        )
        for piece in content(objects(body.get("content"))):
            answer.add_text(piece)
        return answer

    def stream_reader(self, framing: Framing, *, hide_usage: bool = False) -> StreamReader:
        return EventReader(framing, AnthropicLog(), self.read_answer)

    def error_body(self, refusal: Refusal, request_id: str) -> bytes:
        return orjson.dumps(anthropic_error(refusal, request_id))

    def error_event(self, refusal: Refusal, request_id: str, framing: Framing) -> bytes:
        return b"event: error\ndata: " + self.error_body(refusal, request_id) + b"\n\n"


class AnthropicCountTokens(AnthropicMessages):
    """Counts what a request would take, for nothing. The policy's prompts are counted as well."""

    name: ClassVar[str] = "anthropic_count_tokens"
    operation: ClassVar[str] = "count_tokens"
    counts_tokens: ClassVar[bool] = False

    def read_answer(self, body: dict[str, Any]) -> Answer:
        return Answer(ended=True)


class AnthropicLog(EventLog):
    """Numbers come twice: what is known at the start, and what is billed in the end."""

    def __init__(self, answer: Answer | None = None) -> None:
        super().__init__(answer)
        self._usage: dict[str, Any] = {}

    def read(self, event: dict[str, Any]) -> None:
        answer = self.answer
        match event.get("type"):
            case "content_block_delta":
                delta = mapping(event.get("delta"))
                answer.add_text(text(delta.get("text") or delta.get("partial_json") or delta.get("thinking")))
            case "content_block_start":
                block = mapping(event.get("content_block"))
                answer.add_text(text(block.get("name") or block.get("text")))
            case "message_start":
                message = mapping(event.get("message"))
                answer.id = answer.id or text(message.get("id"))
                answer.model = answer.model or text(message.get("model"))
                self._count(message.get("usage"))
            case "message_delta":
                reason = text(mapping(event.get("delta")).get("stop_reason"))
                answer.finish_reason = reason or answer.finish_reason
                self._count(event.get("usage"))
            case "message_stop":
                answer.ended = True

    def _count(self, usage: Any) -> None:
        """Inputs are said at the start, in the end, or twice: the largest is the bill. Outputs grow."""
        if not isinstance(usage, dict):
            return
        known = self._usage
        for name, value in usage.items():
            if name in _INPUTS:
                said = count(value)
                if said is not None:
                    known[name] = max(said, known.get(name, 0))
            elif value is not None:
                known[name] = value
        self.answer.usage = openai_usage(known)


def _add_to_system(body: JsonBody, instructions: Sequence[str]) -> None:
    system = body.value.get("system")
    if isinstance(system, list):
        body.prepend("system", [{"type": "text", "text": instruction} for instruction in instructions])
    elif system is None or isinstance(system, str):
        body.set("system", in_front(instructions, system or ""))
    else:
        raise Refusal(400, "invalid_request", "system must be a string or an array")
