"""The load of the benchmark: clients with keep-alive that send a request as soon as they have an answer.

    python bench/load.py '{"port": 8080, "url": "/v1/chat/completions", "host": "localhost",
                           "token": "tkn_...", "stream": false, "clients": 16, "seconds": 2}'

Prints {"requests": ..., "seconds": ..., "p50_ms": ..., "p99_ms": ..., "warm_up_requests": ...}. All but the
last are of that time; a short warm-up comes before it.
Any answer that is not complete, or not a 200, ends it with an error.

`measured` runs it as a process of its own, and tells the processor time of the process that serves it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

WARM_UP = 0.3
PATIENCE = 30.0
EVENTS = 20

BODY = {
    "model": "gpt-4o-mini",
    "temperature": 0.2,
    "messages": [
        {"role": "system", "content": "Answer in one sentence."},
        {"role": "user", "content": "How many words does a page hold? " * 8},
    ],
}


def request_bytes(plan: dict[str, Any]) -> bytes:
    body = json.dumps(BODY | ({"stream": True} if plan["stream"] else {})).encode()
    lines = [
        f"POST {plan['url']} HTTP/1.1",
        f"Host: {plan['host']}",
        f"Authorization: Bearer {plan['token']}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Client(asyncio.Protocol):
    """took: seconds of each request. done: resolved after the request during which the time was up."""

    def __init__(self, request: bytes, end: float, *, stream: bool) -> None:
        self.took: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._end = end
        self._stream = stream
        self._answer = b""
        self._length = 0
        self._clock = time.perf_counter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self._stream:
            if self._answer.endswith(b"\r\n0\r\n\r\n"):
                self._finish(self._answer.count(b"data: {") >= EVENTS and b"data: [DONE]" in self._answer)
            return
        if not self._length:
            end = self._answer.find(b"\r\n\r\n") + 4
            if end < 4:
                return
            _, _, rest = self._answer[:end].lower().partition(b"content-length:")
            self._length = end + int(rest.partition(b"\r\n")[0])
        if len(self._answer) >= self._length:
            self._finish(len(self._answer) == self._length)

    def _send(self) -> None:
        self._answer, self._length = b"", 0
        self._started = self._clock()
        self._transport.write(self._request)

    def _finish(self, complete: bool) -> None:
        if not complete or not self._answer.startswith(b"HTTP/1.1 200"):
            if not self.done.done():
                self.done.set_exception(ValueError(f"no complete 200: {self._answer[:300]!r}"))
            self._transport.close()
            return
        now = self._clock()
        self.took.append(now - self._started)
        if now < self._end:
            self._send()
        elif not self.done.done():
            self.done.set_result(None)
            self._transport.close()


async def run(plan: dict[str, Any], seconds: float) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    request = request_bytes(plan)
    start = time.perf_counter()
    client = partial(Client, request, start + seconds, stream=plan["stream"])
    clients = [
        (await loop.create_connection(client, "127.0.0.1", plan["port"]))[1] for _ in range(plan["clients"])
    ]
    async with asyncio.timeout(seconds + PATIENCE):
        await asyncio.gather(*(client.done for client in clients))
    elapsed = time.perf_counter() - start
    took = sorted(one for client in clients for one in client.took)
    return {
        "requests": len(took),
        "seconds": elapsed,
        "p50_ms": took[len(took) // 2] * 1000,
        "p99_ms": took[len(took) * 99 // 100] * 1000,
    }


async def main(plan: dict[str, Any]) -> None:
    warm_up = await run(plan, WARM_UP)
    print(json.dumps(await run(plan, plan["seconds"]) | {"warm_up_requests": warm_up["requests"]}))


def measured(plan: dict[str, Any], pid: int) -> dict[str, float]:
    """What it prints, and ``cpu_ms``: processor time of that process for each request; 0 for pid 0."""
    before = _cpu_seconds(pid)
    command = [sys.executable, __file__, json.dumps(plan)]
    most = 2 * plan["seconds"] + 90
    done = subprocess.run(command, capture_output=True, text=True, timeout=most, check=False)
    if done.returncode:
        raise SystemExit(f"the load on port {plan['port']} failed:\n{done.stderr}")
    result: dict[str, float] = json.loads(done.stdout)
    used = _cpu_seconds(pid) - before
    return {**result, "cpu_ms": 1000 * used / (result["requests"] + result["warm_up_requests"])}


def _cpu_seconds(pid: int) -> float:
    """Processor time that the process has used so far; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
