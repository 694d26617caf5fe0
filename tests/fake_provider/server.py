"""FakeProvider: the server in a thread of its own, and what a test asks of it."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from tests.fake_provider import control
from tests.fake_provider.connection import Connection
from tests.fake_provider.http2 import Http2Connection
from tests.fake_provider.records import Bill, Record
from tests.fake_provider.state import State, Step

HOST = "127.0.0.1"


class FakeProvider:
    """Listens on loopback for HTTP (port), for HTTPS when it has a certificate (tls_port), and for control.

    Over TLS it speaks HTTP/2 to a client that offers it.

    Use it as a context manager. Ports are free ones unless they are given.
    """

    def __init__(
        self, *, port: int = 0, control_port: int = 0, certificate: tuple[Path, Path] | None = None
    ) -> None:
        self._wanted = (port, control_port)
        self._certificate = certificate
        self._state = State()
        self._connections = 0
        self._ready = threading.Event()
        self._stop: Callable[[], object] = lambda: None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fake provider", daemon=True)
        self.port = self.tls_port = self.control_port = 0

    def __enter__(self) -> FakeProvider:
        self._thread.start()
        self._ready.wait()
        if self._failure:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._thread.join()

    @property
    def url(self) -> str:
        """Base URL without a path, over plain HTTP."""
        return f"http://{HOST}:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"https://localhost:{self.tls_port}"

    @property
    def control_url(self) -> str:
        return f"http://{HOST}:{self.control_port}"

    @property
    def records(self) -> list[Record]:
        """Every request since the last reset, in order of arrival."""
        return self._state.records.all()

    @property
    def last(self) -> Record:
        return self.records[-1]

    @property
    def bill(self) -> Bill:
        """All that was billed since the last reset."""
        return sum((record.bill for record in self.records), Bill())

    @property
    def bugs(self) -> list[str]:
        """Tracebacks of this server's own faults."""
        return list(self._state.bugs)

    def script(self, steps: list[Step], *, frames: bool = False) -> None:
        """Says how to answer the next requests, or the next requests within WebSocket frames."""
        self._state.script(steps, frames=frames)

    def unused_steps(self) -> int:
        return self._state.unused_steps()

    def reset(self) -> None:
        """Forgets records, script, caches and counts."""
        self._state.reset()

    def wait(self, ready: Callable[[list[Record]], bool], timeout: float = 5) -> list[Record]:
        """Waits until `ready` holds for the records; raises TimeoutError."""
        return self._state.records.wait(ready, timeout)

    def wait_ended(self, count: int = 1, timeout: float = 5) -> list[Record]:
        """Waits until so many requests have come to their end, whole or not."""
        return self.wait(lambda records: sum(1 for record in records if record.ended) >= count, timeout)

    def run_forever(self, started: Callable[[], None]) -> None:
        """Serves in this thread until it is interrupted."""
        asyncio.run(self._serve(started))

    def _run(self) -> None:
        try:
            asyncio.run(self._serve(self._ready.set))
        except BaseException as error:
            self._failure = error
            self._ready.set()

    async def _serve(self, started: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        port, control_port = self._wanted
        plain = await asyncio.start_server(self._connected, HOST, port, backlog=1024)
        servers = [plain, await asyncio.start_server(self._controlled, HOST, control_port)]
        self.port = plain.sockets[0].getsockname()[1]
        self.control_port = servers[1].sockets[0].getsockname()[1]
        if self._certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._certificate)
            context.set_alpn_protocols(["h2", "http/1.1"])
            servers.append(await asyncio.start_server(self._connected, HOST, ssl=context, backlog=1024))
            self.tls_port = servers[2].sockets[0].getsockname()[1]
        self._state.url = self.url
        started()
        await stopped.wait()
        for server in servers:
            server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
        kind = Http2Connection if tls and tls.selected_alpn_protocol() == "h2" else Connection
        await kind(self._state, reader, writer, self._connections).serve()

    async def _controlled(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await control.serve(self._state, reader, writer)
