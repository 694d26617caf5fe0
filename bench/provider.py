"""The provider of the benchmark: answers every chat completion at once, whole or as 20 events.

    python bench/provider.py [PORT]

Its first line of output is its port on 127.0.0.1. It runs until it is ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

EVENTS = 20


def _usage() -> dict[str, int]:
    return {"prompt_tokens": 40, "completion_tokens": EVENTS, "total_tokens": 40 + EVENTS}


def _json_answer() -> bytes:
    message = {"role": "assistant", "content": "word " * EVENTS}
    body = json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1700000000,
            "model": "gpt-4o-mini",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": _usage(),
        }
    ).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _event(choices: list[dict[str, Any]], **members: Any) -> bytes:
    chunk = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "gpt-4o-mini",
        "choices": choices,
        **members,
    }
    return _chunk(b"data: " + json.dumps(chunk).encode() + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _stream_answer(*, usage: bool) -> list[bytes]:
    """The pieces of a streamed answer, each of which is written by itself."""
    words = [_event([{"index": 0, "delta": {"content": "word "}, "finish_reason": None}])] * (EVENTS - 1)
    last = _event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    extra = [_event([], usage=_usage())] if usage else []
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return [head, *words, last, *extra, _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"]


JSON_ANSWER = _json_answer()
STREAM = _stream_answer(usage=False)
STREAM_WITH_USAGE = _stream_answer(usage=True)


class Connection(asyncio.Protocol):
    """One client connection with keep-alive, one request after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""
        self._call_soon = asyncio.get_running_loop().call_soon

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = self._received[:end].lower()
        _, found, rest = head.partition(b"content-length:")
        end += int(rest.partition(b"\r\n")[0]) if found else 0
        if len(self._received) < end:
            return
        body, self._received = self._received[len(head) : end], self._received[end:]
        if b'"stream":' not in body:
            self._transport.write(JSON_ANSWER)
        else:
            self._write(STREAM_WITH_USAGE if b'"include_usage"' in body else STREAM, 0)

    def _write(self, pieces: list[bytes], at: int) -> None:
        """Each piece in a turn of the loop of its own, as a provider's events come one by one."""
        if self._transport.is_closing():
            return
        self._transport.write(pieces[at])
        if at + 1 < len(pieces):
            self._call_soon(self._write, pieces, at + 1)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
