"""What the outbox keeps, and for how long."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenomics_core.events import outbox as module
from tokenomics_core.events.database import OutboxError
from tokenomics_core.events.envelope import Envelope
from tokenomics_core.events.outbox import Addressed, Outbox

DAY = 24 * 3600 * 1000


def an_event(number: int, *webhooks: str) -> Addressed:
    return Addressed(Envelope(f"evt_{number}", "a.b", "2026-03-02T08:15:00Z", {"n": number}), webhooks)


def put(outbox: Outbox, *events: Addressed, room: int = 100, now: int = 0) -> dict[str, int]:
    keys = {key for each in events for key in each.webhooks}
    return outbox.put(events, dict.fromkeys(keys, room), {key: f"http://{key}/" for key in keys}, now)


def ids(outbox: Outbox, webhook: str) -> list[str]:
    return [each.envelope.id for each in outbox.heads(webhook, 100)]


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "data" / "events.db")


def test_the_file_is_private(outbox: Outbox) -> None:
    put(outbox, an_event(1, "a"))
    for path in outbox.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(outbox.path.parent.stat().st_mode) == 0o700


def test_each_webhook_has_its_queue_in_order(outbox: Outbox) -> None:
    put(outbox, an_event(1, "a"), an_event(2, "a", "b"), an_event(3, "b"))
    put(outbox, an_event(4, "a"))
    assert ids(outbox, "a") == ["evt_1", "evt_2", "evt_4"]
    assert ids(outbox, "b") == ["evt_2", "evt_3"]
    assert outbox.heads("a", 1)[0].envelope == an_event(1).envelope


def test_an_event_is_taken_once(outbox: Outbox) -> None:
    put(outbox, an_event(1, "a"))
    put(outbox, an_event(1, "a"), an_event(2, "a"))
    assert ids(outbox, "a") == ["evt_1", "evt_2"]


def test_the_newest_are_dropped_where_there_is_no_room(outbox: Outbox) -> None:
    first = put(outbox, *(an_event(each, "a", "b") for each in range(3)), room=2)
    assert first == {"a": 1, "b": 1}
    outbox.done(outbox.heads("a", 1)[0], 200, 5)
    assert put(outbox, an_event(7, "a", "b"), room=2) == {"b": 1}
    assert ids(outbox, "a") == ["evt_1", "evt_7"]
    assert {each.webhook: each.dropped for each in outbox.queues()} == {"a": 1, "b": 2}


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["put", "put beside", "done"]), st.integers(1, 4)), max_size=30))
def test_two_processes_keep_to_the_room(steps: list[tuple[str, int]]) -> None:
    """Whoever puts in: never more wait than may, and none is dropped while there is room."""
    with TemporaryDirectory() as folder:
        pair = [Outbox(Path(folder) / "events.db") for _ in range(2)]
        waiting: list[str] = []
        number = 0
        for step, count in steps:
            if step == "done":
                for delivery in pair[0].heads("a", count):
                    pair[0].done(delivery, 200, 0)
                del waiting[:count]
                continue
            new = [an_event(number + at, "a") for at in range(count)]
            number += count
            dropped = put(pair[step == "put beside"], *new, room=6).get("a", 0)
            waiting += [each.envelope.id for each in new[: count - dropped]]
            assert dropped == max(0, count - (6 - len(waiting) + count - dropped))
            assert ids(pair[0], "a") == waiting
        for one in pair:
            one.close()


def test_what_becomes_of_a_delivery(outbox: Outbox) -> None:
    put(outbox, *(an_event(each, "a") for each in range(3)))
    one, two, _ = outbox.heads("a", 3)
    outbox.failed(one, 500, "HTTP 500", 10, 2010)
    (waiting, *_) = outbox.heads("a", 3)
    assert (waiting.attempts, waiting.due, waiting.status, waiting.error) == (1, 2010, 500, "HTTP 500")
    outbox.failed(waiting, 0, "connection refused", 2020, None)
    outbox.done(two, 204, 2030)
    assert ids(outbox, "a") == ["evt_2"]
    (dead,) = outbox.deliveries(states=("dead",))
    assert (dead.envelope.id, dead.attempts, dead.error) == ("evt_0", 2, "connection refused")
    (done,) = outbox.deliveries(states=("done",))
    assert (done.envelope.id, done.status, done.changed) == ("evt_1", 204, 2030)
    (queue,) = outbox.queues()
    assert (queue.pending, queue.dead, queue.delivered, queue.shown) == (1, 1, 1, "http://a/")


def test_what_was_given_up_is_made_again_in_its_place(outbox: Outbox) -> None:
    put(outbox, *(an_event(each, "a", "b") for each in range(3)))
    for key in ("a", "b"):
        for each in outbox.heads(key, 2):
            outbox.failed(each, 500, "HTTP 500", 1, None)
    assert outbox.retry(5, id="evt_1", webhook="a") == 1
    assert ids(outbox, "a") == ["evt_1", "evt_2"]
    assert outbox.heads("a", 1)[0].attempts == 0
    assert outbox.retry(5, webhook="a") == 1
    assert ids(outbox, "a") == ["evt_0", "evt_1", "evt_2"]
    assert ids(outbox, "b") == ["evt_2"]
    assert outbox.retry(5, id="evt_9") == 0
    assert outbox.retry(5) == 2


def test_a_waiting_delivery_is_hurried(outbox: Outbox) -> None:
    put(outbox, an_event(1, "a"))
    outbox.failed(outbox.heads("a", 1)[0], 429, "HTTP 429", 1, 300_000)
    assert outbox.retry(5, id="evt_1") == 1
    assert outbox.heads("a", 1)[0].due == 0


def test_old_things_go(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DONE_KEPT", 3)
    monkeypatch.setattr(module, "DEAD_KEPT", 2)
    put(outbox, *(an_event(each, "a") for each in range(20)))
    for index, each in enumerate(outbox.heads("a", 15)):
        if index < 10:
            outbox.done(each, 200, 1)
        else:
            outbox.failed(each, 500, "HTTP 500", 31 * DAY if index == 14 else 1, None)
    put(outbox, an_event(50, "gone"), now=1)
    outbox.prune(["a", "gone"], 2 * DAY)
    assert [each.envelope.id for each in outbox.deliveries(states=("done",))] == ["evt_7", "evt_8", "evt_9"]
    assert [each.envelope.id for each in outbox.deliveries(states=("dead",))] == ["evt_13", "evt_14"]
    assert len(ids(outbox, "a")) == 5
    with sqlite3.connect(outbox.path) as db:
        assert db.execute("SELECT COUNT(*) FROM events").fetchone() == (3 + 2 + 5 + 1,)
    outbox.prune(["a"], 31 * DAY)
    assert [each.envelope.id for each in outbox.deliveries(states=("dead",))] == ["evt_14"]
    assert ids(outbox, "gone") == []
    assert len(ids(outbox, "a")) == 5


def test_numbers_are_not_given_twice(outbox: Outbox) -> None:
    put(outbox, an_event(1, "a"))
    first = outbox.heads("a", 1)[0]
    outbox.failed(first, 500, "HTTP 500", 1, None)
    outbox.prune(["a"], 40 * DAY)
    put(outbox, an_event(2, "a"))
    assert outbox.heads("a", 1)[0].seq > first.seq


def test_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    path.write_bytes(b"not a database, by any means" * 100)
    with pytest.raises(
        OutboxError, match=r"cannot open the outbox .*events\.db: file is not a database; check"
    ):
        Outbox(path)


def test_a_newer_file(outbox: Outbox) -> None:
    outbox.close()
    with sqlite3.connect(outbox.path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(OutboxError, match="newer Tokenomics"):
        Outbox(outbox.path)
