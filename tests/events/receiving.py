"""A receiver of webhooks on loopback that remembers what it got and answers as it is told, and a clock."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tokenomics_core.config import Webhook


@dataclass
class Got:
    """One request. at: what the clock of the test said."""

    path: str
    headers: Message
    body: bytes
    at: float

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def number(self) -> int:
        return int(self.event["data"]["number"])


@dataclass
class Answer:
    """gate: the answer waits for it."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    gate: threading.Event | None = None


class Receiver:
    """answer: makes the answer from what came; by default the next of `answers`, and 200 after the last."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answers: list[Answer] = []
        self.answer: Callable[[Got], Answer] = lambda got: self.answers.pop(0) if self.answers else Answer()
        self.clock: Callable[[], float] = lambda: 0.0
        self.changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                got = Got(self.path, self.headers, body, receiver.clock())
                with receiver.changed:
                    answer = receiver.answer(got)
                    receiver.got.append(got)
                    receiver.changed.notify_all()
                if answer.gate is not None:
                    answer.gate.wait(600)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def hook(self, **settings: Any) -> Webhook:
        return Webhook(url=self.url, **settings)

    def wait(self, count: int, timeout: float = 20.0) -> list[Got]:
        with self.changed:
            there = self.changed.wait_for(lambda: len(self.got) >= count, timeout)
            assert there, f"{len(self.got)} of {count} requests came"
            return list(self.got)

    async def expect(self, count: int) -> list[Got]:
        """The first so many requests, once they have come."""
        return await asyncio.to_thread(self.wait, count)


@contextmanager
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join()


class Clock:
    """Seconds since 1970 that pass only when somebody sleeps."""

    def __init__(self, now: float = 1_772_440_000.0) -> None:
        self.now = now

    def seconds(self) -> float:
        return self.now

    def nanoseconds(self) -> int:
        return round(self.now * 1e9)

    async def sleep(self, seconds: float) -> None:
        # Who is only looking for work sleeps too: nothing may pass while a request is under way.
        await asyncio.sleep(0.002)
        self.now += seconds
