"""Ollama's native API: lines of JSON, streamed unless the client says otherwise, and no key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.fake_provider import billing
from tests.fake_provider.answers import Answer, compose, last_text
from tests.fake_provider.call import Call, Event, Reply, to_json
from tests.fake_provider.errors import ProviderError
from tests.fake_provider.records import Bill

CREATED_AT = "2025-06-15T00:00:00Z"


def chat(call: Call) -> Reply:
    messages = call.body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ProviderError(400, "messages is required")
    last = messages[-1]
    functions = [tool.get("function", {}) for tool in call.body.get("tools") or []]
    tools = [(function.get("name", ""), function.get("parameters") or {}) for function in functions]
    answer = compose(
        last_text(last.get("content")),
        call.manner,
        limit=_limit(call),
        tools=tools if last.get("role") == "user" else None,
    )
    return _reply(call, answer, Bill(billing.input_tokens(messages, call.body.get("tools")), answer.tokens))


def generate(call: Call) -> Reply:
    prompt = str(call.body.get("prompt", ""))
    answer = compose(prompt, call.manner, limit=_limit(call))
    return _reply(call, answer, Bill(billing.input_tokens(prompt, call.body.get("system")), answer.tokens))


def tags(call: Call) -> Reply:
    return Reply.of({"models": [{"name": "llama3.2", "model": "llama3.2"}]})


def embed(call: Call) -> Reply:
    given = call.body.get("input", "")
    texts = given if isinstance(given, list) else [given]
    bill = Bill(billing.input_tokens(texts))
    value = {"model": call.model, "embeddings": [[0.5, -0.5] for _ in texts]}
    return Reply.of({**value, "prompt_eval_count": bill.input_tokens}, bill)


def _limit(call: Call) -> int | None:
    return (call.body.get("options") or {}).get("num_predict")


def _reply(call: Call, answer: Answer, bill: Bill) -> Reply:
    if call.body.get("stream", True):
        lines = _lines(call, answer, bill)
        return Reply(content_type="application/x-ndjson", events=lines, bill=bill)
    return Reply.of({**_said(call, answer, answer.text), **_end(call, answer, bill)}, bill)


def _lines(call: Call, answer: Answer, bill: Bill) -> Iterator[Event]:
    for piece in [""] if answer.tool else answer.pieces:
        value = {**_said(call, answer, piece), "done": False}
        tokens = answer.tokens if answer.tool else billing.tokens(piece)
        yield Event(to_json(value) + b"\n", tokens)
    if call.manner.ending:
        value = {**_said(call, Answer([]), ""), **_end(call, answer, bill)}
        yield Event(to_json(value) + b"\n")


def _said(call: Call, answer: Answer, text: str) -> dict[str, Any]:
    head = {"model": call.model, "created_at": CREATED_AT}
    if call.path.endswith("/generate"):
        return {**head, "response": text}
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if answer.tool:
        function = {"name": answer.tool.name, "arguments": json.loads(answer.tool.arguments)}
        message = {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}
    return {**head, "message": message}


def _end(call: Call, answer: Answer, bill: Bill) -> dict[str, Any]:
    value: dict[str, Any] = {"done": True, "done_reason": "length" if answer.cut else "stop"}
    if call.manner.usage != "none":
        bill = Bill() if call.manner.usage == "zero" else bill
        value |= {"prompt_eval_count": bill.input_tokens, "eval_count": bill.output_tokens}
    return value
