"""OpenAI's Chat Completions, and all who took them over.

Some providers' chat path leads to an API of another shape, and then body and answer have that shape as they
pass. So whatever has no choices is read by its own form.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from tokenomics_core.dialects.any_shape import AnyLog, read_any
from tokenomics_core.dialects.base import Answer, Framing, Prompt, StreamReader, Usage
from tokenomics_core.dialects.openai_family import OpenAIDialect, ask_for_usage, is_usage_only
from tokenomics_core.dialects.prompts import prepend_to_array
from tokenomics_core.dialects.reading import EventLog, EventReader
from tokenomics_core.dialects.texts import PER_MESSAGE, PER_REQUEST, chat_message, dumped, objects, tool_call
from tokenomics_core.dialects.usage import find_usage, mapping, text, update
from tokenomics_core.json_body import JsonBody


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
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            delta = choice.get("delta")
            if isinstance(delta, dict):
                _add_said(answer, delta)
            if reason := choice.get("finish_reason"):
                answer.finish_reason = answer.finish_reason or text(reason)
                answer.ended = True
            if isinstance(choice.get("usage"), dict):
                self.count(event, find_usage(choice))
        if isinstance(event.get("usage"), dict):
            self.count(event, find_usage(event))
        elif isinstance(groq := event.get("x_groq"), dict) and isinstance(groq.get("usage"), dict):
            self.count(event, find_usage(groq))

    def count(self, event: dict[str, Any], usage: Usage) -> None:
        """The largest output that each id was billed counts; what is said twice is not billed twice."""
        key = text(event.get("id")) or text(event.get("responseId")) or self.answer.id
        if usage.output_tokens is not None:
            self._outputs[key] = max(usage.output_tokens, self._outputs.get(key, 0))
            usage.output_tokens = sum(self._outputs.values())
        update(self.answer.usage, usage)


def _add_said(answer: Answer, said: dict[str, Any]) -> None:
    """Keeps the texts of a message or of a delta."""
    content = said.get("content")
    if isinstance(content, str):
        answer.add_text(content)
    elif isinstance(content, list):
        for part in content:
            answer.add_text(text(mapping(part).get("text")))
    # Two names for one text: who sends both sends it twice.
    answer.add_text(text(said.get("reasoning_content") or said.get("reasoning")))
    answer.add_text(text(said.get("refusal")))
    calls = said.get("tool_calls")
    if isinstance(calls, list):
        for call in calls:
            for piece in tool_call(call):
                answer.add_text(piece)
    if isinstance(called := said.get("function_call"), dict):
        for piece in tool_call(called):
            answer.add_text(piece)
