"""Ending a stream before its time: whole to its own reader, wherever it was cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialects import open_streams
from tests.dialects.streams import STREAMS, Stream, chunk, sse
from tests.dialects.test_streams import JSON, OTHER_SHAPES, PATHS
from tokenomics_core.dialects import recognise
from tokenomics_core.dialects.base import Framing, Stop, StreamReader, Usage
from tokenomics_core.json_body import JsonBody

STOP = Stop("budget_exceeded", "the budget of this token is spent")
TOLD = {"code": STOP.code, "message": STOP.message}

GEMINI = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
SAMPLES: list[tuple[str, str, bytes, Framing]] = [
    *[
        (each.name, each.path, each.data, recognise("POST", each.path).framing(each.path, each.query))
        for each in STREAMS
    ],
    ("open chat", "/v1/chat/completions", open_streams.CHAT, "sse"),
    ("open completions", "/v1/completions", open_streams.COMPLETIONS, "sse"),
    ("open responses", "/v1/responses", open_streams.RESPONSES, "sse"),
    ("open anthropic", "/v1/messages", open_streams.ANTHROPIC, "sse"),
    ("open gemini sse", GEMINI, open_streams.GEMINI_SSE, "sse"),
    ("open gemini array", GEMINI, open_streams.GEMINI_ARRAY, "json_array"),
    ("ollama generate", "/api/generate", open_streams.OLLAMA_GENERATE, "ndjson"),
]
every_sample = pytest.mark.parametrize(
    ("path", "data", "framing"), [each[1:] for each in SAMPLES], ids=[each[0] for each in SAMPLES]
)


def events_of(data: bytes, framing: Framing = "sse") -> list[Any]:
    """The JSON values of a stream; every one must be whole."""
    if framing == "json_array":
        return list(json.loads(data))
    if framing == "ndjson":
        return [json.loads(line) for line in data.splitlines()]
    blocks = data.replace(b"\r\n", b"\n").split(b"\n\n")
    assert blocks.pop() == b""
    lines = [line for block in blocks for line in block.split(b"\n") if line.startswith(b"data:")]
    return [json.loads(line[5:]) for line in lines if line[5:].strip() != b"[DONE]"]


def reader_of(path: str, framing: Framing, *, hold: bool = False) -> StreamReader:
    reader = recognise("POST", path).stream_reader(framing)
    if hold:
        reader.hold()
    return reader


def ended(path: str, data: bytes, framing: Framing = "sse", **options: Any) -> bytes:
    """What the client got of a stream that was ended after these bytes."""
    reader = reader_of(path, framing, hold=True)
    reader.usage_wanted = options.get("usage_wanted", False)
    return reader.feed(data) + reader.finish(STOP, options.get("usage"))


def last(path: str, data: bytes, framing: Framing = "sse", **options: Any) -> dict[str, Any]:
    event = events_of(ended(path, data, framing, **options), framing)[-1]
    assert isinstance(event, dict)
    return event


def is_between(array: bytes) -> bool:
    """Whether an array was cut between its elements."""
    begun = array.rstrip(b",\r\n") or b"["
    try:
        json.loads(begun if begun.endswith(b"]") else begun + b"]")
    except json.JSONDecodeError:
        return False
    return True


@every_sample
def test_held_and_ended_at_every_byte(path: str, data: bytes, framing: Framing) -> None:
    whole = events_of(data, framing)
    for at in range(len(data) + 1):
        reader = reader_of(path, framing, hold=True)
        passed = reader.feed(data[:at])
        assert data.startswith(passed)
        got = passed + reader.finish(STOP)
        again = reader_of(path, framing)
        assert again.feed(got) + again.close() == got
        assert again.answer.ended
        assert again.answer.finish_reason
        assert "".join(again.answer.text) == "".join(reader.answer.text)
        closed = passed + b"]" if framing == "json_array" and passed else passed
        kept = events_of(closed, framing) if closed else []
        assert events_of(got, framing)[: len(kept)] == kept == whole[: len(kept)]


@every_sample
def test_passed_through_and_ended_at_every_byte(path: str, data: bytes, framing: Framing) -> None:
    """A torn event is the client's loss; in server-sent events and lines, what follows it is not."""
    for at in range(len(data) + 1):
        reader = reader_of(path, framing)
        got = reader.feed(data[:at]) + reader.finish(STOP)
        assert got.startswith(data[:at])
        if framing != "json_array" or is_between(data[:at]):
            again = reader_of(path, framing)
            again.feed(got)
            again.close()
            assert again.answer.ended


