"""Frames of the Responses and Realtime APIs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialects.streams import RESPONSES, RESPONSES_USAGE
from tests.dialects.test_streams import JSON
from tokenomics_core.dialects import frame_reader
from tokenomics_core.dialects.base import Prompt, Usage
from tokenomics_core.dialects.frames import Done, FrameReader, Progress, Started, Turn
from tokenomics_core.refusal import Refusal


def responses() -> FrameReader:
    return frame_reader("/v1/responses", "")


def realtime(query: str = "model=gpt-realtime") -> FrameReader:
    return frame_reader("/v1/realtime", query)


def ask(reader: FrameReader, **members: Any) -> Turn:
    """A response.create frame that is sent."""
    turn = reader.client_frame(json.dumps({"type": "response.create", **members}))
    assert turn is not None
    reader.sent(turn)
    return turn


def say(reader: FrameReader, kind: str, **members: Any) -> Any:
    return reader.server_frame(json.dumps({"type": kind, **members}))


def test_a_turn_of_codex() -> None:
    reader = responses()
    frame = '{"type":"response.create","model":"gpt-5-codex","store":false,"input":[],"generate":false}'
    turn = reader.client_frame(frame)
    assert turn is not None
    assert turn.body is not None
    assert (turn.model, turn.lane, turn.body.render()) == ("gpt-5-codex", "", frame.encode())
    reader.sent(turn)
    events = [part.split(b"data: ")[1].decode() for part in RESPONSES.data.split(b"\n\n") if part]
    seen = [reader.server_frame(event) for event in events]
    assert [type(event) for event in seen] == [Started, *[Progress] * 4, Done]
    assert all(event is not None and event.turn is turn for event in seen)
    answer = turn.answer
    assert ("".join(answer.text), answer.usage, answer.id) == (RESPONSES.text, RESPONSES.usage, "resp_1")
    assert (answer.model, answer.finish_reason, answer.ended, turn.id) == (
        "gpt-5",
        "completed",
        True,
        "resp_1",
    )
    assert reader.close() == []


def test_prompts_go_into_the_frame() -> None:
    reader = responses()
    turn = reader.client_frame('{"type":"response.create","model":"m","input":"hi"}')
    assert turn is not None
    assert turn.body is not None
    reader.dialect.add_prompts(turn.body, [Prompt("system", "Be brief.")])
    assert json.loads(turn.body.render()) == {
        "type": "response.create",
        "model": "m",
        "input": "hi",
        "instructions": "Be brief.",
    }


def test_turns_come_one_after_the_other() -> None:
    reader = responses()
    for number in range(3):
        turn = ask(reader, model="m", input="x")
        assert say(reader, "response.created", response={"id": f"r{number}"}) == Started(turn)
        usage = {"input_tokens": number, "output_tokens": 0}
        done = say(reader, "response.completed", response={"id": f"r{number}", "usage": usage})
        assert done == Done(turn)
        assert turn.answer.usage == Usage(number, 0)


def test_lanes_run_at_the_same_time() -> None:
    reader = responses()
    first, second = ask(reader, model="a", stream_id="1"), ask(reader, model="b", stream_id="2")
    assert say(reader, "response.created", stream_id="2", response={"id": "r2"}) == Started(second)
    assert say(reader, "response.created", stream_id="1", response={"id": "r1"}) == Started(first)
    assert say(reader, "response.output_text.delta", stream_id="2", delta="two") == Progress(second)
    assert say(reader, "response.output_text.delta", stream_id="1", delta="one") == Progress(first)
    assert say(reader, "response.completed", stream_id="2", response={"id": "r2"}) == Done(second)
    assert reader.close() == [first]
    assert (first.answer.text, second.answer.text) == (["one"], ["two"])


def test_the_provider_begins_by_itself() -> None:
    """After steering, a successor follows that nobody asked for in a frame."""
    reader = responses()
    started = say(reader, "response.created", response={"id": "r2", "model": "gpt-5"})
    assert isinstance(started, Started)
    assert (started.turn.body, started.turn.model, started.turn.id) == (None, "gpt-5", "r2")
    done = say(reader, "response.completed", response={"id": "r2", "usage": RESPONSES_USAGE})
    assert done == Done(started.turn)
    assert started.turn.answer.usage == Usage(40, 9, 8, 2, 5)


def test_an_end_without_a_beginning_belongs_to_what_was_asked() -> None:
    reader = responses()
    turn = ask(reader, model="m")
    assert say(reader, "response.completed", response={"id": "r"}) == Done(turn)
    assert isinstance(say(reader, "response.completed", response={"id": "r9"}), Done)


ENDS: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "response.failed",
        {"status": "failed", "error": {"code": "server_error", "message": "sorry"}},
        "sorry",
        "failed",
    ),
    (
        "response.incomplete",
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
        "",
        "max_output_tokens",
    ),
    ("response.completed", {"status": "completed", "error": None}, "", "completed"),
]


@pytest.mark.parametrize(("kind", "response", "error", "finish"), ENDS)
def test_ends(kind: str, response: dict[str, Any], error: str, finish: str) -> None:
    reader = responses()
    turn = ask(reader, model="m")
    say(reader, "response.created", response={"id": "r"})
    assert say(reader, kind, response=response) == Done(turn, error)
    assert turn.answer.finish_reason == finish


def test_an_error_ends_the_turn_that_waits() -> None:
    reader = responses()
    turn = ask(reader, model="m")
    error = {"type": "usage_limit_reached", "message": "spent"}
    assert say(reader, "error", status=429, error=error) == Done(turn, "spent", 429)
    assert say(reader, "error", status=429, error=error) is None
    assert reader.close() == []


def test_an_error_ends_the_turn_that_runs() -> None:
    reader = responses()
    turn = ask(reader, model="m")
    say(reader, "response.created", response={"id": "r"})
    assert say(reader, "error", message="old form") == Done(turn, "old form", 0)


def test_a_refused_turn_is_forgotten() -> None:
    reader = responses()
    reader.client_frame('{"type":"response.create","model":"forbidden"}')
    turn = ask(reader, model="m")
    assert say(reader, "response.created", response={"id": "r"}) == Started(turn)


@pytest.mark.parametrize("reader", [responses(), realtime()])
@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"session.update","session":{"instructions":"x"}}',
        '{"type":"session.update","session":{"type":"realtime","model":"gpt-realtime"}}',
        '{"type":"conversation.item.create","item":{}}',
        '{"type":"input_audio_buffer.append","audio":"AAAA"}',
        '{"type":"response.cancel"}',
        '{"type":"response.processed","response_id":"r"}',
        '{"type":7}',
        "{}",
    ],
)
def test_frames_that_ask_for_nothing(reader: FrameReader, frame: str) -> None:
    if reader.model or "session" not in frame:
        assert reader.client_frame(frame) is None


@pytest.mark.parametrize(
    ("frame", "status"),
    [
        ("no json", 400),
        ("[]", 400),
        ('"response.create"', 400),
        ('{"type":"response.create","type":"session.update"}', 400),
        ('{"type":"session.update","\\u0074ype":"response.create"}', 400),
        ('{"type":"response.create","model":"a"} {}', 400),
        ("\ud800", 400),
        ('{"type":"response.create","response":{"model":"other"}}', 403),
        ('{"type":"session.update","session":{"model":"other"}}', 403),
    ],
)
@pytest.mark.parametrize("make", [responses, realtime])
def test_frames_that_must_not_pass(make: Any, frame: str, status: int) -> None:
    with pytest.raises(Refusal) as refused:
        make().client_frame(frame)
    assert refused.value.status == status


def test_a_model_is_a_string() -> None:
    with pytest.raises(Refusal) as refused:
        responses().client_frame('{"type":"response.create","model":7}')
    assert refused.value.status == 400


def test_the_error_frame_of_responses() -> None:
    reader = responses()
    turn = ask(reader, model="m", stream_id="7")
    refusal = Refusal(429, "rate_limited", "slow down", retry_after=1.2)
    assert json.loads(reader.error_frame(refusal, "req_1", turn)) == {
        "type": "error",
        "status": 429,
        "error": {"message": "slow down", "type": "rate_limit_error", "param": None, "code": "rate_limited"},
        "headers": {"retry-after": "2"},
        "stream_id": "7",
    }
    plain = json.loads(reader.error_frame(Refusal(403, "model_not_allowed", "no"), "req_1"))
    assert set(plain) == {"type", "status", "error"}


def test_realtime_turns() -> None:
    reader = realtime()
    assert reader.model == "gpt-realtime"
    turn = ask(reader, response={"instructions": "Be kind.", "output_modalities": ["text"]})
    assert turn.model == "gpt-realtime"
    assert turn.body is not None
    assert list(reader.dialect.input_texts(turn.body)) == ["Be kind."]
    created = say(reader, "response.created", event_id="e", response={"id": "r1", "status": "in_progress"})
    assert created == Started(turn)
    assert say(reader, "response.output_text.delta", response_id="r1", delta="hi") == Progress(turn)
    assert say(reader, "response.output_audio.delta", response_id="r1", delta="AAAA") == Progress(turn)
    transcript = say(reader, "response.output_audio_transcript.delta", response_id="r1", delta=" you")
    assert transcript == Progress(turn)
    assert say(reader, "conversation.item.done", item={}) is None
    usage = {
        "total_tokens": 12,
        "input_tokens": 7,
        "output_tokens": 5,
        "input_token_details": {"text_tokens": 7, "audio_tokens": 0, "cached_tokens": 3},
        "output_token_details": {"text_tokens": 5},
    }
    done = say(reader, "response.done", response={"id": "r1", "status": "completed", "usage": usage})
    assert done == Done(turn)
    assert turn.answer.usage == Usage(7, 5, 3)
    assert turn.answer.text == ["hi", " you"]
    assert (turn.answer.finish_reason, turn.answer.ended) == ("completed", True)


def test_realtime_voice_detection_begins_a_turn() -> None:
    reader = realtime()
    started = say(reader, "response.created", response={"id": "r1"})
    assert isinstance(started, Started)
    assert (started.turn.body, started.turn.model) == (None, "gpt-realtime")
    response = {"id": "r1", "status": "failed", "status_details": {"error": {"code": "rate_limit_exceeded"}}}
    assert say(reader, "response.done", response=response) == Done(started.turn, "rate_limit_exceeded")


def test_realtime_turns_run_at_the_same_time() -> None:
    reader = realtime()
    first, second = ask(reader), ask(reader)
    for name in ("r1", "r2"):
        say(reader, "response.created", response={"id": name})
    say(reader, "response.output_text.delta", response_id="r2", delta="two")
    assert say(reader, "response.done", response={"id": "r2", "status": "completed"}) == Done(second)
    assert reader.close() == [first]


def test_realtime_errors() -> None:
    reader = realtime()
    first, second = ask(reader, event_id="e1"), ask(reader, event_id="e2")
    assert say(reader, "error", error={"event_id": "e9", "message": "x"}) is None
    assert say(reader, "error", error={"event_id": "e2", "message": "busy"}) == Done(second, "busy", 0)
    say(reader, "response.created", response={"id": "r1"})
    # The session goes on, and so does the response.
    assert say(reader, "error", error={"event_id": None, "message": "x"}) is None
    assert reader.close() == [first]


def test_the_error_frame_of_realtime() -> None:
    reader = realtime()
    turn = ask(reader, event_id="e1")
    assert json.loads(reader.error_frame(Refusal(403, "x", "no"), "req_1", turn)) == {
        "type": "error",
        "event_id": "event_req_1",
        "error": {"message": "no", "type": "permission_error", "param": None, "code": "x", "event_id": "e1"},
    }


def test_realtime_prompts() -> None:
    reader = realtime()
    turn = ask(reader, response={"instructions": "own"})
    assert turn.body is not None
    reader.dialect.add_prompts(turn.body, [Prompt("system", "Be brief.")])
    assert json.loads(turn.body.render())["response"] == {"instructions": "Be brief.\n\nown"}
    with pytest.raises(Refusal):
        reader.dialect.add_prompts(turn.body, [Prompt("user", "Hello.")])


@given(
    frames=st.lists(
        st.tuples(
            st.sampled_from(
                ["response.created", "response.done", "response.completed", "error", "response.x.delta"]
            ),
            st.dictionaries(
                st.sampled_from(["response", "error", "stream_id", "response_id", "delta"]), JSON
            ),
        ),
        max_size=8,
    ),
    path=st.sampled_from(["/v1/responses", "/v1/realtime"]),
)
@settings(max_examples=200, deadline=None)
def test_no_shape_of_a_server_frame_is_an_error(frames: list[tuple[str, Any]], path: str) -> None:
    reader = frame_reader(path, "model=m")
    asked = {ask(reader, model="m") for _ in range(2)}
    done = []
    for kind, members in frames:
        event = reader.server_frame(json.dumps({**members, "type": kind}))
        if isinstance(event, Done):
            done.append(event.turn)
    left = reader.close()
    # Every turn ends once, or is left.
    assert len({*done, *left}) == len(done) + len(left)
    assert asked <= {*done, *left}


@pytest.mark.parametrize("frame", ["", "no json", "[]", "7", '{"type":null}', "{}"])
def test_strange_server_frames_mean_nothing(frame: str) -> None:
    assert responses().server_frame(frame) is None
