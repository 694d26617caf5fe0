"""OpenAI's Chat Completions, and all who took them over.

Some providers' chat path leads to an API of another shape, and then body and answer have that shape as they
pass. So whatever has no choices is read by its own form.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from tokenomics_core.dialects.any_shape import AnyLog, read_any
from tokenomics_core.dialects.base import Answer, Framing, OutputCap, Prompt, Stop, StreamReader, Usage
from tokenomics_core.dialects.caps import lower, named
from tokenomics_core.dialects.media import OPENAI, media_tokens
from tokenomics_core.dialects.openai_family import (
    OpenAIDialect,
    ask_for_usage,
    is_usage_only,
    usage_numbers,
    wants_usage,
)
from tokenomics_core.dialects.prompts import prepend_to_array
from tokenomics_core.dialects.reading import DONE, Ending, EventLog, EventReader
from tokenomics_core.dialects.reasoning import may_reason, takes_completion_tokens
from tokenomics_core.dialects.texts import PER_MESSAGE, PER_REQUEST, chat_message, dumped, objects, tool_call
from tokenomics_core.dialects.usage import count, find_usage, mapping, text, update
from tokenomics_core.json_body import JsonBody

_CAPS = ("max_completion_tokens", "max_tokens")


class OpenAIChat(OpenAIDialect):
    name: ClassVar[str] = "openai_chat"
    operation: ClassVar[str] = "chat"

    def input_texts(self, body: JsonBody) -> Iterator[str]:
        for message in objects(body.value.get("messages")):
            yield from chat_message(message)
        for name in ("tools", "functions", "response_format"):
            yield from dumped(body.value.get(name))

    def input_overhead(self, body: JsonBody) -> int:
        return PER_REQUEST + PER_MESSAGE * len(objects(body.value.get("messages")))

    def add_prompts(self, body: JsonBody, prompts: Sequence[Prompt]) -> None:
        turns = [{"role": prompt.role, "content": prompt.content} for prompt in prompts]
        prepend_to_array(body, "messages", turns)

    def ask_for_usage(self, body: JsonBody) -> bool:
        return ask_for_usage(body)

    def wants_usage(self, body: JsonBody) -> bool:
        return wants_usage(body)

    def output_cap(self, path: str, body: JsonBody, model: str) -> OutputCap:
        modalities = body.value.get("modalities")
        return OutputCap(
            asked=named(body.value, *_CAPS),
            choices=max(1, count(body.value.get("n")) or 1),
            # Sound is output without being text.
            hidden=may_reason(body.value, model) or (isinstance(modalities, list) and "audio" in modalities),
        )

    def set_output_cap(self, body: JsonBody, model: str, tokens: int) -> None:
        standing = [name for name in _CAPS if body.value.get(name) is not None]
        lower(body, tokens, *standing or [_CAPS[0] if takes_completion_tokens(model) else _CAPS[1]])

    def media_tokens(self, body: JsonBody) -> int:
        return media_tokens(body.value.get("messages"), OPENAI)

    def read_answer(self, body: dict[str, Any]) -> Answer:
        if not isinstance(body.get("choices"), list):
            return read_any(body)
        answer = Answer(usage=find_usage(body), id=text(body.get("id")), model=text(body.get("model")))
        for choice in body["choices"]:
            _add_said(answer, mapping(mapping(choice).get("message")))
            answer.finish_reason = answer.finish_reason or text(mapping(choice).get("finish_reason"))
        answer.ended = True
        return answer

    def stream_reader(self, framing: Framing, *, hide_usage: bool = False) -> StreamReader:
        return EventReader(framing, ChatLog(), self.read_answer, is_usage_only if hide_usage else None)


class ChatLog(EventLog):
    """Several completions in one stream, told apart by id, are billed each: their outputs add up."""

    def __init__(self, answer: Answer | None = None) -> None:
        super().__init__(answer)
        self._outputs: dict[str, int] = {}
        self._other: AnyLog | None = None
        self._last: dict[str, Any] = {}
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._usage_said = False

    def read(self, event: dict[str, Any]) -> None:
        choices = event.get("choices")
        if not isinstance(choices, list):
            self._other = self._other or AnyLog(self.answer)
            self._other.read(event)
            return
        answer = self.answer
        if not answer.id:
            answer.id = text(event.get("id"))
        if not answer.model:
            answer.model = text(event.get("model"))
        if choices:
            self._last = event
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            index = choice.get("index", 0)
            if type(index) is int:
                self._begun.add(index)
            delta = choice.get("delta")
            if isinstance(delta, dict):
                _add_said(answer, delta)
            if reason := choice.get("finish_reason"):
                answer.finish_reason = answer.finish_reason or text(reason)
                answer.ended = True
                if type(index) is int:
                    self._finished.add(index)
            if isinstance(choice.get("usage"), dict):
                self.count(event, find_usage(choice))
        if isinstance(event.get("usage"), dict):
            self.count(event, find_usage(event))
            self._usage_said = self._usage_said or not choices
        elif isinstance(groq := event.get("x_groq"), dict) and isinstance(groq.get("usage"), dict):
            self.count(event, find_usage(groq))

    def count(self, event: dict[str, Any], usage: Usage) -> None:
        """The largest output that each id was billed counts; what is said twice is not billed twice."""
        key = text(event.get("id")) or text(event.get("responseId")) or self.answer.id
        if usage.output_tokens is not None:
            self._outputs[key] = max(usage.output_tokens, self._outputs.get(key, 0))
            usage.output_tokens = sum(self._outputs.values())
        update(self.answer.usage, usage)

    def end(self, stop: Stop, usage: Usage, usage_wanted: bool) -> Ending | None:
        """As if the cap was reached: each choice that is open gets its finish reason."""
        if self._other is not None and not self._begun:
            ending = self._other.end(stop, usage, usage_wanted)
            if ending is not None:
                return ending
        head = {
            "id": self.answer.id or "chatcmpl-tokenomics",
            "object": text(self._last.get("object")) or self.kind,
            "created": count(self._last.get("created")) or 0,
            "model": self.answer.model,
        }
        chunks = [
            {**head, "choices": [{**self.said(index), "logprobs": None, "finish_reason": "length"}]}
            for index in (sorted(self._begun - self._finished) if self._begun else [0])
        ]
        if usage_wanted and not self._usage_said:
            chunks.append({**head, "choices": [], "usage": usage_numbers(usage, "prompt", "completion")})
        if chunks:
            # The last one with a choice: who reads no usage sees it too.
            told = next((chunk for chunk in reversed(chunks) if chunk["choices"]), chunks[-1])
            told["tokenomics"] = stop.told()
        return [*chunks, DONE]

    kind: ClassVar[str] = "chat.completion.chunk"

    def said(self, index: int) -> dict[str, Any]:
        """A choice that says nothing more."""
        return {"index": index, "delta": {} if self._begun else {"role": "assistant", "content": ""}}


def _add_said(answer: Answer, said: dict[str, Any]) -> None:
    """Keeps the texts of a message or of a delta."""
    content = said.get("content")
    if isinstance(content, str):
        answer.add_text(content)
    elif isinstance(content, list):
        for part in content:
            answer.add_text(text(mapping(part).get("text")))
    # Two names for one text: who sends both sends it twice.
    if thought := said.get("reasoning_content") or said.get("reasoning"):
        answer.add_text(text(thought))
    if refused := said.get("refusal"):
        answer.add_text(text(refused))
    calls = said.get("tool_calls")
    if isinstance(calls, list):
        for call in calls:
            for piece in tool_call(call):
                answer.add_text(piece)
    if isinstance(called := said.get("function_call"), dict):
        for piece in tool_call(called):
            answer.add_text(piece)
