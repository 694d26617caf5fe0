"""HTTP/2 by hand: several streams on one connection, and each can be cancelled."""

from __future__ import annotations

import json
import socket
import ssl
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events


class Http2Client:
    """One connection to localhost over TLS. What came in is kept by stream."""

    def __init__(self, port: int, ca: Path, timeout: float = 10) -> None:
        context = ssl.create_default_context(cafile=str(ca))
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("localhost", port), timeout=timeout)
        self._socket = context.wrap_socket(plain, server_hostname="localhost")
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._http.initiate_connection()
        self._flush()
        self.status: dict[int, int] = {}
        self.body: dict[int, bytes] = defaultdict(bytes)
        self.ended: dict[int, str] = {}
        """How a stream ended: ``end``, or ``reset`` by the other side."""

    def __enter__(self) -> Http2Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, path: str, body: Any, headers: Mapping[str, str]) -> int:
        """Sends a POST and gives the number of its stream. The body is made JSON."""
        stream = self._http.get_next_available_stream_id()
        head = {":method": "POST", ":authority": "localhost", ":scheme": "https", ":path": path}
        fields = {name.lower(): value for name, value in headers.items()}
        self._http.send_headers(
            stream, [*head.items(), ("content-type", "application/json"), *fields.items()]
        )
        self._http.send_data(stream, json.dumps(body).encode(), end_stream=True)
        self._flush()
        return stream

    def cancel(self, stream: int) -> None:
        self._http.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def read_until(self, stream: int, sign: bytes) -> None:
        """Reads until the sign has come on the stream; raises ConnectionError when it ends before."""
        while sign not in self.body[stream]:
            if stream in self.ended:
                raise ConnectionError(f"stream {stream} has ended: {self.ended[stream]}")
            self._read()

    def read_to_end(self, stream: int) -> bytes:
        """The body of the stream, once it has ended in whatever way."""
        while stream not in self.ended:
            self._read()
        return self.body[stream]

    def _read(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("closed")
        for event in self._http.receive_data(data):
            match event:
                case h2.events.ResponseReceived(stream_id=int(stream), headers=list(headers)):
                    self.status[stream] = next(int(value) for name, value in headers if name == ":status")
                case h2.events.DataReceived(stream_id=int(stream), data=bytes(data)):
                    self.body[stream] += data
                    self._http.acknowledge_received_data(event.flow_controlled_length or 0, stream)
                case h2.events.StreamEnded(stream_id=int(stream)):
                    self.ended[stream] = "end"
                case h2.events.StreamReset(stream_id=int(stream)):
                    self.ended[stream] = "reset"
                case h2.events.ConnectionTerminated():
                    raise ConnectionError("terminated")
        self._flush()

    def _flush(self) -> None:
        self._socket.sendall(self._http.data_to_send())
