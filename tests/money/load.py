"""A load of many clients: streams and JSON, long and short, in four wire formats, until the budget is spent.

Each client asks again and again. What is refused for a moment is asked again after a moment; a refusal that
says it is the last one ends the client. What is asked for is random and the same for the same seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fake_provider import billing

Json = dict[str, Any]

WORD = " cat"
"""One token for the fake provider, and for the tokenizers of all models."""

PATIENCE = 0.2
"""Seconds, at most, before what was refused for a moment is asked again, whatever the answer says."""

PRICES: dict[str, dict[str, float]] = {
    "gpt-4o": {"input": 2.5, "output": 10},
    "gpt-4o-mini": {"input": 0.15, "output": 0.6},
    "gpt-4.1": {"input": 2, "output": 8},
    "claude-sonnet-4-6": {"input": 3, "output": 15},
    "gemini-2.0-flash": {"input": 0.1, "output": 0.4},
}
"""USD per 1,000,000 tokens of every model that is asked for."""

POLICY: Json = {
    "base_key_env": "OPENAI_API_KEY",
    "default_provider": "openai",
    "providers": {
        "openai": [{"base_key_env": "OPENAI_API_KEY", "model_regex": "^gpt-"}],
        "anthropic": [{"base_key_env": "ANTHROPIC_API_KEY", "model_regex": "^claude-"}],
        "google_gemini": [{"base_key_env": "GOOGLE_API_KEY", "model_regex": "^gemini-"}],
    },
}
"""What lets a token use them; a budget is to be added."""


@dataclass(frozen=True)
class Ask:
    """One request. text: the user's. cap: of its output, None for none."""

    dialect: str
    model: str
    text: str
    cap: int | None
    stream: bool

    @property
    def path(self) -> str:
        if self.dialect != "gemini":
            return {
                "chat": "/v1/chat/completions",
                "responses": "/v1/responses",
                "anthropic": "/v1/messages",
            }[self.dialect]
        verb = "streamGenerateContent?alt=sse" if self.stream else "generateContent"
        return f"/v1beta/models/{self.model}:{verb}"

    @property
    def body(self) -> Json:
        if self.dialect == "gemini":
            caps = {"generationConfig": {"maxOutputTokens": self.cap}} if self.cap else {}
            return {"contents": [{"role": "user", "parts": [{"text": self.text}]}], **caps}
        head: Json = {"model": self.model} | ({"stream": True} if self.stream else {})
        if self.dialect == "responses":
            return head | {"input": self.text} | ({"max_output_tokens": self.cap} if self.cap else {})
        messages = [{"role": "user", "content": self.text}]
        return head | {"messages": messages} | ({"max_tokens": self.cap} if self.cap else {})

    def head(self, token: str) -> dict[str, str]:
        match self.dialect:
            case "anthropic":
                return {"x-api-key": token, "anthropic-version": "2023-06-01"}
            case "gemini":
                return {"x-goog-api-key": token}
        return {"Authorization": f"Bearer {token}"}

    @property
    def least(self) -> tuple[int, int]:
        """Tokens of input and of output for which there must be room, by the most careful estimate."""
        input_tokens = -(-5 * (billing.input_tokens(self.text) + 8) // 4)
        return input_tokens, 16 if self.dialect == "responses" else 1


@dataclass(frozen=True)
class Mix:
    """What clients ask for. tokens: of an answer, from and to. caps: of which each request has one.

    delay: seconds between two events of a stream. ignore_cap: whether the provider does so in streams.
    """

    tokens: tuple[int, int] = (1, 1500)
    caps: Sequence[int | None] = (None, 200, 1000, 64_000)
    streams: float = 0.6
    delay: float = 0.0
    ignore_cap: bool = False
    dialects: Sequence[str] = ("chat", "responses", "anthropic", "gemini")

    def ask(self, chance: random.Random) -> Ask:
        dialect = chance.choice(self.dialects)
        model = {"anthropic": "claude-sonnet-4-6", "gemini": "gemini-2.0-flash"}.get(dialect, "")
        model = model or chance.choice(["gpt-4o", "gpt-4o-mini", "gpt-4.1"])
        stream = chance.random() < self.streams
        text = f"[tokens={chance.randint(*self.tokens)}]"
        if stream and self.delay:
            text += f"[delay={self.delay}]"
        if stream and self.ignore_cap:
            text += "[ignore_cap=1]"
        cap = chance.choice(self.caps)
        if dialect == "anthropic":
            cap = cap or 64_000
        return Ask(dialect, model, text + WORD * chance.randint(1, 150), cap, stream)


@dataclass
class Load:
    """The clients of one token, spread over the proxies' ports, and what became of them.

    token: the wrapper token. answers: how often each status came. ended: streams that the gateway ended.
    final: requests that were refused for good. broken: answers that did not come whole, or at all.
    """

    token: str
    ports: Sequence[int]
    mix: Mix
    seed: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    ended: int = 0
    final: list[tuple[Ask, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def run(self, clients: int = 64, *, within: float = 60.0) -> None:
        """Until every client was refused for good; raises TimeoutError when that does not come."""
        asyncio.run(self._run(clients, within))

    async def _run(self, clients: int, within: float) -> None:
        begun = time.monotonic()
        async with asyncio.timeout(within), asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(self._client(number))
        self.seconds = time.monotonic() - begun

    async def _client(self, number: int) -> None:
        chance = random.Random(f"{self.seed} {number}")
        connection = Connection(self.ports[number % len(self.ports)])
        count = 0
        try:
            while True:
                count += 1
                ask = self.mix.ask(chance)
                status, headers, body = await connection.send(ask, self.token, f"load/{number}-{count}")
                self.answers[status] += 1
                if status == 429:
                    if b"insufficient_quota" in body or headers.get("x-should-retry") == "false":
                        self.final.append((ask, body.decode()))
                        return
                    await asyncio.sleep(PATIENCE * chance.random())
                elif status != 200:
                    self.broken.append(f"{status} {body.decode()[:500]}")
                    return
                elif ask.stream and b'"tokenomics"' in body:
                    self.ended += 1
        except (OSError, EOFError, asyncio.IncompleteReadError) as error:
            self.broken.append(f"{type(error).__name__}: {error}")
        finally:
            connection.close()


class Connection:
    """One connection that is kept, as a client of HTTP/1.1 keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(
        self, ask: Ask, token: str, name: str, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by their names in lower case, and the whole body."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        reader, writer = self._streams
        body = json.dumps(ask.body).encode()
        headers |= ask.head(token) | {
            "Host": f"127.0.0.1:{self._port}",
            "User-Agent": name,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        }
        lines = [f"POST {ask.path} HTTP/1.1", *(f"{key}: {value}" for key, value in headers.items())]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        status_line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        told = {
            key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in fields)
        }
        if told.get("transfer-encoding") == "chunked":
            answer = await _chunks(reader)
        else:
            answer = await reader.readexactly(int(told["content-length"]))
        if told.get("connection") == "close":
            self.close()
        return int(status_line.split()[1]), told, answer

    def close(self) -> None:
        if self._streams is not None:
            with contextlib.suppress(RuntimeError):
                self._streams[1].close()
            self._streams = None


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append((await reader.readexactly(size + 2))[:-2])
    await reader.readexactly(2)
    return b"".join(parts)
