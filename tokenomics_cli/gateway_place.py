"""Where a gateway listens: by the configuration, or by --host, --port and --tls."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tokenomics_core.config import Config

_EVERYWHERE = ("0.0.0.0", "::", "127.0.0.1", "")


@dataclass(frozen=True)
class Place:
    """url: by which this machine reaches it. asked: by flags, so no other place will do.

    environ: what a `serve` that is started for this place has to have in its environment.
    """

    url: str
    asked: bool = False
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0


def base_url(config: Config) -> str:
    """The URL by which this machine reaches the gateway of this configuration."""
    server = config.server
    if server.http_port:
        return _url("http", server.host, server.http_port)
    return _url("https", server.host, server.https_port)


def listeners(config: Config) -> list[str]:
    """The URLs of the configuration's listeners, by which this machine reaches them; the plain one first."""
    server = config.server
    plain = [_url("http", server.host, server.http_port)] if server.http_port else []
    secure = server.tls.enabled and server.https_port
    return [*plain, *([_url("https", server.host, server.https_port)] if secure else [])]


def place(
    config: Config, *, host: str = "", port: int | None = None, tls: bool | None = None, alone: bool = False
) -> Place:
    """By flags there is one listener; without, those of the configuration. alone: one in any case."""
    server = config.server
    asked = bool(host) or port is not None or tls is not None
    secure = tls if tls is not None else port is None and not server.http_port
    environ = {"TOKENOMICS_SERVER_HOST": host} if host else {}
    name = host or server.host
    if secure:
        number = port or server.https_port or 8443
        environ["TOKENOMICS_SERVER_TLS_ENABLED"] = "true"
        environ["TOKENOMICS_SERVER_HTTPS_PORT"] = str(number)
        environ["TOKENOMICS_SERVER_HTTP_PORT"] = "0"
    else:
        number = port or server.http_port or 8080
        environ["TOKENOMICS_SERVER_HTTP_PORT"] = str(number)
        environ["TOKENOMICS_SERVER_TLS_ENABLED"] = "false"
    url = _url("https" if secure else "http", name, number)
    return Place(url, asked, environ if asked or alone else {})


def elsewhere(config: Config) -> Place:
    """A free port on loopback, for a gateway that nobody has to find by its number."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    return place(config, host="127.0.0.1", port=port, tls=False, alone=True)


def _url(scheme: str, host: str, port: int) -> str:
    if host in _EVERYWHERE:
        host = "localhost"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
