"""The lines for machines, and that those who read them find what they need."""

import json

import orjson
import pytest

from tests.memory.build import HASH, SHORT, a_record, a_side, an_answer
from tokenomics_core.ledger.memory_folder import MemoryFolder
from tokenomics_core.memory.entry import LIMIT, Streamed
from tokenomics_core.memory.jsonl import line
from tokenomics_core.memory.places import Writers
from tokenomics_core.memory.recorder import Recorder

PRETTY = b'{\n  "model": "m",\r\n  "seed": 123456789012345678901234567890,\n  "top_p": 1.0\n}\n'


def test_a_line_to_the_letter():
    assert line(a_record(7)).decode() == (
        '{"id":"req_00000000000000000000000000000007","time":"2026-04-05T06:07:08.900000Z",'
        '"token_hash":"a1b2c3d4e5f60718","session":"s-1","model":"gpt-4o","dialect":"openai_chat",'
        '"path":"/v1/chat/completions","status":200,"stream":false,"request":{"model":"m"},'
        '"request_truncated":false,"response":{"text":"Yes.","tool_calls":[]},"response_truncated":false}\n'
    )


def test_a_request_keeps_its_numbers_and_takes_one_line():
    raw = line(a_record(request=a_side(PRETTY)))
    assert raw.count(b"\n") == 1
    assert json.loads(raw)["request"] == json.loads(PRETTY)
    assert b"1.0" in raw


@pytest.mark.parametrize(
    ("body", "size", "request_"),
    [
        (b"plain words", None, "plain words"),
        (b'"a string"', None, '"a string"'),
        (b"{broken", None, "{broken"),
        (b'{"a": NaN}', None, '{"a": NaN}'),
        (b"", None, "(empty)"),
        (b"\xff\x00", None, "[binary, 2 bytes]"),
        (b"[1]", None, [1]),
        (b'{"a":1}', 9_000_000, '{"a":1}'),
    ],
)
def test_a_request_that_is_no_whole_json(body, size, request_):
    told = orjson.loads(line(a_record(request=a_side(body, size=size))))
    assert told["request"] == request_
    assert told["request_truncated"] is (size is not None)


def test_a_stream():
    kept = Streamed((b"{}",), "Hi \ud83d", ({"name": "f", "arguments": "{\udc00}"},), True, True)
    told = orjson.loads(line(a_record(stream=True, response=an_answer(kept))))
    assert told["response"] == {"text": "Hi ?", "tool_calls": [{"name": "f", "arguments": "{?}"}]}
    assert told["response_truncated"] is True


def test_a_long_answer_is_cut():
    body = json.dumps({"choices": [{"message": {"content": "x" * (LIMIT + 5)}}]}).encode()
    told = orjson.loads(line(a_record(response=an_answer(body))))
    assert len(told["response"]["text"]) == LIMIT
    assert told["response_truncated"] is True


def test_an_answer_that_is_no_json():
    told = orjson.loads(line(a_record(response=an_answer(b"words", (("content-type", "text/plain"),)))))
    assert told["response"]["text"] == "words"
    told = orjson.loads(line(a_record(response=a_side(b"", (("content-type", "audio/mpeg"),), size=500))))
    assert told["response"]["text"] == "[binary, 500 bytes]"


def test_no_header_and_no_secret_is_in_a_line():
    key = "sk-" + "proj-Zx81kQ0aa7Lm2P9rT5vW"
    wrapper = "tkn_" + "0f3c2b1a-1111-4222-8333-444455556666"
    side = a_side(
        b'{"model":"%s"}' % wrapper.encode(), [("authorization", f"Bearer {key}"), ("user-agent", "x")]
    )
    raw = line(a_record(request=side, model=key, session=key, path=f"/v1/{key}?key={key}")).decode()
    assert key not in raw
    assert wrapper not in raw
    assert json.loads(raw)["request"] == {"model": "[hidden]"}
    assert "user-agent" not in raw
    assert HASH not in raw
    assert SHORT in raw


def test_a_replay_finds_the_bodies(tmp_path):
    recorder = Recorder(tmp_path, "7e19c0a4")
    for number in range(50):
        body = b'{"model":"m","n":%d}' % number
        recorder.record(a_record(number, request=a_side(body)), Writers(lines=True, markdown=True))
    recorder.record(a_record(99, request=a_side(b"no json")), Writers(lines=True))
    assert recorder.close(30)
    bodies = MemoryFolder(tmp_path)
    assert [bodies.body(f"req_{number:032x}") for number in (0, 31)] == [
        b'{"model":"m","n":0}',
        b'{"model":"m","n":31}',
    ]
    assert bodies.body(f"req_{99:032x}") is None
