"""ProbeServer: shows whether a client would be intercepted, without a gateway and without a network.

It listens on loopback and speaks as the gateway does: TLS by the name of localhost, and CONNECT to any host,
whose TLS it ends with a certificate of the CA. It passes nothing on.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType

from tokenomics_core.certificates.files import CertificateError
from tokenomics_core.certificates.server import issue

_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
)
_PATIENCE = 10.0
_MOST_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """One connection. host: as CONNECT named it, empty for one that came directly.

    trusted: the handshake was finished and a request was read. reason: why not, in the words of TLS.
    """

    host: str
    trusted: bool
    reason: str = ""


class ProbeServer:
    """As a context manager it listens. cert_dir: with the CA that signs. now: UTC."""

    def __init__(self, cert_dir: Path, now: Callable[[], datetime]) -> None:
        self._cert_dir = cert_dir
        self._now = now
        self._seen: list[Seen] = []
        self._changed = threading.Condition()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> ProbeServer:
        # Fails here, where somebody hears of it.
        self._context("localhost")
        threading.Thread(target=self._accept, name="probe", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    @property
    def seen(self) -> list[Seen]:
        with self._changed:
            return list(self._seen)

    def wait(self, wanted: Callable[[Seen], bool], timeout: float) -> bool:
        """Until such a connection was seen; False when there was none in that time (seconds)."""
        with self._changed:
            return self._changed.wait_for(lambda: any(map(wanted, self._seen)), timeout)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(_PATIENCE)
        with client, suppress(OSError, ValueError, CertificateError):
            host = ""
            if client.recv(1, socket.MSG_PEEK) != b"\x16":
                words = _head(client).split()
                if len(words) < 2 or words[0] != b"CONNECT":
                    return
                host = words[1].decode("ascii").rpartition(":")[0].strip("[]").lower()
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._note(self._greet(client, host))

    def _greet(self, client: socket.socket, host: str) -> Seen:
        try:
            with self._context(host or "localhost").wrap_socket(client, server_side=True) as tls:
                if not _head(tls):
                    # TLS 1.3 clients look at the certificate when the handshake is over for us.
                    return Seen(host, False, "it closed the connection after it saw the certificate")
                self._note(Seen(host, True))
                with suppress(OSError):
                    tls.sendall(_ANSWER)
                return Seen(host, True)
        except ssl.SSLError as error:
            return Seen(host, False, (error.reason or "handshake failed").lower().replace("_", " "))
        except OSError:
            return Seen(host, False, "it closed the connection after it saw the certificate")

    def _note(self, seen: Seen) -> None:
        with self._changed:
            if seen not in self._seen:
                self._seen.append(seen)
            self._changed.notify_all()

    def _context(self, host: str) -> ssl.SSLContext:
        if host not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.set_alpn_protocols(["http/1.1"])
            with tempfile.NamedTemporaryFile() as file:
                file.write(issue(self._cert_dir, host, self._now()))
                file.flush()
                context.load_cert_chain(file.name)
            self._contexts[host] = context
        return self._contexts[host]


def _head(connection: socket.socket) -> bytes:
    """What comes up to an empty line; the empty string when the other side leaves first."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _MOST_HEAD:
        piece = connection.recv(4096)
        if not piece:
            return b""
        head += piece
    return head
