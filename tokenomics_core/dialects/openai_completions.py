"""OpenAI's legacy Completions: a prompt in, its continuation out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from tokenomics_core.dialects.base import Answer, Framing, OutputCap, Prompt, StreamReader
from tokenomics_core.dialects.caps import lower, named
from tokenomics_core.dialects.openai_chat import ChatLog
from tokenomics_core.dialects.openai_family import OpenAIDialect, ask_for_usage, is_usage_only, wants_usage
from tokenomics_core.dialects.prompts import in_front
from tokenomics_core.dialects.reading import EventReader
from tokenomics_core.dialects.reasoning import may_reason
from tokenomics_core.dialects.texts import objects, strings
from tokenomics_core.dialects.usage import count, find_usage, text
from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal


class OpenAICompletions(OpenAIDialect):
    name: ClassVar[str] = "openai_completions"
    operation: ClassVar[str] = "text_completion"

    def input_texts(self, body: JsonBody) -> Iterator[str]:
        yield from strings(body.value.get("prompt"))
        yield from strings(body.value.get("suffix"))

    def input_overhead(self, body: JsonBody) -> int:
        return count_numbers(body.value.get("prompt"))

    def add_prompts(self, body: JsonBody, prompts: Sequence[Prompt]) -> None:
        if not prompts:
            return
        texts = [prompt.content for prompt in prompts]
        given = body.value.get("prompt")
        if given is None or isinstance(given, str):
            body.set("prompt", in_front(texts, given or ""))
        elif isinstance(given, list) and all(isinstance(each, str) for each in given):
            body.set("prompt", [in_front(texts, each) for each in given])
        else:
            raise Refusal(
                403,
                "prompts_not_supported",
                "the policy injects prompts: send the prompt as text, not as tokens",
            )

    def ask_for_usage(self, body: JsonBody) -> bool:
        return ask_for_usage(body)

    def wants_usage(self, body: JsonBody) -> bool:
        return wants_usage(body)

    def output_cap(self, path: str, body: JsonBody, model: str) -> OutputCap:
        """Every prompt of a list is answered, each with the best of several tries."""
        prompt = body.value.get("prompt")
        prompts = len(prompt) if isinstance(prompt, list) and not _is_tokens(prompt) else 1
        tries = max(count(body.value.get(name)) or 1 for name in ("n", "best_of"))
        return OutputCap(
            asked=named(body.value, "max_tokens"),
            choices=max(1, prompts * tries),
            hidden=may_reason(body.value, model),
        )

    def set_output_cap(self, body: JsonBody, model: str, tokens: int) -> None:
        lower(body, tokens, "max_tokens")

    def read_answer(self, body: dict[str, Any]) -> Answer:
        answer = Answer(usage=find_usage(body), id=text(body.get("id")), model=text(body.get("model")))
        for choice in objects(body.get("choices")):
            answer.add_text(text(choice.get("text")))
            answer.finish_reason = answer.finish_reason or text(choice.get("finish_reason"))
        answer.ended = True
        return answer

    def stream_reader(self, framing: Framing, *, hide_usage: bool = False) -> StreamReader:
        hidden = is_usage_only if hide_usage else None
        return EventReader(framing, CompletionsLog(), self.read_answer, hidden)


class CompletionsLog(ChatLog):
    """As chat, with the text in the choice itself."""

    def read(self, event: dict[str, Any]) -> None:
        for choice in objects(event.get("choices")):
            self.answer.add_text(text(choice.get("text")))
        super().read(event)

    kind: ClassVar[str] = "text_completion"

    def said(self, index: int) -> dict[str, Any]:
        return {"index": index, "text": ""}


def _is_tokens(prompt: list[Any]) -> bool:
    return bool(prompt) and isinstance(prompt[0], int)


def count_numbers(value: Any) -> int:
    """The tokens of an input that was sent as tokens: a list of numbers, or a list of such lists."""
    if not isinstance(value, list):
        return 0
    return sum(count_numbers(item) if isinstance(item, list) else isinstance(item, int) for item in value)
