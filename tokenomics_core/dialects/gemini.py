"""Google's Gemini API, at Google AI and on Vertex: the model and the verb stand in the path.

Google's JSON takes every name in camel case and in snake case, and one object for an array of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qs

import orjson

from tokenomics_core.dialects.base import Answer, Dialect, Framing, Prompt, StreamReader
from tokenomics_core.dialects.errors import gemini_error
from tokenomics_core.dialects.paths import BEFORE_VERB, named_model, renamed_model
from tokenomics_core.dialects.prompts import said_by_model, split
from tokenomics_core.dialects.reading import EventLog, EventReader
from tokenomics_core.dialects.texts import PER_MESSAGE, PER_REQUEST, dumped, items, objects
from tokenomics_core.dialects.usage import gemini_usage, mapping, text, update
from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal

_PART_TEXTS = (
    ("functionCall", "function_call", "args"),
    ("functionResponse", "function_response", "response"),
    ("executableCode", "executable_code", "code"),
    ("codeExecutionResult", "code_execution_result", "output"),
)


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

    def read(self, event: dict[str, Any]) -> None:
        answer = self.answer
        answer.id = answer.id or text(event.get("responseId"))
        answer.model = answer.model or text(event.get("modelVersion"))
        for candidate in objects(event.get("candidates")):
            for part in objects(mapping(candidate.get("content")).get("parts")):
                for piece in _part_texts(part):
                    answer.add_text(piece)
            if reason := text(candidate.get("finishReason")):
                answer.finish_reason = reason
                answer.ended = True
        blocked = text(mapping(event.get("promptFeedback")).get("blockReason"))
        if blocked and not answer.finish_reason:
            answer.finish_reason = blocked
            answer.ended = True
        if isinstance(raw := event.get("usageMetadata"), dict):
            update(answer.usage, gemini_usage(raw))


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
