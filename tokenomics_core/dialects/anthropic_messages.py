"""Anthropic's Messages API, and its token count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import orjson

from tokenomics_core.dialects.base import (
    Answer,
    Dialect,
    Framing,
    OutputCap,
    Prompt,
    Stop,
    StreamReader,
    Usage,
)
from tokenomics_core.dialects.caps import lower, named
from tokenomics_core.dialects.errors import anthropic_error
from tokenomics_core.dialects.media import ANTHROPIC, media_tokens
from tokenomics_core.dialects.prompts import in_front, prepend_to_array, said_by_model, split
from tokenomics_core.dialects.reading import Ending, EventLog, EventReader
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

    def output_cap(self, path: str, body: JsonBody, model: str) -> OutputCap:
        """What the model thinks is billed in full and shown in summary."""
        thinking = mapping(body.value.get("thinking"))
        enabled = thinking.get("type") == "enabled"
        return OutputCap(
            asked=named(body.value, "max_tokens"),
            least=1 + (count(thinking.get("budget_tokens")) or 0) if enabled else 1,
            hidden=enabled or thinking.get("type") == "adaptive",
        )

    def set_output_cap(self, body: JsonBody, model: str, tokens: int) -> None:
        lower(body, tokens, "max_tokens")

    def media_tokens(self, body: JsonBody) -> int:
        return media_tokens(body.value.get("messages"), ANTHROPIC)

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

    def output_cap(self, path: str, body: JsonBody, model: str) -> OutputCap:
        return OutputCap(asked=0)

    def set_output_cap(self, body: JsonBody, model: str, tokens: int) -> None:
        """There is no output."""

    def read_answer(self, body: dict[str, Any]) -> Answer:
        return Answer(ended=True)


class AnthropicLog(EventLog):
    """Numbers come twice: what is known at the start, and what is billed in the end."""

    def __init__(self, answer: Answer | None = None) -> None:
        super().__init__(answer)
        self._usage: dict[str, Any] = {}
        self._started = False
        self._open: list[Any] = []

    def read(self, event: dict[str, Any]) -> None:
        answer = self.answer
        match event.get("type"):
            case "content_block_delta":
                delta = mapping(event.get("delta"))
                answer.add_text(text(delta.get("text") or delta.get("partial_json") or delta.get("thinking")))
            case "content_block_start":
                block = mapping(event.get("content_block"))
                answer.add_text(text(block.get("name") or block.get("text")))
                self._open.append(event.get("index"))
            case "content_block_stop":
                if event.get("index") in self._open:
                    self._open.remove(event.get("index"))
            case "message_start":
                self._started = True
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

    def end(self, stop: Stop, usage: Usage, usage_wanted: bool) -> Ending | None:
        """As if ``max_tokens`` was reached. A message that has its stop reason keeps it."""
        answer = self.answer
        if answer.ended:
            return []
        events: Ending = []
        if not self._started:
            message: dict[str, Any] = {
                "id": answer.id or "msg_tokenomics",
                "type": "message",
                "role": "assistant",
                "model": answer.model,
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": usage.input_tokens or 0, "output_tokens": 0},
            }
            events.append({"type": "message_start", "message": message})
        events += [{"type": "content_block_stop", "index": index} for index in self._open]
        if not answer.finish_reason:
            events.append(
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
                    "usage": {"output_tokens": usage.output_tokens or 0},
                    "tokenomics": stop.told(),
                }
            )
        return [*events, {"type": "message_stop"}]

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
