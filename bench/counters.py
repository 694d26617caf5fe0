"""What a question to the counters costs: ask and settle, on SQLite, and on Redis where there is a server.

    python bench/counters.py [--seconds S] [--rounds N] [--json]

Each client asks, and settles what it was granted. The loop's stall is how late a timer of 1 ms came at most.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tokenomics_core.config.schema import Redis
from tokenomics_core.counters.journal import Journal
from tokenomics_core.counters.question import Claim, Granted, Limit, Question, Settlement, Window
from tokenomics_core.counters.sqlite import SqliteCounters
from tokenomics_core.counters.store import Counters

HOUR = 3_600_000
CLIENTS = (1, 64)
RECORD = b"x" * 600


@dataclass
class Measured:
    """Seconds."""

    ask: list[float] = field(default_factory=list)
    settle: list[float] = field(default_factory=list)
    stall: float = 0.0


async def client(store: Counters, name: str, until: float, measured: Measured) -> None:
    count = 0
    while time.perf_counter() < until:
        count += 1
        now = time.time_ns() // 1_000_000
        hour = now // HOUR * HOUR
        total = Limit("tokens:total", "tokens", limit=10**12)
        money = Limit("usd:total", "usd")
        day = Limit("usd:hour", "usd", Window("calendar", start=hour, end=hour + HOUR), 10**14)
        rate = Limit("rate:requests:sliding:60000", "requests", Window("sliding", 60_000), 10**9)
        flying = Limit("parallel", "parallel", limit=1000)
        id = f"{name}-{count}"
        question = Question(
            id,
            "token",
            now,
            now + 60_000,
            (
                Claim(total, 900, 1),
                Claim(money, 900, 9),
                Claim(day, 900, 9),
                Claim(rate, 1),
                Claim(flying, 1),
            ),
            512,
            1,
            64,
            ("token", "session:bench"),
            record=RECORD,
        )
        started = time.perf_counter()
        answer = await store.ask(question)
        asked = time.perf_counter()
        measured.ask.append(asked - started)
        assert isinstance(answer, Granted), answer
        used = ((total, 1000), (money, 1800), (day, 1800))
        # As a request does that goes to its provider.
        await asyncio.sleep(0)
        answered = time.perf_counter()
        await store.settle(Settlement(id, "token", now, used, RECORD))
        measured.settle.append(time.perf_counter() - answered)
        await asyncio.sleep(0)
        if count % 64 == 0:
            await store.written([f"{name}-{number}" for number in range(count - 63, count + 1)])


async def ticker(measured: Measured) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        measured.stall = max(measured.stall, time.perf_counter() - before - 0.001)


async def run(store: Counters, clients: int, seconds: float, word: str, measured: Measured) -> None:
    until = time.perf_counter() + seconds
    ticking = asyncio.create_task(ticker(measured))
    await asyncio.gather(*(client(store, f"{word}-{n}", until, measured) for n in range(clients)))
    ticking.cancel()


def redis_server(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return server, port
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


async def measure(folder: Path, seconds: float, rounds: int) -> dict[tuple[str, int], Measured]:
    stores: dict[str, Counters] = {"sqlite": SqliteCounters(folder / "counters.db", "bench")}
    server = None
    if shutil.which("redis-server"):
        from tokenomics_core.counters.redis import RedisCounters

        server, port = redis_server(folder)
        stores["redis"] = RedisCounters(
            Redis(addr=f"127.0.0.1:{port}"),
            Journal(folder / "journal.db", "bench"),
            on_error="refuse",
            local=SqliteCounters(folder / "local.db", "bench"),
        )
    try:
        for store in stores.values():
            await store.open()
        results = {(name, clients): Measured() for name in stores for clients in CLIENTS}
        # Round by round, so that whatever else the machine does hits all alike.
        for number in range(rounds):
            for (name, clients), measured in results.items():
                await run(stores[name], clients, seconds, f"{number}-{clients}", measured)
        for store in stores.values():
            await store.close()
    finally:
        if server is not None:
            server.terminate()
            server.wait()
    return results


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one round of one store and load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = asyncio.run(measure(Path(folder), options.seconds, options.rounds))
    rows = [
        {
            "store": name,
            "clients": clients,
            "asked": len(measured.ask),
            "per_second": round(len(measured.ask) / (options.seconds * options.rounds)),
            "ask_p50_ms": round(percentile(measured.ask, 0.5) * 1e3, 3),
            "ask_p99_ms": round(percentile(measured.ask, 0.99) * 1e3, 3),
            "settle_p50_ms": round(percentile(measured.settle, 0.5) * 1e3, 3),
            "settle_p99_ms": round(percentile(measured.settle, 0.99) * 1e3, 3),
            "stall_ms": round(measured.stall * 1e3, 3),
        }
        for (name, clients), measured in results.items()
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print("  ".join(f"{name:>13}" for name in rows[0]))
    for row in rows:
        print("  ".join(f"{value:>13}" for value in row.values()))


if __name__ == "__main__":
    main()
