"""The Redis store, on one server and on a cluster: the common suite and the common machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tests.counters.machine import CountersMachine
from tests.counters.redis_servers import RedisNodes, RedisServer, make_store
from tests.counters.suite import StoreSuite
from tokenomics_core.config.schema import Redis as Settings
from tokenomics_core.counters.store import Counters


class OnRedis(StoreSuite):
    @pytest.fixture
    async def counters(self, where: Settings, tmp_path: Path) -> AsyncIterator[Counters]:
        store = make_store(where, tmp_path)
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    async def neighbour(self, where: Settings, tmp_path: Path, counters: Counters) -> AsyncIterator[Counters]:
        store = make_store(where, tmp_path, "neighbour")
        await store.open()
        yield store
        await store.close()


class TestAlone(OnRedis):
    @pytest.fixture
    def where(self, redis_alone: RedisServer) -> Settings:
        with redis_alone.client() as client:
            client.flushall()
        return redis_alone.settings()


class TestCluster(OnRedis):
    @pytest.fixture
    def where(self, redis_nodes: RedisNodes) -> Settings:
        redis_nodes.flush()
        return redis_nodes.settings()


class RedisMachine(CountersMachine):
    where: Settings
    empty: Callable[..., None]
    """A method of each subclass: takes everything out of its servers."""

    def make(self) -> Counters:
        self.empty()
        self.folder = Path(tempfile.mkdtemp())
        return make_store(self.where, self.folder)

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


class MachineAlone(RedisMachine):
    server: RedisServer

    def empty(self) -> None:
        with self.server.client() as client:
            client.flushall()


class MachineCluster(RedisMachine):
    nodes: RedisNodes

    def empty(self) -> None:
        self.nodes.flush()


@pytest.fixture(scope="module", autouse=True)
def _servers(redis_alone: RedisServer, redis_nodes: RedisNodes) -> None:
    MachineAlone.server, MachineAlone.where = redis_alone, redis_alone.settings()
    MachineCluster.nodes, MachineCluster.where = redis_nodes, redis_nodes.settings()


TestMachineAlone = MachineAlone.TestCase
TestMachineAlone.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestMachineCluster = MachineCluster.TestCase
TestMachineCluster.settings = settings(max_examples=8, stateful_step_count=30, deadline=None)
