"""A provider is tried: one small request to its own URL, with its own key, as the gateway would send it.

The key is sent to the URL of the catalogue and to nobody else: no redirect is followed, no proxy of the
environment is used, and nothing that is returned or raised holds it.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from tokenomics_core.certificates import public_roots
from tokenomics_core.providers.provider import Provider
from tokenomics_core.providers.target import Target, TargetError, target
from tokenomics_core.tokens.format import looks_like_token

TIMEOUT = 10.0
"""Seconds for each step of one try."""

Result = Literal["OK", "AUTH", "FAIL", "SKIP"]


@dataclass(frozen=True, slots=True)
class Tried:
    """result: AUTH for 401 and 403. status: 0 without an answer. date: what the answer's Date says."""

    result: Result
    detail: str
    status: int = 0
    milliseconds: int = 0
    date: str = ""


@dataclass(frozen=True, slots=True)
class _Request:
    target: Target
    query: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)


def key_state(provider: Provider, environ: Mapping[str, str]) -> Literal["set", "missing", "none needed"]:
    """Whether the provider's real key is there. One that is optional is not missing."""
    if provider.auth_scheme == "none" or not provider.api_key_env:
        return "none needed"
    if environ.get(provider.api_key_env, "").strip():
        return "set"
    return "none needed" if provider.key_optional else "missing"


def loopback(provider: Provider) -> bool:
    """Whether the provider runs on this machine, by what its URL says."""
    try:
        host = _aim(provider).host
    except TargetError:
        return False
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def trust(extra: Path | None = None, *, insecure: bool = False) -> ssl.SSLContext:
    """Whom the gateway trusts upstream. extra: PEM file of further authorities. Raises CertificateError."""
    context = ssl.create_default_context(cadata=public_roots().decode())
    if extra is not None:
        context.load_verify_locations(extra)
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def try_provider(
    provider: Provider, environ: Mapping[str, str], context: ssl.SSLContext, *, timeout: float = TIMEOUT
) -> Tried:
    """One GET: of the list of models, or of the base URL where the provider has none at the usual place."""
    if not provider.upstream_url:
        return Tried("SKIP", "has no upstream_url")
    try:
        request = _prepare(provider, environ)
    except TargetError as error:
        return Tried("SKIP", str(error))
    except ValueError as error:
        return Tried("FAIL", str(error))
    began = time.monotonic()
    try:
        status, date = _get(request, context, timeout)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Tried("FAIL", f"unreachable: {_why(error, timeout)}")
    took = round((time.monotonic() - began) * 1000)
    if status in (401, 403):
        return Tried("AUTH", "reachable but credentials invalid or missing", status, took, date)
    return Tried("OK", f"{took}ms", status, took, date)


def _aim(provider: Provider) -> Target:
    listed = not provider.chat_path or "/v1/" in provider.chat_path
    path = "/v1/models" if listed else ""
    return target(provider.upstream_url, path, parameters=provider.parameters, provider=provider.name)


def _prepare(provider: Provider, environ: Mapping[str, str]) -> _Request:
    aim = _aim(provider)
    key = environ.get(provider.api_key_env, "").strip() if provider.auth_scheme != "none" else ""
    if looks_like_token(key):
        raise ValueError(f"${provider.api_key_env} holds a wrapper token; put the real key there")
    if not (key.isascii() and (key.isprintable() or not key)):
        raise ValueError(f"${provider.api_key_env} holds no valid key; set it anew")
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
    headers |= provider.default_headers | provider.headers
    query = [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in provider.query.items()]
    if key and provider.auth_scheme == "header":
        headers[provider.auth_header] = key
    elif key and provider.auth_scheme == "query":
        query.append(f"key={quote(key, safe='')}")
    elif key:
        headers["Authorization"] = f"Bearer {key}"
    return _Request(aim, "&".join(query), headers)


def _get(request: _Request, context: ssl.SSLContext, timeout: float) -> tuple[int, str]:
    aim = request.target
    connection: http.client.HTTPConnection
    if aim.scheme == "https":
        connection = http.client.HTTPSConnection(aim.host, aim.port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(aim.host, aim.port, timeout=timeout)
    try:
        path = aim.path + (f"?{request.query}" if request.query else "")
        connection.request("GET", path, headers=request.headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("date", "")
    finally:
        connection.close()


def _why(error: Exception, timeout: float) -> str:
    """In words of our own: a library's may quote what it was given."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); check server.upstream_ca"
    if isinstance(error, ssl.SSLError):
        return f"no TLS there ({error.reason or 'handshake failed'}); check the port of upstream_url"
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, socket.gaierror):
        return "its host name is not known; check upstream_url and the network"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "what answers does not speak HTTP"
