"""Google's Gemini API, at Google AI and on Vertex: the model and the verb stand in the path.

Google's JSON takes every name in camel case and in snake case, and one object for an array of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qs

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
from tokenomics_core.dialects.errors import gemini_error
from tokenomics_core.dialects.media import GEMINI, GEMINI_LOW, media_tokens
from tokenomics_core.dialects.paths import BEFORE_VERB, named_model, renamed_model
from tokenomics_core.dialects.prompts import said_by_model, split
from tokenomics_core.dialects.reading import Ending, EventLog, EventReader
from tokenomics_core.dialects.reasoning import gemini_thinks
from tokenomics_core.dialects.texts import PER_MESSAGE, PER_REQUEST, dumped, items, objects
from tokenomics_core.dialects.usage import count, gemini_usage, mapping, text, update
from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal

_PART_TEXTS = (
    ("functionCall", "function_call", "args"),
    ("functionResponse", "function_response", "response"),
    ("executableCode", "executable_code", "code"),
    ("codeExecutionResult", "code_execution_result", "output"),
)


_CONFIGS = ("generationConfig", "generation_config")
_CAPS = ("maxOutputTokens", "max_output_tokens")


class GeminiDialect(Dialect):
    """Base of Gemini's verbs: the model in the path, Google's errors."""

    def model(self, path: str, query: str, body: JsonBody | None) -> str:
        return named_model(BEFORE_VERB, path)

    def set_model(self, path: str, body: JsonBody | None, model: str) -> str:
        return renamed_model(BEFORE_VERB, path, model)

    def is_stream(self, path: str, query: str, body: JsonBody | None) -> bool:
        return False

    def input_texts(self, body: JsonBody) -> Iterator[str]:
        yield from request_texts(body.value)

    def read_answer(self, body: dict[str, Any]) -> Answer:
        return Answer(usage=gemini_usage(mapping(body.get("usageMetadata"))), ended=True)

    def stream_reader(self, framing: Framing, *, hide_usage: bool = False) -> StreamReader:
        return EventReader(framing, GeminiLog(), self.read_answer)

    def error_body(self, refusal: Refusal, request_id: str) -> bytes:
        return orjson.dumps(gemini_error(refusal))

    def error_event(self, refusal: Refusal, request_id: str, framing: Framing) -> bytes:
        body = self.error_body(refusal, request_id)
        # In the array form something was sent before: an answer is not refused before its first element.
        return b"," + body + b"]" if framing == "json_array" else b"data: " + body + b"\n\n"


class Gemini(GeminiDialect):
    """generateContent and streamGenerateContent."""

    name: ClassVar[str] = "gemini"
    operation: ClassVar[str] = "generate_content"

    def is_stream(self, path: str, query: str, body: JsonBody | None) -> bool:
        return "streamgeneratecontent" in path.lower()

    def framing(self, path: str, query: str) -> Framing:
        asked = parse_qs(query)
        return "sse" if "sse" in asked.get("alt", []) + asked.get("$alt", []) else "json_array"

    def input_overhead(self, body: JsonBody) -> int:
        return PER_REQUEST + PER_MESSAGE * len(objects(body.value.get("contents")))

    def add_prompts(self, body: JsonBody, prompts: Sequence[Prompt]) -> None:
        instructions, turns = split(prompts)
        if instructions:
            _add_to_system(body, instructions)
        if turns:
            contents = body.value.get("contents")
            said: list[Any] = [
                {"role": "model" if said_by_model(turn) else "user", "parts": [{"text": turn.content}]}
                for turn in turns
            ]
            if isinstance(contents, list):
                body.prepend("contents", said)
            else:
                body.set("contents", [*said, *items(contents)])

    def output_cap(self, path: str, body: JsonBody, model: str) -> OutputCap:
        """Thoughts are billed and not shown; pictures and sound are output without being text."""
        configs = [mapping(body.value.get(name)) for name in _CONFIGS]
        asked = [cap for config in configs if (cap := named(config, *_CAPS)) is not None]
        tries = [count(member(config, "candidateCount")) or 1 for config in configs]
        return OutputCap(
            asked=max(asked, default=None),
            choices=max(1, *tries),
            hidden=gemini_thinks(configs, model) or any(map(_other_than_text, configs)),
        )

    def set_output_cap(self, body: JsonBody, model: str, tokens: int) -> None:
        """In the client's own spelling; what stands in both is lowered in both."""
        asked = self.output_cap("", body, model).asked
        most = tokens if asked is None else min(tokens, asked)
        standing = [name for name in _CONFIGS if body.value.get(name) is not None] or [_CONFIGS[0]]
        for name in standing:
            config = body.value.get(name, {})
            if isinstance(config, dict):
                own = [cap for cap in _CAPS if config.get(cap) is not None]
                own = own or [_CAPS[name == _CONFIGS[1]]]
                body.set(name, {**config, **lowered(config, most, *own)})

    def media_tokens(self, body: JsonBody) -> int:
        resolution = text(member(mapping(member(body.value, "generationConfig")), "mediaResolution"))
        rates = GEMINI_LOW if resolution.endswith("_LOW") else GEMINI
        system = member(body.value, "systemInstruction")
        return media_tokens([body.value.get("contents"), system], rates)

    def read_answer(self, body: dict[str, Any]) -> Answer:
        log = GeminiLog()
        log.read(body)
        log.answer.ended = True
        return log.answer


