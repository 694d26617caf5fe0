"""Streams ended before their time, read by the official SDKs: they end, add up, and tell why."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from google import genai
from google.genai import types

from tests.dialects import open_streams
from tests.dialects.test_endings import GEMINI, STOP, TOLD, reader_of
from tokenomics_core.dialects.base import Usage

WEATHER = open_streams.WEATHER


ENDED_HERE = (b'"length"', b"max_tokens", b"max_output_tokens", b"MAX_TOKENS")


def endings(path: str, data: bytes, *, usage_wanted: bool = False) -> list[bytes]:
    """All that a client can get of a stream that is ended somewhere, before its own end was said.

    While events are held, it makes no difference where in an event that is.
    """
    found = []
    events = re.findall(rb".*?\r?\n\r?\n", data, re.DOTALL)
    for count in range(len(events)):
        reader = reader_of(path, "sse", hold=True)
        reader.usage_wanted = usage_wanted
        passed = reader.feed(b"".join(events[:count]) + events[count][:9])
        end = reader.finish(STOP, Usage(5, 3))
        if any(word in end for word in ENDED_HERE):
            found.append(passed + end)
    assert len(found) > 3
    return found


def transport(data: bytes) -> httpx2.MockTransport:
    head = {"content-type": "text/event-stream"}
    return httpx2.MockTransport(lambda request: httpx2.Response(200, headers=head, content=data))


def openai_client(data: bytes) -> openai.OpenAI:
    http = httpx2.Client(transport=transport(data))
    return openai.OpenAI(api_key="x", base_url="http://provider.test/v1", http_client=http, max_retries=0)


def anthropic_client(data: bytes) -> anthropic.Anthropic:
    http = httpx2.Client(transport=transport(data))
    return anthropic.Anthropic(api_key="x", base_url="http://provider.test", http_client=http, max_retries=0)


CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
MESSAGES: dict[str, Any] = {**CHAT, "model": "claude-opus-4-8", "max_tokens": 64000}


@pytest.mark.parametrize("data", endings("/v1/chat/completions", open_streams.CHAT, usage_wanted=True))
def test_chat(data: bytes) -> None:
    chunks: list[Any] = list(openai_client(data).chat.completions.create(**CHAT, stream=True))
    finished = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert finished[-1] == "length"
    assert [getattr(chunk, "tokenomics", None) for chunk in chunks].count(TOLD) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 8
    assert len({chunk.id for chunk in chunks}) == 1

    with openai_client(data).chat.completions.stream(**CHAT) as stream:
        kinds = [event.type for event in stream]
        completion = stream.current_completion_snapshot
        # The package's own word for a cap that was reached.
        with pytest.raises(openai.LengthFinishReasonError):
            stream.get_final_completion()
    assert kinds
    assert all(choice.finish_reason for choice in completion.choices)
    assert completion.choices[0].finish_reason == "length"
    assert "Hei der".startswith(completion.choices[0].message.content or "")
    for call in completion.choices[0].message.tool_calls or []:
        assert WEATHER.startswith(call.function.arguments or "")


@pytest.mark.parametrize("data", endings("/v1/completions", open_streams.COMPLETIONS))
def test_completions(data: bytes) -> None:
    chunks: list[Any] = list(
        openai_client(data).completions.create(model="davinci-002", prompt="x", stream=True)
    )
    begun = {choice.index for chunk in chunks for choice in chunk.choices}
    finished = {choice.index for chunk in chunks for choice in chunk.choices if choice.finish_reason}
    assert begun == finished
    assert all(isinstance(choice.text, str) for chunk in chunks for choice in chunk.choices)
    assert chunks[-1].model_extra is not None
    assert chunks[-1].model_extra["tokenomics"] == TOLD


RESPONSES_CASES = endings("/v1/responses", open_streams.RESPONSES)


@pytest.mark.parametrize("data", RESPONSES_CASES)
def test_responses(data: bytes) -> None:
    request: dict[str, Any] = {"model": "gpt-5", "input": "hi"}
    events: list[Any] = list(openai_client(data).responses.create(**request, stream=True))
    with openai_client(data).responses.stream(**request) as stream:
        helped: list[Any] = list(stream)
    assert [event.type for event in helped] == [event.type for event in events]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    for last in (events[-1], helped[-1]):
        assert last.type == "response.incomplete"
        response = last.response
        assert (response.id, response.status) == (events[0].response.id, "incomplete")
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == "max_output_tokens"
        assert response.usage is not None
        assert response.usage.total_tokens == 8
        assert response.model_extra is not None
        assert response.model_extra["tokenomics"] == TOLD
        said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert response.output_text == said
        for item in response.output:
            if item.type == "function_call":
                assert WEATHER.startswith(item.arguments)
    added = [event.output_index for event in events if event.type == "response.output_item.added"]
    done = [event for event in events if event.type == "response.output_item.done"]
    assert len(events[-1].response.output) == len(added)
    unfinished = [event for event in done if event.item.type == "function_call"]
    assert all(getattr(event.item, "arguments", "") == WEATHER for event in unfinished)


@pytest.mark.parametrize("data", endings("/v1/messages", open_streams.ANTHROPIC))
def test_anthropic(data: bytes) -> None:
    events: list[Any] = list(anthropic_client(data).messages.create(**MESSAGES, stream=True))
    assert events[-1].type == "message_stop"
    delta = events[-2]
    assert delta.type == "message_delta"
    if delta.delta.stop_reason == "max_tokens":
        assert delta.usage.output_tokens == 3
        assert delta.model_extra is not None
        assert delta.model_extra["tokenomics"] == TOLD

    with anthropic_client(data).messages.stream(**MESSAGES) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert kinds.count("content_block_start") == kinds.count("content_block_stop")
    assert message.stop_reason in ("max_tokens", "tool_use")
    for block in message.content:
        if block.type == "text":
            assert "Bonjour".startswith(block.text)
        elif block.type == "thinking":
            assert "let me see".startswith(block.thinking)
        elif block.type == "tool_use":
            assert isinstance(block.input, dict)


def gemini_events(data: bytes) -> Iterator[types.GenerateContentResponse]:
    head = {"content-type": "text/event-stream"}
    mock = httpx.MockTransport(lambda request: httpx.Response(200, headers=head, content=data))
    options = types.HttpOptions(base_url="http://provider.test", client_args={"transport": mock})
    client = genai.Client(api_key="x", vertexai=False, http_options=options)
    yield from client.models.generate_content_stream(model="gemini-2.5-flash", contents="hi")


@pytest.mark.parametrize("data", endings(GEMINI, open_streams.GEMINI_SSE))
def test_gemini(data: bytes) -> None:
    chunks = list(gemini_events(data))
    assert chunks[-1].candidates is not None
    last = chunks[-1].candidates[0]
    assert last.finish_reason == types.FinishReason.MAX_TOKENS
    assert chunks[-1].model_status is not None
    assert chunks[-1].model_status.message == f"{STOP.code}: {STOP.message}"
    assert chunks[-1].usage_metadata is not None
    assert chunks[-1].usage_metadata.total_token_count == 8
    said = "".join(chunk.text or "" for chunk in chunks)
    assert "Bom dia".startswith(said)


async def test_the_async_clients_read_the_same() -> None:
    for data in RESPONSES_CASES[::5]:
        http = httpx2.AsyncClient(transport=transport(data))
        client = openai.AsyncOpenAI(api_key="x", base_url="http://provider.test/v1", http_client=http)
        async with client.responses.stream(model="gpt-5", input="hi") as stream:
            kinds = [event.type async for event in stream]
        assert kinds[-1] == "response.incomplete"
        assert json.loads(data.split(b"data: ")[-1])["response"]["tokenomics"] == TOLD
