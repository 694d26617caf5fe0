"""Answers whose form the path does not tell: read by what they look like."""

from __future__ import annotations

from typing import Any

from tokenomics_core.dialects.anthropic_messages import AnthropicLog, AnthropicMessages
from tokenomics_core.dialects.base import Answer, Stop, Usage
from tokenomics_core.dialects.gemini import Gemini, GeminiLog
from tokenomics_core.dialects.ollama import OllamaLog
from tokenomics_core.dialects.openai_responses import OpenAIResponses, ResponsesLog
from tokenomics_core.dialects.reading import Ending, EventLog
from tokenomics_core.dialects.usage import find_usage, mapping, text, update

_ANTHROPIC = AnthropicMessages()
_GEMINI = Gemini()
_RESPONSES = OpenAIResponses()


def read_any(body: dict[str, Any]) -> Answer:
    """A whole answer of any form."""
    if body.get("type") == "message" and "stop_reason" in body:
        return _ANTHROPIC.read_answer(body)
    if "candidates" in body or "usageMetadata" in body:
        return _GEMINI.read_answer(body)
    if body.get("object") == "response":
        return _RESPONSES.read_answer(body)
    log = AnyLog()
    log.read(body)
    log.answer.ended = True
    return log.answer


class AnyLog(EventLog):
    """Hands each event to the log of the form it has; what has none is asked for its usage."""

    def __init__(self, answer: Answer | None = None) -> None:
        super().__init__(answer)
        self._anthropic = AnthropicLog(self.answer)
        self._gemini = GeminiLog(self.answer)
        self._responses = ResponsesLog(self.answer)
        self._ollama = OllamaLog(self.answer)
        self.shape: EventLog | None = None
        """The log that knew the last event by its form."""
        self._from_cohere = False

    def read(self, event: dict[str, Any]) -> None:
        kind = text(event.get("type"))
        if kind.startswith("response."):
            self.shape = self._responses
        elif kind.startswith(("message_", "content_block_")):
            self.shape = self._anthropic
        elif "candidates" in event or "usageMetadata" in event:
            self.shape = self._gemini
        elif "done" in event and "created_at" in event:
            self.shape = self._ollama
        else:
            self._from_cohere = self._from_cohere or kind.startswith(("message-", "content-"))
            self._cohere(event)
            return
        self.shape.read(event)

    def end(self, stop: Stop, usage: Usage, usage_wanted: bool) -> Ending | None:
        if self.shape is not None:
            return self.shape.end(stop, usage, usage_wanted)
        if not self._from_cohere:
            return None
        if self.answer.ended:
            return []
        tokens = {"input_tokens": usage.input_tokens or 0, "output_tokens": usage.output_tokens or 0}
        delta = {"finish_reason": "MAX_TOKENS", "usage": {"billed_units": tokens, "tokens": tokens}}
        return [{"type": "message-end", "id": self.answer.id, "delta": delta, "tokenomics": stop.told()}]

    def _cohere(self, event: dict[str, Any]) -> None:
        """Cohere's forms, streamed and whole; elsewhere the same names mean the same."""
        answer = self.answer
        delta = mapping(event.get("delta"))
        message = mapping(delta.get("message")) or mapping(event.get("message"))
        parts = message.get("content")
        for part in parts if isinstance(parts, list) else [parts]:
            answer.add_text(text(mapping(part).get("text")))
        answer.id = answer.id or text(event.get("id"))
        answer.model = answer.model or text(event.get("model"))
        reason = text(event.get("finish_reason")) or text(delta.get("finish_reason"))
        if reason:
            answer.finish_reason = reason
            answer.ended = True
        update(answer.usage, find_usage(event))
        update(answer.usage, find_usage(delta))
