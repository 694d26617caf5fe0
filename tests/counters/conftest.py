"""Redis, started once for all tests of a test process that need it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.counters.redis_servers import RedisNodes, RedisServer, redis_cluster, redis_server


@pytest.fixture(scope="session")
def redis_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisNodes]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes
