"""One client connection: takes requests one after the other, records and answers them."""

from __future__ import annotations

import asyncio
import ssl
import traceback

import h11

from tests.fake_provider import behaviours, routes, sending
from tests.fake_provider.answering import answer
from tests.fake_provider.call import Call
from tests.fake_provider.http1 import Http1Reader
from tests.fake_provider.records import Record
from tests.fake_provider.state import State
from tests.fake_provider.websocket import WebSocket, is_upgrade
from tests.fake_provider.wire import Wire


class Connection:
    """number: which connection of the provider it is, from 1."""

    def __init__(
        self, state: State, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self._state = state
        self._reader = Http1Reader(reader)
        self._wire = Wire(writer)
        self._number = number
        self._tls = writer.get_extra_info("ssl_object") is not None

    async def serve(self) -> None:
        try:
            while await self._one_request():
                pass
        except (ConnectionError, ssl.SSLError, TimeoutError):
            pass
        except Exception:
            self._state.bugs.append(traceback.format_exc())
        finally:
            await self._wire.close()

    async def _one_request(self) -> bool:
        """Serves one request; True when another may follow."""
        record = Record(self._number, tls=self._tls)
        seen = bytearray()
        try:
            head = await self._reader.head(seen)
            if head is None:
                return False
            record.method = head.method.decode()
            record.target = head.target.decode("latin-1")
            record.http_version = head.http_version.decode()
            record.headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in head.headers.raw_items()]
            self._state.records.add(record)
            await self._receive_body(record)
        except h11.RemoteProtocolError as error:
            return await self._refuse_malformed(record, bytes(seen), error)
        try:
            return await self._answer(record) and record.header("connection").lower() != "close"
        except (ConnectionError, ssl.SSLError):
            record.left, record.finished = True, False
            return False
        finally:
            self._state.records.end(record)

    async def _receive_body(self, record: Record) -> None:
        if self._reader.expects_continue:
            await self._wire.raw(b"HTTP/1.1 100 Continue\r\n\r\n")
        async for data in self._reader.body():
            record.take(data)
        record.received = True

    async def _refuse_malformed(self, record: Record, seen: bytes, error: h11.RemoteProtocolError) -> bool:
        if not seen and not record.method:
            return False
        record.malformed, record.error, record.status = seen, str(error), 400
        if not record.method:
            self._state.records.add(record)
        await self._wire.head(400, [("Content-Length", "0"), ("Connection", "close")])
        self._state.records.end(record)
        return False

    async def _answer(self, record: Record) -> bool:
        call = Call(record, self._wire, self._state)
        if is_upgrade(call):
            await self._serve_socket(call)
            return False
        answering = asyncio.ensure_future(answer(call))
        leaving = asyncio.ensure_future(self._reader.left())
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                record.left, record.finished = True, False
                return False
            return answering.result() and not self._wire.closed and not leaving.done()
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _serve_socket(self, call: Call) -> None:
        """An upgrade misbehaves as the script says; the model's name speaks for its frames."""
        if await behaviours.apply(call, self._state.next_step() or {}):
            return
        serve = routes.find_socket(call)
        if call.manner.fail or serve is None or not routes.has_key(call):
            await sending.send(call, routes.reply(call, "openai", None), lambda: b"")
            return
        socket = WebSocket(call, self._reader)
        await socket.accept()
        await serve(call, socket)
