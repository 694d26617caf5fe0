"""Anthropic's Messages API and its token count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.fake_provider import billing
from tests.fake_provider.answers import Answer, compose, last_text
from tests.fake_provider.call import Call, Event, Reply, to_json
from tests.fake_provider.errors import ProviderError, ids
from tests.fake_provider.records import Bill


def messages(call: Call) -> Reply:
    body = call.body
    _check(call)
    if not isinstance(body.get("max_tokens"), int):
        raise ProviderError(400, "max_tokens: Field required")
    last = body["messages"][-1]
    blocks = last["content"] if isinstance(last.get("content"), list) else []
    results = [block for block in blocks if block.get("type") == "tool_result"]
    tools = [(tool.get("name", ""), tool.get("input_schema") or {}) for tool in body.get("tools") or []]
    answer = compose(
        last_text(last.get("content")),
        call.manner,
        limit=body["max_tokens"],
        tools=None if results else tools,
    )
    bill = _bill(call, answer)
    headers = ids(call, "anthropic")
    if body.get("stream") is True:
        events = _events(call, answer, bill)
        return Reply(content_type="text/event-stream", events=events, headers=headers, bill=bill)
    value = {
        **_message(call),
        "content": [_block(call, answer)],
        "stop_reason": _stop_reason(answer),
    }
    if call.manner.usage != "none":
        value["usage"] = usage(call, bill)
    return Reply.of(value, bill, headers=headers)


def count_tokens(call: Call) -> Reply:
    """Counts, and costs nothing."""
    _check(call)
    return Reply.of({"input_tokens": _input_tokens(call.body)}, headers=ids(call, "anthropic"))


def _check(call: Call) -> None:
    if not call.header("anthropic-version"):
        raise ProviderError(400, "anthropic-version: header is required")
    if not isinstance(call.body.get("messages"), list) or not call.body["messages"]:
        raise ProviderError(400, "messages: Field required")


def _events(call: Call, answer: Answer, bill: Bill) -> Iterator[Event]:
    manner = call.manner
    start = _message(call)
    if manner.usage != "none":
        start["usage"] = {**usage(call, bill), "output_tokens": min(1, bill.output_tokens)}
    yield _event("message_start", {"message": start})
    block = {**_block(call, answer), "input": {}} if answer.tool else {"type": "text", "text": ""}
    yield _event("content_block_start", {"index": 0, "content_block": block})
    yield _event("ping", {})
    for piece in answer.pieces:
        delta = {"type": "text_delta", "text": piece}
        if answer.tool:
            delta = {"type": "input_json_delta", "partial_json": piece}
        yield _event("content_block_delta", {"index": 0, "delta": delta}, billing.tokens(piece))
    if not manner.ending:
        return
    yield _event("content_block_stop", {"index": 0})
    end: dict[str, Any] = {"delta": {"stop_reason": _stop_reason(answer), "stop_sequence": None}}
    if manner.usage != "none":
        end["usage"] = {"output_tokens": usage(call, bill)["output_tokens"]}
    yield _event("message_delta", end)
    yield _event("message_stop", {})


def _event(kind: str, value: dict[str, Any], tokens: int = 0) -> Event:
    return Event(b"event: %b\ndata: %b\n\n" % (kind.encode(), to_json({"type": kind, **value})), tokens)


def _bill(call: Call, answer: Answer) -> Bill:
    """Texts marked with cache_control are written to the cache at first, and read from it afterwards."""
    read = written = 0
    for text in _marked_texts(call.body):
        if text in call.state.seen:
            read += billing.tokens(text)
        else:
            written += billing.tokens(text)
            call.state.seen.add(text)
    return Bill(
        _input_tokens(call.body),
        answer.tokens,
        cached_input_tokens=read,
        cache_creation_tokens=written,
    )


def _input_tokens(body: dict[str, Any]) -> int:
    contents = [message.get("content") for message in body["messages"]]
    return billing.input_tokens(contents, body.get("system"), body.get("tools"))


def _marked_texts(body: dict[str, Any]) -> Iterator[str]:
    places = [body.get("system"), *(message.get("content") for message in body["messages"])]
    for place in places:
        for block in place if isinstance(place, list) else []:
            if isinstance(block, dict) and block.get("cache_control") and isinstance(block.get("text"), str):
                yield block["text"]


def usage(call: Call, bill: Bill) -> dict[str, Any]:
    """Anthropic's own way: input_tokens leaves out what was read from or written to the cache."""
    bill = Bill() if call.manner.usage == "zero" else bill
    return {
        "input_tokens": bill.input_tokens - bill.cached_input_tokens - bill.cache_creation_tokens,
        "cache_creation_input_tokens": bill.cache_creation_tokens,
        "cache_read_input_tokens": bill.cached_input_tokens,
        "output_tokens": bill.output_tokens,
        "service_tier": "standard",
    }


def _message(call: Call) -> dict[str, Any]:
    return {
        "id": f"msg_{call.number:06d}",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _block(call: Call, answer: Answer) -> dict[str, Any]:
    if not answer.tool:
        return {"type": "text", "text": answer.text}
    arguments = {} if answer.cut else json.loads(answer.tool.arguments)
    return {
        "type": "tool_use",
        "id": f"toolu_{call.number:06d}",
        "name": answer.tool.name,
        "input": arguments,
    }


def _stop_reason(answer: Answer) -> str:
    if answer.cut:
        return "max_tokens"
    return "tool_use" if answer.tool else "end_turn"
