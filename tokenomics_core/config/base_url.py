"""Base URLs of upstreams: what is accepted as one, and its parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}

# Blanks and control characters, and the backslash, which some parsers take for a slash.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\\]")

# A host name, an IPv4 address or the inside of an IPv6 literal; {name} stands for a label or a part of one.
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]|\{[a-z_]+\})+")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+")


class InvalidBaseUrl(ValueError):
    """The text is no usable base URL. The message is one line and never repeats the URL."""


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """scheme: ``http`` or ``https``. host: lower case, no brackets, no trailing dot, may hold ``{name}``.

    port: always set. path: the empty string, or a path without a slash at its end.
    """

    scheme: str
    host: str
    port: int
    path: str


def parse_base_url(text: str) -> BaseUrl:
    """Splits a base URL; raises InvalidBaseUrl.

    Refused are user names and passwords, queries, fragments, control characters, an empty host and every
    scheme but http and https: a key that is sent to a host must be sent to the host that people read.
    """
    if _FORBIDDEN.search(text):
        raise InvalidBaseUrl("has blanks, control characters or backslashes in it")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise InvalidBaseUrl("is not a URL") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise InvalidBaseUrl("does not begin with http:// or https://")
    if "@" in parts.netloc:
        raise InvalidBaseUrl("has a user name or password in it")
    if "?" in text or "#" in text:
        raise InvalidBaseUrl("has a query or a fragment in it")
    if port == 0:
        raise InvalidBaseUrl("has port 0")
    return BaseUrl(parts.scheme, _host(parts), port or _DEFAULT_PORTS[parts.scheme], parts.path.rstrip("/"))


def _host(parts: SplitResult) -> str:
    host = normal_host(parts.hostname or "")
    if not host:
        raise InvalidBaseUrl("has no host")
    pattern = _IPV6 if parts.netloc.startswith("[") else _HOST
    if not pattern.fullmatch(host):
        raise InvalidBaseUrl("has an invalid host")
    return host


def normal_host(host: str) -> str:
    """The host as it is compared: lower case, without brackets and without one trailing dot."""
    return host.lower().removeprefix("[").removesuffix("]").removesuffix(".")
