"""Turns that are ended before their time, and what the provider still says of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.dialects.open_streams import RESPONSES_EVENTS
from tests.dialects.test_endings import STOP, TOLD
from tests.dialects.test_frames import ask, realtime, responses, say
from tokenomics_core.dialects.base import Usage
from tokenomics_core.dialects.frames import Done, FrameReader, Started, Turn


def told(frames: list[str]) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in frames]


def over(reader: FrameReader, kind: str, **members: Any) -> bool:
    frame = json.dumps({"type": kind, **members})
    dropped = reader.is_over(frame)
    assert not dropped or reader.server_frame(frame) is None
    return dropped


@pytest.mark.parametrize("at", range(len(RESPONSES_EVENTS)))
def test_a_turn_of_responses_ended_anywhere(at: int) -> None:
    reader = responses()
    turn = ask(reader, model="gpt-5", input="x", stream_id="s1")
    events = [{**event, "stream_id": "s1"} for event in RESPONSES_EVENTS]
    for event in events[:at]:
        assert not reader.is_over(json.dumps(event))
        reader.server_frame(json.dumps(event))
    frames = told(reader.end_turn(turn, STOP, Usage(5, 3)))
    assert reader.end_turn(turn, STOP) == []
    assert reader.cancel(turn) == []
    assert {frame["stream_id"] for frame in frames} == {"s1"}
    assert frames[-1]["type"] == "response.incomplete"
    assert frames[-1]["response"]["tokenomics"] == TOLD
    assert frames[-1]["response"]["usage"]["total_tokens"] == 8
    assert [frame["sequence_number"] for frame in frames] == list(range(at, at + len(frames)))
    # What comes of it still is dropped, and its bill is read.
    for event in events[at:]:
        assert reader.is_over(json.dumps(event))
    assert reader.close() == []
    assert turn.answer.usage.input_tokens == 5
    assert turn.answer.ended


def test_the_next_turn_on_the_lane_is_not_over() -> None:
    reader = responses()
    first = ask(reader, model="m", input="x")
    say(reader, "response.created", response={"id": "r1"})
    reader.end_turn(first, STOP)
    second = ask(reader, model="m", input="y")
    assert over(reader, "response.output_text.delta", delta="a")
    assert over(reader, "response.completed", response={"id": "r1", "usage": {"output_tokens": 9}})
    assert first.answer.usage.output_tokens == 9
    frame = json.dumps({"type": "response.created", "response": {"id": "r2"}})
    assert not reader.is_over(frame)
    begun = reader.server_frame(frame)
    assert isinstance(begun, Started)
    assert begun.turn is second
    assert reader.close() == [second]


def test_other_lanes_go_on() -> None:
    reader = responses()
    turns = [ask(reader, model="m", input="x", stream_id=lane) for lane in ("a", "b")]
    for lane in ("a", "b"):
        say(reader, "response.created", stream_id=lane, response={"id": f"r{lane}"})
    reader.end_turn(turns[0], STOP)
    assert over(reader, "response.output_text.delta", stream_id="a", delta="x")
    assert not over(reader, "response.output_text.delta", stream_id="b", delta="y")
    done = say(reader, "response.completed", stream_id="b", response={"id": "rb"})
    assert isinstance(done, Done)
    assert "".join(turns[1].answer.text) == "y"


def test_an_error_about_an_ended_turn_is_over() -> None:
    reader = responses()
    turn = ask(reader, model="m", input="x")
    reader.end_turn(turn, STOP)
    assert over(reader, "error", status=500, error={"code": "server_error", "message": "late"})
    assert turn.answer.error == "server_error: late"


def started(reader: FrameReader) -> Turn:
    turn = ask(reader, response={"output_modalities": ["text"]})
    say(reader, "response.created", response={"id": "resp_7", "object": "realtime.response", "output": []})
    item = {"id": "item_1", "type": "message", "role": "assistant", "content": []}
    place = {"response_id": "resp_7", "output_index": 0}
    say(reader, "response.output_item.added", **place, item=item)
    place |= {"item_id": "item_1", "content_index": 0}
    say(reader, "response.content_part.added", **place, part={"type": "audio", "transcript": ""})
    say(reader, "response.output_audio_transcript.delta", **place, delta="Good ")
    say(reader, "response.output_audio_transcript.delta", **place, delta="day")
    return turn


def test_a_turn_of_realtime() -> None:
    reader = realtime()
    turn = started(reader)
    (done,) = told(reader.end_turn(turn, STOP, Usage(5, 3)))
    response = done["response"]
    assert (done["type"], response["id"], response["status"]) == ("response.done", "resp_7", "incomplete")
    assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert response["output"][0]["content"] == [{"type": "audio", "transcript": "Good day"}]
    assert response["tokenomics"] == TOLD
    assert response["usage"]["total_tokens"] == 8

    (cancel,) = told(reader.cancel(turn))
    assert (cancel["type"], cancel["response_id"]) == ("response.cancel", "resp_7")
    other = ask(reader)
    assert over(reader, "response.output_audio.delta", response_id="resp_7", delta="AAAA")
    cancelled = {"id": "resp_7", "status": "cancelled", "usage": {"input_tokens": 6, "output_tokens": 4}}
    assert over(reader, "response.done", response=cancelled)
    assert turn.answer.usage == Usage(6, 4)
    # Too late: it was done already. That is no error of the client's.
    assert over(reader, "error", error={"event_id": cancel["event_id"], "code": "response_cancel_not_active"})
    assert isinstance(say(reader, "response.created", response={"id": "resp_8"}), Started)
    assert reader.close() == [other]


def test_a_turn_of_realtime_that_has_not_begun() -> None:
    reader = realtime()
    turn = ask(reader)
    created, done = told(reader.end_turn(turn, STOP))
    assert (created["type"], done["type"]) == ("response.created", "response.done")
    assert created["response"]["id"] == done["response"]["id"]
    (cancel,) = told(reader.cancel(turn))
    assert "response_id" not in cancel
    assert over(reader, "response.created", response={"id": "resp_1"})
    assert over(reader, "response.done", response={"id": "resp_1", "status": "cancelled"})
    assert reader.close() == []


def test_a_turn_that_is_done_is_not_ended() -> None:
    reader = realtime()
    turn = started(reader)
    say(reader, "response.done", response={"id": "resp_7", "status": "completed"})
    assert reader.end_turn(turn, STOP) == []
    assert not over(reader, "response.created", response={"id": "resp_8"})


def test_the_error_of_a_failed_turn_is_noted() -> None:
    reader = realtime()
    turn = ask(reader)
    failed = {"status": "failed", "status_details": {"error": {"type": "server_error", "message": "m"}}}
    say(reader, "response.done", response=failed)
    assert turn.answer.error == "server_error: m"