@every_sample
def test_held_from_the_middle_on(path: str, data: bytes, framing: Framing) -> None:
    for at in range(0, len(data), 11):
        reader = reader_of(path, framing)
        first = reader.feed(data[:at])
        reader.hold()
        reader.hold()
        assert first == data[:at]
        rest = b"".join(reader.feed(data[start : start + 7]) for start in range(at, len(data), 7))
        assert first + rest + reader.close() == data


@every_sample
def test_held_in_the_middle_of_an_event_and_ended(path: str, data: bytes, framing: Framing) -> None:
    """What was passed on before is completed, not repeated."""
    for at in range(0, len(data), 5):
        reader = reader_of(path, framing)
        first = reader.feed(data[:at])
        reader.hold()
        passed = first + b"".join(reader.feed(data[start : start + 9]) for start in range(at, at + 450, 9))
        assert data.startswith(passed)
        assert passed.startswith(data[:at])
        got = passed + reader.finish(STOP)
        if len(passed) > at:
            # The torn event became whole since.
            again = reader_of(path, framing)
            again.feed(got)
            assert again.answer.ended
            assert events_of(got, framing)


def test_an_event_above_the_limit_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = reader_of("/v1/chat/completions", "sse", hold=True)
    monkeypatch.setattr(reader._parser, "_limit", 100)  # type: ignore[attr-defined]
    passed = reader.feed(b'data: {"choices": "' + b"x" * 500)
    assert len(passed) > 400
    end = reader.finish(STOP)
    assert end.startswith(b"\n\n")
    assert events_of(end)[-1]["choices"][0]["finish_reason"] == "length"


