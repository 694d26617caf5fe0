"""Streams through filters: what comes out is what a filter makes of the unsplit text, event by event."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialects import open_streams
from tests.dialects.streams import STREAMS, sse
from tests.guard.stream_cases import (
    CASES,
    LONG,
    MASK,
    PADDED,
    USAGE,
    Case,
    Failing,
    Holding,
    Masking,
    Open,
    anthropic,
    chat_call,
    chat_chunk,
    cut,
    gemini_chunk,
    guarded,
    joined,
    keep,
    mask,
    mask_whole,
    ollama,
    responses,
    responses_tool,
)
from tests.guard.test_deltas import EVENTS
from tokenomics_core.dialects.base import Framing
from tokenomics_core.guard import event_queue, stream
from tokenomics_core.guard.deltas import Channel
from tokenomics_core.guard.pieces import Piece, TextFilter
from tokenomics_core.guard.spans import Span
from tokenomics_core.guard.stream import FrameGuard, StreamGuard
from tokenomics_core.guard.violation import RuleViolation
from tokenomics_core.sse import EVENT_LIMIT


def check(case: Case, deltas: list[str], places: Sequence[int] = ()) -> None:
    """The text is masked as a whole; all else is as it was."""
    text = "".join(deltas)
    data = case.data(deltas, text)
    out = case.events(joined(guarded(case.framing, cut(data, places))))
    before, behind = PADDED.get(case.name, (0, 0))
    said = case.deltas(out)
    said = said[before : len(said) - behind]
    assert "".join(said) == mask(text)
    assert out == case.events(case.data(said, mask(text)))


def by_name(case: Case) -> str:
    return case.name


LETTERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TEXTS = st.lists(LETTERS | st.from_regex("[0-9]{1,20}", fullmatch=True), max_size=8).map("".join)
PLACES = st.lists(st.integers(0, 10_000), max_size=8)


@pytest.mark.parametrize("case", CASES, ids=by_name)
@settings(max_examples=60, deadline=None)
@given(text=TEXTS, cuts=PLACES, places=PLACES)
def test_a_split_text_comes_out_as_the_unsplit_one(
    case: Case, text: str, cuts: list[int], places: list[int]
) -> None:
    at = sorted(place % (len(text) + 1) for place in cuts)
    deltas = [text[start:stop] for start, stop in zip([0, *at], [*at, len(text)], strict=True)]
    check(case, deltas, places)


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_every_two_cuts(case: Case) -> None:
    text = 'a "12345678"\n9b'
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            check(case, [text[:first], text[first:second], text[second:]])


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_every_cut_of_the_bytes(case: Case) -> None:
    deltas = ["ä 12", "3456", "78 b"]
    data = case.data(deltas, "".join(deltas))
    expected = joined(guarded(case.framing, [data]))
    assert MASK.encode() in expected
    for place in range(len(data)):
        assert joined(guarded(case.framing, [data[:place], data[place:]])) == expected


# What is not changed.

SAMPLES: dict[str, tuple[Framing, bytes]] = {
    **{
        each.name: (
            "ndjson" if each.name == "ollama" else "json_array" if "array" in each.name else "sse",
            each.data,
        )
        for each in STREAMS
    },
    "open chat": ("sse", open_streams.CHAT),
    "open completions": ("sse", open_streams.COMPLETIONS),
    "open responses": ("sse", open_streams.RESPONSES),
    "open anthropic": ("sse", open_streams.ANTHROPIC),
    "open gemini": ("sse", open_streams.GEMINI_SSE),
    "open gemini array": ("json_array", open_streams.GEMINI_ARRAY),
    "open ollama": ("ndjson", open_streams.OLLAMA_GENERATE),
    **{f"case {case.name}": (case.framing, case.data(["a 1", "23", ""], "a 123")) for case in CASES},
    "comments": ("sse", b": keep-alive\n\n:\n\nretry: 10\n\nevent: x\n\n" + sse(chat_chunk(content="a"))),
    "fields": (
        "sse",
        b"\xef\xbb\xbfid: 1\ndata:" + json.dumps(chat_chunk(content="a")).encode() + b"\nid\n\n",
    ),
    "lines": ("sse", b'data: {\ndata:  "choices": [{"delta":{"content":"a"}}]\ndata: }\n\n'),
    "carriage returns": ("sse", sse(chat_chunk(content="a"), "[DONE]", end="\r\r")),
    "incomplete": ("sse", sse(chat_chunk(content="a")) + b'data: {"choices":[{"del'),
    "incomplete line": ("ndjson", b'{"a":"b"}\n{"a'),
    "incomplete array": ("json_array", b'[{"candidates":[]},{"cand'),
    "other JSON": ("sse", sse(1, None, True, "text", '"text"', ["text"], {"a": 1})),
    "one body": ("sse", b' {"choices": [{"message": {"content": "a"}}]}\n'),
    "body with empty lines": ("sse", b'{"choices": [\n\n{"message": {"content": "a"}}\n\n]}'),
    "lines for events": ("sse", b'{"a":"b"}\n{"a":"c"}\n'),
    "empty": ("sse", b""),
    "no end": ("sse", b"\n\n\n"),
}


@pytest.mark.parametrize("make", [Open, Holding, Masking], ids=lambda make: make.__name__)
@pytest.mark.parametrize(("framing", "data"), SAMPLES.values(), ids=SAMPLES)
def test_what_nothing_changes_keeps_its_bytes(
    framing: Framing, data: bytes, make: Callable[[], TextFilter]
) -> None:
    assert joined(guarded(framing, [data], make)) == data
    assert joined(guarded(framing, [data[at : at + 1] for at in range(len(data))], make)) == data


@pytest.mark.parametrize(("framing", "data"), SAMPLES.values(), ids=SAMPLES)
def test_with_nothing_held_every_event_passes_at_once(framing: Framing, data: bytes) -> None:
    guard = StreamGuard(framing, lambda channel, json_text: Open(), keep)
    out = b""
    for at in range(len(data)):
        out += guard.feed(data[at : at + 1])
        if data.startswith(b"data: ") and data[: at + 1].endswith((b"\n\n", b"\r\n\r\n")):
            assert out == data[: at + 1]
    assert out + guard.close() == data


@settings(max_examples=100, deadline=None)
@given(events=st.lists(EVENTS, max_size=5), masked=st.booleans())
def test_events_of_any_shape(events: list[dict[str, Any]], masked: bool) -> None:
    data = sse(*events)
    assert joined(guarded("sse", [data], Masking if masked else Holding)) == data


# How an event is written that is changed.


def test_a_mask_stands_where_its_value_began() -> None:
    case = CASES[0]
    out = case.events(joined(guarded("sse", [case.data(["a 12", "345", "678", "9 b"], "")])))
    assert case.deltas(out) == ["", f"a {MASK}", "", "", " b"]


def test_only_the_text_of_a_changed_event_is_written_anew() -> None:
    head, tail = b'event: x\r\nid: 7\r\n:c\r\ndata:  {"z":1.50, "choices" :[{"delta":{"content": "', b'"}}]}'
    end = b" \r\nretry: 3\r\n\r\n"
    out = joined(guarded("sse", [head + b"a\\u00e9 12345678" + tail + end]))
    assert out == head + b"a\\u00e9 [NUMBER]" + tail + end


def test_data_on_several_lines() -> None:
    data = b'data: {"choices":\ndata: [{"delta":\nid: 1\ndata: {"content": "12345678"}}]}\n\n'
    out = joined(guarded("sse", [data]))
    assert out == b'data: {"choices":\ndata: [{"delta":\ndata: {"content": "[NUMBER]"}}]}\nid: 1\n\n'


def test_an_event_behind_one_that_is_held_waits() -> None:
    events = [chat_chunk(content="1234"), USAGE, chat_chunk(content="5678")]
    chunks = [b": ping\n\n", *[sse(event) for event in events], sse(chat_chunk(content=" a")), sse("[DONE]")]
    out, rest = guarded("sse", chunks)
    assert out[:4] == [b": ping\n\n", b"", b"", b""]
    expected = [chat_chunk(content=MASK), USAGE, chat_chunk(content=""), chat_chunk(content=" a")]
    assert (out[4], out[5], rest) == (sse(*expected), sse("[DONE]"), b"")


@pytest.mark.parametrize(
    ("framing", "events", "last"),
    [
        ("sse", [chat_chunk(content="a 12")], chat_chunk("stop")),
        ("sse", [chat_chunk(content="a 12")], "[DONE]"),
        ("sse", [chat_chunk(content="a")], chat_chunk("stop", content="12")),
        ("sse", anthropic(["12"], "")[:4], {"type": "content_block_stop", "index": 0}),
        ("sse", anthropic(["12"], "")[:4], {"type": "message_stop"}),
        ("sse", responses(["12"], "12")[:4], responses(["12"], "12")[4]),
        ("sse", responses(["12"], "12")[:4], responses(["12"], "12")[5]),
        ("sse", responses(["12"], "12")[:4], responses(["12"], "12")[6]),
        ("sse", responses(["12"], "12")[:4], responses(["12"], "12")[7]),
        ("sse", responses_tool(["12"], "12")[:3], responses_tool(["12"], "12")[3]),
        ("json_array", [gemini_chunk({"text": "12"})], gemini_chunk({"functionCall": {"name": "look"}})),
        ("json_array", [gemini_chunk({"text": "12"})], gemini_chunk({"text": ""}, finishReason="STOP")),
        ("ndjson", ollama(["12"], "")[:1], ollama([], "")[0]),
    ],
)
def test_the_end_of_a_text_lets_go_of_it(framing: Framing, events: list[Any], last: Any) -> None:
    case = Case("", lambda deltas, whole: [*events, last], lambda event: None, framing)
    data = case.data([], "").removesuffix(b"\n]\n")
    assert joined((guarded(framing, [data])[0], b"")) == data


def test_texts_side_by_side() -> None:
    def said(index: int, text: str) -> dict[str, Any]:
        return {"choices": [{"index": index, "delta": {"content": text}}]}

    def called(index: int, text: str) -> dict[str, Any]:
        calls = [{"index": at, "function": {"arguments": text}} for at in (index, 9)]
        return {"choices": [{"index": 0, "delta": {"tool_calls": calls}}]}

    out = joined(
        guarded("sse", [sse(said(0, "1234"), said(1, "12"), said(0, "5678"), said(1, "34a"), "[DONE]")])
    )
    assert out == sse(said(0, MASK), said(1, "12"), said(0, ""), said(1, "34a"), "[DONE]")
    both = {"choices": [*said(0, "1234")["choices"], *said(1, "12345678")["choices"]]}
    masked = {"choices": [*said(0, MASK)["choices"], *said(1, MASK)["choices"]]}
    assert joined(guarded("sse", [sse(both, said(0, "5678"))])) == sse(masked, said(0, ""))
    out = joined(guarded("sse", [sse(called(0, "1234"), called(1, "1234"), called(0, "5678"))]))
    first = {"index": 0, "function": {"arguments": MASK}}
    ninth = {"index": 9, "function": {"arguments": MASK}}
    assert json.loads(out.split(b"\n\n")[0][6:])["choices"][0]["delta"]["tool_calls"] == [first, ninth]


def test_text_before_and_behind_a_call_of_gemini_is_not_one_text() -> None:
    def parts(*parts: dict[str, Any]) -> dict[str, Any]:
        return {"candidates": [{"content": {"parts": [*parts]}}]}

    call = {"functionCall": {"name": "look", "args": {"q": "12345678"}}}
    out = joined(
        guarded("sse", [sse(parts({"text": "1234"}, call, {"text": "5678"}), parts({"text": "9012"}))])
    )
    masked = {"functionCall": {"name": "look", "args": {"q": MASK}}}
    assert out == sse(parts({"text": "1234"}, masked, {"text": MASK}), parts({"text": ""}))


def test_probabilities_of_what_is_changed_are_taken_out() -> None:
    def chunk(text: str, spelt: Any) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": {"content": text}, "logprobs": spelt}]}

    spelt = {"content": [{"token": "1234", "logprob": -0.1, "bytes": [49, 50, 51, 52]}], "refusal": None}
    events = [chunk("a", spelt), chunk("1234", spelt), chunk("5678", spelt), chunk("b", spelt)]
    out = joined(guarded("sse", [sse(*events)]))
    assert out == sse(chunk("a", spelt), chunk(MASK, None), chunk("", None), chunk("b", spelt))

    def delta(text: str, spelt: Any) -> dict[str, Any]:
        return {"type": "response.output_text.delta", "output_index": 0, "delta": text, "logprobs": spelt}

    def done(text: str, spelt: Any) -> dict[str, Any]:
        part = {"type": "output_text", "text": text, "logprobs": spelt}
        item = {"type": "message", "content": [part]}
        return {"type": "response.completed", "response": {"output": [item]}}

    tokens = [{"token": "12345678", "logprob": -0.1}]
    out = joined(guarded("sse", [sse(delta("12345678", tokens), done("12345678", tokens))]))
    assert out == sse(delta(MASK, []), done(MASK, []))

    def candidate(text: str, spelt: Any) -> dict[str, Any]:
        return {"candidates": [{"content": {"parts": [{"text": text}]}, "logprobsResult": spelt}]}

    out = joined(guarded("sse", [sse(candidate("12345678", {"chosenCandidates": tokens}))]))
    assert out == sse(candidate(MASK, None))


def test_what_is_whole_is_looked_at_alone() -> None:
    event = {"type": "error", "error": {"type": "api_error", "message": "no account 12345678"}}
    assert joined(guarded("sse", [sse(event)])) == sse(
        {"type": "error", "error": {"type": "api_error", "message": f"no account {MASK}"}}
    )


# What is no stream of events in JSON.


@pytest.mark.parametrize(
    ("framing", "data", "expected"),
    [
        ("sse", b"data: account 12345678 {\n\n", b"data: account [NUMBER] {\n\n"),
        ("sse", b'data: "12345678"\n\n', b'data: "[NUMBER]"\n\n'),
        ("sse", b": account 12345678\n\n", b": account [NUMBER]\n\n"),
        ("sse", b"no event 12345678", b"no event [NUMBER]"),
        ("sse", b'data: {"choices":[{"text":"12345678', b'data: {"choices":[{"text":"[NUMBER]'),
        ("sse", b' {"a": "12345678", "b":1}\n', b' {"a": "[NUMBER]", "b":1}\n'),
        ("sse", b'{"a": [\n\n"12345678"]}', b'{"a": [\n\n"[NUMBER]"]}'),
        ("sse", b'{"a":"1234"}\n{"a":"5678"}\n', b'{"a":"[NUMBER]"}\n{"a":""}\n'),
        ("sse", b'{"a":"12345678\n', b'{"a":"[NUMBER]\n'),
        ("ndjson", b"12345678 no JSON\n{}\n", b"[NUMBER] no JSON\n{}\n"),
        ("json_array", b'["12345678",{"a":"12345678"}]', b'["[NUMBER]",{"a":"[NUMBER]"}]'),
        ("json_array", b'[{"a":"12345678', b'[{"a":"[NUMBER]'),
        (
            "sse",
            b'data: {"choices":[{"text":"\\ud83d 12345678"}]}\n\n',
            b'data: {"choices":[{"text":"\\ud83d [NUMBER]"}]}\n\n',
        ),
    ],
)
def test_other_forms(framing: Framing, data: bytes, expected: bytes) -> None:
    assert joined(guarded(framing, [data])) == expected
    assert joined(guarded(framing, [data[at : at + 1] for at in range(len(data))])) == expected


def test_half_of_a_character_in_each_of_two_deltas() -> None:
    data = b'data: {"choices":[{"text":"1\\ud83d"}]}\n\ndata: {"choices":[{"text":"\\ude00 1"}]}\n\n'
    assert joined(guarded("sse", [data], Holding)) == data
    assert joined(guarded("sse", [data])) == data


@pytest.mark.parametrize("data", [b"data: \xff\n\n", b": \xff\n\n", b'data: {"a":"\xff"}\n\n'])
def test_what_cannot_be_read_is_refused(data: bytes) -> None:
    guard = StreamGuard("sse", lambda channel, json_text: Open(), keep)
    with pytest.raises(RuleViolation):
        guard.feed(sse(chat_chunk(content="a")) + data)
    assert guard.settled == sse(chat_chunk(content="a"))


@pytest.mark.parametrize(
    ("framing", "begin"),
    [("sse", b"data: "), ("sse", b"{"), ("ndjson", b'{"a":"'), ("json_array", b'[{"a":"')],
)
def test_what_is_too_long_to_be_read_is_refused(framing: Framing, begin: bytes) -> None:
    guard = StreamGuard(framing, lambda channel, json_text: Open(), keep)
    with pytest.raises(RuleViolation):
        guard.feed(begin + b"x" * (EVENT_LIMIT + 1))


# Violations and bounds.


def test_what_was_settled_before_a_violation_is_kept() -> None:
    guard = StreamGuard("sse", lambda channel, json_text: Failing(), keep)
    events = [chat_chunk(content="a"), chat_chunk(content="b 1234"), USAGE]
    assert guard.feed(sse(events[0])) == sse(events[0])
    assert guard.feed(sse(*events[1:])) == b""
    more = [chat_chunk(content=" c"), chat_chunk(content="1234"), chat_chunk(content="5678 d")]
    with pytest.raises(RuleViolation, match="a number"):
        guard.feed(sse(*more))
    assert guard.settled == sse(*events[1:], more[0])


def test_a_violation_in_what_is_whole() -> None:
    def fail(span: Span) -> None:
        if LONG.search(span.text):
            raise RuleViolation("a number")

    guard = StreamGuard("sse", lambda channel, json_text: Open(), fail)
    with pytest.raises(RuleViolation, match="a number"):
        guard.feed(sse(chat_chunk(content="a"), {"error": {"message": "12345678"}}, chat_chunk(content="b")))
    assert guard.settled == sse(chat_chunk(content="a"))


def test_a_violation_at_the_end() -> None:
    guard = StreamGuard("sse", lambda channel, json_text: Failing(), keep)
    assert guard.feed(sse(chat_chunk(content="a"), chat_chunk(content="12345678"))) == sse(
        chat_chunk(content="a")
    )
    with pytest.raises(RuleViolation, match="a number"):
        guard.close()
    assert guard.settled == b""


def test_what_is_held_is_bounded() -> None:
    guard = StreamGuard("sse", lambda channel, json_text: Holding(), keep)
    event = sse(chat_chunk(content="a" * (stream.MOST_HELD // 4)))
    assert [guard.feed(event) for _ in range(3)] == [b""] * 3
    with pytest.raises(RuleViolation):
        guard.feed(event)


def test_texts_at_once_are_bounded() -> None:
    guard = StreamGuard("sse", lambda channel, json_text: Open(), keep)
    choices = [{"index": at, "delta": {"content": "a"}} for at in range(event_queue.MOST_CHANNELS)]
    guard.feed(sse({"choices": choices}))
    with pytest.raises(RuleViolation):
        guard.feed(sse({"choices": [{"index": -1, "delta": {"content": "a"}}]}))


def test_a_filter_that_keeps_characters_is_an_error() -> None:
    class Losing(Holding):
        def close(self) -> list[Piece]:
            return []

    guard = StreamGuard("sse", lambda channel, json_text: Losing(), keep)
    guard.feed(sse(chat_chunk(content="a")))
    with pytest.raises(RuntimeError):
        guard.close()


def test_each_text_has_a_filter_of_its_own() -> None:
    made: list[tuple[Channel, bool]] = []

    def new_filter(channel: Channel, json_text: bool) -> TextFilter:
        made.append((channel, json_text))
        return Open()

    guard = StreamGuard("sse", new_filter, keep)
    guard.feed(
        sse(
            chat_chunk(content="a"),
            chat_chunk(content="b"),
            chat_call("{"),
            chat_chunk("stop"),
            chat_chunk(content="c"),
        )
    )
    assert made == [
        ((0, "content"), False),
        ((0, "tool_calls", 0, "arguments"), True),
        ((0, "content"), False),
    ]


# The same on a WebSocket.


def frames(guard: FrameGuard, events: list[dict[str, Any]]) -> list[str]:
    out = [each for event in events for each in guard.feed(json.dumps(event))]
    return out + guard.close()


@pytest.mark.parametrize("make", [Open, Holding, Masking], ids=lambda make: make.__name__)
def test_frames_that_nothing_changes(make: Callable[[], TextFilter]) -> None:
    events = open_streams.RESPONSES_EVENTS
    guard = FrameGuard(lambda channel, json_text: make(), keep)
    assert frames(guard, events) == [json.dumps(event) for event in events]


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, cuts=PLACES)
def test_a_text_in_frames(text: str, cuts: list[int]) -> None:
    at = sorted(place % (len(text) + 1) for place in cuts)
    deltas = [text[start:stop] for start, stop in zip([0, *at], [*at, len(text)], strict=True)]
    guard = FrameGuard(lambda channel, json_text: Masking(), mask_whole)
    out = [json.loads(frame) for frame in frames(guard, responses(deltas, text))]
    said = [event["delta"] for event in out if event["type"].endswith("_text.delta")]
    assert "".join(said) == mask(text)
    assert out == responses(said, mask(text))


def test_frames_before_a_violation() -> None:
    guard = FrameGuard(lambda channel, json_text: Failing(), keep)
    first, second, third = (json.dumps(event) for event in responses(["1234", "5678"], "")[2:5])
    assert guard.feed(first) == [first]
    assert guard.feed(second) == []
    assert guard.feed(third) == []
    with pytest.raises(RuleViolation, match="a number"):
        guard.close()
    assert guard.settled == []


def test_frames_that_are_no_json() -> None:
    guard = FrameGuard(lambda channel, json_text: Masking(), mask_whole)
    assert guard.feed("account 12345678") == ["account [NUMBER]"]
    with pytest.raises(RuleViolation):
        guard.feed("\ud83d")


@pytest.mark.parametrize(
    ("framing", "data"),
    [
        ("sse", b'data: {"choices":[],"choices":[]}\n\n'),
        ("sse", b'data: {"a":{"b":1,"b":"123456789"}}\n\n'),
        ("sse", b'{"a":"123456789","a":""}'),
        ("ndjson", b'{"a":[{"b":1,"b":2}]}\n'),
        ("json_array", b'[{"b":1,"\\u0062":2}]'),
        ("ndjson", b'\n\xef\xbb\xbf{"a":"123456789","a":""}\n'),
        ("sse", b'data: \xef\xbb\xbf{"a":"123456789","a":""}\n\n'),
    ],
)
def test_a_member_that_stands_twice_is_refused(framing: Framing, data: bytes) -> None:
    guard = StreamGuard(framing, lambda channel, json_text: Masking(), mask_whole)
    with pytest.raises(RuleViolation, match="twice"):
        assert guard.feed(data) + guard.close() == b""
