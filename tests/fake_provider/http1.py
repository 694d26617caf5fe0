"""Reads HTTP/1.1 requests with h11, one after the other on a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import h11

CHUNK = 65536
MAX_HEAD = 1024 * 1024


class Http1Reader:
    """Requests of one connection. Bytes that came too early are kept for the next request."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._early = b""
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)

    @property
    def expects_continue(self) -> bool:
        return self._http.they_are_waiting_for_100_continue

    async def head(self, first_bytes: bytearray) -> h11.Request | None:
        """The next request, or None when the client closed instead; raises h11.RemoteProtocolError.

        first_bytes takes up what was read, for the record of a request that is none.
        """
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        if self._early:
            first_bytes += self._early
            self._http.receive_data(self._early)
            self._early = b""
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                return event
            if event is not h11.NEED_DATA:
                return None
            data = await self._reader.read(CHUNK)
            if len(first_bytes) < CHUNK:
                first_bytes += data
            self._http.receive_data(data)

    async def body(self) -> AsyncIterator[bytes]:
        """The body of the request that `head` gave; raises h11.RemoteProtocolError when it is cut off."""
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self._early = bytes(self._http.trailing_data[0])
                return
            elif event is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(CHUNK))
            else:
                raise h11.RemoteProtocolError("the client closed")

    async def left(self) -> None:
        """Returns when the client closes its side; what it sends until then is kept for the next request."""
        try:
            while data := await self._reader.read(CHUNK):
                self._early += data
        except ConnectionError:
            return

    async def raw(self) -> bytes:
        """The next bytes as they are, after an upgrade; empty at the end."""
        if self._early:
            data, self._early = self._early, b""
            return data
        return await self._reader.read(CHUNK)