def test_chat_ends_each_open_choice() -> None:
    begun = sse(
        {**chunk(content="a"), "created": 17, "usage": None},
        {**chunk(), "choices": [{"index": 2, "delta": {"content": "b"}, "finish_reason": None}]},
        {**chunk(), "choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]},
    )
    got = ended("/v1/chat/completions", begun, usage_wanted=True, usage=Usage(10, 4, 2, None, 1))
    assert got.endswith(b"data: [DONE]\n\n")
    first, second, usage = events_of(got)[3:]
    assert first["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}]
    assert second["choices"][0]["index"] == 2
    assert "tokenomics" not in first
    assert second["tokenomics"] == TOLD
    assert {name: second[name] for name in ("id", "object", "model")} == {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "gpt-4o-2024-08-06",
    }
    assert usage["choices"] == []
    assert usage["usage"]["prompt_tokens"] == 10
    assert usage["usage"]["completion_tokens"] == 4
    assert usage["usage"]["total_tokens"] == 14
    assert usage["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}


def test_created_is_kept() -> None:
    assert last("/v1/chat/completions", open_streams.CHAT[:300])["created"] == 1750000000


def test_usage_only_for_who_asked_and_once() -> None:
    assert b'"usage":{' not in ended("/v1/chat/completions", sse(chunk(content="a")))
    said = sse(chunk(finish="stop"), {"id": "x", "choices": [], "usage": {"prompt_tokens": 1}})
    got = ended("/v1/chat/completions", said, usage_wanted=True)
    assert got == said + b"data: [DONE]\n\n"


def test_a_stream_that_has_ended_stays_as_it_is() -> None:
    for _, path, data, framing in SAMPLES:
        got = ended(path, data, framing)
        assert events_of(got, framing) == events_of(data, framing)


def test_wants_usage() -> None:
    dialect = recognise("POST", "/v1/chat/completions")
    for options, wanted in [
        (b'{"include_usage":true}', True),
        (b'{"include_usage":1}', False),
        (b"0", False),
    ]:
        assert dialect.wants_usage(JsonBody(b'{"stream_options":%s}' % options)) is wanted
    assert not recognise("POST", "/v1/messages").wants_usage(JsonBody(b"{}"))


def test_completions_end_with_text() -> None:
    assert last("/v1/completions", b"")["object"] == "text_completion"
    assert last("/v1/completions", b"")["choices"][0]["text"] == ""


def test_nothing_came_yet() -> None:
    message = events_of(ended("/v1/messages", b""))
    assert [event["type"] for event in message] == ["message_start", "message_delta", "message_stop"]
    assert message[1]["delta"]["stop_reason"] == "max_tokens"
    assert message[1]["tokenomics"] == TOLD
    assert last("/v1/chat/completions", b"")["choices"][0]["delta"]["role"] == "assistant"
    response = events_of(ended("/v1/responses", b""))
    assert [event["type"] for event in response] == ["response.created", "response.incomplete"]
    assert ended(GEMINI, b"", "json_array")[:1] == b"["
    assert last("/api/chat", b"", "ndjson")["message"]["role"] == "assistant"
    assert last("/api/generate", b"", "ndjson")["response"] == ""


def test_anthropic_says_the_output_and_closes_what_is_open() -> None:
    cut = open_streams.ANTHROPIC.index(b"event: content_block_stop")
    events = events_of(ended("/v1/messages", open_streams.ANTHROPIC[:cut], usage=Usage(5, 33)))
    assert [event["type"] for event in events[-3:]] == [
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[-2]["usage"] == {"output_tokens": 33}


def test_a_stop_reason_that_was_said_stays() -> None:
    cut = open_streams.ANTHROPIC.index(b"event: message_stop")
    got = ended("/v1/messages", open_streams.ANTHROPIC[:cut])
    assert got == open_streams.ANTHROPIC[:cut] + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def test_responses_closes_text_and_leaves_calls_unrun() -> None:
    data = open_streams.RESPONSES
    events = events_of(ended("/v1/responses", data[: data.index(b"event: response.output_text.done")]))
    assert [event["type"] for event in events[-4:]] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-2]["item"]["status"] == "incomplete"
    assert events[-2]["item"]["content"][0]["text"] == "Guten Tag"
    response = events[-1]["response"]
    assert (response["id"], response["created_at"], response["status"]) == (
        "resp_9",
        1750000000,
        "incomplete",
    )
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["tokenomics"] == TOLD
    assert [item["id"] for item in response["output"]] == ["rs_1", "msg_1"]

    cut = data.index(b"event: response.function_call_arguments.done")
    events = events_of(ended("/v1/responses", data[:cut]))
    assert events[-1]["type"] == "response.incomplete"
    assert events[-2]["type"] == "response.function_call_arguments.delta"
    call = events[-1]["response"]["output"][-1]
    assert (call["status"], call["arguments"]) == ("incomplete", open_streams.WEATHER)


@pytest.mark.parametrize("framing", ["sse", "json_array"])
def test_gemini_tells_why(framing: Framing) -> None:
    data = open_streams.GEMINI_SSE if framing == "sse" else open_streams.GEMINI_ARRAY
    event = last(GEMINI, data[: len(data) // 3], framing, usage=Usage(5, 9, None, None, 4))
    candidate = event["candidates"][0]
    assert candidate["finishReason"] == "MAX_TOKENS"
    assert candidate["finishMessage"] == "budget_exceeded: the budget of this token is spent"
    counts = {"promptTokenCount": 5, "candidatesTokenCount": 5, "thoughtsTokenCount": 4}
    assert event["usageMetadata"] == {**counts, "totalTokenCount": 14}


def test_ollama_says_its_counts() -> None:
    data = open_streams.OLLAMA_GENERATE
    event = last("/api/generate", data[: len(data) // 2], "ndjson", usage=Usage(5, 2))
    assert (event["done"], event["done_reason"]) == (True, "length")
    assert (event["prompt_eval_count"], event["eval_count"], event["response"]) == (5, 2, "")
    assert event["created_at"] == "2025-06-15T00:00:00Z"
    assert event["tokenomics"] == TOLD


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/something/else"])
@pytest.mark.parametrize("name", OTHER_SHAPES)
def test_other_shapes_keep_their_end(name: str, path: str) -> None:
    data = OTHER_SHAPES[name][0]
    separator = b"\n" if name == "ollama lines" else b"\r\n\r\n" if name == "gemini" else b"\n\n"
    framing: Framing = "ndjson" if name == "ollama lines" else "sse"
    begun = separator.join(data.split(separator)[:2]) + separator
    again = reader_of(path, framing)
    again.feed(ended(path, begun, framing))
    expected = {"responses": "max_output_tokens", "ollama lines": "length", "anthropic": "max_tokens"}
    assert again.answer.ended
    assert again.answer.finish_reason == expected.get(name, "MAX_TOKENS")


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/other"), ("GET", "/v1/other")])
def test_an_unknown_form_ends_with_an_error(method: str, path: str) -> None:
    reader = recognise(method, path).stream_reader("sse")
    end = reader.feed(b'data: {"hello": 1}\n\n') + reader.finish(STOP)
    assert events_of(end)[-1]["error"]["message"] == STOP.message


ERRORS: list[tuple[str, bytes, str]] = [
    (
        "/v1/chat/completions",
        sse({"error": {"type": "server_error", "code": "overloaded", "message": "too\n much"}}),
        "server_error/overloaded: too much",
    ),
    ("/v1/chat/completions", sse({"error": {"code": 502, "message": "bad"}}), "502: bad"),
    (
        "/v1/messages",
        sse(
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            named=True,
        ),
        "overloaded_error: Overloaded",
    ),
    (
        GEMINI,
        sse({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota"}}),
        "RESOURCE_EXHAUSTED/429: quota",
    ),
    ("/v1/responses", sse({"type": "error", "code": "server_error", "message": "x"}), "server_error: x"),
    (
        "/v1/responses",
        sse(
            {
                "type": "response.failed",
                "response": {"error": {"code": "rate_limit_exceeded", "message": "y"}},
            }
        ),
        "rate_limit_exceeded: y",
    ),
    ("/v1/chat/completions", sse({"error": "words\u2028 " * 99}), ("words " * 99)[:200].rstrip()),
    (
        "/v1/chat/completions",
        sse({"error": {"type": "two words", "message": 7}}),
        "the provider reported an error",
    ),
    ("/v1/chat/completions", sse({"error": [1]}), "the provider reported an error"),
    ("/v1/chat/completions", b'{"error": {"type": "whole", "message": "body"}}', "whole: body"),
    ("/v1/something", sse({"error": {"type": "a", "message": "b"}}, {"error": "later"}), "a: b"),
    ("/v1/chat/completions", sse({**chunk(content="a"), "error": None}), ""),
]


@pytest.mark.parametrize(("path", "data", "error"), ERRORS)
def test_an_error_inside_the_stream_is_noted(path: str, data: bytes, error: str) -> None:
    reader = recognise("POST", path).stream_reader("sse")
    reader.feed(data)
    reader.close()
    assert reader.answer.error.rstrip() == error
    assert len(reader.answer.error) < 300


@pytest.mark.parametrize("stream", [each for each in STREAMS if each.name in ("anthropic", "gemini sse")])
def test_usage_is_known_as_it_goes_and_text_only_grows(stream: Stream) -> None:
    reader = reader_of(stream.path, "sse")
    known: list[str] = []
    inputs = []
    for at in range(0, len(stream.data), 50):
        reader.feed(stream.data[at : at + 50])
        fresh = reader.answer.text[len(known) :]
        assert reader.answer.text == known + fresh
        known += fresh
        inputs.append(reader.answer.usage.input_tokens)
    reader.close()
    assert "".join(known) == stream.text
    assert stream.usage.input_tokens in inputs[: len(inputs) // 2]


KINDS = (
    "response.created response.output_item.added response.content_part.added response.output_text.delta "
    "response.output_text.done response.content_part.done response.reasoning_summary_part.added "
    "response.output_item.done message_start content_block_start content_block_stop message_delta error"
).split()
PLACES = "output_index content_index summary_index index".split()
MEMBERS = "item part delta choices candidates response message content_block error created id model".split()
SHAPES = st.fixed_dictionaries({"type": st.sampled_from(["message", "output_text", "reasoning"])})
EVENTS = st.builds(
    lambda kind, places, members: {"type": kind, **places, **members},
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(PLACES), st.sampled_from([0, 1]) | JSON, max_size=3),
    st.dictionaries(st.sampled_from(MEMBERS), JSON | SHAPES | st.text(), max_size=4),
)


@given(events=st.lists(EVENTS, max_size=6), path=st.sampled_from(PATHS), hold=st.booleans())
@settings(max_examples=400, deadline=None)
def test_whatever_came_it_can_be_ended(events: list[Any], path: str, hold: bool) -> None:
    framed: list[tuple[Framing, bytes]] = [
        ("sse", sse(*events)),
        ("ndjson", b"".join(json.dumps(event).encode() + b"\n" for event in events)),
        ("json_array", json.dumps(events)[:-1].encode()),
    ]
    for framing, data in framed:
        reader = reader_of(path, framing, hold=hold)
        got = reader.feed(data) + reader.finish(STOP)
        if framing == "json_array" and path != "/elsewhere":
            assert len(events_of(got, framing)) >= len(events)
        elif framing == "sse":
            assert events_of(got)[: len(events)] == [json.loads(json.dumps(event)) for event in events]


def test_a_response_nested_deeper_than_usual() -> None:
    deep = '{"a":' * 300 + "1" + "}" * 300
    data = (
        'event: response.created\ndata: {"type":"response.created","response":{"id":"r","metadata":%s}}\n\n'
    )
    event = last("/v1/responses", (data % deep).encode())
    assert event["response"]["status"] == "incomplete"
