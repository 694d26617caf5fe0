"""The gateway that runs: where it answers, and whether what answers there is ours."""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenomics_core.config import Config

TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """instance, version: as a gateway names itself, empty for anything else."""

    status: int
    body: bytes
    instance: str
    version: str


@dataclass(frozen=True, slots=True)
class Place:
    """One listener of the configuration. host: by which this machine reaches it."""

    host: str
    port: int
    tls: bool

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def get(self, path: str, timeout: float = TIMEOUT) -> Answer:
        """Asks without a secret, so whose certificate it is does not matter. Raises OSError."""
        connection: http.client.HTTPConnection
        if self.tls:
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=context)
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Accept-Encoding": "identity"})
            answer = connection.getresponse()
            version = answer.getheader("x-tokenomics-version", "")
            return Answer(
                answer.status, answer.read(), answer.getheader("x-tokenomics-instance", ""), version
            )
        except http.client.HTTPException as error:
            raise OSError(type(error).__name__) from None
        finally:
            connection.close()

    def taken(self) -> bool:
        """Whether anybody listens there."""
        with socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET) as probe:
            probe.settimeout(TIMEOUT)
            return probe.connect_ex((self.host, self.port)) == 0


def places(config: Config) -> list[Place]:
    """The listeners, the plain one first."""
    server = config.server
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "localhost": "127.0.0.1", "::": "::1"}.get(
        server.host, server.host
    )
    found = [Place(host, server.http_port, False)] if server.http_port else []
    if server.tls.enabled and server.https_port:
        found.append(Place(host, server.https_port, True))
    return found


def running(config: Config) -> tuple[Place, Answer] | None:
    """The first listener at which a gateway of ours answers; None when there is none."""
    for place in places(config):
        try:
            answer = place.get("/ping")
        except (OSError, ValueError):
            continue
        if answer.status == 200 and answer.instance:
            return place, answer
    return None
