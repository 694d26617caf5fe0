"""The control port, for tests that run the fake provider as a process of its own.

GET /records and GET /bill read; POST /script takes a JSON list of steps (``?frames=1`` for WebSocket frames);
POST /reset forgets everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

import h11

from tests.fake_provider.call import to_json
from tests.fake_provider.http1 import Http1Reader
from tests.fake_provider.records import Bill
from tests.fake_provider.state import State
from tests.fake_provider.wire import Wire


async def serve(state: State, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    requests, wire = Http1Reader(reader), Wire(writer)
    with contextlib.suppress(ConnectionError, h11.RemoteProtocolError):
        while (head := await requests.head(bytearray())) is not None:
            body = b"".join([data async for data in requests.body()])
            status, value = _answer(state, head.method.decode(), head.target.decode(), body)
            answer = to_json(value)
            lengths = [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
            await wire.head(status, lengths)
            await wire.raw(answer)
    await wire.close()


def _answer(state: State, method: str, target: str, body: bytes) -> tuple[int, Any]:
    url = urlsplit(target)
    match method, url.path:
        case "GET", "/records":
            return 200, [record.as_json() for record in state.records.all()]
        case "GET", "/bill":
            return 200, asdict(sum((record.bill for record in state.records.all()), Bill()))
        case "POST", "/script":
            state.script(json.loads(body), frames=url.query == "frames=1")
            return 200, {"unused_steps": state.unused_steps()}
        case "POST", "/reset":
            state.reset()
            return 200, {}
    return 404, {"error": f"no {method} {url.path} here"}
