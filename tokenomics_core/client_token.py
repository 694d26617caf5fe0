"""Where agents put their wrapper token, and how it is taken out again."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_plus

from tokenomics_core.tokens import looks_like_token

KEY_HEADERS = ("x-api-key", "authorization", "api-key", "x-goog-api-key")
"""Headers in which SDKs send their key, in the order in which they are asked."""

_SUBPROTOCOL = "openai-insecure-api-key."
"""Browsers cannot set headers on a WebSocket; OpenAI's clients put the key into a subprotocol."""

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request carries to say who it is.

    wrapper: the wrapper token; None when nothing of its shape was found.
    other: a credential that is no wrapper token was sent where SDKs send keys.
    from_proxy: the wrapper token came with Proxy-Authorization, so `other` may be the agent's own login.
    """

    wrapper: str | None
    other: bool
    from_proxy: bool

    @property
    def any(self) -> bool:
        return self.wrapper is not None or self.other


def find_credentials(headers: Headers, query: str, proxy_authorization: str = "") -> Credentials:
    """In the SDKs' headers, then the query's ``key``, then a WebSocket subprotocol, then the proxy's own.

    proxy_authorization: value of that header on the request or on the CONNECT that opened its tunnel.
    """
    values = [_bare(value) for wanted in KEY_HEADERS for name, value in headers if name.lower() == wanted]
    values += [unquote_plus(value) for name, value in _pairs(query) if name == "key"]
    values += [
        word.strip().removeprefix(_SUBPROTOCOL)
        for name, value in headers
        if name.lower() == "sec-websocket-protocol"
        for word in value.split(",")
        if word.strip().startswith(_SUBPROTOCOL)
    ]
    values = [value for value in values if value]
    wrapper = next((value for value in values if looks_like_token(value)), None)
    other = any(not looks_like_token(value) for value in values)
    if wrapper is not None:
        return Credentials(wrapper, other, from_proxy=False)
    wrapper = proxy_token(proxy_authorization)
    return Credentials(wrapper, other, from_proxy=wrapper is not None)


def proxy_token(value: str) -> str | None:
    """The wrapper token in a Proxy-Authorization value: as bearer, as Basic user, or as Basic password."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip() if looks_like_token(rest.strip()) else None
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None
    return next((part for part in (password, user) if looks_like_token(part)), None)


def strip_query(query: str, *, keep_key: bool) -> str:
    """The query without ``key`` (a credential), unless it is the agent's own and stays."""
    if not query or keep_key:
        return query
    return "&".join(part for part in query.split("&") if unquote_plus(part.partition("=")[0]) != "key")


def strip_subprotocol(value: str) -> str:
    """A Sec-WebSocket-Protocol value without the word that carries a key."""
    words = [word.strip() for word in value.split(",")]
    return ", ".join(word for word in words if word and not word.startswith(_SUBPROTOCOL))


def _bare(value: str) -> str:
    scheme, _, rest = value.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value.strip()


def _pairs(query: str) -> list[tuple[str, str]]:
    pairs = [part.partition("=") for part in query.split("&")]
    return [(unquote_plus(name), value) for name, _, value in pairs]
