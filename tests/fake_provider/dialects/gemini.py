"""Google's Gemini API, also under the paths of Vertex AI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.fake_provider import billing
from tests.fake_provider.answers import Answer, compose, last_text
from tests.fake_provider.call import Call, Event, Reply, to_json
from tests.fake_provider.dialects.openai_other import embedding
from tests.fake_provider.errors import ProviderError
from tests.fake_provider.records import Bill


def generate(call: Call) -> Reply:
    answer, bill = _answer(call)
    value = _chunk(call, _parts(answer), _finish(answer))
    if call.manner.usage != "none":
        value["usageMetadata"] = usage(call, bill)
    return Reply.of(value, bill)


def stream_generate(call: Call) -> Reply:
    """Server-sent events with alt=sse, else one JSON array that grows."""
    answer, bill = _answer(call)
    chunks = _chunks(call, answer, bill)
    if call.query.get("alt") == "sse":
        events = (Event(b"data: " + to_json(value) + b"\r\n\r\n", tokens) for value, tokens in chunks)
        return Reply(content_type="text/event-stream", events=events, bill=bill)
    return Reply(content_type="application/json; charset=UTF-8", events=_array(chunks), bill=bill)


def count_tokens(call: Call) -> Reply:
    body = member(call.body, "generateContentRequest") or call.body
    return Reply.of({"totalTokens": _input_tokens(body), "totalBilledCharacters": 0})


def embed(call: Call) -> Reply:
    """One content with embedContent, several with batchEmbedContents."""
    several = call.path.endswith(":batchEmbedContents")
    requests = call.body.get("requests", []) if several else [call.body]
    texts = [last_text((request.get("content") or {}).get("parts")) for request in requests]
    values = [{"values": embedding(text)} for text in texts]
    bill = Bill(billing.input_tokens(texts))
    return Reply.of({"embeddings": values} if several else {"embedding": values[0]}, bill)


def models(call: Call) -> Reply:
    methods = ["generateContent", "countTokens"]
    names = ["gemini-2.5-flash", "gemini-2.5-pro"]
    values = [{"name": f"models/{name}", "supportedGenerationMethods": methods} for name in names]
    return Reply.of({"models": values})


def _answer(call: Call) -> tuple[Answer, Bill]:
    body = call.body
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        raise ProviderError(400, "* GenerateContentRequest.contents: contents is not specified")
    config = member(body, "generationConfig") or {}
    parts = contents[-1].get("parts") or []
    results = [part["functionResponse"] for part in parts if "functionResponse" in part]
    asked = json.dumps(results[-1].get("response")) if results else last_text(parts)
    functions = [
        (
            function.get("name", ""),
            function.get("parameters") or member(function, "parametersJsonSchema") or {},
        )
        for tool in body.get("tools") or []
        for function in member(tool, "functionDeclarations") or []
    ]
    tools = None if results else functions
    answer = compose(asked, call.manner, limit=member(config, "maxOutputTokens"), tools=tools)
    thoughts = billing.REASONING_TOKENS if member(config, "thinkingConfig") else 0
    bill = Bill(_input_tokens(body), answer.tokens + thoughts, reasoning_tokens=thoughts)
    if name := member(body, "cachedContent"):
        bill.cached_input_tokens = billing.tokens(name)
        bill.input_tokens += bill.cached_input_tokens
    return answer, bill


def member(value: dict[str, Any], name: str) -> Any:
    """The member under its name in camel case or in snake case: Google takes both, and its SDK sends both."""
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return value.get(name, value.get(snake))


def _input_tokens(body: dict[str, Any]) -> int:
    texts = [content.get("parts") for content in body.get("contents") or []]
    system = (member(body, "systemInstruction") or {}).get("parts")
    return billing.input_tokens(texts, system, body.get("tools"))


def usage(call: Call, bill: Bill) -> dict[str, Any]:
    """Gemini's own way: candidates leave out the thoughts, the prompt includes what was cached."""
    bill = Bill() if call.manner.usage == "zero" else bill
    value = {
        "promptTokenCount": bill.input_tokens,
        "candidatesTokenCount": bill.output_tokens - bill.reasoning_tokens,
        "totalTokenCount": bill.input_tokens + bill.output_tokens,
    }
    if bill.reasoning_tokens:
        value["thoughtsTokenCount"] = bill.reasoning_tokens
    if bill.cached_input_tokens:
        value["cachedContentTokenCount"] = bill.cached_input_tokens
    return value


def _chunks(call: Call, answer: Answer, bill: Bill) -> Iterator[tuple[dict[str, Any], int]]:
    """Usage stands in every chunk and grows, as Gemini sends it."""
    if answer.tool:
        groups = [(_parts(answer), answer.tokens)]
    else:
        groups = [([{"text": piece}], billing.tokens(piece)) for piece in answer.pieces]
    sent = bill.reasoning_tokens
    for number, (parts, tokens) in enumerate(groups):
        last = number == len(groups) - 1
        if last and not call.manner.ending:
            return
        sent += tokens
        value = _chunk(call, parts, _finish(answer) if last else "")
        if call.manner.usage != "none":
            so_far = Bill(bill.input_tokens, sent, bill.cached_input_tokens, 0, bill.reasoning_tokens)
            value["usageMetadata"] = usage(call, so_far)
        yield value, tokens + (bill.reasoning_tokens if number == 0 else 0)


def _array(chunks: Iterator[tuple[dict[str, Any], int]]) -> Iterator[Event]:
    opening = b"["
    for value, tokens in chunks:
        yield Event(opening + json.dumps(value, ensure_ascii=False, indent=2).encode(), tokens)
        opening = b",\r\n"
    yield Event(b"]" if opening != b"[" else b"[]")


def _chunk(call: Call, parts: list[dict[str, Any]], finish: str) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "modelVersion": call.model,
        "responseId": f"gem-{call.number:06d}",
    }


def _parts(answer: Answer) -> list[dict[str, Any]]:
    if not answer.tool:
        return [{"text": answer.text}]
    arguments = {} if answer.cut else json.loads(answer.tool.arguments)
    return [{"functionCall": {"name": answer.tool.name, "args": arguments}}]


def _finish(answer: Answer) -> str:
    return "MAX_TOKENS" if answer.cut else "STOP"
