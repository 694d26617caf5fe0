"""Events out of bytes: server-sent events, lines, one array."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.dialects.framing import ArrayParser, LineParser, Parser
from tokenomics_core.sse import SseParser


def run(parser: Parser, pieces: list[bytes]) -> tuple[bytes, list[bytes]]:
    """All bytes that came out, and the data of all events."""
    events = [event for piece in pieces for event in parser.feed(piece)]
    events.append(parser.close())
    return b"".join(raw for raw, _ in events), [data for _, data in events if data]


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


BLOCKS = [
    pytest.param(b"data: a\n\ndata: b\n\n", [b"a", b"b"], id="LF"),
    pytest.param(b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"], id="CRLF"),
    pytest.param(b"data: a\r\rdata: b\r\rdata: c", [b"a", b"b", b"c"], id="CR"),
    pytest.param(
        b"data: a\n\r\ndata: b\r\n\ndata: c\r\n\rdata: d\r\n\r\n", [b"a", b"b", b"c", b"d"], id="mixed"
    ),
    pytest.param(b"data:a\n\ndata:  b \n\n", [b"a", b"b"], id="blanks"),
    pytest.param(b"data: a\ndata: b\n\n", [b"a\nb"], id="two lines of data"),
    pytest.param(b"event: x\r\ndata: a\r\nid: 1\r\ndata: b\r\n\r\n", [b"a\nb"], id="other fields"),
    pytest.param(b": ping\n\n:\n\ndata: a\n: x\n\n", [b"a"], id="comments"),
    pytest.param(b"\n\n\n\ndata: a\n\n\n\n\n", [b"a"], id="empty lines"),
    pytest.param(b"\xef\xbb\xbfdata: a\n\n", [b"a"], id="byte order mark"),
    pytest.param(b"retry: 10\n\nevent: x\n\ndata\n\n", [], id="no data"),
    pytest.param(b"data: a", [b"a"], id="no end"),
    pytest.param("data: ü€👋\n\n".encode(), ["ü€👋".encode()], id="UTF-8"),
    pytest.param(b"", [], id="nothing"),
]


@pytest.mark.parametrize(("stream", "data"), BLOCKS)
def test_sse_every_cut(stream: bytes, data: list[bytes]) -> None:
    for at in range(len(stream) + 1):
        assert run(SseParser(), [stream[:at], stream[at:]]) == (stream, data)
    assert run(SseParser(), pieces_of(stream, 1)) == (stream, data)


@given(
    st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"data: a", b"data: b", b": c", b"x"])),
    st.integers(1, 5),
)
def test_sse_is_the_same_in_any_pieces(parts: list[bytes], size: int) -> None:
    stream = b"".join(parts)
    # By the book: every line end is one, and an empty line ends the event.
    events = re.split("\n\n", stream.decode().replace("\r\n", "\n").replace("\r", "\n"))
    data = [
        "\n".join(
            line[5:].removeprefix(" ") for line in event.split("\n") if line.startswith("data:")
        ).strip()
        for event in events
    ]
    assert run(SseParser(), pieces_of(stream, size)) == (stream, [each.encode() for each in data if each])


def test_sse_gives_an_event_when_it_is_whole() -> None:
    parser = SseParser()
    assert parser.feed(b"data: a\n") == []
    assert parser.feed(b"\ndata: b") == [(b"data: a\n\n", b"a")]


LONG = b"data: " + b"x" * 300 + b"\n\n"


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
def test_sse_passes_a_long_event_on_unread(size: int, end: bytes) -> None:
    stream = b"data: a\n\n" + LONG.replace(b"\n\n", end) + b"data: b\n\n"
    raw, data = run(SseParser(limit=100), pieces_of(stream, size))
    assert raw == stream
    # In one piece it is read: it was never held.
    assert [each for each in data if len(each) == 1] == [b"a", b"b"]
    assert len(data) == (3 if size == 1000 else 2)


def test_sse_holds_no_more_than_the_limit() -> None:
    parser = SseParser(limit=100)
    held = 0
    for piece in pieces_of(LONG[:-2], 10):
        held += len(piece) - sum(len(raw) for raw, _ in parser.feed(piece))
        assert held <= 110


def test_lines() -> None:
    stream = b'{"a":1}\r\n\n {"b":2} \n{"c":3}'
    for size in range(1, len(stream) + 1):
        assert run(LineParser(), pieces_of(stream, size)) == (stream, [b'{"a":1}', b'{"b":2}', b'{"c":3}'])


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_long_line_is_passed_on_unread(size: int) -> None:
    stream = b"a\n" + b"x" * 300 + b"\nb\n"
    assert run(LineParser(limit=100), pieces_of(stream, size)) == (stream, [b"a", b"b"])


VALUES = [{"a": '}]\\"{['}, {"b": [{"c": {}}, []]}, {}, {"ü": "\\\\"}]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("between", [b",", b",\r\n", b"\n,\n"])
def test_array_every_cut(indent: int | None, between: bytes) -> None:
    texts = [json.dumps(value, indent=indent, ensure_ascii=False).encode() for value in VALUES]
    stream = b"[" + between.join(texts) + b"\n]\n"
    for at in range(len(stream) + 1):
        assert run(ArrayParser(), [stream[:at], stream[at:]]) == (stream, texts)
    assert run(ArrayParser(), pieces_of(stream, 1)) == (stream, texts)


def test_an_object_outside_an_array_is_an_event() -> None:
    assert run(ArrayParser(), [b'{"error":', b"{}}\n"]) == (b'{"error":{}}\n', [b'{"error":{}}'])


def test_an_element_is_given_when_it_is_whole() -> None:
    parser = ArrayParser()
    assert parser.feed(b'[{"a":1}') == [(b'[{"a":1}', b'{"a":1}')]
    assert parser.feed(b',{"b"') == []


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_long_element_is_passed_on_unread(size: int) -> None:
    stream = b'[{"a":1},{"b":"' + b"}" * 300 + b'"},{"c":3}]'
    assert run(ArrayParser(limit=100), pieces_of(stream, size)) == (stream, [b'{"a":1}', b'{"c":3}'])
