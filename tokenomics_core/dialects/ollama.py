"""Ollama's own API: lines of JSON, streamed unless the client says otherwise."""

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
from tokenomics_core.dialects.caps import lowered, named
from tokenomics_core.dialects.errors import ollama_error
from tokenomics_core.dialects.media import OLLAMA, media_tokens
from tokenomics_core.dialects.prompts import in_front, prepend_to_array, split
from tokenomics_core.dialects.reading import Ending, EventLog, EventReader
from tokenomics_core.dialects.texts import (
    PER_MESSAGE,
    PER_REQUEST,
    chat_message,
    dumped,
    objects,
    strings,
    tool_call,
)
from tokenomics_core.dialects.usage import mapping, ollama_usage, text, update
from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal

_READ_HERE = frozenset(["model", "messages", "prompt", "system", "stream", "raw", "options"])


class OllamaDialect(Dialect):
    """Base of ``/api/chat`` and ``/api/generate``."""

    def model(self, path: str, query: str, body: JsonBody | None) -> str:
        """Raises Refusal for ``Model``: Ollama reads names in any case, and the last one counts."""
        for key in body.value if body is not None else ():
            if key not in _READ_HERE and key.lower() in _READ_HERE:
                raise Refusal(400, "invalid_request", f"write {key.lower()} in lower case")
        return super().model(path, query, body)

    def is_stream(self, path: str, query: str, body: JsonBody | None) -> bool:
        return body is not None and body.value.get("stream") is not False

    def framing(self, path: str, query: str) -> Framing:
        return "ndjson"

    def output_cap(self, path: str, body: JsonBody, model: str) -> OutputCap:
        """What the model thinks is shown. A negative cap is none."""
        return OutputCap(asked=named(mapping(body.value.get("options")), "num_predict"))

    def set_output_cap(self, body: JsonBody, model: str, tokens: int) -> None:
        options = body.value.get("options")
        if options is None or isinstance(options, dict):
            options = options or {}
            body.set("options", {**options, **lowered(options, tokens, "num_predict")})

    def media_tokens(self, body: JsonBody) -> int:
        return media_tokens([body.value.get("messages"), {"images": body.value.get("images")}], OLLAMA)

    def read_answer(self, body: dict[str, Any]) -> Answer:
        log = OllamaLog()
        log.read(body)
        log.answer.ended = True
        return log.answer

    def stream_reader(self, framing: Framing, *, hide_usage: bool = False) -> StreamReader:
        return EventReader(framing, OllamaLog(), self.read_answer)

    def error_body(self, refusal: Refusal, request_id: str) -> bytes:
        return orjson.dumps(ollama_error(refusal))

    def error_event(self, refusal: Refusal, request_id: str, framing: Framing) -> bytes:
        return self.error_body(refusal, request_id) + b"\n"


class OllamaChat(OllamaDialect):
    name: ClassVar[str] = "ollama_chat"
    operation: ClassVar[str] = "chat"

    def input_texts(self, body: JsonBody) -> Iterator[str]:
        for message in objects(body.value.get("messages")):
            yield from chat_message({name: value for name, value in message.items() if name != "images"})
        yield from dumped(body.value.get("tools"))

    def input_overhead(self, body: JsonBody) -> int:
        return PER_REQUEST + PER_MESSAGE * len(objects(body.value.get("messages")))

    def add_prompts(self, body: JsonBody, prompts: Sequence[Prompt]) -> None:
        turns = [{"role": prompt.role or "system", "content": prompt.content} for prompt in prompts]
        prepend_to_array(body, "messages", turns)


class OllamaGenerate(OllamaDialect):
    name: ClassVar[str] = "ollama_generate"
    operation: ClassVar[str] = "text_completion"

    def input_texts(self, body: JsonBody) -> Iterator[str]:
        for name in ("system", "prompt", "suffix"):
            yield from strings(body.value.get(name))

    def add_prompts(self, body: JsonBody, prompts: Sequence[Prompt]) -> None:
        """System prompts go to ``system``, the others in front of the prompt; in raw mode all of them do."""
        instructions, turns = split(prompts)
        texts = [turn.content for turn in turns]
        if body.value.get("raw") is True:
            instructions, texts = [], [prompt.content for prompt in prompts]
        for key, given in (("system", instructions), ("prompt", texts)):
            if given:
                body.set(key, in_front(given, text(body.value.get(key))))

    def stream_reader(self, framing: Framing, *, hide_usage: bool = False) -> StreamReader:
        return EventReader(framing, OllamaLog(chat=False), self.read_answer)


class OllamaLog(EventLog):
    """Each line says a little; the last one, marked done, counts."""

    def __init__(self, answer: Answer | None = None, *, chat: bool = True) -> None:
        super().__init__(answer)
        self._chat = chat
        self._last: dict[str, Any] = {}

    def read(self, event: dict[str, Any]) -> None:
        answer = self.answer
        self._last = event
        answer.model = answer.model or text(event.get("model"))
        message = mapping(event.get("message"))
        for said in (event, message):
            answer.add_text(text(said.get("thinking")))
        answer.add_text(text(message.get("content")))
        answer.add_text(text(event.get("response")))
        for call in objects(message.get("tool_calls")):
            for piece in tool_call(call):
                answer.add_text(piece)
        if event.get("done") is True:
            answer.finish_reason = text(event.get("done_reason"))
            answer.ended = True
            update(answer.usage, ollama_usage(event))

    def end(self, stop: Stop, usage: Usage, usage_wanted: bool) -> Ending | None:
        if self.answer.ended:
            return []
        chat = "message" in self._last or (self._chat and "response" not in self._last)
        silence: dict[str, Any] = (
            {"message": {"role": "assistant", "content": ""}} if chat else {"response": ""}
        )
        line: dict[str, Any] = {
            "model": self.answer.model,
            "created_at": text(self._last.get("created_at")) or "1970-01-01T00:00:00Z",
            **silence,
            "done": True,
            "done_reason": "length",
            "prompt_eval_count": usage.input_tokens or 0,
            "eval_count": usage.output_tokens or 0,
            "tokenomics": stop.told(),
        }
        return [line]
