"""A session's communication events in its file: which part has which, how many, and after a crash."""

import json
import tempfile
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.build import START
from tests.ledger.json_schema import errors
from tests.ledger.test_session_file import GIT, INSTANCE, NEXT, SCHEMA, STARTED, nobody, read, served, write
from tokenomics_core.ledger import LedgerError, session_events
from tokenomics_core.ledger.session_events import EventReader, PartEvents
from tokenomics_core.ledger.session_file import SessionFile, rebuild_missing
from tokenomics_core.ledger.session_reader import read_sessions

ID = "7e19c0a4"


@pytest.fixture
def dir(tmp_path):
    return tmp_path / "data"


def an_event(number, **changes):
    """A second after the other, as rows are."""
    at = START + timedelta(seconds=number)
    known = {
        "timestamp": f"{at:%Y-%m-%dT%H:%M:%S.%f}Z",
        "type": "response.chunk",
        "token_hash": "a1b2c3d4e5f60718",
        "chunk_index": number,
        "request_id": "req_1",
    }
    return known | changes


def tell(dir, *told):
    folder = dir / "sessions"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{ID}.events.jsonl").open("ab") as file:
        for each in told:
            file.write(each if isinstance(each, bytes) else orjson.dumps(each) + b"\n")


def numbers(document):
    return [each["chunk_index"] for each in document.get("communication_events", [])]


def test_events_stand_behind_the_requests(dir):
    session = SessionFile(dir, INSTANCE, STARTED, GIT)
    session.start()
    assert "communication_events" not in read(dir)
    write(dir, served(1))
    tell(dir, an_event(1), an_event(2, body='a "text"\nof lines é'))
    assert session.write(START)
    document = read(dir)
    assert list(document)[-2:] == ["requests", "communication_events"]
    assert document["communication_events"] == [an_event(1), an_event(2, body='a "text"\nof lines é')]
    assert errors(document, SCHEMA) == []
    text = (dir / "sessions" / f"2026-03-02_{ID}.json").read_text()
    assert text == json.dumps(document, indent=2, ensure_ascii=False)
    # Events alone are new, too.
    assert not session.write(START)
    tell(dir, an_event(3))
    assert session.write(START)
    tell(dir, an_event(4))
    session.close(START)
    assert numbers(read(dir)) == [1, 2, 3, 4]
    assert "communication_events" not in read_sessions(dir)[0].summary


def test_a_line_without_an_end_waits_and_nonsense_is_passed_over(dir):
    session = SessionFile(dir, INSTANCE, STARTED)
    whole = orjson.dumps(an_event(2)) + b"\n"
    tell(dir, an_event(1), b"{broken\n", b"[1]\n", b"\n", whole[:20])
    session.start()
    assert numbers(read(dir)) == [1]
    tell(dir, whole[20:])
    session.close(START)
    assert numbers(read(dir)) == [1, 2]


def test_what_was_left_out_is_said(dir, monkeypatch):
    monkeypatch.setattr(session_events.PartEvents.__init__, "__defaults__", (500,))
    session = SessionFile(dir, INSTANCE, STARTED)
    session.start()
    tell(dir, *(an_event(number) for number in range(1, 11)), {"left_out": 5}, {"left_out": 7})
    session.write(START)
    document = read(dir)
    assert numbers(document) == [1, 2, 3]
    assert document["communication_events_left_out"] == 7 + 7
    assert errors(document, SCHEMA) == []
    tell(dir, {"left_out": 9})
    session.close(START)
    assert read(dir)["communication_events_left_out"] == 7 + 9
    # The lines have them all.
    assert len((dir / "sessions" / f"{ID}.events.jsonl").read_bytes().splitlines()) == 13


def test_each_part_has_the_events_of_its_time(dir):
    session = SessionFile(dir, INSTANCE, STARTED, most=2)
    session.start()
    write(dir, *(served(number) for number in (1, 2, 3, 4, 5)))
    tell(dir, *(an_event(number) for number in range(1, 8)))
    session.close(START)
    names = [f"2026-03-02_{ID}{part}.json" for part in ("", "_002", "_003")]
    documents = [read(dir, name) for name in names]
    assert [numbers(document) for document in documents] == [[1, 2], [3, 4], [5, 6, 7]]
    assert [errors(document, SCHEMA) for document in documents] == [[], [], []]


@given(
    st.lists(st.one_of(st.integers(1, 400), st.just(None)), max_size=60),
    st.integers(100, 5000),
    st.data(),
)
@settings(deadline=None, max_examples=60)
def test_every_event_is_told_or_counted(sizes, most, data):
    """sizes: of the events' bodies; None is something else than an event. However the file grows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.events.jsonl"
        part, reader = PartEvents(Path(folder), most), EventReader(path)
        text = b"".join(
            b"{}\n" if size is None else orjson.dumps(an_event(number, body="x" * size)) + b"\n"
            for number, size in enumerate(sizes)
        )
        while text:
            cut = data.draw(st.integers(1, len(text)))
            with path.open("ab") as file:
                file.write(text[:cut])
            text = text[cut:]
            reader.take(part)
        told = numbers({"communication_events": orjson.loads(b"".join(part.text.pieces()))})
        part.text.close()
    wanted = [number for number, size in enumerate(sizes) if size is not None]
    assert told == wanted[: len(told)]
    assert len(told) + part.left_out == len(wanted)


def test_a_crash_leaves_the_events_all_the_same(dir):
    session = SessionFile(dir, INSTANCE, STARTED, GIT)
    session.start()
    write(dir, served(1))
    tell(dir, an_event(1), an_event(2), orjson.dumps(an_event(3))[:30])
    assert rebuild_missing(dir, NEXT, nobody) == [ID]
    assert numbers(read(dir)) == [1, 2]
    assert len(read(dir)["requests"]) == 1
    # Rows that come later still do not take them away.
    write(dir, served(2))
    assert rebuild_missing(dir, NEXT, nobody) == [ID]
    assert numbers(read(dir)) == [1, 2]


def test_a_full_disk_loses_no_event(dir, monkeypatch):
    session = SessionFile(dir, INSTANCE, STARTED)
    session.start()
    tell(dir, *(an_event(number) for number in range(1, 8)))
    part = session._part.events
    real = part.text.add

    def full(new):
        monkeypatch.setattr(part.text, "add", real)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(part.text, "add", full)
    with pytest.raises(LedgerError, match="No space left on device"):
        session.write(START)
    session.write(START)
    assert numbers(read(dir)) == list(range(1, 8))
