"""What the fake provider saw and what it billed: one record for every request, in order of arrival."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEPT_BODY = 8 * 1024 * 1024


@dataclass
class Bill:
    """Tokens as billed. Input includes cached tokens and cache writes, output includes reasoning."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_creation_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Bill) -> Bill:
        return Bill(**{name: value + getattr(other, name) for name, value in asdict(self).items()})


@dataclass
class Record:
    """One request as it arrived.

    number: from 1, in order of arrival since the last reset.
    connection: number of the TCP connection, from 1; two records with the same number shared it.
    headers: names in the client's own letter case, in order.
    body: the first megabytes; body_bytes counts all of it.
    received: the body came in whole.
    status: status of the answer, 0 while there is none.
    events: events of a streamed answer, or frames of a WebSocket, that were sent.
    finished: the answer was sent whole, as it was meant to be.
    left: the client closed the connection before that.
    malformed: the first bytes of a request that is no valid HTTP/1.1, with `error` saying why.
    """

    connection: int
    number: int = 0
    time: float = 0.0
    method: str = ""
    target: str = ""
    http_version: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body_bytes: int = 0
    received: bool = False
    status: int = 0
    events: int = 0
    finished: bool = False
    left: bool = False
    ended: float = 0.0
    bill: Bill = field(default_factory=Bill)
    frames: list[str] = field(default_factory=list)
    malformed: bytes = b""
    error: str = ""
    tls: bool = False
    _kept: bytearray = field(default_factory=bytearray, repr=False)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def key(self) -> str:
        """The credential that came with the request, wherever it stood; the empty string for none."""
        scheme, _, bearer = self.header("authorization").partition(" ")
        if scheme.lower() != "bearer":
            bearer = scheme
        named = (self.header(name) for name in ("x-api-key", "api-key", "x-goog-api-key"))
        return bearer or next(filter(None, named), "") or self.query.get("key", "")

    def take(self, data: bytes) -> None:
        """Adds a piece of the body."""
        self.body_bytes += len(data)
        self._kept += data[: max(0, KEPT_BODY - len(self._kept))]

    @property
    def body(self) -> bytes:
        return bytes(self._kept)

    def header(self, name: str) -> str:
        """The first header of that name, in any letter case; the empty string when there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def header_names(self) -> list[str]:
        return [name.lower() for name, _ in self.headers]

    def holds(self, text: str) -> bool:
        """Whether the text stands anywhere in the request: line, headers, body, WebSocket frames."""
        lines = [self.target, *(f"{name}: {value}" for name, value in self.headers), *self.frames]
        wanted = text.encode()
        return any(text in line for line in lines) or wanted in self.body or wanted in self.malformed

    def as_json(self) -> dict[str, Any]:
        """Plain data for the control port; bytes as base64."""
        plain = asdict(self)
        del plain["_kept"]
        plain["body"] = base64.b64encode(self.body).decode()
        plain["malformed"] = base64.b64encode(self.malformed).decode()
        return plain


class Records:
    """All records since the last `clear`. The server's thread writes, any thread reads and waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._all: list[Record] = []
        self._count = 0

    def add(self, record: Record) -> None:
        """Takes up a request whose head has arrived, and numbers it."""
        with self._changed:
            self._count += 1
            record.number = self._count
            record.time = time.time()
            self._all.append(record)
            self._changed.notify_all()

    def end(self, record: Record) -> None:
        """Marks the end of the request, whole or not."""
        with self._changed:
            record.ended = time.time()
            self._changed.notify_all()

    def all(self) -> list[Record]:
        with self._changed:
            return list(self._all)

    def clear(self) -> None:
        with self._changed:
            self._all.clear()
            self._count = 0

    def wait(self, ready: Callable[[list[Record]], bool], timeout: float) -> list[Record]:
        """The records, once `ready` holds for them; raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: ready(self._all), timeout):
                raise TimeoutError(f"not in {timeout} s; the records are {self._all}")
            return list(self._all)
