"""Soak: one gateway under mixed traffic for long. Its memory stops growing, and what stays open adds nothing.

SOAK_REQUESTS says how many requests. Memory after WARM of them is what the end is held against.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.money.load import PRICES, Ask, Connection, Mix
from tests.proxy.test_frames import create, socket, until_done
from tests.support.environment import PROJECT
from tests.support.proxy import Proxy

REQUESTS = int(os.environ.get("SOAK_REQUESTS", "30000"))
WARM = 20_000
CLIENTS = 16
GROWTH = 1.10

MIX = Mix(tokens=(1, 10), caps=(None, 200), streams=0.5)
POLICY: dict[str, Any] = {
    "base_key_env": "OPENAI_API_KEY",
    "default_provider": "openai",
    "max_tokens": 10**12,
    "rules": [
        {"type": "pii", "detect": ["email"], "action": "mask", "scope": "both", "restore": True},
        {"type": "keyword", "keywords": ["never-say-this"], "action": "fail"},
    ],
    "providers": {
        "openai": [{"base_key_env": "OPENAI_API_KEY", "model_regex": "^gpt-"}],
        "anthropic": [{"base_key_env": "ANTHROPIC_API_KEY", "model_regex": "^claude-"}],
        "google_gemini": [{"base_key_env": "GOOGLE_API_KEY", "model_regex": "^gemini-"}],
    },
}


FRAMES: dict[str, Any] = {name: POLICY[name] for name in ("base_key_env", "default_provider", "rules")}


@contextmanager
def provider() -> Iterator[dict[str, int]]:
    """The fake provider as a process: its work is not the client's."""
    command = [sys.executable, "-m", "tests.fake_provider"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


def resident(pid: int) -> int:
    """Kilobytes of memory that the process has."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


class Soak:
    """taken: kilobytes of the gateway after so many requests."""

    def __init__(self, proxy: Proxy, token: str, forget: str) -> None:
        self.proxy, self.token, self.forget = proxy, token, forget
        self.answers: Counter[int] = Counter()
        self.taken: dict[int, int] = {}
        self.begun = 0

    async def run(self, count: int) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(self._client(number, count))

    async def _client(self, number: int, count: int) -> None:
        chance = random.Random(f"{count} {number}")
        while self.begun < count:
            connection = Connection(self.proxy.http_port)
            try:
                # Agents come and go.
                for _ in range(chance.randint(1, 80)):
                    self.begun += 1
                    if self.begun > count or not await self._one(connection, chance):
                        break
                    await self._look()
            finally:
                connection.close()

    async def _one(self, connection: Connection, chance: random.Random) -> bool:
        """Whether the connection can be used again."""
        ask, token = MIX.ask(chance), self.token
        place = chance.random()
        # What a conversation holds is kept for a day: the same 200 with the same values come again and again.
        named = {"X-Session-Id": f"run-{self.begun // 40 % 200}"}
        text = f"{ask.text} write to person{self.begun % 2000}@example.org"
        if place < 0.03:
            token = "tkn_" + "0" * 64
        elif place < 0.05:
            text += " never-say-this"
        ask = Ask(ask.dialect, ask.model, text, ask.cap, ask.stream)
        if place > 0.97:
            # The client leaves in the middle.
            with suppress(TimeoutError):
                await asyncio.wait_for(connection.send(ask, token, "soak", **named), 0.002)
            return False
        status, _, _ = await connection.send(ask, token, "soak", **named)
        self.answers[status] += 1
        return True

    async def _look(self) -> None:
        if self.begun % 1000 == 0:
            self.taken[self.begun] = resident(self.proxy.pid)
            request = urllib.request.Request(self.forget, method="POST")
            await asyncio.to_thread(lambda: urllib.request.urlopen(request).close())


@contextmanager
def held_open(proxy: Proxy, token: str) -> Iterator[Counter[str]]:
    """A WebSocket that is used all the time, and one that is silent; they count what came."""
    done, told = threading.Event(), Counter[str]()

    def use() -> None:
        with socket(proxy, token) as busy, socket(proxy, token):
            while not done.wait(0.1):
                busy.send(create(text=f"again, person{told['answers'] % 100}@example.org"))
                assert until_done(busy)[-1]["type"] == "response.completed"
                told["answers"] += 1

    thread = threading.Thread(target=use)
    thread.start()
    try:
        yield told
    finally:
        done.set()
        thread.join()


@pytest.mark.long
def test_memory_stays_where_it_is(tmp_path: Path) -> None:
    with (
        provider() as ports,
        Proxy(tmp_path, f"http://127.0.0.1:{ports['port']}", config={"pricing": PRICES}) as proxy,
    ):
        token = proxy.token(POLICY)
        soak = Soak(proxy, token, f"http://127.0.0.1:{ports['control_port']}/reset")
        with held_open(proxy, proxy.token(FRAMES)) as told:
            asyncio.run(soak.run(REQUESTS))
        first = min(count for count in soak.taken if count >= WARM)
        last = max(soak.taken)
        print({count: f"{kilobytes / 1024:.0f} MB" for count, kilobytes in sorted(soak.taken.items())})
        print(dict(soak.answers), dict(told))
        assert set(soak.answers) == {200, 401, 403}
        assert told["answers"] > 10
        assert soak.taken[last] <= GROWTH * soak.taken[first]
        # Each of them is in the ledger, and so is what the clients left.
        told_rows = json.loads(proxy.cli("ledger", "summary", "--json").stdout)
        assert told_rows["totals"]["request_count"] >= soak.answers.total()
