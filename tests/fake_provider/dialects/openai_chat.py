"""OpenAI chat completions, as OpenAI and Azure answer them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.fake_provider import billing
from tests.fake_provider.answers import Answer, compose, last_text
from tests.fake_provider.call import Call, Event, Reply, to_json
from tests.fake_provider.errors import ProviderError, ids
from tests.fake_provider.records import Bill

CREATED = 1_750_000_000


def chat(call: Call) -> Reply:
    body = call.body
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ProviderError(400, "Missing required parameter: 'messages'.", "missing_required_parameter")
    stream = body.get("stream") is True
    if "stream_options" in body and not stream:
        raise ProviderError(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    last = messages[-1]
    answer = compose(
        last_text(last.get("content")),
        call.manner,
        limit=body.get("max_completion_tokens") or body.get("max_tokens"),
        tools=_functions(body) if last.get("role") == "user" else None,
    )
    choices = int(body.get("n") or 1)
    bill = _bill(call, answer, choices)
    if stream:
        events = _events(call, answer, choices, bill)
        return Reply(content_type="text/event-stream", events=events, headers=ids(call, "openai"), bill=bill)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.text,
        "refusal": None,
        "annotations": [],
    }
    if answer.tool:
        message |= {"content": None, "tool_calls": [_tool_call(call, answer)]}
    value = {
        **_frame(call, "chat.completion"),
        "choices": [
            {"index": index, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
            for index in range(choices)
        ],
        "service_tier": "default",
    }
    if call.manner.usage != "none":
        value["usage"] = usage(call, bill)
    return Reply.of(value, bill, headers=ids(call, "openai"))


def _events(call: Call, answer: Answer, choices: int, bill: Bill) -> Iterator[Event]:
    asked = bool((call.body.get("stream_options") or {}).get("include_usage"))
    told = asked and call.manner.usage != "none"

    def event(parts: list[dict[str, Any]], tokens: int = 0, used: Any = None) -> Event:
        value = {**_frame(call, "chat.completion.chunk"), "choices": parts}
        if told:
            value["usage"] = used
        return Event(b"data: " + to_json(value) + b"\n\n", tokens)

    def delta(index: int, content: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {"index": index, "delta": content, "logprobs": None, "finish_reason": finish}

    if "/openai/deployments/" in call.path:
        # Azure begins with its content filter's verdict on the prompt, in an event without choices.
        verdict = {**_frame(call, ""), "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
        yield Event(b"data: " + to_json({**verdict, "model": "", "id": "", "created": 0}) + b"\n\n")
    for index in range(choices):
        start: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
        if answer.tool:
            head = {**_tool_call(call, answer), "index": 0}
            head["function"] = {**head["function"], "arguments": ""}
            start = {"role": "assistant", "content": None, "tool_calls": [head]}
        yield event([delta(index, start)], bill.reasoning_tokens if index == 0 else 0)
    for piece in answer.pieces:
        for index in range(choices):
            content: dict[str, Any] = {"content": piece}
            if answer.tool:
                content = {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
            yield event([delta(index, content)], billing.tokens(piece))
    if not call.manner.ending:
        return
    for index in range(choices):
        yield event([delta(index, {}, _finish(answer))])
    if told:
        yield event([], used=usage(call, bill))
    yield Event(b"data: [DONE]\n\n")


def _bill(call: Call, answer: Answer, choices: int) -> Bill:
    body = call.body
    reasoning = billing.REASONING_TOKENS if body.get("reasoning_effort") else 0
    input_tokens = billing.input_tokens(body["messages"], body.get("tools"), body.get("functions"))
    return Bill(
        input_tokens,
        answer.tokens * choices + reasoning,
        cached_input_tokens=cached(call, input_tokens),
        reasoning_tokens=reasoning,
    )


def cached(call: Call, input_tokens: int) -> int:
    """Half of the input comes from the cache when its key was used before."""
    key = call.body.get("prompt_cache_key")
    if not key:
        return 0
    seen = key in call.state.seen
    call.state.seen.add(key)
    return input_tokens // 2 if seen else 0


def usage(call: Call, bill: Bill) -> dict[str, Any]:
    bill = Bill() if call.manner.usage == "zero" else bill
    return {
        "prompt_tokens": bill.input_tokens,
        "completion_tokens": bill.output_tokens,
        "total_tokens": bill.input_tokens + bill.output_tokens,
        "prompt_tokens_details": {"cached_tokens": bill.cached_input_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": bill.reasoning_tokens, "audio_tokens": 0},
    }


def _frame(call: Call, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{call.number:06d}",
        "object": kind,
        "created": CREATED,
        "model": call.model,
        "system_fingerprint": "fp_fake",
    }


def _functions(body: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    if body.get("tool_choice") == "none":
        return []
    tools = [tool.get("function", {}) for tool in body.get("tools") or [] if tool.get("type") == "function"]
    return [(tool.get("name", ""), tool.get("parameters") or {}) for tool in tools]


def _tool_call(call: Call, answer: Answer) -> dict[str, Any]:
    assert answer.tool is not None
    function = {"name": answer.tool.name, "arguments": answer.text}
    return {"id": f"call_{call.number:06d}", "type": "function", "function": function}


def _finish(answer: Answer) -> str:
    if answer.cut:
        return "length"
    return "tool_calls" if answer.tool else "stop"
