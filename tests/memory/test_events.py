"""Events: their members, the log that they are written to, and what of an exchange is told."""

import json
from pathlib import Path

import orjson
import pytest

from tests.ledger.build import KEY, START, TOKEN_HASH, WRAPPER, PlainDialect, an_attempt, an_exchange
from tests.ledger.json_schema import errors
from tests.memory.build import ANSWERED, SHORT
from tokenomics_core.memory.communication import MOST_CHUNKS, Communication
from tokenomics_core.memory.entry import LIMIT, Streamed
from tokenomics_core.memory.event_log import EventLog
from tokenomics_core.memory.events import Event, event_line, members
from tokenomics_core.memory.places import Writers
from tokenomics_core.memory.recorder import Recorder
from tokenomics_core.refusal import Refusal

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "tokenomics_core/ledger/session.schema.json").read_bytes())
EVENT = {"$ref": "#/$defs/event"}


def an_event(**changes):
    known = {"at": ANSWERED, "type": "response.body", "token": SHORT, "request_id": "req_1"}
    return Event(**(known | changes))


def valid(told):
    assert errors(told, EVENT, SCHEMA) == []
    return told


def test_what_is_empty_is_left_out():
    assert valid(members(an_event())) == {
        "timestamp": "2026-04-05T06:07:11.000000Z",
        "type": "response.body",
        "token_hash": SHORT,
        "request_id": "req_1",
    }


def test_the_keys_have_their_order():
    told = members(
        an_event(
            model="m",
            provider="p",
            method="POST",
            path="/v1",
            status_code=200,
            content_type="text/plain",
            headers=(("user-agent", "x"), ("authorization", KEY)),
            body=b"hi",
            chunk_index=1,
            stream=True,
            retry_count=2,
            error="no",
        )
    )
    assert list(valid(told)) == (
        "timestamp type token_hash model provider method path status_code content_type headers body"
        " body_bytes chunk_index stream retry_count error request_id"
    ).split(" ")
    assert told["headers"] == {"User-Agent": ["x"]}


@pytest.mark.parametrize(
    ("body", "kind", "size", "text", "told"),
    [
        (b"words", "", 0, "words", 5),
        (b"\xff\xfe", "application/json", 0, "[binary]", 2),
        (b"RIFF", "audio/wav", 0, "[binary]", 4),
        (b"text", "application/octet-stream", 0, "[binary]", 4),
        (b"", "audio/mpeg", 900, "[binary]", 900),
        (b"", "", 0, None, None),
        (b"x" * (LIMIT - 1) + "é".encode(), "", 0, "x" * (LIMIT - 1), LIMIT + 1),
        (Streamed((b"[DONE]",), "Hi \ud83d"), "", 70, "Hi ?", 70),
        (None, "", 0, None, None),
    ],
    ids=["text", "no utf-8", "audio", "octets", "not kept", "empty", "cut", "stream", "none"],
)
def test_bodies(body, kind, size, text, told):
    found = valid(members(an_event(body=body, content_type=kind, size=size)))
    if isinstance(body, Streamed):
        assert "\nCaptured assistant text:\nHi ?" in found["body"]
    else:
        assert found.get("body") == text
    assert found.get("body_bytes") == told
    assert orjson.loads(event_line(found)) == found


def test_a_wrapper_token_is_hidden_in_a_line():
    line = event_line(members(an_event(body=WRAPPER.encode())))
    assert WRAPPER.encode() not in line
    assert b"[hidden]" in line


# The log.


def log_of(folder, **settings):
    path = folder / "sessions" / "7e19c0a4.events.jsonl"
    return path, Recorder(folder / "memory", "7e19c0a4", path, **settings)


def lines(path):
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_events_are_written_as_they_come(tmp_path):
    path, recorder = log_of(tmp_path)
    for number in range(1, 201):
        recorder.event(an_event(chunk_index=number), Writers(events=True))
    recorder.event(an_event(), Writers())
    assert recorder.flush(10)
    assert [told["chunk_index"] for told in lines(path)] == list(range(1, 201))
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert not (tmp_path / "memory").exists()
    assert recorder.close(10)


def test_an_event_that_cannot_be_made_hinders_no_other(tmp_path, caplog):
    path, recorder = log_of(tmp_path)
    for changes in ({}, {"headers": (None,)}, {"chunk_index": 2}):
        # Past `event`, which would see it.
        recorder._lane.put((an_event(**changes), Writers(events=True)), 1)
    assert recorder.close(10)
    assert [sorted(told)[-1] for told in lines(path)] == ["type", "type", "left_out"]
    assert recorder.failed == 1


