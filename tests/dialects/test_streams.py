"""Reading streams: the same answer and the same bytes, however they are cut."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialects.streams import CHAT, STREAMS, Stream, chunk, sse, usage_chunk
from tokenomics_core.dialects import recognise
from tokenomics_core.dialects.base import Answer, StreamReader, Usage


def reader_of(stream: Stream, *, hide_usage: bool = False) -> StreamReader:
    dialect = recognise("POST", stream.path)
    return dialect.stream_reader(dialect.framing(stream.path, stream.query), hide_usage=hide_usage)


def read(reader: StreamReader, pieces: list[bytes]) -> bytes:
    return b"".join([reader.feed(piece) for piece in pieces]) + reader.close()


def chat_answer(data: bytes) -> Answer:
    reader = recognise("POST", "/v1/chat/completions").stream_reader("sse")
    assert read(reader, [data]) == data
    return reader.answer


def check(stream: Stream, answer: Answer) -> None:
    assert "".join(answer.text) == stream.text
    assert answer.usage == stream.usage
    assert (answer.finish_reason, answer.model, answer.id) == (stream.finish_reason, stream.model, stream.id)
    assert answer.ended


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_every_cut(stream: Stream) -> None:
    for at in range(len(stream.data) + 1):
        reader = reader_of(stream)
        pieces = [stream.data[:at], stream.data[at:]]
        assert [reader.feed(piece) for piece in pieces] == pieces
        assert reader.close() == b""
        check(stream, reader.answer)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_byte_by_byte(stream: Stream) -> None:
    reader = reader_of(stream)
    assert read(reader, [bytes([byte]) for byte in stream.data]) == stream.data
    check(stream, reader.answer)


@pytest.mark.parametrize("stream", [each for each in STREAMS if each.path.endswith("completions")])
def test_hidden_usage_every_cut(stream: Stream) -> None:
    expected = stream.data.replace(stream.hidden, b"")
    for at in range(len(stream.data) + 1):
        reader = reader_of(stream, hide_usage=True)
        assert read(reader, [stream.data[:at], stream.data[at:]]) == expected
        check(stream, reader.answer)


@given(data=st.data(), stream=st.sampled_from(STREAMS), hide_usage=st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_cuts(data: st.DataObject, stream: Stream, hide_usage: bool) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream.data)), max_size=20)))
    edges = [0, *cuts, len(stream.data)]
    pieces = [stream.data[start:end] for start, end in itertools.pairwise(edges)]
    reader = reader_of(stream, hide_usage=hide_usage)
    hidden = stream.hidden if hide_usage and stream.path.endswith("completions") else b""
    assert read(reader, pieces) == stream.data.replace(hidden, b"")
    check(stream, reader.answer)


def test_whole_events_are_passed_on_at_once_when_usage_is_hidden() -> None:
    reader = reader_of(CHAT, hide_usage=True)
    event = sse(chunk(content="a"))
    assert reader.feed(event + b"data: {") == event
    assert reader.feed(b'"choices": [], "usage": {"prompt_tokens": 1}}\n') == b""
    assert reader.feed(b"\n") == b""
    assert reader.answer.usage.input_tokens == 1


def test_hidden_usage_in_a_stream_without_an_end() -> None:
    reader = reader_of(CHAT, hide_usage=True)
    assert reader.feed(b'data: {"choices":[],"usage":{"completion_tokens":4}}') == b""
    assert reader.close() == b""
    assert reader.answer.usage == Usage(output_tokens=4)


def test_a_cut_event_is_passed_on_when_usage_is_hidden() -> None:
    reader = reader_of(CHAT, hide_usage=True)
    assert reader.feed(b'data: {"choices":[{"del') == b""
    assert reader.close() == b'data: {"choices":[{"del'
    assert not reader.answer.ended


KEPT: list[dict[str, Any]] = [
    {"choices": [], "prompt_filter_results": []},
    {"choices": [], "usage": None},
    {"choices": [{"delta": {"content": "x"}}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}},
    {"usage": {"prompt_tokens": 1}},
]


@pytest.mark.parametrize("event", KEPT, ids=json.dumps)
def test_only_the_extra_chunk_is_hidden(event: dict[str, Any]) -> None:
    reader = reader_of(CHAT, hide_usage=True)
    assert reader.feed(sse(event)) == sse(event)


def test_outputs_of_several_ids_add_up() -> None:
    """As when one stream carries several completions, each with its running count."""
    answer = chat_answer(
        sse(
            {**chunk(content="a"), "usage": {"prompt_tokens": 9, "completion_tokens": 2}},
            {**chunk(content="b"), "usage": {"prompt_tokens": 9, "completion_tokens": 5}},
            {**chunk(content="c"), "usage": {"prompt_tokens": 9, "completion_tokens": 4}},
            usage_chunk(id="chatcmpl-2", prompt_tokens=9, completion_tokens=10),
            {"choices": [], "usage": {"completion_tokens": 6}},
        )
    )
    assert answer.usage == Usage(9, 16)


def test_groq_puts_usage_aside() -> None:
    groq = {**chunk(finish="stop"), "x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}}
    assert chat_answer(sse(groq)).usage == Usage(3, 1)


def test_reasoning_under_two_names_counts_once() -> None:
    answer = chat_answer(sse(chunk(reasoning="why", reasoning_content="why"), chunk(refusal="no")))
    assert answer.text == ["why", "no"]


def test_zero_stays_zero() -> None:
    assert chat_answer(sse(usage_chunk(prompt_tokens=0, completion_tokens=0))).usage == Usage(0, 0)


def test_no_usage_stays_unknown() -> None:
    assert chat_answer(sse(chunk(content="a"), "[DONE]")).usage == Usage()


@pytest.mark.parametrize("count", [None, "7", 7.5, -1, True, [7], {}])
def test_what_is_no_count_is_ignored(count: Any) -> None:
    assert chat_answer(sse(usage_chunk(prompt_tokens=count, completion_tokens=3))).usage == Usage(None, 3)


def test_bad_json_is_passed_on_and_ignored() -> None:
    data = b"data: {nonsense\n\n" + sse(chunk(content="a"), "[1, 2]", "null", '"text"', chunk(content="b"))
    assert chat_answer(data).text == ["a", "b"]


def test_anthropic_says_the_input_only_in_the_end() -> None:
    data = sse(
        {"type": "message_start", "message": {"usage": {"input_tokens": 0, "output_tokens": 0}}},
        {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 30, "output_tokens": 4}},
        named=True,
    )
    reader = recognise("POST", "/v1/messages").stream_reader("sse")
    reader.feed(data)
    assert reader.answer.usage == Usage(30, 4)
    assert not reader.answer.ended


def test_gemini_refuses_a_prompt() -> None:
    reader = recognise("POST", "/v1beta/models/g:streamGenerateContent").stream_reader("json_array")
    reader.feed(
        b'[{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4}}]'
    )
    assert reader.answer.finish_reason == "SAFETY"
    assert reader.answer.usage == Usage(4)


def test_a_json_body_in_place_of_a_stream() -> None:
    body = {"id": "x", "model": "m", "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
    data = json.dumps({**body, "usage": {"prompt_tokens": 5, "completion_tokens": 1}}).encode()
    answer = chat_answer(data)
    assert (answer.id, answer.text, answer.usage, answer.ended) == ("x", ["hi"], Usage(5, 1), True)


OTHER_SHAPES: dict[str, tuple[bytes, Usage, str]] = {
    "anthropic": (
        next(s for s in STREAMS if s.name == "anthropic").data,
        Usage(1110, 25, 1000, 100, 6),
        "tool_use",
    ),
    "gemini": (next(s for s in STREAMS if s.name == "gemini sse").data, Usage(22, 12, 6, None, 5), "STOP"),
    "responses": (next(s for s in STREAMS if s.name == "responses").data, Usage(40, 9, 8, 2, 5), "completed"),
    "ollama lines": (next(s for s in STREAMS if s.name == "ollama").data, Usage(26, 2), "stop"),
    "cohere": (
        sse(
            {"id": "c", "type": "message-start", "delta": {"message": {"role": "assistant", "content": []}}},
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "hi"}}}},
            {
                "type": "message-end",
                "delta": {
                    "finish_reason": "COMPLETE",
                    "usage": {
                        "billed_units": {"input_tokens": 4, "output_tokens": 2},
                        "tokens": {"input_tokens": 70, "output_tokens": 3},
                    },
                },
            },
            named=True,
        ),
        Usage(4, 2),
        "COMPLETE",
    ),
}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/something/else"])
@pytest.mark.parametrize("name", OTHER_SHAPES)
def test_other_shapes_on_the_chat_path_and_on_unknown_ones(name: str, path: str) -> None:
    data, usage, finish = OTHER_SHAPES[name]
    reader = recognise("POST", path).stream_reader("sse")
    assert read(reader, [data]) == data
    assert (reader.answer.usage, reader.answer.finish_reason) == (usage, finish)
    assert reader.answer.ended
    assert bool(reader.answer.text) == (path == "/v1/chat/completions")


NAMES = (
    "type id model choices delta content usage message text tool_calls function arguments error event "
    "candidates parts usageMetadata response output candidatesTokenCount prompt_tokens done finish_reason "
    "content_block status incomplete_details input_tokens prompt_tokens_details x_groq name created_at"
).split()
KINDS = ["message_start", "content_block_delta", "response.completed", "response.x.delta", "message-end"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), inner | st.sampled_from(KINDS), max_size=5)
    ),
    max_leaves=20,
)
PATHS = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1beta/models/g:streamGenerateContent",
    "/v1beta/models/g:countTokens",
    "/v1beta/models/g:embedContent",
    "/api/chat",
    "/api/generate",
    "/elsewhere",
]


@given(events=st.lists(JSON, max_size=4), path=st.sampled_from(PATHS))
@settings(max_examples=500, deadline=None)
def test_no_shape_of_an_answer_is_an_error(events: list[Any], path: str) -> None:
    dialect = recognise("POST", path)
    texts = [json.dumps(event) for event in events]
    framed = {
        "sse": sse(*texts),
        "ndjson": "".join(each + "\n" for each in texts).encode(),
        "json_array": ("[" + ",".join(texts) + "]").encode(),
    }
    for framing, data in framed.items():
        reader = dialect.stream_reader(framing)  # type: ignore[arg-type]
        assert read(reader, [data]) == data
        assert all(isinstance(piece, str) for piece in reader.answer.text)
    for event in events:
        if isinstance(event, dict):
            dialect.read_answer(event)
