"""What an event continues and what it ends, for every shape of event."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenomics_core.guard.deltas import ALL, Delta, EventTexts, UnknownTexts, read
from tokenomics_core.guard.spans import Span

ARGUMENTS = ("choices", 0, "delta", "tool_calls", 0, "function", "arguments")
PLACE = (None, None, 0, 0, None)


def chat(finish: str | None = None, index: int | None = 0, **delta: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}


def responses(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": 0, "content_index": 0, "item_id": "m", **members}


def block(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": f"content_block_{kind}", "index": 1, **members}


def gemini(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": [*parts]}, **more}]}


def part(place: int) -> tuple[str | int, ...]:
    return ("candidates", 0, "content", "parts", place, "text")


def call(index: Any, arguments: str) -> dict[str, Any]:
    return {"index": index, "id": "call_1", "function": {"name": "look", "arguments": arguments}}


@pytest.mark.parametrize(
    ("event", "deltas", "ends"),
    [
        (chat(role="assistant", content=""), [], []),
        (chat(content="a"), [Delta((0, "content"), ("choices", 0, "delta", "content"), "a")], []),
        (chat("stop", content="a"), [Delta((0, "content"), ("choices", 0, "delta", "content"), "a")], [(0,)]),
        (chat("stop", index=3), [], [(3,)]),
        (
            chat(index=None, refusal="no"),
            [Delta((0, "refusal"), ("choices", 0, "delta", "refusal"), "no")],
            [],
        ),
        (
            chat(reasoning="a", reasoning_content="b"),
            [
                Delta((0, "reasoning"), ("choices", 0, "delta", "reasoning"), "a"),
                Delta((0, "reasoning_content"), ("choices", 0, "delta", "reasoning_content"), "b"),
            ],
            [],
        ),
        (
            chat(tool_calls=[call(2, "{")]),
            [Delta((0, "tool_calls", 2, "arguments"), ARGUMENTS, "{", json_text=True)],
            [],
        ),
        (
            chat(tool_calls=[{"function": {"arguments": "{"}}]),
            [Delta((0, "tool_calls", 0, "arguments"), ARGUMENTS, "{", json_text=True)],
            [],
        ),
        (chat(tool_calls=[{"index": 0, "function": {"arguments": {"whole": "object"}}}]), [], []),
        (
            chat(tool_calls=[{"index": 0, "custom": {"input": "x"}}]),
            [
                Delta(
                    (0, "tool_calls", 0, "input"),
                    ("choices", 0, "delta", "tool_calls", 0, "custom", "input"),
                    "x",
                )
            ],
            [],
        ),
        (
            chat(function_call={"name": "look", "arguments": "{"}),
            [
                Delta(
                    (0, "function_call", "arguments"),
                    ("choices", 0, "delta", "function_call", "arguments"),
                    "{",
                    json_text=True,
                )
            ],
            [],
        ),
        (
            chat(content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
            [
                Delta((0, "content", "text"), ("choices", 0, "delta", "content", at, "text"), said)
                for at, said in enumerate("ab")
            ],
            [],
        ),
        (
            chat(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]),
            [
                Delta(
                    (0, "content", "thinking", "text"),
                    ("choices", 0, "delta", "content", 0, "thinking", 0, "text"),
                    "hm",
                )
            ],
            [],
        ),
        (
            chat(
                reasoning_details=[{"type": "reasoning.text", "text": "hm", "signature": "Zm9v", "index": 4}]
            ),
            [
                Delta(
                    (0, "reasoning_details", 4, "text"),
                    ("choices", 0, "delta", "reasoning_details", 0, "text"),
                    "hm",
                )
            ],
            [],
        ),
        (
            chat(audio={"id": "audio_1", "data": "UklGRg==", "transcript": "hi"}),
            [Delta((0, "audio", "transcript"), ("choices", 0, "delta", "audio", "transcript"), "hi")],
            [],
        ),
        (
            {"choices": [{"text": "on", "index": 1, "finish_reason": "length"}]},
            [Delta((1, "text"), ("choices", 0, "text"), "on")],
            [(1,)],
        ),
        ({"choices": [], "usage": {"prompt_tokens": 1}}, [], []),
        ({"choices": [None, {"delta": None}, {"delta": {"tool_calls": [None, 1]}}]}, [], []),
        (responses("output_text.delta", delta="a"), [Delta((*PLACE, "output_text"), ("delta",), "a")], []),
        (responses("output_text.delta", delta=""), [], []),
        (responses("refusal.delta", delta="a"), [Delta((*PLACE, "refusal"), ("delta",), "a")], []),
        (
            responses("function_call_arguments.delta", delta="{"),
            [Delta((*PLACE, "function_call_arguments"), ("delta",), "{", json_text=True)],
            [],
        ),
        (
            responses("mcp_call_arguments.delta", delta="{"),
            [Delta((*PLACE, "mcp_call_arguments"), ("delta",), "{", json_text=True)],
            [],
        ),
        (
            responses("custom_tool_call_input.delta", delta="*** Begin"),
            [Delta((*PLACE, "custom_tool_call_input"), ("delta",), "*** Begin")],
            [],
        ),
        (
            responses("code_interpreter_call_code.delta", delta="x = 1"),
            [Delta((*PLACE, "code_interpreter_call_code"), ("delta",), "x = 1")],
            [],
        ),
        (
            {
                "type": "response.reasoning_summary_text.delta",
                "item_id": "r",
                "summary_index": 1,
                "delta": "hm",
            },
            [Delta((None, None, "r", None, 1, "reasoning_summary_text"), ("delta",), "hm")],
            [],
        ),
        (
            responses("output_audio_transcript.delta", response_id="resp_1", delta="hi"),
            [Delta((None, "resp_1", 0, 0, None, "output_audio_transcript"), ("delta",), "hi")],
            [],
        ),
        (responses("output_audio.delta", delta="UklGRg=="), [], []),
        (responses("output_text.done", text="a"), [], [(*PLACE, "output_text")]),
        (responses("content_part.done", part={"type": "output_text", "text": "a"}), [], [PLACE]),
        ({"type": "response.output_item.done", "output_index": 7, "item": {}}, [], [(None, None, 7)]),
        (responses("content_part.added", part={"type": "output_text", "text": ""}), [], []),
        (
            responses("content_part.added", part={"type": "output_text", "text": "a"}),
            [Delta((*PLACE, "output_text"), ("part", "text"), "a", begins=True)],
            [],
        ),
        (
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {"type": "function_call", "name": "look", "arguments": "{"},
            },
            [
                Delta(
                    (None, None, 0, None, None, "function_call_arguments"),
                    ("item", "arguments"),
                    "{",
                    json_text=True,
                    begins=True,
                )
            ],
            [],
        ),
        (
            {"type": "response.completed", "stream_id": "s", "response": {"id": "resp_1"}},
            [],
            [("s", None), ("s", "resp_1")],
        ),
        ({"type": "response.done", "response": {"id": "resp_1"}}, [], [(None, "resp_1")]),
        ({"type": "response.in_progress", "response": {"id": "resp_1"}}, [], []),
        ({"type": "session.created", "session": {"instructions": "Be brief."}}, [], []),
        (
            {
                "type": "conversation.item.input_audio_transcription.delta",
                "item_id": "i",
                "content_index": 0,
                "delta": "hi",
            },
            [
                Delta(
                    (None, None, "i", 0, None, "conversation.item.input_audio_transcription"),
                    ("delta",),
                    "hi",
                )
            ],
            [],
        ),
        (
            block("delta", delta={"type": "text_delta", "text": "a"}),
            [Delta((1, "text"), ("delta", "text"), "a")],
            [],
        ),
        (
            block("delta", delta={"type": "thinking_delta", "thinking": "a"}),
            [Delta((1, "thinking"), ("delta", "thinking"), "a")],
            [],
        ),
        (
            block("delta", delta={"type": "input_json_delta", "partial_json": "{"}),
            [Delta((1, "partial_json"), ("delta", "partial_json"), "{", json_text=True)],
            [],
        ),
        (block("delta", delta={"type": "signature_delta", "signature": "Zm9v"}), [], []),
        (block("delta", delta={"type": "citations_delta", "citation": {"cited_text": "a"}}), [], []),
        (
            block("start", content_block={"type": "text", "text": "a"}),
            [Delta((1, "text"), ("content_block", "text"), "a", begins=True)],
            [],
        ),
        (block("start", content_block={"type": "tool_use", "name": "look", "input": {}}), [], [(1,)]),
        (block("stop"), [], [(1,)]),
        ({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, [], [ALL]),
        ({"type": "message_stop"}, [], [ALL]),
        ({"type": "ping"}, [], []),
        ({"type": "error", "error": {"message": "overloaded"}}, [], []),
        (gemini({"text": "a"}), [Delta((0, "text"), part(0), "a")], []),
        (
            gemini({"text": "hm", "thought": True}, {"text": "a"}, index=1, finishReason="STOP"),
            [Delta((1, "thought"), part(0), "hm"), Delta((1, "text"), part(1), "a")],
            [(1,)],
        ),
        (
            gemini({"text": "a"}, {"functionCall": {"name": "look", "args": {}}}, {"text": "b"}),
            [Delta((0, "text"), part(0), "a"), Delta((0, "text"), part(2), "b", begins=True)],
            [(0, "thought")],
        ),
        (gemini({"functionCall": {"name": "look"}}), [], [(0, "text"), (0, "thought")]),
        (
            gemini({"functionCall": {"partialArgs": [{"jsonPath": "$.q", "stringValue": "a"}]}}),
            [
                Delta(
                    (0, "call", "$.q", "stringValue"),
                    (*part(0)[:-1], "functionCall", "partialArgs", 0, "stringValue"),
                    "a",
                )
            ],
            [(0, "call"), (0, "text"), (0, "thought")],
        ),
        ({"usageMetadata": {"promptTokenCount": 1}}, [], []),
        (
            {"response": gemini({"text": "a"})},
            [Delta((0, "text"), ("response", *part(0)), "a")],
            [],
        ),
        (
            {
                "created_at": "x",
                "message": {"role": "assistant", "content": "a", "thinking": "b"},
                "done": False,
            },
            [
                Delta(("message", "content"), ("message", "content"), "a"),
                Delta(("message", "thinking"), ("message", "thinking"), "b"),
            ],
            [],
        ),
        (
            {"created_at": "x", "response": "a", "done": True},
            [Delta(("response",), ("response",), "a")],
            [ALL],
        ),
        (
            {"type": "content-delta", "index": 1, "delta": {"message": {"content": {"text": "a"}}}},
            [Delta((1, "text"), ("delta", "message", "content", "text"), "a")],
            [],
        ),
        (
            {
                "type": "tool-call-delta",
                "index": 1,
                "delta": {"message": {"tool_calls": {"function": {"arguments": "{"}}}},
            },
            [
                Delta(
                    (1, "arguments"),
                    ("delta", "message", "tool_calls", "function", "arguments"),
                    "{",
                    json_text=True,
                )
            ],
            [],
        ),
        ({"type": "content-end", "index": 1}, [], [(1,)]),
        ({"type": "message-end"}, [], [ALL]),
        ({"error": {"message": "no"}}, [], []),
    ],
)
def test_known_shapes(event: dict[str, Any], deltas: list[Delta], ends: list[Any]) -> None:
    assert read(event) == EventTexts(deltas, ends)


MEMBERS = """
    type index delta content choices text tool_calls function arguments custom input reasoning_details audio
    candidates parts thought functionCall partialArgs jsonPath finishReason response item part output_index
    item_id response_id content_block partial_json message done created_at thinking usageMetadata error
