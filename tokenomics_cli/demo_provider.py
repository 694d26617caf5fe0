"""A small LLM provider on loopback, for trying the gateway without a key and without a network.

It speaks OpenAI's chat completions and Anthropic's messages, whole and streamed, and repeats what it was
told. A token is a word to it, so its usage can be checked by counting.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

Json = dict[str, Any]
ID = "demo-1"
CREATED = 1_700_000_000
MAX_BODY = 20 * 1024 * 1024


@dataclass
class Seen:
    """A request as it reached the provider.

    headers: by lower-case name. ended: `time.monotonic` when the answer was sent, 0 until then.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    ended: float = 0.0

    @property
    def key(self) -> str:
        """The key that came with it, whichever header the provider's clients put it into."""
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        return bearer or self.headers.get("x-api-key", "")


class DemoProvider:
    """Listens on 127.0.0.1 in a thread of its own, from entering to leaving.

    port: 0 takes a free one. pause: seconds between two words of a streamed answer.
    on_seen: called in that thread with each request, before it is answered.
    Entering raises OSError when the port is taken.
    """

    def __init__(
        self, port: int = 0, *, pause: float = 0.03, on_seen: Callable[[Seen], object] | None = None
    ) -> None:
        self.port = port
        self.seen: list[Seen] = []
        self._pause = pause
        self._on_seen = on_seen
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="demo provider", daemon=True)
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> DemoProvider:
        start = asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=64 * 1024)
        try:
            server = self._loop.run_until_complete(start)
        except OSError:
            self._loop.close()
            raise
        self.port = server.sockets[0].getsockname()[1]
        self._server = server
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while request := await _read(reader):
                self.seen.append(request)
                if self._on_seen:
                    self._on_seen(request)
                await self._answer(request, writer)
                request.ended = time.monotonic()
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # A client that leaves, or that is none: there is nobody to tell.
            pass
        except asyncio.CancelledError:
            # The provider closes. Python 3.12 would report a cancelled handler as an error.
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, request: Seen, writer: asyncio.StreamWriter) -> None:
        wire = _WIRES.get(request.path.partition("?")[0]) if request.method == "POST" else None
        if wire is None:
            _send(writer, 404, _error("there is nothing at this path"))
            return
        try:
            body = json.loads(request.body)
            answer, prompt_tokens = f"You said: {_last_text(body)}", _words(body)
            _ = body["model"]
        except (ValueError, LookupError, TypeError, AttributeError):
            _send(writer, 400, _error("the body is no request of this API"))
            return
        whole, streamed = wire
        if body.get("stream") is not True:
            _send(writer, 200, whole(body, answer, prompt_tokens))
            return
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for event in streamed(body, answer, prompt_tokens):
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(self._pause)
        writer.write(b"0\r\n\r\n")
        await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    """The next request of a connection; None when the client is done. Raises ValueError for nonsense."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    size = int(headers.get("content-length", "0"))
    if size > MAX_BODY or "transfer-encoding" in headers:
        raise ValueError("a body of unknown or excessive size")
    return Seen(method, path, headers, await reader.readexactly(size))


def _send(writer: asyncio.StreamWriter, status: int, answer: Json) -> None:
    reason = {200: "OK", 400: "Bad Request", 404: "Not Found"}[status]
    body = json.dumps(answer, ensure_ascii=False).encode()
    head = f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    writer.write(head.encode() + b"\r\n" + body)


def _error(message: str) -> Json:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part.get("type") == "text")


def _last_text(body: Json) -> str:
    return _text(body["messages"][-1]["content"])


def _words(body: Json) -> int:
    texts = [_text(message["content"]) for message in body["messages"]]
    return sum(len(text.split()) for text in [*texts, _text(body.get("system") or "")])


def _pieces(answer: str) -> list[str]:
    first, *rest = answer.split(" ")
    return [first, *(f" {word}" for word in rest)]


# OpenAI chat completions.


def _chat(body: Json, answer: str, prompt_tokens: int) -> Json:
    message = {"role": "assistant", "content": answer}
    return {
        "id": f"chatcmpl-{ID}",
        "object": "chat.completion",
        "created": CREATED,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": _chat_usage(answer, prompt_tokens),
    }


def _chat_usage(answer: str, prompt_tokens: int) -> Json:
    count = len(answer.split())
    return {"prompt_tokens": prompt_tokens, "completion_tokens": count, "total_tokens": prompt_tokens + count}


def _chat_events(body: Json, answer: str, prompt_tokens: int) -> Iterator[bytes]:
    base = {
        "id": f"chatcmpl-{ID}",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": body["model"],
    }

    def event(delta: Json, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _data({**base, "choices": [choice]})

    yield event({"role": "assistant", "content": ""})
    for piece in _pieces(answer):
        yield event({"content": piece})
    yield event({}, "stop")
    # As with OpenAI: no usage in a stream unless it is asked for.
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _data({**base, "choices": [], "usage": _chat_usage(answer, prompt_tokens)})
    yield b"data: [DONE]\n\n"


def _data(value: Json) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


# Anthropic messages.


def _message(body: Json, answer: str, prompt_tokens: int) -> Json:
    return {
        "id": f"msg_{ID}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{"type": "text", "text": answer}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": prompt_tokens, "output_tokens": len(answer.split())},
    }


def _message_events(body: Json, answer: str, prompt_tokens: int) -> Iterator[bytes]:
    whole = _message(body, answer, prompt_tokens)
    began = {"input_tokens": prompt_tokens, "output_tokens": 1}
    start = {**whole, "content": [], "stop_reason": None, "usage": began}
    yield _event("message_start", message=start)
    yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for piece in _pieces(answer):
        yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
    yield _event("content_block_stop", index=0)
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield _event("message_delta", delta=end, usage=whole["usage"])
    yield _event("message_stop")


def _event(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\n".encode() + _data({"type": kind, **members})


_WIRES: dict[str, tuple[Callable[[Json, str, int], Json], Callable[[Json, str, int], Iterator[bytes]]]] = {
    "/v1/chat/completions": (_chat, _chat_events),
    "/v1/messages": (_message, _message_events),
}
