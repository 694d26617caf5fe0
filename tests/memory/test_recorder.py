"""The recorder: what it writes where, and that it never holds up or fails anybody."""

import gzip
import logging
import os
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from tests.memory.build import ANSWERED, HASH, SHORT, a_record, a_side
from tokenomics_core.memory.events import Event
from tokenomics_core.memory.places import Place, Writers
from tokenomics_core.memory.recorder import Recorder, most_kept

LEDGER = Writers(markdown=True)
LINES = Writers(lines=True)


class Clock:
    def __init__(self):
        self.seconds = 1000.0
        self.now = datetime(2026, 4, 5, 23, 59, 59, tzinfo=UTC)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "memory"


@pytest.fixture
def recorder(folder, clock):
    recorder = Recorder(folder, "7e19c0a4", now=lambda: clock.now, clock=lambda: clock.seconds)
    yield recorder
    recorder.close(30)


def a_place(folder, pattern="{token_hash}.md", limit=None, compress=False):
    return Place(folder, pattern, False, limit, compress)


def an_event(type="request.received", **changes):
    known = {"model": "gpt-4o", "method": "POST", "path": "/v1/chat/completions"}
    return Event(ANSWERED, type, SHORT, "req_1", **(known | changes))


def headings(path):
    return [line for line in path.read_text().splitlines() if line.startswith("## ")]


def test_each_writer_writes_its_own(recorder, folder):
    writers = Writers(markdown=True, lines=True, place=a_place(folder))
    recorder.record(a_record(), writers)
    assert recorder.flush(10)
    names = {path.name for path in folder.iterdir()}
    assert names == {"2026-04-05_7e19c0a4.md", "2026-04-05.jsonl", f"{SHORT}.md"}
    ledger = folder / "2026-04-05_7e19c0a4.md"
    assert headings(ledger) == [
        f"## 2026-04-05T06:07:08Z | 7e19c0a4 | request | gpt-4o | {SHORT}",
        f"## 2026-04-05T06:07:11Z | 7e19c0a4 | response | gpt-4o | {SHORT}",
    ]
    own = folder / f"{SHORT}.md"
    assert headings(own) == [
        f"## 2026-04-05T06:07:08Z | {SHORT} | request | gpt-4o",
        f"## 2026-04-05T06:07:11Z | {SHORT} | response | gpt-4o",
    ]
    assert HASH not in "".join(path.read_text() for path in folder.iterdir())


def test_nobody_writes_nothing(recorder, folder):
    recorder.record(a_record(), Writers())
    recorder.record(None, LEDGER)
    recorder.record(a_record(), Writers(redis=True))
    recorder.event(an_event(), LINES)
    assert recorder.flush(10)
    assert not folder.exists()


def test_an_error_leaves_the_request_alone(recorder, folder):
    recorder.record(a_record(response=None), Writers(markdown=True, lines=True))
    assert recorder.flush(10)
    assert len(headings(folder / "2026-04-05_7e19c0a4.md")) == 1
    assert orjson.loads((folder / "2026-04-05.jsonl").read_bytes())["response"] is None


def test_an_event_is_an_entry(recorder, folder):
    recorder.event(an_event(), Writers(markdown=True, events=True))
    assert recorder.flush(10)
    assert (folder / "2026-04-05_7e19c0a4.md").read_text() == (
        f"## 2026-04-05T06:07:11Z | 7e19c0a4 | event | gpt-4o | {SHORT}\n\n"
        "Event: request.received\nRequest: POST /v1/chat/completions\n\nBody:\n(empty)\n\n\n---\n\n"
    )


def test_midnight_begins_new_files(recorder, folder, clock):
    writers = Writers(markdown=True, lines=True, place=a_place(folder, "{date}/{token_hash}.md"))
    recorder.record(a_record(1), writers)
    assert recorder.flush(10)
    clock.now += timedelta(seconds=1)
    recorder.record(a_record(2), writers)
    assert recorder.flush(10)
    for date, number in (("2026-04-05", 1), ("2026-04-06", 2)):
        assert len(headings(folder / f"{date}_7e19c0a4.md")) == 2
        assert len(headings(folder / date / f"{SHORT}.md")) == 2
        line = orjson.loads((folder / f"{date}.jsonl").read_bytes())
        assert line["id"].endswith(str(number))