"""
KINDS = """
    response.output_text.delta response.output_item.added response.content_part.added response.done
    content_block_delta content_block_start message_stop content-delta tool-call-delta session.x function_call
"""
LEAVES = (
    st.none() | st.booleans() | st.integers(0, 999) | st.text(max_size=3) | st.sampled_from(KINDS.split())
)
NAMES = st.sampled_from(MEMBERS.split())
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=20,
)
EVENTS = st.dictionaries(NAMES, VALUES, max_size=8) | st.builds(
    lambda event, kind: {**event, "type": kind},
    st.dictionaries(NAMES, VALUES, max_size=8),
    st.sampled_from(KINDS.split()),
)


@settings(max_examples=300, deadline=None)
@given(event=EVENTS)
def test_any_event_can_be_read(event: dict[str, Any]) -> None:
    texts = read(event)
    for delta in texts.deltas if texts is not None else ():
        place: Any = event
        for step in delta.path:
            place = place[step]
        assert place == delta.text != ""
        hash(delta.channel)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"token": {"text": "a"}},
        {"type": "thread.message.delta", "delta": {"content": []}},
        {"choices": "a"},
        {"error": None, "text": "a"},
    ],
)
def test_unknown_shapes(event: dict[str, Any]) -> None:
    assert read(event) is None


def test_every_string_of_an_unknown_event_may_be_a_delta() -> None:
    def texts(said: str, constant: str = "a constant") -> list[str]:
        event = {"id": "x1", "said": {"text": said}, "note": constant}
        spans = [
            Span(("id",), "x1", "text"),
            Span(("said", "text"), said, "text"),
            Span(("note",), constant, "text"),
        ]
        return [delta.text for delta in unknown.read(event, spans).deltas]

    unknown = UnknownTexts()
    assert texts("11") == ["11", "a constant"]
    # A short one may well come twice; a long one that never was another does not go on.
    assert texts("11") == ["11"]
    assert texts("22", "and now it changes") == ["22", "and now it changes"]
    assert texts("22", "a constant") == ["22", "a constant"]
