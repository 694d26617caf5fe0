"""What is kept of a streamed answer while it passes."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.streams import sse
from tests.guard.stream_cases import CASES, Case, chat_chunk, cut
from tokenomics_core.guard.answer import AnswerGuard
from tokenomics_core.guard.rules import CompiledRules
from tokenomics_core.guard.vault import Vault
from tokenomics_core.memory.capture import EVENT, Capture, restores, said_of, unrestored
from tokenomics_core.memory.entry import LIMIT, Streamed
from tokenomics_core.policy.schema import Rule

DELTAS = ["Hel", "lo \n", "wörld", " 1"]
WHOLE = "".join(DELTAS)
CALL = ['{"city"', ': "Linz"}']
NAMED = "sk-" + "liveQ8w2E4r6T8y0U1i3O5p7"


def captured(data, framing="sse", pieces=1, guard=None, secret=b""):
    capture = Capture(framing, guard, secret)
    for piece in cut(data, range(0, len(data), max(1, len(data) // pieces))):
        capture.feed(piece)
    return capture.close()


TEXTS = [case for case in CASES if "tool" not in case.name and case.name != "unknown"]


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case.name)
def test_the_text_of_every_dialect(case: Case):
    data = case.data(DELTAS, WHOLE)
    kept = captured(data, case.framing)
    assert isinstance(kept, Streamed)
    assert kept.text == WHOLE
    assert not kept.cut
    assert not kept.more
    assert [p.decode() if p == b"[DONE]" else json.loads(p) for p in kept.payloads] == case.events(data)


@given(st.lists(st.integers(0, 4000), max_size=6), st.sampled_from(CASES))
def test_however_the_stream_is_cut(places, case):
    data = case.data(DELTAS, WHOLE)
    capture = Capture(case.framing)
    for piece in cut(data, places):
        capture.feed(piece)
    assert capture.close() == captured(data, case.framing)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("chat tool", {"name": "", "arguments": "".join(CALL)}),
        ("responses tool", {"name": "look", "arguments": "".join(CALL)}),
        ("anthropic tool", {"name": "look", "arguments": "".join(CALL)}),
        ("gemini sse", {"name": "look", "arguments": '{"q":"x"}'}),
    ],
)
def test_tool_calls_are_told_apart_from_text(name, call):
    case = next(each for each in CASES if each.name == name)
    kept = captured(case.data(CALL, "".join(CALL)), case.framing)
    assert kept.calls == (call,)
    assert name == "gemini sse" or kept.text == ""


def test_two_calls_at_once_and_text_before():
    events = [
        chat_chunk(role="assistant", content="Let me look."),
        chat_chunk(tool_calls=[{"index": 0, "id": "a", "function": {"name": "one", "arguments": ""}}]),
        chat_chunk(tool_calls=[{"index": 1, "id": "b", "function": {"name": "two", "arguments": "{"}}]),
        chat_chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"a":1}'}}]),
        chat_chunk(tool_calls=[{"index": 1, "function": {"arguments": "}"}}]),
        chat_chunk(reasoning_content="hm"),
        "[DONE]",
    ]
    kept = captured(sse(*events))
    assert kept.text == "Let me look."
    assert kept.calls == ({"name": "one", "arguments": '{"a":1}'}, {"name": "two", "arguments": "{}"})


@pytest.mark.parametrize(
    "events",
    [
        [{"type": "content_block_delta", "index": {}, "delta": 5}, {"choices": [{"index": [], "delta": []}]}],
        [
            {
                "choices": [
                    {"index": {}, "delta": {"tool_calls": [{"index": {}, "function": {"arguments": 7}}]}}
                ]
            }
        ],
        [{"candidates": [{"content": {"parts": [{"functionCall": {"name": 3, "args": []}}]}}]}],
        [[1, 2], "x", 5, None, {}, {"type": "response.output_item.done", "item": {"name": "n"}}],
    ],
)
def test_events_of_any_shape_are_taken(events):
    kept = captured(sse(*events))
    assert len(kept.payloads) == len(events)
    assert not kept.cut


def test_payloads_and_text_are_bounded():
    piece = "x" * 1000
    data = sse(*[chat_chunk(content=piece) for _ in range(2000)], "[DONE]")
    kept = captured(data, pieces=300)
    assert kept.more
    assert kept.cut
    assert kept.text == "x" * LIMIT
    assert LIMIT - 2000 < sum(map(len, kept.payloads)) <= LIMIT
    # From the first on, without a gap.
    assert kept.payloads == tuple(
        json.dumps(chat_chunk(content=piece)).encode() for _ in range(len(kept.payloads))
    )


def test_text_goes_on_where_payloads_are_full():
    data = sse(*[chat_chunk(content="word ") for _ in range(5000)])
    kept = captured(data, pieces=50)
    assert kept.more
    assert not kept.cut
    assert kept.text == "word " * 5000


def test_memory_is_bounded():
    capture = Capture("sse")
    data = sse(*[chat_chunk(content="x" * 200) for _ in range(100)])
    tracemalloc.start()
    try:
        for _ in range(300):
            capture.feed(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * LIMIT


@pytest.mark.long
def test_neither_small_events_nor_many_texts_fill_the_memory():
    capture = Capture("sse")
    tracemalloc.start()
    try:
        for number in range(40_000):
            event = {"type": "content_block_delta", "index": number, "delta": {"text": "x"}}
            capture.feed(b"data: {}\n\n" + sse(event))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    kept = capture.close()
    assert kept.more
    assert kept.cut
    assert len(kept.text) < 3000
    assert peak < 8 * LIMIT


def test_an_event_without_end_is_not_kept():
    capture = Capture("sse")
    capture.feed(b"data: {")
    for _ in range(40):
        capture.feed(b"x" * 100_000)
    capture.feed(b"}\n\n")
    capture.feed(sse(chat_chunk(content="after")))
    kept = capture.close()
    assert kept.more
    assert kept.cut
    assert kept.text == "after"
    assert EVENT < 4_000_000


def test_a_stream_that_broke_off_has_what_came():
    data = sse(chat_chunk(content="one"), chat_chunk(content="two"))
    kept = captured(data[:-1])
    assert kept.text == "onetwo"
    assert captured(data[:-30]).text == "one"


def test_a_body_in_the_place_of_a_stream_is_a_body():
    body = b'{"error":{"message":"no"}}\n'
    assert captured(body) == body.strip()
    assert captured(b"[]", "json_array") == b"[]"
    assert captured(b"") == Streamed()
    assert captured(b": ping\n\n") == Streamed()


def test_frames_are_events():
    capture = Capture("sse")
    for event in next(case for case in CASES if case.name == "responses").build(DELTAS, WHOLE):
        capture.frame(json.dumps(event))
    kept = capture.close()
    assert kept.text == WHOLE
    assert len(kept.payloads) == len(DELTAS) + 7


def test_nothing_raises(caplog):
    class Broken:
        settled = b""

        def feed(self, data):
            raise ZeroDivisionError(NAMED)

        close = None

    capture = Capture("sse")
    capture._masking = Broken()
    capture.feed(b"data: {}\n\n")
    capture.feed(b"data: {}\n\n")
    kept = capture.close()
    assert kept == Streamed((), "", (), True, True)
    assert "ZeroDivisionError" in caplog.text
    assert NAMED not in caplog.text


# Where values are put back.


def rules(**rule):
    return CompiledRules([Rule.model_validate({"scope": "output", "type": "pii", **rule})], "output")


def restoring(compiled):
    vault = Vault()
    assert vault.placeholder("EMAIL", "ada@example.com") == "<EMAIL_1>"
    return AnswerGuard(compiled, vault, lambda hit: None)


def test_values_that_are_put_back_are_not_kept():
    guard = restoring(rules(detect=["phone"], action="mask"))
    said = ["Mail <EM", "AIL_1> or call +1 415 ", "555 2671."]
    data = sse(*[chat_chunk(content=each) for each in said], chat_chunk("stop"), "[DONE]")
    stream = guard.stream("sse")
    given = stream.feed(data) + stream.close()
    assert b"ada@example.com" in given
    kept = captured(data, guard=guard, pieces=9)
    assert kept.text == "Mail <EMAIL_1> or call +[REDACTED]."
    assert b"ada" not in b"".join(kept.payloads)
    assert b"2671" not in b"".join(kept.payloads)


def test_a_violation_ends_what_is_kept():
    guard = restoring(rules(detect=["email"], action="fail"))
    events = [chat_chunk(content=each) for each in ("Good. ", "Ask eve@example.org now", " or never")]
    kept = captured(sse(*events), guard=guard, pieces=9)
    assert kept.text.startswith("Good. ")
    assert b"eve@" not in b"".join(kept.payloads)
    assert "never" not in kept.text


def test_the_real_key_is_taken_out():
    data = sse(chat_chunk(content=f"key {NAMED} !"))
    guard = restoring(rules(detect=["ssn"], action="mask"))
    kept = captured(data, guard=guard, secret=NAMED.encode(), pieces=len(data))
    assert kept.text == "key [REDACTED] !"


def test_frames_are_kept_without_the_values():
    events = next(case for case in CASES if case.name == "responses").build(
        ["<EM", "AIL_1> 078-", "05-1120 ", NAMED], "whole"
    )
    for compiled in (rules(detect=["ssn"], action="mask"), CompiledRules([], "output")):
        capture = Capture("sse", restoring(compiled), NAMED.encode())
        for event in events:
            capture.frame(json.dumps(event))
        kept = capture.close()
        assert kept.text == f"<EMAIL_1> {'[REDACTED]' if compiled else '078-05-1120'} [REDACTED]"
        assert len(kept.payloads) == len(events)


def test_a_violation_ends_what_is_kept_of_frames():
    events = next(case for case in CASES if case.name == "responses").build(["Good. ", "078-05-1120 "], "")
    capture = Capture("sse", restoring(rules(detect=["ssn"], action="fail")))
    for event in events:
        capture.frame(json.dumps(event))
    kept = capture.close()
    assert kept.text.startswith("Good.")
    assert b"078" not in b"".join(kept.payloads)


def test_without_rules_for_answers_the_placeholders_stay():
    guard = restoring(CompiledRules([], "output"))
    capture = Capture("sse", guard)
    assert capture.early
    capture.feed(sse(chat_chunk(content="Mail <EMAIL_1>")))
    assert capture.close().text == "Mail <EMAIL_1>"


def test_where_nothing_is_put_back_it_takes_what_the_client_gets():
    compiled = rules(detect=["phone"], action="mask")
    for guard in (None, AnswerGuard(compiled, None, print), AnswerGuard(compiled, Vault(), print)):
        assert not restores(guard)
        assert not Capture("sse", guard).early


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b'{"choices":[{"message":{"content":"<EMAIL_1> 078-05-1120"}}]}',
         b'{"choices":[{"message":{"content":"<EMAIL_1> [REDACTED]"}}]}'),
        (b"<EMAIL_1> 078-05-1120", b"<EMAIL_1> [REDACTED]"),
        (b"\xff", None),
    ],
)  # fmt: skip
def test_a_whole_answer_without_the_values(raw, kept):
    assert unrestored(restoring(rules(detect=["ssn"], action="mask")), raw) == kept
    assert unrestored(restoring(CompiledRules([], "output")), raw) == raw


@pytest.mark.parametrize("raw", [b'{"text":"078-05-1120"}', b"078-05-1120"])
def test_a_whole_answer_that_may_not_pass(raw):
    assert unrestored(restoring(rules(detect=["ssn"], action="fail")), raw) is None


def test_a_key_that_came_in_pieces_is_taken_out_of_the_text():
    half = len(NAMED) // 2
    said = ["it is ", NAMED[:half], NAMED[half:], "!"]
    calls = [
        chat_chunk(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": each}}]) for each in said
    ]
    kept = captured(sse(*[chat_chunk(content=each) for each in said], *calls), secret=NAMED.encode())
    assert kept.text == "it is [REDACTED]!"
    assert kept.calls == ({"name": "f", "arguments": "it is [REDACTED]!"},)


# Whole answers.


@pytest.mark.parametrize(
    ("body", "text", "calls"),
    [
        ({"choices": [{"message": {"content": "Hi"}}, {"message": {"content": "Ho"}}]}, "Hi\n\nHo", ()),
        ({"choices": [{"text": "Hi"}]}, "Hi", ()),
        (
            {"choices": [{"message": {"content": None, "tool_calls": [
                {"type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
                {"type": "custom", "custom": {"name": "g", "input": "free"}}]}}]},
            "", ({"name": "f", "arguments": '{"a":1}'}, {"name": "g", "arguments": "free"}),
        ),
        (
            {"type": "message", "content": [
                {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"},
                {"type": "tool_use", "name": "f", "input": {"a": 1}}]},
            "Hi", ({"name": "f", "arguments": '{"a":1}'},),
        ),
        (
            {"object": "response", "output": [
                {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
                {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
                {"type": "function_call", "name": "f", "arguments": "{}"}]},
            "Hi", ({"name": "f", "arguments": "{}"},),
        ),
        (
            {"candidates": [{"content": {"parts": [
                {"text": "hm", "thought": True}, {"text": "H"}, {"text": "i"},
                {"functionCall": {"name": "f", "args": {"ä": [1]}}}]}}]},
            "Hi", ({"name": "f", "arguments": '{"ä":[1]}'},),
        ),
        ({"message": {"content": "Hi", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}},
         "Hi", ({"name": "f", "arguments": "{}"},)),
        ({"response": "Hi", "done": True}, "Hi", ()),
        ({"message": {"content": [{"type": "text", "text": "Hi"}]}}, "Hi", ()),
        ([{"candidates": [{"content": {"parts": [{"text": "H"}]}}]}, 5], "H", ()),
        ({"data": [{"embedding": [0.1]}]}, "", ()),
        ([], "", ()),
        ({"choices": {"a": 1}, "content": 5, "output": "x", "candidates": [None], "message": []}, "", ()),
    ],
)  # fmt: skip
def test_whole_answers(body, text, calls):
    assert said_of(json.dumps(body).encode()) == (text, calls)


@pytest.mark.parametrize("body", [b"", b"no json", b"[" * 5000, b"\xff"])
def test_what_is_no_json_says_nothing(body):
    assert said_of(body) == ("", ())
