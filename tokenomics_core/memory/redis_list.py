"""Conversations in Redis: one list for each token, where several gateways write to the same one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from tokenomics_core.config.schema import Redis as Settings
from tokenomics_core.counters import CountersUnavailable
from tokenomics_core.counters.redis_client import RedisClient

_AT_ONCE = 4 * 1024 * 1024
"""Bytes of one command, about."""


def list_key(token_hash: str) -> str:
    return f"tokenomics:memory:{token_hash}"


class RedisLists:
    """For one thread, which waits for Redis. settings: the Redis of the counters.

    most: entries that a list keeps, the newest; 0 keeps all, for ever.
    """

    def __init__(self, settings: Settings, most: int = 0) -> None:
        self._store = _Store(settings)
        self._most = most
        self._runner = asyncio.Runner()

    def push(self, texts: Mapping[str, Sequence[bytes]]) -> None:
        """Appends to the lists of these tokens, by hash. Raises CountersUnavailable.

        A connection that dies in the middle is tried again once: an entry may then stand there twice.
        """
        self._runner.run(self._push(texts))

    def close(self) -> None:
        self._runner.run(self._store.close())
        self._runner.close()

    async def _push(self, texts: Mapping[str, Sequence[bytes]]) -> None:
        for token_hash, entries in texts.items():
            for few in _few(entries):
                await self._store.append(list_key(token_hash), few, self._most)


class _Store(RedisClient):
    async def append(self, key: str, entries: Sequence[bytes], most: int) -> None:
        async def call(redis: Any) -> None:
            await redis.execute_command("RPUSH", key, *entries)
            if most:
                await redis.execute_command("LTRIM", key, -most, -1)

        await self._within(call)


def _few(entries: Sequence[bytes]) -> list[list[bytes]]:
    """In pieces that one command may have."""
    pieces: list[list[bytes]] = [[]]
    size = 0
    for entry in entries:
        if size + len(entry) > _AT_ONCE and pieces[-1]:
            pieces.append([])
            size = 0
        pieces[-1].append(entry)
        size += len(entry)
    return pieces


__all__ = ["CountersUnavailable", "RedisLists", "list_key"]
