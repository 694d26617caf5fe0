"""One Redis, or a cluster of them, and the script that runs there.

A call is one round trip, ends within the timeout, and raises CountersUnavailable for whatever keeps Redis
from answering. Then nobody knows whether Redis did what it was asked.
"""

from __future__ import annotations

import asyncio
import builtins
import hashlib
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    ConnectionError,
    NoPermissionError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    TimeoutError,
)

from tokenomics_core.config.schema import Redis as Settings
from tokenomics_core.counters.question import CountersUnavailable

_PARTS = ("counters", "leases", "expiry", "gates", "watched", "stale")
"""The keys of a token, in the order in which the script takes them."""

_AT_ONCE = 32
"""Calls on the way; more wait for their turn."""

_PORT = 6379


def read_script() -> str:
    folder = files("tokenomics_core.counters")
    return "\n".join((folder / f"{part}.lua").read_text() for part in ("state", "question", "maintenance"))


class RedisClient:
    """settings.addr: host:port; of a cluster one or more of its nodes, with commas between."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._script = read_script()
        self._sha = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._redis: Any = None

    @property
    def cluster(self) -> bool:
        return self._settings.cluster

    @property
    def address(self) -> str:
        return self._settings.addr

    async def run(self, token: str, question: str, about: object) -> Any:
        """The reply of the script to a question by its name there. about: a question, or a dict like one."""
        keys = [f"tokenomics:{{{token}}}:{part}" for part in _PARTS]
        # What the journal keeps does not travel.
        text = orjson.dumps(about, default=lambda _: None)
        arguments = (len(keys), *keys, question, text)

        async def call(redis: Any) -> Any:
            try:
                return await redis.execute_command("EVALSHA", self._sha, *arguments)
            except NoScriptError:
                # Redis was started anew, or its scripts were flushed. EVAL makes it remember.
                return await redis.execute_command("EVAL", self._script, *arguments)

        return await self._within(call)

    async def tokens(self, part: str = "counters") -> list[str]:
        """The hashes of the tokens that have something of that part. Walks through the whole store."""

        async def call(redis: Any) -> list[str]:
            prefix, suffix = "tokenomics:{", f"}}:{part}"
            found = {key async for key in redis.scan_iter(match=f"{prefix}*{suffix}", count=1000)}
            return sorted(key.removeprefix(prefix).removesuffix(suffix) for key in found)

        return await self._within(call)

    async def ping(self) -> None:
        """Asks Redis, or all primaries of a cluster, whether they are ready."""

        async def call(redis: Any) -> None:
            if not self.cluster:
                await redis.execute_command("PING")
                return
            nodes = await redis.execute_command("CLUSTER INFO", target_nodes=RedisCluster.PRIMARIES)
            if any(info["cluster_state"] != "ok" for info in nodes.values()):
                raise ClusterDownError("the cluster is down")

        await self._within(call)

    async def close(self) -> None:
        redis, self._redis = self._redis, None
        if redis is not None:
            await redis.aclose()

    async def _within[T](self, call: Callable[[Any], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._settings.timeout), self._turns:
                if self._redis is None:
                    self._redis = _connect(self._settings)
                try:
                    return await call(self._redis)
                except AuthenticationError:
                    raise
                except (ConnectionError, TypeError):
                    # A connection that lay idle may have died long ago; the next one is new. Of a connection
                    # that dies in this moment, asyncio in Python 3.13 says TypeError.
                    return await call(self._redis)
        except (RedisError, RedisClusterException, OSError, ValueError, TypeError) as error:
            raise self._unavailable(error) from None

    def _unavailable(self, error: Exception) -> CountersUnavailable:
        settings = self._settings
        at = f"redis at {settings.addr}"
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        if settings.password:
            text = text.replace(settings.password, "***")
        word = text.split(" ", 1)[0]
        if isinstance(error, AuthenticationError | NoPermissionError) or word in ("NOAUTH", "WRONGPASS"):
            return CountersUnavailable(
                f"{at} refuses the password or lacks its rights; check session.redis.password"
            )
        if isinstance(error, TimeoutError | builtins.TimeoutError):
            return CountersUnavailable(
                f"{at} did not answer within {settings.timeout:g} s; check that it runs and is not overloaded"
            )
        if isinstance(error, ConnectionError | OSError) and word != "LOADING":
            return CountersUnavailable(f"{at} cannot be reached; start it, or correct session.redis.addr")
        return CountersUnavailable(f"{at} cannot be used: {text[:200]}; look into its log")


def _connect(settings: Settings) -> Any:
    """Raises ValueError for an address that is none."""
    addresses = [_address(each) for each in settings.addr.split(",")]
    common: dict[str, Any] = {
        "password": settings.password or None,
        "socket_timeout": settings.timeout,
        "socket_connect_timeout": settings.timeout,
        "ssl": settings.tls,
        "decode_responses": True,
    }
    if settings.cluster:
        nodes = [ClusterNode(host, port) for host, port in addresses]
        return RedisCluster(startup_nodes=nodes, retry=Retry(NoBackoff(), 1), **common)
    host, port = addresses[0]
    return Redis(host=host, port=port, db=settings.db, retry=Retry(NoBackoff(), 0), **common)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.strip().rpartition(":")
    if not colon:
        return text.strip(), _PORT
    return host.strip("[]"), int(port)
