"""The queue and its thread, without a database."""

import threading

import pytest

from tokenomics_core.ledger.writer import BatchWriter, QueueFull, WriterClosed


@pytest.fixture
def written():
    return []


def a_writer(write, **changes):
    return BatchWriter("test", write, **({"capacity": 1000, "linger": 0.001} | changes))


def test_one_item_after_another_is_written_without_a_flush():
    arrived = threading.Semaphore(0)
    writer = a_writer(lambda batch: arrived.release(len(batch)))
    for number in range(200):
        writer.put(number)
        assert arrived.acquire(timeout=10)
    assert writer.close(10)


def test_items_that_come_while_a_batch_is_written_are_written_next():
    started, release, arrived = threading.Event(), threading.Event(), threading.Semaphore(0)
    batches = []

    def write(batch):
        started.set()
        release.wait(10)
        batches.append(batch)
        arrived.release(len(batch))

    writer = a_writer(write)
    writer.put(0)
    assert started.wait(10)
    writer.put(1)
    writer.put(2)
    release.set()
    assert all([arrived.acquire(timeout=10) for _ in range(3)])
    assert batches == [[0], [1, 2]]
    assert writer.close(10)


def test_a_full_batch_does_not_linger(written):
    done = threading.Event()

    def write(batch):
        written.append(batch)
        done.set()

    writer = a_writer(write, linger=60, batch=3)
    for number in range(3):
        writer.put(number)
    assert done.wait(10)
    assert written == [[0, 1, 2]]
    assert writer.close(10)


def test_neither_a_flush_nor_a_close_lingers(written):
    writer = a_writer(written.extend, linger=60)
    writer.put(1)
    assert writer.flush(10)
    writer.put(2)
    assert writer.flush(10)
    writer.put(3)
    assert writer.close(10)
    assert written == [1, 2, 3]


def test_a_batch_that_fails_is_tried_again_as_it_was():
    tries = []

    def write(batch):
        tries.append(batch)
        if len(tries) < 3:
            raise OSError("no space left")

    writer = a_writer(write, retry=0.001)
    writer.put(1)
    assert writer.flush(10)
    assert tries == [[1], [1], [1]]
    assert writer.failure is None
    assert writer.close(10)


def test_many_threads_lose_nothing(written):
    writer = a_writer(written.extend, capacity=100_000)

    def put(start):
        for number in range(start, start + 5000):
            writer.put(number)

    threads = [threading.Thread(target=put, args=(start,)) for start in (0, 10_000, 20_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.close(30)
    assert len(written) == len(set(written)) == 15_000
    for start in (0, 10_000, 20_000):
        assert [number for number in written if start <= number < start + 5000] == list(
            range(start, start + 5000)
        )


def test_full_and_closed():
    release = threading.Event()
    writer = a_writer(lambda batch: release.wait(10), capacity=2)
    writer.put(1)
    writer.put(2)
    with pytest.raises(QueueFull):
        writer.put(3)
    assert writer.backlog == 2
    release.set()
    assert writer.close(10)
    with pytest.raises(WriterClosed):
        writer.put(4)
