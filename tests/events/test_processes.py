"""Several processes, killed processes, and many events at once."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.events.receiving import Answer, Got, Receiver
from tests.events.test_delivery import emitting, numbered
from tests.support.environment import PROJECT
from tokenomics_core.events import leave, token_created

HASH = "bba56f48ebdf2da3b43fd69610d07ff4f4b22b0398cae6fb94af3c3152e9252e"


@contextmanager
def process(folder: Path, target: Receiver, name: str, count: int) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "tests.events.process", str(folder), target.url, name, str(count)]
    started = subprocess.Popen(
        words, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate()


def emitted(started: subprocess.Popen[str]) -> None:
    assert started.stdout is not None
    assert started.stdout.readline() == "emitted\n"


def stop(started: subprocess.Popen[str]) -> None:
    _, errors = started.communicate(timeout=30)
    assert (started.returncode, errors) == (0, "")


def names(got: list[Got]) -> list[tuple[str, int]]:
    return [(each.event["data"]["from"], each.number) for each in got]


def test_two_processes_on_one_outbox(target: Receiver, tmp_path: Path) -> None:
    """Each event arrives once, those of a process in their order, and one process at a time delivers."""
    with process(tmp_path, target, "a", 150) as one, process(tmp_path, target, "b", 150) as two:
        emitted(one)
        emitted(two)
        target.wait(300)
        stop(one)
        stop(two)
    got = names(target.got)
    assert len(got) == 300
    for name in ("a", "b"):
        assert [number for sender, number in got if sender == name] == list(range(150))
    connections = {each.headers["Host"] for each in target.got}
    assert len(connections) == 1


def test_a_killed_process_loses_nothing(target: Receiver, tmp_path: Path) -> None:
    """It dies in the middle of a delivery; the next one takes over, and repeats no more than that one."""
    gate = threading.Event()
    target.answer = lambda got: Answer(gate=gate if len(target.got) == 20 else None)
    with process(tmp_path, target, "a", 100) as one:
        emitted(one)
        target.wait(21)
        with process(tmp_path, target, "b", 10) as two:
            emitted(two)
            # The other one has the lock, and stands still.
            time.sleep(1.5)
            assert len(target.got) == 21
            one.kill()
            one.wait()
            gate.set()
            target.wait(111)
            stop(two)
    got = names(target.got)
    assert got[20] == got[21] == ("a", 20)
    assert target.got[20].headers["X-Event-ID"] == target.got[21].headers["X-Event-ID"]
    del got[20]
    assert [number for name, number in got if name == "a"] == list(range(100))
    assert [number for name, number in got if name == "b"] == list(range(10))


async def test_what_a_command_leaves_is_delivered_by_who_runs(target: Receiver, tmp_path: Path) -> None:
    async with emitting(tmp_path, target.hook()):
        await asyncio.to_thread(leave, [target.hook()], tmp_path, token_created(HASH))
        (got,) = await target.expect(1)
    assert got.event["type"] == "token.created"


async def test_what_was_left_is_delivered_at_the_next_start(target: Receiver, tmp_path: Path) -> None:
    await asyncio.to_thread(
        leave, [target.hook(events=["token.*"])], tmp_path, numbered(1), token_created(HASH)
    )
    async with emitting(tmp_path, target.hook(events=["token.*"])):
        got = await target.expect(1)
    assert [each.event["type"] for each in got] == ["token.created"]


def test_who_wants_nothing_makes_no_file(target: Receiver, tmp_path: Path) -> None:
    leave([target.hook(events=["rule.*"])], tmp_path, token_created(HASH))
    leave([], tmp_path, token_created(HASH))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
async def test_ten_thousand_events_and_a_slow_receiver(
    target: Receiver, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    """Handing an event over takes microseconds, whatever the receiver does, and the loop keeps its turns."""
    gate = threading.Event()
    target.answer = lambda got: Answer(gate=gate)
    taken: list[float] = []
    turns: list[float] = []

    async def turn() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            turns.append(time.perf_counter() - began)

    async with emitting(tmp_path, target.hook(timeout=120), budget=0.5) as emitter:
        watch = asyncio.create_task(turn())
        for number in range(10_000):
            event = numbered(number)
            began = time.perf_counter()
            emitter.emit(event)
            taken.append(time.perf_counter() - began)
            if number % 20 == 0:
                # Requests come one after the other.
                await asyncio.sleep(0)
        await asyncio.to_thread(emitter._writer.flush, 30.0)
        watch.cancel()
        assert emitter.dropped == 0
        (queue,) = emitter.queues()
        assert queue.pending == 10_000
        gate.set()
        began = time.perf_counter()
        got = await asyncio.to_thread(target.wait, 10_000, 120.0)
        record_property("deliveries per second", round(10_000 / (time.perf_counter() - began)))
    record_property("emit, microseconds: median", round(statistics.median(taken) * 1e6, 1))
    record_property("emit, milliseconds: worst", round(max(taken) * 1e3, 2))
    record_property("turn of the loop, milliseconds: worst", round(max(turns) * 1e3, 2))
    assert [each.number for each in got] == list(range(10_000))
    assert statistics.median(taken) < 0.000_2
    assert sum(taken) < 2.0
    assert statistics.quantiles(turns, n=100)[94] < 0.05
