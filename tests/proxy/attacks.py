"""A client by hand: sends whatever bytes, and reads answers as a strict client does."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.fake_provider import FakeProvider
from tests.support.proxy import Proxy

POLICY = {"base_key_env": "OPENAI_API_KEY", "default_provider": "openai"}
CHAT = "/v1/chat/completions"


class Closed(Exception):
    """The proxy closed the connection instead of answering."""


@dataclass(frozen=True)
class Answer:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Our word for the refusal, in OpenAI's error body."""
        return str(self.json["error"]["code"])


class Line(AbstractContextManager["Line"]):
    """One connection to the proxy."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._file = sock.makefile("rb")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self.sock.close()

    def send(self, data: bytes) -> Line:
        self.sock.sendall(data)
        return self

    def flood(self, data: bytes, times: int, pause: float = 0) -> None:
        """Sends it again and again; raises OSError as soon as the proxy has closed."""
        for _ in range(times):
            self.send(data)
            time.sleep(pause)

    def ask(self, data: bytes, method: str = "") -> Answer:
        self.send(data)
        return self.answer(method or data.partition(b" ")[0].decode("latin-1"))

    def answer(self, method: str = "GET") -> Answer:
        """The next answer; raises Closed, TimeoutError, or ValueError for one that is not valid HTTP."""
        try:
            status_line = self._line()
            version, status, reason = (*status_line.split(" ", 2), "")[:3]
            if version != "HTTP/1.1":
                raise ValueError(f"not an answer: {status_line!r}")
            headers = []
            while line := self._line():
                name, colon, value = line.partition(":")
                if not colon or not name.isprintable() or " " in name or not value.strip(" ").isprintable():
                    raise ValueError(f"not a header: {line!r}")
                headers.append((name, value.strip(" ")))
            answer = Answer(int(status), reason, headers, b"")
            return Answer(answer.status, reason, headers, self._body(answer, method))
        except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise Closed from error

    def rest(self) -> bytes:
        """All that comes until the proxy closes; raises TimeoutError when it does not."""
        try:
            return self._file.read()
        except (ConnectionResetError, ssl.SSLEOFError):
            return b""

    def _body(self, answer: Answer, method: str) -> bytes:
        if method == "HEAD" or answer.status < 200 or answer.status in (204, 304):
            return b""
        if answer.header("transfer-encoding") == "chunked":
            chunks = []
            while size := int(self._line(), 16):
                chunks.append(self._exactly(size))
                assert self._line() == ""
            assert self._line() == ""
            return b"".join(chunks)
        length = answer.header("content-length")
        return self._exactly(int(length)) if length else self.rest()

    def _line(self) -> str:
        line = self._file.readline()
        if not line:
            raise Closed
        if not line.endswith(b"\r\n"):
            raise ValueError(f"line without end: {line!r}")
        return line[:-2].decode("latin-1")

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            raise Closed
        return data


def connect(proxy: Proxy, *, timeout: float = 5) -> Line:
    return Line(socket.create_connection(("127.0.0.1", proxy.http_port), timeout))


def connect_request(target: str, *headers: str) -> bytes:
    return "\r\n".join([f"CONNECT {target} HTTP/1.1", f"Host: {target}", *headers, "", ""]).encode()


def raw_tunnel(proxy: Proxy, target: str = "api.openai.com:443", *, timeout: float = 5) -> Line:
    """A tunnel that the proxy has opened, before anything was said inside."""
    line = connect(proxy, timeout=timeout)
    line.send(connect_request(target))
    assert line._line() == "HTTP/1.1 200 Connection established"
    assert line._line() == ""
    return line


def tls_line(line: Line, name: str, *, trust: Any, alpn: list[str] | None = None) -> Line:
    """TLS on top of a connection. trust: a PEM file, or None to take any certificate."""
    context = ssl.create_default_context(cafile=trust)
    if trust is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    return Line(context.wrap_socket(line.sock, server_hostname=name))


def tunnel(proxy: Proxy, host: str = "api.openai.com", *, alpn: list[str] | None = None) -> Line:
    """An intercepted tunnel, as an SDK opens it."""
    return tls_line(raw_tunnel(proxy, f"{host}:443"), host, trust=proxy.ca, alpn=alpn)


def request(
    method: str = "GET",
    path: str = "/v1/models",
    *headers: str,
    token: str = "",
    body: bytes | None = None,
    host: str = "localhost",
) -> bytes:
    """A request whose lines are taken as they are."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chat_request(token: str, model: str = "gpt-4o", *headers: str, **members: Any) -> bytes:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **members}
    kind = "Content-Type: application/json"
    return request("POST", CHAT, kind, *headers, token=token, body=json.dumps(body).encode())


def ask(proxy: Proxy, data: bytes, *, timeout: float = 5) -> Answer:
    """One request on a connection of its own."""
    with connect(proxy, timeout=timeout) as line:
        return line.ask(data)


def answer_or_end(proxy: Proxy, data: bytes, *, timeout: float = 5) -> Answer | None:
    """The answer, or None where the proxy closed without one; raises TimeoutError when it waits."""
    try:
        return ask(proxy, data, timeout=timeout)
    except Closed:
        return None


def assert_refused(answer: Answer, *statuses: int) -> None:
    """The answer is one of these refusals, as JSON that an SDK can read."""
    assert answer.status in statuses, (answer.status, answer.body)
    assert answer.header("content-type") == "application/json"
    error = answer.json["error"]
    assert (error if isinstance(error, str) else error["message"]) != ""
    assert "sk-" not in answer.body.decode()
    assert "tkn_" not in answer.body.decode()


def assert_serves(proxy: Proxy, provider: FakeProvider, token: str) -> None:
    """The next client is served as if nothing had been."""
    before = len(provider.records)
    answer = ask(proxy, chat_request(token))
    assert answer.status == 200, answer.body
    assert len(provider.records) == before + 1


@contextmanager
def undisturbed(proxy: Proxy) -> Iterator[None]:
    """Afterwards the proxy lives and answers, nothing crashed in it, and it did not try to leave loopback."""
    before, refused = proxy.output.stat().st_size, proxy.refusals()
    yield
    assert proxy.alive
    assert ask(proxy, request(path="/health")).status == 200
    said = proxy.output.read_bytes()[before:].decode(errors="replace")
    assert "crashed" not in said, said
    assert "Traceback" not in said, said
    assert proxy.refusals() == refused