def test_thousands_from_many_threads_while_files_are_set_aside(folder):
    recorder = Recorder(folder, "7e19c0a4")
    writers = Writers(lines=True, place=a_place(folder / "own", limit=20_000, compress=True))

    def record(thread):
        for number in range(500):
            recorder.record(a_record(thread * 1000 + number, model=f"m-{thread}-{number}"), writers)

    threads = [threading.Thread(target=record, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert recorder.close(60)
    assert (recorder.dropped, recorder.failed, recorder.backlog) == (0, 0, 0)
    text = b"".join(
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in (folder / "own").iterdir()
    ).decode()
    found = Counter(line.split(" | ")[-1] for line in text.splitlines() if line.startswith("## "))
    assert found == Counter({f"m-{t}-{n}": 2 for t in range(8) for n in range(500)})
    assert len(list((folder / "own").glob("*.gz"))) > 50
    (lines,) = folder.glob("*.jsonl")
    assert len({orjson.loads(line)["id"] for line in lines.read_bytes().splitlines()}) == 4000


class Stuck:
    """A writer that waits until it may go on."""

    def __init__(self, recorder, monkeypatch):
        self.entered, self.go_on = threading.Event(), threading.Event()
        append = recorder._files.append

        def stuck(*arguments, **named):
            self.entered.set()
            assert self.go_on.wait(30)
            append(*arguments, **named)

        monkeypatch.setattr(recorder._files, "append", stuck)


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "tokenomics"]


def test_a_full_queue_drops_and_says_so_once_a_minute(folder, clock, monkeypatch, caplog):
    recorder = Recorder(folder, "7e19c0a4", capacity=100_000, clock=lambda: clock.seconds)
    stuck = Stuck(recorder, monkeypatch)
    big = a_record(request=a_side(b"x" * 30_000, size=30_000), response=None)
    recorder.record(big, LEDGER)
    assert stuck.entered.wait(10)
    with caplog.at_level(logging.WARNING, "tokenomics"):
        begin = time.perf_counter()
        for _ in range(1000):
            recorder.record(big, LEDGER)
        # Nobody waited for the one that is stuck.
        assert time.perf_counter() - begin < 5
        assert recorder.dropped == 998
        assert recorder.backlog <= 100_000
        assert len(warnings(caplog)) == 1
        clock.seconds += 61
        recorder.record(big, LEDGER)
        assert len(warnings(caplog)) == 2
    assert "(997 times more" in warnings(caplog)[1]
    stuck.go_on.set()
    assert recorder.close(30)
    (path,) = folder.iterdir()
    assert len(headings(path)) == 3


def test_what_is_larger_than_the_queue_is_still_written(folder):
    recorder = Recorder(folder, "7e19c0a4", capacity=1000)
    recorder.record(a_record(request=a_side(b"x" * 5000), response=None), LEDGER)
    assert recorder.close(30)
    assert recorder.dropped == 0


def test_close_gives_up_after_its_time_and_takes_no_more(folder, monkeypatch):
    recorder = Recorder(folder, "7e19c0a4")
    stuck = Stuck(recorder, monkeypatch)
    recorder.record(a_record(), LEDGER)
    assert stuck.entered.wait(10)
    assert not recorder.flush(0.01)
    assert not recorder.close(0.01)
    recorder.record(a_record(), LEDGER)
    assert recorder.dropped == 1
    stuck.go_on.set()


def test_a_folder_in_the_place_of_a_file(recorder, folder, clock, caplog):
    (folder / "2026-04-05_7e19c0a4.md").mkdir(parents=True)
    with caplog.at_level(logging.WARNING, "tokenomics"):
        for _ in range(50):
            recorder.record(a_record(), Writers(markdown=True, lines=True))
        assert recorder.flush(10)
    assert recorder.failed == 50
    assert len(warnings(caplog)) == 1
    assert "Is a directory" in warnings(caplog)[0]
    # The other writer is not hindered.
    assert len((folder / "2026-04-05.jsonl").read_bytes().splitlines()) == 50


def test_a_folder_that_cannot_be_written(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("")
    recorder = Recorder(blocked / "memory", "7e19c0a4")
    with caplog.at_level(logging.WARNING, "tokenomics"):
        recorder.record(a_record(), LEDGER)
        assert recorder.close(10)
    assert recorder.failed == 1
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), OSError(28, "No space left on device")]
)
def test_errors_of_the_disk_are_told_and_pass(recorder, folder, monkeypatch, caplog, error):
    real = os.open

    def refuse(path, *arguments, **named):
        if str(path).startswith(str(folder)):
            raise error
        return real(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refuse)
    with caplog.at_level(logging.WARNING, "tokenomics"):
        recorder.record(a_record(), LEDGER)
        assert recorder.flush(10)
    monkeypatch.setattr(os, "open", real)
    assert error.strerror in warnings(caplog)[0]
    recorder.record(a_record(), LEDGER)
    assert recorder.flush(10)
    assert recorder.failed == 1
    assert len(headings(folder / "2026-04-05_7e19c0a4.md")) == 2


def test_a_failure_of_our_own_ends_neither_thread_nor_text(recorder, folder, caplog):
    broken = a_record(request=None)
    with caplog.at_level(logging.WARNING, "tokenomics"):
        # Past `record`, which would see it.
        recorder._lane.put((broken, LEDGER), 1)
        recorder.record(a_record(), LEDGER)
        assert recorder.flush(10)
    assert recorder.failed == 1
    assert "gpt-4o" not in "".join(warnings(caplog))
    assert len(headings(folder / "2026-04-05_7e19c0a4.md")) == 2


def test_a_policys_unmet_wish_is_told(recorder, caplog):
    with caplog.at_level(logging.WARNING, "tokenomics"):
        for _ in range(5):
            recorder.record(None, Writers(problem="no redis"))
    assert warnings(caplog) == ["memory: no redis"]


def test_the_disk_is_asked_at_most_once_a_second(folder, monkeypatch):
    asked = []
    real = os.fdatasync

    def fdatasync(file):
        asked.append(time.monotonic())
        real(file)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    recorder = Recorder(folder, "7e19c0a4")
    begin = time.monotonic()
    while time.monotonic() - begin < 1.5:
        recorder.record(a_record(), LEDGER)
        assert recorder.flush(10)
    assert len(asked) == 1
    assert recorder.close(10)
    assert len(asked) == 2


def test_lines_keep_more_of_a_body():
    assert most_kept(LINES) == 4 * 1024 * 1024
    assert most_kept(LEDGER) == 512 * 1024
