"""Conversations in a real Redis."""

import logging
import time
from collections.abc import Iterator

import pytest

from tests.counters.redis_servers import RedisServer, redis_server
from tests.memory.build import HASH, a_record
from tests.support.ports import free_ports
from tokenomics_core.config.schema import Redis as Settings
from tokenomics_core.memory.places import Writers
from tokenomics_core.memory.recorder import Recorder
from tokenomics_core.memory.redis_list import list_key

REDIS = Writers(redis=True)
OTHER = "ee" * 32


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(autouse=True)
def empty(server: RedisServer) -> None:
    with server.client() as client:
        client.flushall()


def entries(server, token=HASH):
    with server.client() as client:
        return client.lrange(f"tokenomics:memory:{token}", 0, -1)


def test_entries_to_the_letter(server, tmp_path):
    recorder = Recorder(tmp_path, "7e19c0a4", redis=server.settings())
    recorder.record(a_record(), REDIS)
    assert recorder.close(30)
    assert entries(server) == [
        "## 2026-04-05T06:07:08Z | request | gpt-4o\n\n"
        "Content-Type: application/json\nRequest-Headers:\n  Accept: */*\n  Content-Type: application/json\n"
        '  User-Agent: till/3.0\n\nBody:\n{"model":"m"}\n',
        "## 2026-04-05T06:07:11Z | response | gpt-4o\n\n"
        "Content-Type: application/json\nResponse-Headers:\n  Content-Type: application/json\n"
        '  X-Request-Id: req_77\n\nBody:\n{"choices":[{"message":{"content":"Yes."}}]}\n',
    ]
    assert list(tmp_path.iterdir()) == []
    with server.client() as client:
        assert client.ttl(list_key(HASH)) == -1


def test_each_token_has_its_list_in_the_order_of_its_requests(server, tmp_path):
    recorder = Recorder(tmp_path, "7e19c0a4", redis=server.settings())
    for number in range(300):
        token = HASH if number % 3 else OTHER
        recorder.record(a_record(number, token_hash=token, model=f"m-{number}", response=None), REDIS)
    assert recorder.close(30)
    models = [entry.split("\n")[0].split(" | ")[-1] for entry in entries(server)]
    assert models == [f"m-{number}" for number in range(300) if number % 3]
    assert len(entries(server, OTHER)) == 100


def test_a_list_can_be_bounded(server, tmp_path):
    recorder = Recorder(tmp_path, "7e19c0a4", redis=server.settings(), most=10)
    for number in range(200):
        recorder.record(a_record(number, model=f"m-{number}", response=None), REDIS)
    assert recorder.close(30)
    assert [entry.split("\n")[0][-5:] for entry in entries(server)] == [f"m-{n}" for n in range(190, 200)]


def test_only_who_says_so_is_in_redis(server, tmp_path):
    recorder = Recorder(tmp_path, "7e19c0a4", redis=server.settings())
    recorder.record(a_record(), Writers(markdown=True))
    assert recorder.close(30)
    assert entries(server) == []


def test_a_redis_that_is_not_there_hinders_neither_files_nor_requests(tmp_path, caplog):
    nowhere = Settings(addr=f"127.0.0.1:{free_ports(1)[0]}", timeout=1)
    recorder = Recorder(tmp_path, "7e19c0a4", redis=nowhere)
    with caplog.at_level(logging.WARNING, "tokenomics"):
        begin = time.perf_counter()
        for number in range(300):
            recorder.record(a_record(number), Writers(markdown=True, redis=True))
        assert time.perf_counter() - begin < 1
        assert recorder.close(30)
    assert recorder.failed == 300
    said = [record.getMessage() for record in caplog.records if record.name == "tokenomics"]
    assert len(said) == 1
    assert "cannot be reached" in said[0]
    (path,) = tmp_path.iterdir()
    assert path.read_text().count("| request |") == 300


def test_it_goes_on_when_redis_is_back(tmp_path_factory, tmp_path):
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        recorder = Recorder(tmp_path, "7e19c0a4", redis=server.settings(timeout=2))
        recorder.record(a_record(1), REDIS)
        assert recorder.flush(30)
        server.kill()
        recorder.record(a_record(2), REDIS)
        assert recorder.flush(30)
        assert recorder.failed == 1
        server.start()
        recorder.record(a_record(3, model="back", response=None), REDIS)
        assert recorder.close(30)
        assert [entry.split("\n")[0] for entry in entries(server)] == [
            "## 2026-04-05T06:07:08Z | request | back"
        ]
