"""Caller: a client whose requests and ledger rows can be told from everybody else's."""

from __future__ import annotations

import json
import secrets
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

from tests.proxy.formats import OPENAI, Format
from tests.support.proxy import Proxy


@dataclass(frozen=True)
class Outcome:
    """What came back. socket: the client's own address, by which two requests shared a connection.

    broken: the answer ended before its end.
    """

    status: int
    headers: httpx.Headers
    body: bytes
    version: str
    socket: tuple[str, int]
    broken: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of a stream's events that is JSON."""
        lines = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        return [json.loads(line) for line in lines if line.strip() != b"[DONE]"]


class _Http2Alone(ssl.SSLContext):
    """Offers HTTP/2 and nothing else; httpx would put HTTP/1.1 first."""

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        super().set_alpn_protocols(["h2"])

    @classmethod
    def trusting(cls, proxy: Proxy) -> ssl.SSLContext:
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(proxy.ca)
        return context


class Caller:
    """A client of one proxy. Its name is its User-Agent, which the rows keep.

    token: sent where the format's SDK sends it; the empty string sends none.
    version: HTTP/1.1 in the clear, or HTTP/2 over TLS.
    """

    def __init__(self, proxy: Proxy, token: str = "", *, version: str = "HTTP/1.1") -> None:
        self.proxy = proxy
        self.token = token
        self.name = f"caller/{secrets.token_hex(8)}"
        self.version = version
        two = version == "HTTP/2"
        self.client = httpx.Client(
            base_url=proxy.https_url if two else proxy.http_url,
            http1=not two,
            http2=two,
            verify=_Http2Alone.trusting(proxy) if two else False,
            trust_env=False,
            timeout=20,
            headers={"User-Agent": self.name},
        )

    def __enter__(self) -> Caller:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    def ask(
        self,
        format: Format = OPENAI,
        model: str = "",
        text: str = "hello",
        *,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> Outcome:
        """One request in a format; members are added to its body."""
        model = model or format.model
        body = format.body(model, text, stream) | members
        return self.send("POST", format.path(model, stream), body, format=format, headers=headers)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        format: Format = OPENAI,
        headers: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Any request; the body is bytes, or is made JSON."""
        with self.begin(method, path, body, format=format, headers=headers) as response:
            received, broken = b"", False
            socket = response.extensions["network_stream"].get_extra_info("client_addr")
            try:
                for data in response.iter_raw():
                    received += data
            except httpx.RemoteProtocolError:
                broken = True
            return Outcome(
                response.status_code,
                response.headers,
                received,
                response.http_version,
                socket,
                broken,
            )

    @contextmanager
    def begin(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        format: Format = OPENAI,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[httpx.Response]:
        """The answer from its head on; leaving the block leaves the answer."""
        head = dict(format.head(self.token)) if self.token else {}
        head |= headers or {}
        if isinstance(body, dict | list):
            head.setdefault("Content-Type", "application/json")
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        with self.client.stream(method, path, content=content, headers=head) as response:
            yield response

    def rows(self, count: int = 1, timeout: float = 5) -> list[dict[str, Any]]:
        """The rows of this caller, which must be exactly so many."""
        rows = rows_of(self.proxy, self.name, count, timeout)
        assert len(rows) == count, rows
        return rows

    def row(self, timeout: float = 5) -> dict[str, Any]:
        return self.rows(1, timeout)[0]


def rows_of(proxy: Proxy, name: str, count: int, timeout: float = 5) -> list[dict[str, Any]]:
    """The rows with this User-Agent, once there are at least so many; JSON columns are read."""

    def read() -> list[dict[str, Any]]:
        return [row for row in proxy.rows(0) if row["user_agent"] == name]

    rows = proxy.wait_for(read, lambda found: len(found) >= count, timeout)
    for row in rows:
        row |= {key: json.loads(row[key]) for key in ("attempts", "metadata", "rule_matches")}
    return rows
