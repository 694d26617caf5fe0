"""Filters that are simple enough to see what they do, and one text in the events of every dialect."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.dialects.streams import sse
from tokenomics_core.dialects.base import Framing
from tokenomics_core.guard.pieces import Piece, TextFilter
from tokenomics_core.guard.spans import Span
from tokenomics_core.guard.stream import StreamGuard
from tokenomics_core.guard.violation import RuleViolation

MASK = "[NUMBER]"
LONG = re.compile("[0-9]{8,}")
END = re.compile("[0-9]*$")


def mask(text: str) -> str:
    """Text without its runs of eight digits and more."""
    return LONG.sub(MASK, text)


class Open:
    """Changes nothing, holds nothing."""

    def feed(self, text: str) -> list[Piece]:
        return [Piece(len(text), text, False)]

    def close(self) -> list[Piece]:
        return []


class Holding:
    """Changes nothing, holds everything."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> list[Piece]:
        self._held += text
        return []

    def close(self) -> list[Piece]:
        return [Piece(len(self._held), self._held, False)]


class Masking:
    """Masks long runs of digits; holds the digits at the end."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> list[Piece]:
        self._held += text
        found = END.search(self._held)
        assert found is not None
        return self._pass_on(found.start())

    def close(self) -> list[Piece]:
        return self._pass_on(len(self._held))

    def _pass_on(self, until: int) -> list[Piece]:
        text, self._held = self._held[:until], self._held[until:]
        pieces = []
        at = 0
        for found in LONG.finditer(text):
            pieces.append(Piece(found.start() - at, text[at : found.start()], False))
            pieces.append(Piece(found.end() - found.start(), MASK, True))
            at = found.end()
        return [*pieces, Piece(len(text) - at, text[at:], False)]


class Failing(Masking):
    """Fails where the other masks."""

    def _pass_on(self, until: int) -> list[Piece]:
        pieces = super()._pass_on(until)
        if any(piece.changed for piece in pieces):
            raise RuleViolation("a number")
        return pieces


def mask_whole(span: Span) -> str | None:
    masked = mask(span.text)
    return masked if masked != span.text else None


def keep(span: Span) -> None:
    return None


def guarded(
    framing: Framing, chunks: Sequence[bytes], make: Callable[[], TextFilter] = Masking
) -> tuple[list[bytes], bytes]:
    """What comes out for each chunk, and at the end."""
    whole = mask_whole if make is Masking else keep
    guard = StreamGuard(framing, lambda channel, json_text: make(), whole)
    return [guard.feed(chunk) for chunk in chunks], guard.close()


def joined(out: tuple[list[bytes], bytes]) -> bytes:
    return b"".join(out[0]) + out[1]


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    at = sorted({place % (len(data) + 1) for place in places})
    return [data[start:stop] for start, stop in zip([0, *at], [*at, len(data)], strict=True)]


# One text in events: `build` makes them of its deltas and of what is said of it whole, `pick` reads a delta.


@dataclass(frozen=True)
class Case:
    name: str
    build: Callable[[list[str], str], list[Any]]
    pick: Callable[[dict[str, Any]], Any]
    framing: Framing = "sse"
    end: str = "\n\n"

    def data(self, deltas: list[str], whole: str) -> bytes:
        events = self.build(deltas, whole)
        if self.framing == "sse":
            return sse(*events, end=self.end, named="type" in events[0])
        lines = [json.dumps(event, ensure_ascii=False).encode() for event in events]
        if self.framing == "ndjson":
            return b"".join(line + b"\n" for line in lines)
        return b"[" + b",\r\n".join(lines) + b"\n]\n"

    def events(self, data: bytes) -> list[Any]:
        """The events; what is no JSON as it is."""
        if self.framing == "json_array":
            return list(json.loads(data))
        parts = data.decode().split("\n" if self.framing == "ndjson" else self.end)
        assert parts.pop() == ""
        said = [part.split("data: ", 1)[-1] for part in parts]
        return [json.loads(each) if each.startswith("{") else each for each in said]

    def deltas(self, events: list[Any]) -> list[str]:
        found = [self.pick(event) for event in events if isinstance(event, dict)]
        return [each for each in found if isinstance(each, str)]


def chat_chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1750000000}
    return {**head, "model": "gpt-4o-2024-08-06", "choices": [choice], "usage": None}


USAGE = {**chat_chunk(), "choices": [], "usage": {"prompt_tokens": 12345678901, "completion_tokens": 9}}


def chat(deltas: list[str], whole: str) -> list[Any]:
    first = chat_chunk(role="assistant", content="")
    return [first, *[chat_chunk(content=each) for each in deltas], chat_chunk("stop"), USAGE, "[DONE]"]


def chat_call(arguments: str, **more: Any) -> dict[str, Any]:
    return chat_chunk(tool_calls=[{"index": 0, **more, "function": {"arguments": arguments}}])


def chat_tool(deltas: list[str], whole: str) -> list[Any]:
    first = chat_call("", id="call_1", type="function")
    return [first, *[chat_call(each) for each in deltas], chat_chunk("tool_calls"), "[DONE]"]


def completions(deltas: list[str], whole: str) -> list[Any]:
    head = {"id": "cmpl-1", "object": "text_completion"}
    said = [{**head, "choices": [{"text": each, "index": 0, "logprobs": None}]} for each in deltas]
    return [*said, {**head, "choices": [{"text": "", "index": 0, "finish_reason": "stop"}]}, "[DONE]"]


def responses(deltas: list[str], whole: str) -> list[Any]:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
    part = {"type": "output_text", "text": whole, "annotations": []}
    done = {**item, "content": [part]}
    head = {"id": "resp_1", "object": "response", "model": "gpt-5", "output": []}
    return [
        {"type": "response.created", "response": head},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        *[{"type": "response.output_text.delta", **place, "delta": each, "logprobs": []} for each in deltas],
        {"type": "response.output_text.done", **place, "text": whole, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed", "response": {**head, "output": [done], "usage": {"output_tokens": 1}}},
    ]


def responses_tool(deltas: list[str], whole: str) -> list[Any]:
    place = {"item_id": "fc_1", "output_index": 0}
    item = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "look", "arguments": ""}
    done = {**item, "arguments": whole}
    head = {"id": "resp_1", "object": "response", "model": "gpt-5", "output": []}
    return [
        {"type": "response.created", "response": head},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        *[{"type": "response.function_call_arguments.delta", **place, "delta": each} for each in deltas],
        {"type": "response.function_call_arguments.done", **place, "arguments": whole},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed", "response": {**head, "output": [done]}},
    ]


def anthropic_events(block: dict[str, Any], said: list[dict[str, Any]]) -> list[Any]:
    return [
        {"type": "message_start", "message": {"id": "msg_1", "content": [], "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "ping"},
        *[{"type": "content_block_delta", "index": 0, "delta": each} for each in said],
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]


def anthropic(deltas: list[str], whole: str) -> list[Any]:
    return anthropic_events(
        {"type": "text", "text": ""}, [{"type": "text_delta", "text": each} for each in deltas]
    )


def anthropic_tool(deltas: list[str], whole: str) -> list[Any]:
    return anthropic_events(
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
        [{"type": "input_json_delta", "partial_json": each} for each in deltas],
    )


def gemini_chunk(part: dict[str, Any], **more: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": [part], "role": "model"}, "index": 0, **more}
    return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 5}, "responseId": "r1"}


def gemini(deltas: list[str], whole: str) -> list[Any]:
    thought = gemini_chunk({"text": "so 1234", "thought": True})
    called = gemini_chunk({"functionCall": {"name": "look", "args": {"q": "x"}}}, finishReason="STOP")
    return [thought, *[gemini_chunk({"text": each}) for each in deltas], called]


def gemini_text(event: dict[str, Any]) -> Any:
    part = event["candidates"][0]["content"]["parts"][0]
    return None if part.get("thought") else part.get("text")


def ollama(deltas: list[str], whole: str) -> list[Any]:
    head = {"model": "llama3.2", "created_at": "2025-06-15T00:00:00Z"}
    said = [{**head, "message": {"role": "assistant", "content": each}, "done": False} for each in deltas]
    return [*said, {**head, "message": {"role": "assistant", "content": ""}, "done": True, "eval_count": 2}]


def unknown(deltas: list[str], whole: str) -> list[Any]:
    return [{"output": {"words": {"said": each}}, "n": at} for at, each in enumerate(deltas)]


CASES = [
    Case("chat", chat, lambda event: event["choices"] and event["choices"][0]["delta"].get("content")),
    Case(
        "chat tool",
        chat_tool,
        lambda event: event["choices"][0]["delta"].get("tool_calls", [{"function": {"arguments": None}}])[0][
            "function"
        ]["arguments"],
        end="\r\n\r\n",
    ),
    Case("completions", completions, lambda event: event["choices"][0]["text"]),
    Case("responses", responses, lambda event: event.get("delta")),
    Case("responses tool", responses_tool, lambda event: event.get("delta")),
    Case("anthropic", anthropic, lambda event: event.get("delta", {}).get("text")),
    Case("anthropic tool", anthropic_tool, lambda event: event.get("delta", {}).get("partial_json")),
    Case("gemini sse", gemini, gemini_text, end="\r\n\r\n"),
    Case("gemini array", gemini, gemini_text, framing="json_array"),
    Case("ollama", ollama, lambda event: event["message"]["content"], framing="ndjson"),
    Case("unknown", unknown, lambda event: event["output"]["words"]["said"]),
]
# An empty delta stands in these before, or behind, those of the text.
PADDED = {"chat": (1, 0), "chat tool": (1, 0), "completions": (0, 1), "ollama": (0, 1)}