def test_what_finds_no_room_in_the_queue_is_counted_in_the_file(tmp_path):
    path, recorder = log_of(tmp_path, capacity=1)
    with recorder._counting:
        for number in range(1, 101):
            recorder.missed()
            if number == 50:
                recorder.event(an_event(), Writers(events=True))
    assert recorder.close(10)
    assert [told.get("left_out") for told in lines(path)][-1] == 100


def test_a_full_log_takes_no_more_and_says_so(tmp_path):
    written = []
    log = EventLog(tmp_path / "x", lambda path, data: written.append(data), most=100)
    log.write([b"a" * 60 + b"\n", b"b" * 60 + b"\n"])
    log.write([b"c\n"])
    assert written == [b"a" * 60 + b"\n"]
    assert log.unsaid
    log.settle()
    log.settle()
    assert written[1:] == [b'{"left_out":2}\n']


def test_what_the_disk_refuses_is_counted(tmp_path):
    written = []

    def full(path, data):
        if not data.startswith(b'{"left_out"'):
            raise OSError(28, "No space left on device")
        written.append(data)

    log = EventLog(tmp_path / "x", full)
    with pytest.raises(OSError, match="No space"):
        log.write([b"a\n", b"b\n"])
    log.settle()
    assert written == [b'{"left_out":2}\n']


# What is told.


class MessagesDialect(PlainDialect):
    name = "anthropic_messages"


class Told:
    def __init__(self, exchange):
        self.events = []
        self.left_out = 0
        self.communication = Communication(exchange, lambda: ANSWERED, self._take, self._miss)

    def _take(self, event):
        self.events.append(valid(members(event)))

    def _miss(self):
        self.left_out += 1

    @property
    def types(self):
        return [told["type"] for told in self.events]


HEAD = (("content-type", "application/json"), ("cookie", KEY))


def test_a_buffered_answer():
    told = Told(an_exchange(stream=False, path="/v1/x?key=a", attempts=[an_attempt(model="b")]))
    told.communication.asked(HEAD, b'{"a":1}')
    told.communication.answered((("content-type", "application/json"), ("set-cookie", KEY)))
    told.communication.ended(b'{"b":2}', 7)
    assert told.types == ["request.received", "response.started", "response.body", "response.completed"]
    asked, started, body, completed = told.events
    assert asked["timestamp"].startswith(f"{START:%Y-%m-%dT%H:%M:%S}")
    assert (asked["method"], asked["path"], asked["body"]) == ("POST", "/v1/x", '{"a":1}')
    assert {each["token_hash"] for each in told.events} == {TOKEN_HASH[:16]}
    assert {each["model"] for each in told.events} == {"b"}
    assert (started["status_code"], started["headers"]) == (200, {"Content-Type": ["application/json"]})
    assert (body["body"], body["content_type"]) == ('{"b":2}', "application/json")
    assert "body" not in completed
    assert KEY not in json.dumps(told.events)


def test_a_stream_of_openais_chat_is_told_to_its_last_payload():
    told = Told(an_exchange())
    for _ in range(MOST_CHUNKS + 10):
        told.communication.chunk(b"{}")
    told.communication.ended(Streamed((b"{}",), "Hi"), 5)
    assert told.left_out == 0
    assert told.events[-2]["chunk_index"] == MOST_CHUNKS + 10
    assert told.types[-1] == "response.completed"
    assert told.events[-1]["body"].startswith("[streaming sse]\n")
    assert "response.body" not in told.types


def test_of_other_streams_the_first_payloads_and_the_whole():
    told = Told(an_exchange(dialect=MessagesDialect()))
    for _ in range(MOST_CHUNKS + 10):
        told.communication.chunk(b"{}")
    told.communication.ended(Streamed((b"{}",), "Hi"), 5)
    assert told.left_out == 10
    assert told.types[-3:] == ["response.chunk", "response.body", "response.completed"]
    assert told.events[-2]["body"].startswith("[streaming sse]\n")


@pytest.mark.parametrize(
    ("changes", "types"),
    [
        ({"error": "the client left", "status": 200}, ["response.body", "response.error"]),
        ({"upstream_status": 0, "status": 502, "refusal": Refusal(502, "upstream_failed", "gone")}, None),
        ({"refusal": Refusal(403, "rule_violation", "blocked"), "status": 403}, None),
        ({"upstream_status": 429, "status": 429}, ["response.body", "response.completed"]),
    ],
    ids=["broken off", "no answer", "refused", "an error of the provider"],
)
def test_ends(changes, types):
    told = Told(an_exchange(stream=False, **changes))
    told.communication.ended(b"words", 5)
    assert told.types == (types or ["response.error"])
    if types is None:
        assert "words" not in json.dumps(told.events)
        assert told.events[0]["error"] in ("gone", "blocked")
