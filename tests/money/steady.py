"""A load that outlives the gateway: clients in a thread that ask, lose their connection, and ask again."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from types import TracebackType

from tests.money.load import Mix

PAUSE = 0.05
"""Seconds before a client comes back that was cut off, or refused for a moment."""


class Steady:
    """Asks from `start` until `stop`, whatever becomes of the gateway.

    ports: of the gateways; client n asks the n-th of them. answers: how often each status came whole; 0 are
    those that did not. last: requests that were refused for good.
    """

    def __init__(self, token: str, ports: list[int], mix: Mix, *, clients: int, seed: int) -> None:
        self.token = token
        self.ports = ports
        self.mix = mix
        self.answers: Counter[int] = Counter()
        self.last = 0
        self._clients = clients
        self._seed = seed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)

    def __enter__(self) -> Steady:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Each client still waits for its answer."""
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def wait_answers(self, count: int, timeout: float = 30) -> None:
        """Waits for so many more answers; raises TimeoutError."""
        wanted, deadline = self.answers[200] + count, time.monotonic() + timeout
        while self.answers[200] < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not in {timeout} s: {self.answers}")
            time.sleep(0.01)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(self._clients):
                group.create_task(self._client(number))

    async def _client(self, number: int) -> None:
        chance = random.Random(f"{self._seed} {number}")
        port = self.ports[number % len(self.ports)]
        while not self._stopping.is_set():
            head = await self._ask(port, chance)
            status = int(head.split()[1]) if head else 0
            self.answers[status] += 1
            if status == 429 and b"x-should-retry: false" in head.lower():
                self.last += 1
            if status != 200:
                await asyncio.sleep(PAUSE * (1 + chance.random()))

    async def _ask(self, port: int, chance: random.Random) -> bytes:
        """The head of one answer; empty where the answer did not come whole."""
        ask = self.mix.ask(chance)
        data = json.dumps(ask.body).encode()
        headers = ask.head(self.token) | {
            "Host": f"127.0.0.1:{port}",
            "Connection": "close",
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
        }
        lines = [f"POST {ask.path} HTTP/1.1", *(f"{key}: {value}" for key, value in headers.items())]
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return b""
        try:
            if writer.get_extra_info("sockname") == writer.get_extra_info("peername"):
                # Where nobody listens, the system may connect a socket with itself.
                return b""
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
            head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        except OSError:
            return b""
        finally:
            writer.close()
        chunked = b"transfer-encoding: chunked" in head.lower()
        whole = body.endswith(b"0\r\n\r\n") if chunked else bool(body)
        return head if whole else b""
