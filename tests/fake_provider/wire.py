"""Wire: writes answers, right ones and wrong ones, to one connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterable
from http import HTTPStatus

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Wire:
    """The writing side of one connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.closed = False

    async def raw(self, data: bytes) -> None:
        """Writes the bytes as they are; raises ConnectionError when the client is gone."""
        if self.closed:
            raise ConnectionResetError("closed")
        self._writer.write(data)
        await self._writer.drain()

    async def head(
        self,
        status: int,
        headers: Iterable[tuple[str, str]],
        *,
        status_line: bytes | None = None,
        lines: Iterable[bytes] = (),
    ) -> None:
        """Status line and headers; lines are further header lines, written without a look at them."""
        parts = [status_line or f"HTTP/1.1 {status} {_reason(status)}".encode()]
        parts += [f"{name}: {value}".encode("latin-1", "replace") for name, value in headers]
        parts += lines
        await self.raw(b"\r\n".join(parts) + b"\r\n\r\n")

    async def finish(self) -> None:
        """Ends a body of known length."""

    async def chunk(self, data: bytes) -> None:
        if data:
            await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def last_chunk(self, trailers: Iterable[tuple[str, str]] = ()) -> None:
        lines = b"".join(f"{name}: {value}\r\n".encode() for name, value in trailers)
        await self.raw(b"0\r\n" + lines + b"\r\n")

    async def close(self) -> None:
        """Ends the connection in the orderly way."""
        self.closed = True
        with contextlib.suppress(OSError):
            self._writer.close()
            await self._writer.wait_closed()

    async def reset(self) -> None:
        """Ends the connection with a TCP reset."""
        self.closed = True
        plain: socket.socket | None = self._writer.get_extra_info("socket")
        if plain is not None:
            with contextlib.suppress(OSError):
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._writer.transport.abort()


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
