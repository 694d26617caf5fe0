"""The frames of one WebSocket: the handshake by hand, the framing by wsproto."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason

from tests.fake_provider.call import Call, to_json
from tests.fake_provider.http1 import Http1Reader

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def is_upgrade(call: Call) -> bool:
    return call.header("upgrade").lower() == "websocket"


class WebSocket:
    """An accepted upgrade. What the client sends is kept in the record's frames."""

    def __init__(self, call: Call, reader: Http1Reader) -> None:
        self._call = call
        self._reader = reader
        self._deflate = PerMessageDeflate()
        self._frames = Connection(ConnectionType.SERVER)

    async def accept(self) -> None:
        """Answers the handshake; takes the compression that the client offers."""
        call = self._call
        digest = hashlib.sha1(call.header("sec-websocket-key").encode() + _MAGIC).digest()
        headers = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", base64.b64encode(digest).decode()),
            *call.manner.headers,
        ]
        for offer in call.header("sec-websocket-extensions").split(","):
            if offer.strip().startswith("permessage-deflate"):
                accepted = self._deflate.accept(offer.strip())
                agreed = f"; {accepted}" if isinstance(accepted, str) and accepted else ""
                headers.append(("Sec-WebSocket-Extensions", f"permessage-deflate{agreed}"))
                self._frames = Connection(ConnectionType.SERVER, extensions=[self._deflate])
                break
        wanted = [name.strip() for name in call.header("sec-websocket-protocol").split(",") if name.strip()]
        if wanted:
            headers.append(("Sec-WebSocket-Protocol", wanted[0]))
        call.record.status = 101
        await call.wire.head(101, headers)

    async def texts(self) -> AsyncIterator[str]:
        """Whole text messages of the client, until either side closes."""
        parts: list[str] = []
        while data := await self._read():
            self._frames.receive_data(data)
            for event in self._frames.events():
                if isinstance(event, TextMessage):
                    parts.append(event.data)
                    if event.message_finished:
                        self._call.record.frames.append("".join(parts))
                        yield "".join(parts)
                        parts.clear()
                elif isinstance(event, Ping):
                    await self._call.wire.raw(self._frames.send(Pong(event.payload)))
                elif isinstance(event, CloseConnection):
                    await self._call.wire.raw(self._frames.send(event.response()))
                    self._call.record.finished = True
                    return
        self._call.record.left = not self._call.wire.closed

    async def send(self, value: dict[str, Any]) -> None:
        await self._call.wire.raw(self._frames.send(TextMessage(to_json(value).decode())))
        self._call.record.events += 1

    async def close(self, code: int = CloseReason.NORMAL_CLOSURE) -> None:
        await self._call.wire.raw(self._frames.send(CloseConnection(code)))
        await self._call.wire.close()

    async def _read(self) -> bytes:
        try:
            return await self._reader.raw()
        except ConnectionError:
            return b""
