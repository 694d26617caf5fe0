"""HTTP by hand: requests as bytes, and answers as bytes, the invalid ones too."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import closing
from typing import Any


def request_bytes(
    path: str,
    body: Any = None,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    key: str = "sk-real-raw",
) -> bytes:
    """An HTTP/1.1 request; the body is bytes, or is made JSON."""
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def exchange(port: int, request: bytes, *, timeout: float = 1.0, until: bytes = b"") -> tuple[bytes, str]:
    """What came back, and how it ended: ``closed``, ``reset``, ``silent`` (for `timeout`) or ``found``."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=timeout)) as connection:
        connection.sendall(request)
        received = b""
        while True:
            try:
                data = connection.recv(65536)
            except TimeoutError:
                return received, "silent"
            except ConnectionResetError:
                return received, "reset"
            if not data:
                return received, "closed"
            received += data
            if until and until in received:
                return received, "found"


def chat(model: str = "gpt-4o", text: str = "hi", **members: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **members}
