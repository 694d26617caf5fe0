"""HTTP/2 connections: the same answers, each on a stream of its own.

Misbehaviours that are bytes of HTTP/1.1 have no meaning here. A reset ends the stream, a close
the connection.
"""

from __future__ import annotations

import asyncio
import ssl
import traceback
from collections.abc import Iterable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset, WindowUpdated
from h2.exceptions import ProtocolError

from tests.fake_provider.answering import answer
from tests.fake_provider.call import Call
from tests.fake_provider.records import Record
from tests.fake_provider.state import State
from tests.fake_provider.wire import Wire

_HTTP1_ONLY = frozenset({"transfer-encoding", "connection", "keep-alive"})


class Http2Connection:
    """number: which connection of the provider it is, from 1."""

    def __init__(
        self, state: State, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self._state = state
        self._reader = reader
        self._writer = writer
        self._number = number
        self.http = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        self.window_opened = asyncio.Condition()
        self._calls: dict[int, Call] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        try:
            self.http.initiate_connection()
            await self.flush()
            while data := await self._reader.read(65536):
                await self._receive(data)
                await self.flush()
        except (ConnectionError, ssl.SSLError, ProtocolError):
            pass
        except Exception:
            self._state.bugs.append(traceback.format_exc())
        finally:
            for stream in list(self._tasks):
                self._left(stream)
            await Wire(self._writer).close()

    async def flush(self) -> None:
        self._writer.write(self.http.data_to_send())
        await self._writer.drain()

    async def hang_up(self) -> None:
        self.http.close_connection(ErrorCodes.INTERNAL_ERROR)
        await self.flush()
        self._writer.close()

    async def _receive(self, data: bytes) -> None:
        for event in self.http.receive_data(data):
            match event:
                case RequestReceived():
                    self._calls[event.stream_id] = self._begin(event)
                case DataReceived():
                    self._calls[event.stream_id].record.take(event.data)
                    self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case StreamEnded():
                    call = self._calls[event.stream_id]
                    call.record.received = True
                    task = asyncio.create_task(self._answer(call, event.stream_id))
                    self._tasks[event.stream_id] = task
                case StreamReset():
                    self._left(event.stream_id)
                case WindowUpdated():
                    async with self.window_opened:
                        self.window_opened.notify_all()

    def _begin(self, event: RequestReceived) -> Call:
        headers = [(str(name), str(value)) for name, value in event.headers]
        special = {name: value for name, value in headers if name.startswith(":")}
        record = Record(
            self._number, method=special[":method"], target=special[":path"], http_version="2", tls=True
        )
        record.headers = [("host", special.get(":authority", ""))]
        record.headers += [(name, value) for name, value in headers if not name.startswith(":")]
        self._state.records.add(record)
        return Call(record, Http2Wire(self, event.stream_id, self._writer), self._state)

    async def _answer(self, call: Call, stream: int) -> None:
        try:
            await answer(call)
        except (ConnectionError, ssl.SSLError, ProtocolError):
            call.record.left, call.record.finished = True, False
        except Exception:
            self._state.bugs.append(traceback.format_exc())
        finally:
            self._tasks.pop(stream, None)
            self._state.records.end(call.record)

    def _left(self, stream: int) -> None:
        """The client is gone from a stream."""
        task = self._tasks.pop(stream, None)
        if task is not None:
            call = self._calls[stream]
            call.record.left, call.record.finished = True, False
            task.cancel()


class Http2Wire(Wire):
    """The writing side of one stream."""

    def __init__(self, connection: Http2Connection, stream: int, writer: asyncio.StreamWriter) -> None:
        super().__init__(writer)
        self._connection = connection
        self._http = connection.http
        self._stream = stream

    async def head(
        self,
        status: int,
        headers: Iterable[tuple[str, str]],
        *,
        status_line: bytes | None = None,
        lines: Iterable[bytes] = (),
    ) -> None:
        fields = [(name.lower(), value) for name, value in headers if name.lower() not in _HTTP1_ONLY]
        self._http.send_headers(self._stream, [(":status", str(status)), *fields])
        await self._connection.flush()

    async def raw(self, data: bytes) -> None:
        while data:
            room = self._http.local_flow_control_window(self._stream)
            size = min(room, self._http.max_outbound_frame_size, len(data))
            if not size:
                async with self._connection.window_opened:
                    await self._connection.window_opened.wait()
                continue
            self._http.send_data(self._stream, data[:size])
            data = data[size:]
            await self._connection.flush()

    async def chunk(self, data: bytes) -> None:
        await self.raw(data)

    async def finish(self) -> None:
        self._http.end_stream(self._stream)
        await self._connection.flush()

    async def last_chunk(self, trailers: Iterable[tuple[str, str]] = ()) -> None:
        fields = [(name.lower(), value) for name, value in trailers]
        if not fields:
            return await self.finish()
        self._http.send_headers(self._stream, fields, end_stream=True)
        await self._connection.flush()

    async def reset(self) -> None:
        self.closed = True
        self._http.reset_stream(self._stream, ErrorCodes.INTERNAL_ERROR)
        await self._connection.flush()

    async def close(self) -> None:
        self.closed = True
        await self._connection.hang_up()
