"""What memory keeps of a WebSocket's turns."""

import orjson

from tests.memory.build import a_record, a_side
from tokenomics_core.guard.answer import AnswerGuard
from tokenomics_core.guard.rules import CompiledRules
from tokenomics_core.json_body import JsonBody
from tokenomics_core.ledger.memory_folder import MemoryFolder
from tokenomics_core.memory.entry import LIMIT, content
from tokenomics_core.memory.jsonl import line
from tokenomics_core.memory.turn import MOST_FRAMES, Earlier, KeptTurn


def a_frame(**members):
    return JsonBody(orjson.dumps(members))


def test_earlier_frames_are_taken_once():
    earlier = Earlier()
    earlier.add(a_frame(type="session.update"))
    earlier.add(a_frame(type="conversation.item.create", n=1))
    assert earlier.take() == (b'{"type":"session.update"}', b'{"type":"conversation.item.create","n":1}')
    assert earlier.take() == ()


def test_of_audio_its_size_alone():
    earlier = Earlier()
    for _ in range(500):
        earlier.add(a_frame(type="input_audio_buffer.append", audio="A" * 4000))
    earlier.add(a_frame(type="input_audio_buffer.commit"))
    assert earlier.take() == (
        b'{"type":"input_audio_buffer.append","audio":"[binary, 1500000 bytes]"}',
        b'{"type":"input_audio_buffer.commit"}',
    )


def test_frames_are_bounded_and_what_is_left_out_is_said():
    earlier = Earlier()
    for number in range(MOST_FRAMES + 10):
        earlier.add(a_frame(type="x", n=number))
    taken = earlier.take()
    assert len(taken) == MOST_FRAMES + 1
    assert b"not kept" in taken[-1]
    for _ in range(10):
        earlier.add(a_frame(type="x", text="y" * 100_000))
    taken = earlier.take()
    assert sum(map(len, taken)) <= LIMIT + 100
    assert b"not kept" in taken[-1]


def test_both_formats_say_what_came_before(tmp_path):
    side = a_side(b'{"type":"response.create"}')
    side = type(side)(side.at, (), side.body, side.size, (b'{"type":"a"}', b'{"type":"b"}'))
    assert content(side, "request").endswith(
        '\nBody:\n{"type":"a"}\n{"type":"b"}\n{"type":"response.create"}\n'
    )
    record = a_record(request=side)
    told = orjson.loads(line(record))
    assert told["earlier"] == [{"type": "a"}, {"type": "b"}]
    assert told["request"] == {"type": "response.create"}
    # A part of what the model read is not what rules can be run on again.
    (tmp_path / "x.jsonl").write_bytes(line(record) + line(a_record(7)))
    folder = MemoryFolder(tmp_path)
    assert folder.body(record.id) is None
    assert folder.body(a_record(7).id) is not None


def test_what_the_provider_began_was_asked_by_nobody():
    side = a_side(b"")
    side = type(side)(side.at, (), b"", 0, (b'{"type":"a"}',))
    assert orjson.loads(line(a_record(request=side)))["request"] is None
    assert content(side, "request").endswith('\nBody:\n{"type":"a"}\n')


def test_each_frame_is_heard_and_kept():
    heard = []
    idle = AnswerGuard(CompiledRules([], "output"), None, lambda hit: None)
    kept = KeptTurn((), b"{}", idle, b"sk-secret-key")
    kept.capture.heard = heard.append
    kept.capture.frame('{"type":"response.output_text.delta","item_id":"i","delta":"Hi sk-secret-key"}')
    assert kept.capture.close().text == "Hi [REDACTED]"
    (frame,) = heard
    assert b"sk-secret-key" not in frame