class GeminiCountTokens(GeminiDialect):
    """Counts what a request would take, for nothing."""

    name: ClassVar[str] = "gemini_count_tokens"
    operation: ClassVar[str] = "count_tokens"
    counts_tokens: ClassVar[bool] = False

    def add_prompts(self, body: JsonBody, prompts: Sequence[Prompt]) -> None:
        """Not injected: the count is of the client's own words."""

    def read_answer(self, body: dict[str, Any]) -> Answer:
        return Answer(ended=True)


class GeminiEmbeddings(GeminiDialect):
    """embedContent and batchEmbedContents."""

    name: ClassVar[str] = "gemini_embeddings"
    operation: ClassVar[str] = "embeddings"

    def add_prompts(self, body: JsonBody, prompts: Sequence[Prompt]) -> None:
        """Not injected: there is nobody to read them."""


class GeminiLog(EventLog):
    """Each chunk says the usage so far; the last word counts."""

    def __init__(self, answer: Answer | None = None) -> None:
        super().__init__(answer)
        self._begun: set[int] = set()
        self._finished: set[int] = set()

    def read(self, event: dict[str, Any]) -> None:
        answer = self.answer
        answer.id = answer.id or text(event.get("responseId"))
        answer.model = answer.model or text(event.get("modelVersion"))
        for candidate in objects(event.get("candidates")):
            for part in objects(mapping(candidate.get("content")).get("parts")):
                for piece in _part_texts(part):
                    answer.add_text(piece)
            index = count(candidate.get("index")) or 0
            self._begun.add(index)
            if reason := text(candidate.get("finishReason")):
                answer.finish_reason = reason
                answer.ended = True
                self._finished.add(index)
        blocked = text(mapping(event.get("promptFeedback")).get("blockReason"))
        if blocked and not answer.finish_reason:
            answer.finish_reason = blocked
            answer.ended = True
        if isinstance(raw := event.get("usageMetadata"), dict):
            update(answer.usage, gemini_usage(raw))

    def end(self, stop: Stop, usage: Usage, usage_wanted: bool) -> Ending | None:
        """One more chunk, in which each open candidate reaches its limit."""
        answer = self.answer
        indexes = sorted(self._begun - self._finished) if self._begun else [0]
        if not indexes or (answer.ended and not self._begun):
            return []
        why = f"{stop.code}: {stop.message}"
        inputs, outputs, thought = usage.input_tokens, usage.output_tokens or 0, usage.reasoning_tokens or 0
        chunk = {
            "candidates": [
                {
                    "content": {"parts": [{"text": ""}], "role": "model"},
                    "finishReason": "MAX_TOKENS",
                    "finishMessage": why,
                    "index": index,
                }
                for index in indexes
            ],
            "usageMetadata": {
                "promptTokenCount": inputs or 0,
                "candidatesTokenCount": max(0, outputs - thought),
                "thoughtsTokenCount": thought,
                "totalTokenCount": (inputs or 0) + outputs,
            },
            "modelVersion": answer.model,
            "responseId": answer.id or "tokenomics",
            # The one member with words that google-genai hands on from Google AI.
            "modelStatus": {"message": why},
            "tokenomics": stop.told(),
        }
        return [chunk]


def member(value: dict[str, Any], name: str) -> Any:
    """A member by its camel case or its snake case name."""
    found = value.get(name)
    return value.get(_snake(name)) if found is None else found


def request_texts(value: dict[str, Any]) -> Iterator[str]:
    """The texts of a generate, count or embed request."""
    for content in (member(value, "systemInstruction"), *items(value.get("contents")), value.get("content")):
        yield from _content_texts(content)
    yield from dumped(value.get("tools"))
    config = mapping(member(value, "generationConfig"))
    for name in ("responseSchema", "responseJsonSchema"):
        yield from dumped(member(config, name))
    for request in (member(value, "generateContentRequest"), *items(value.get("requests"))):
        if isinstance(request, dict):
            yield from request_texts(request)


def _content_texts(content: Any) -> Iterator[str]:
    for part in objects(mapping(content).get("parts")):
        yield from _part_texts(part)


def _part_texts(part: dict[str, Any]) -> Iterator[str]:
    """The texts of one part: what is said, code, calls and their results; not inline data."""
    if said := text(part.get("text")):
        yield said
    for name, snake, inner in _PART_TEXTS:
        value = part.get(name) or part.get(snake)
        if isinstance(value, dict):
            if called := text(value.get("name")):
                yield called
            body = value.get(inner)
            if isinstance(body, str):
                yield body
            else:
                yield from dumped(body)


def _other_than_text(config: dict[str, Any]) -> bool:
    asked = items(member(config, "responseModalities"))
    return any(text(each).upper() != "TEXT" for each in asked)


def _add_to_system(body: JsonBody, instructions: Sequence[str]) -> None:
    key = "systemInstruction"
    if body.value.get(key) is None and body.value.get(_snake(key)) is not None:
        key = _snake(key)
    system = body.value.get(key)
    if isinstance(system, str):
        system = {"parts": [{"text": system}]}
    if not (system is None or isinstance(system, dict)):
        raise Refusal(400, "invalid_request", f"{key} must be an object")
    system = system or {}
    parts = [{"text": instruction} for instruction in instructions]
    body.set(key, {**system, "parts": [*parts, *items(system.get("parts"))]})


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
