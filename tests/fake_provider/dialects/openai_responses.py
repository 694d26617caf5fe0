"""OpenAI's Responses API: JSON, SSE, and the events that its WebSocket sends as frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.fake_provider import billing
from tests.fake_provider.answers import Answer, compose, last_text
from tests.fake_provider.call import Call, Event, Manner, Reply, to_json
from tests.fake_provider.dialects.openai_chat import CREATED, cached
from tests.fake_provider.errors import ProviderError, ids
from tests.fake_provider.records import Bill

# An event as plain data, and the tokens it costs.
Step = tuple[dict[str, Any], int]


def responses(call: Call) -> Reply:
    response, answer, bill = begin(call, call.body, call.manner, f"resp_{call.number:06d}")
    if call.body.get("stream") is True:
        events = _sse(steps(response, answer, bill, call.manner))
        return Reply(content_type="text/event-stream", events=events, headers=ids(call, "openai"), bill=bill)
    return Reply.of(ended(response, answer, bill, call.manner), bill, headers=ids(call, "openai"))


def retrieve(call: Call) -> Reply:
    name = call.path.rsplit("/", 1)[-1]
    if name not in call.state.responses:
        raise ProviderError(404, f"Response with id '{name}' not found.")
    return Reply.of(call.state.responses[name], headers=ids(call, "openai"))


def begin(
    call: Call, body: dict[str, Any], manner: Manner, response_id: str
) -> tuple[dict[str, Any], Answer, Bill]:
    """The response object as it begins, what will be said, and what that costs."""
    if "input" not in body and "prompt" not in body:
        raise ProviderError(400, "Missing required parameter: 'input'.", "missing_required_parameter")
    given = body.get("input", "")
    last = (given or [""])[-1] if isinstance(given, list) else given
    functions = [
        (tool.get("name", ""), tool.get("parameters") or {})
        for tool in body.get("tools") or []
        if tool.get("type") == "function"
    ]
    from_user = not isinstance(last, dict) or last.get("role") == "user"
    asked = last_text(last if from_user else last.get("output") or last)
    answer = compose(
        asked, manner, limit=body.get("max_output_tokens"), tools=functions if from_user else None
    )
    input_tokens = billing.input_tokens(body.get("instructions"), given, body.get("tools"))
    reasoning = billing.REASONING_TOKENS if (body.get("reasoning") or {}).get("effort") else 0
    if body.get("generate") is False:
        answer, reasoning = Answer([]), 0
    bill = Bill(
        input_tokens,
        answer.tokens + reasoning,
        cached_input_tokens=cached(call, input_tokens),
        reasoning_tokens=reasoning,
    )
    response = {
        "id": response_id,
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata") or {},
        "model": body.get("model", ""),
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "temperature": 1.0,
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "usage": None,
    }
    call.state.responses[response_id] = response
    return response, answer, bill


def ended(response: dict[str, Any], answer: Answer, bill: Bill, manner: Manner) -> dict[str, Any]:
    """The response object when all is said."""
    response["status"] = "incomplete" if answer.cut else "completed"
    if answer.cut:
        response["incomplete_details"] = {"reason": "max_output_tokens"}
    response["output"] = [_item(response, answer, "completed")] if answer.pieces else []
    if manner.usage != "none":
        response["usage"] = usage(Bill() if manner.usage == "zero" else bill)
    return response


def usage(bill: Bill) -> dict[str, Any]:
    return {
        "input_tokens": bill.input_tokens,
        "input_tokens_details": {"cached_tokens": bill.cached_input_tokens, "cache_write_tokens": 0},
        "output_tokens": bill.output_tokens,
        "output_tokens_details": {"reasoning_tokens": bill.reasoning_tokens},
        "total_tokens": bill.input_tokens + bill.output_tokens,
    }


def steps(response: dict[str, Any], answer: Answer, bill: Bill, manner: Manner) -> Iterator[Step]:
    """All events of a streamed response, numbered."""
    for number, (event, tokens) in enumerate(_steps(response, answer, bill, manner)):
        yield {**event, "sequence_number": number}, tokens


def _steps(response: dict[str, Any], answer: Answer, bill: Bill, manner: Manner) -> Iterator[Step]:
    yield {"type": "response.created", "response": dict(response)}, 0
    yield {"type": "response.in_progress", "response": dict(response)}, bill.reasoning_tokens
    if answer.pieces:
        yield from _item_steps(response, answer)
    if manner.ending:
        kind = "response.incomplete" if answer.cut else "response.completed"
        yield {"type": kind, "response": ended(response, answer, bill, manner)}, 0


def _item_steps(response: dict[str, Any], answer: Answer) -> Iterator[Step]:
    item = _item(response, answer, "in_progress")
    place = {"item_id": item["id"], "output_index": 0}
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}, 0
    if answer.tool:
        for piece in answer.pieces:
            delta = {"type": "response.function_call_arguments.delta", **place, "delta": piece}
            yield delta, billing.tokens(piece)
        done = {"type": "response.function_call_arguments.done", **place, "arguments": answer.text}
        yield {**done, "name": answer.tool.name}, 0
    else:
        place["content_index"] = 0
        empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        yield {"type": "response.content_part.added", **place, "part": empty}, 0
        for piece in answer.pieces:
            delta = {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
            yield delta, billing.tokens(piece)
        yield {"type": "response.output_text.done", **place, "text": answer.text, "logprobs": []}, 0
        yield {"type": "response.content_part.done", **place, "part": {**empty, "text": answer.text}}, 0
    whole = _item(response, answer, "completed")
    yield {"type": "response.output_item.done", "output_index": 0, "item": whole}, 0


def _item(response: dict[str, Any], answer: Answer, status: str) -> dict[str, Any]:
    serial = response["id"].removeprefix("resp_")
    whole = status == "completed"
    if answer.tool:
        call = {"id": f"fc_{serial}", "type": "function_call", "status": status, "call_id": f"call_{serial}"}
        return {**call, "name": answer.tool.name, "arguments": answer.text if whole else ""}
    text = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
    content = [text] if whole else []
    kind = {"id": f"msg_{serial}", "type": "message", "status": status, "role": "assistant"}
    return {**kind, "content": content}


def _sse(events: Iterator[Step]) -> Iterator[Event]:
    for event, tokens in events:
        yield Event(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), to_json(event)), tokens)
