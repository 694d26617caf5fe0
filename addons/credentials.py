"""Credentials: the last step. Prompts in, headers built from scratch, real key set, request cleared."""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import quote

from mitmproxy import http

from addons.answer import HEAD, exchange_of, refuse
from addons.engine import AttemptEnded
from addons.guarded import guarded
from addons.services import Services
from tokenomics_core.client_token import KEY_HEADERS
from tokenomics_core.exchange import Attempt, Exchange, Failure
from tokenomics_core.meter.session_id import DROPPED_HEADERS
from tokenomics_core.outgoing import outgoing_body
from tokenomics_core.refusal import Refusal
from tokenomics_core.retry import backoff, next_attempt, retry_after_seconds
from tokenomics_core.tokens import looks_like_token

log = logging.getLogger("tokenomics")

_HOP_BY_HOP = frozenset(
    ("connection keep-alive proxy-connection proxy-authenticate te trailer transfer-encoding upgrade").split()
)
_NEVER = frozenset(
    (
        "host content-length proxy-authorization expect accept-encoding x-client-request-id forwarded "
        "via x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port x-real-ip "
        "true-client-ip cf-connecting-ip"
    ).split()
)
# They tie requests of one user together, and baggage holds whatever his programs put in.
_TRACE = frozenset(
    (
        "traceparent tracestate baggage b3 x-b3-traceid x-b3-spanid x-b3-parentspanid x-b3-sampled "
        "x-b3-flags uber-trace-id sentry-trace x-cloud-trace-context x-amzn-trace-id"
    ).split()
)
_PRIVATE_PREFIXES = ("x-openclaw-", "x-tokenomics-", "proxy-")


class Credentials:
    def __init__(self, services: Services) -> None:
        self.services = services
        server = services.config.server
        self.dropped = _HOP_BY_HOP | _NEVER | DROPPED_HEADERS | set(KEY_HEADERS)
        if not server.forward_cookies:
            self.dropped |= {"cookie"}
        if not server.forward_trace:
            self.dropped |= _TRACE

    @guarded
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and exchange.upload:
            self._clear(flow, exchange)

    @guarded
    def request(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and not exchange.upload:
            self._clear(flow, exchange)

    @guarded
    async def tokenomics_attempt(self, ended: AttemptEnded) -> None:
        """Another attempt, or the last word on this one."""
        exchange = exchange_of(ended.flow)
        assert exchange is not None
        attempt = exchange.attempts[exchange.current]
        reason = ended.error or f"status {ended.status}"
        now = self.services.clock()
        exchange.failures.append(Failure(attempt, ended.status, reason, exchange.attempt_began, now))
        following = None if exchange.upload else self._prepare_next(ended.flow, exchange, ended.status)
        if following is None:
            if not ended.status:
                refuse(ended.flow, _gave_up(exchange, reason))
            else:
                exchange.failures.pop()
            return
        asked = retry_after_seconds(ended.headers, self.services.now().timestamp())
        same_model = exchange.attempts[following].model == attempt.model
        if not same_model:
            # Another model is another queue: what this one's provider asked for does not bind it.
            asked = None
        await asyncio.sleep(backoff(len(exchange.failures) - 1, asked, self.services.jitter()))
        exchange.current = following
        exchange.attempt_began = self.services.clock()
        ended.again = True

    def _prepare_next(self, flow: http.HTTPFlow, exchange: Exchange, status: int) -> int | None:
        """Makes flow.request that of the next attempt that can be made, and gives its index."""
        at = next_attempt(exchange.attempts, exchange.current, status, exchange.retry_on)
        while at is not None:
            try:
                self._prepare(flow, exchange, exchange.attempts[at])
                return at
            except Refusal as refusal:
                log.error("an attempt was left out: %s", refusal.message)
            at = next_attempt(exchange.attempts, at, 0, exchange.retry_on)
        return None

    def _clear(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        granted = exchange.lease is not None or flow.metadata[HEAD].get("upgrade", "").lower() == "websocket"
        passed = exchange.attempts and exchange.inspected and granted
        if not passed or exchange.token is None or exchange.policy is None:
            raise Refusal(503, "not_cleared", "the request did not pass every step of the gateway")
        flow.metadata["client_fields"] = flow.request.headers.fields
        self._prepare(flow, exchange, exchange.attempts[0])
        exchange.attempt_began = self.services.clock()
        exchange.cleared = True

    def _prepare(self, flow: http.HTTPFlow, exchange: Exchange, attempt: Attempt) -> None:
        """Makes flow.request the request of this attempt."""
        request = flow.request
        key = self._key(exchange, attempt)
        body = outgoing_body(exchange, attempt)
        if body is not None and (raw := body.render()) != request.raw_content:
            request.raw_content = raw
        aim = attempt.target
        request.scheme, request.host, request.port = aim.scheme, aim.host, aim.port
        request.authority = ""
        query = self._query(exchange, attempt, key)
        request.path = aim.path + ("?" + query if query else "")
        request.headers = self._headers(flow, exchange, attempt, key)
        # Local servers are given words such as "none", which stand in answers too.
        flow.metadata["secret"] = key.encode() if len(key) >= 8 else b""
        self.services.upstreams.setdefault(flow.client_conn.id, set()).add((aim.host.lower(), aim.port))

    def _key(self, exchange: Exchange, attempt: Attempt) -> str:
        """The real key, read from the environment at this moment; empty when none is needed."""
        provider = attempt.provider
        if exchange.client_credentials or (provider and provider.auth_scheme == "none"):
            return ""
        value = self.services.environ.get(attempt.key_env, "").strip() if attempt.key_env else ""
        if not value:
            if provider and provider.key_optional:
                return ""
            raise Refusal(500, "key_not_set", f'base key env "{attempt.key_env}" is not set')
        if looks_like_token(value):
            raise Refusal(
                500,
                "key_is_wrapper_token",
                f'base key env "{attempt.key_env}" holds a wrapper token; put the real key there',
            )
        if not value.isascii() or not value.isprintable():
            raise Refusal(500, "key_not_valid", f'base key env "{attempt.key_env}" holds no valid key')
        return value

    def _query(self, exchange: Exchange, attempt: Attempt, key: str) -> str:
        provider = attempt.provider
        parts = [exchange.query] if exchange.query else []
        if provider is None:
            return exchange.query
        present = {part.partition("=")[0] for part in exchange.query.split("&")}
        for name, value in provider.query.items():
            if name not in present:
                parts.append(f"{quote(name, safe='')}={quote(value, safe='')}")
        if provider.auth_scheme == "query" and key:
            parts.append(f"key={quote(key, safe='')}")
        return "&".join(parts)

    def _headers(self, flow: http.HTTPFlow, exchange: Exchange, attempt: Attempt, key: str) -> http.Headers:
        head: dict[str, str] = flow.metadata[HEAD]
        server = self.services.config.server
        provider = attempt.provider
        dropped = self.dropped
        options = {word.strip().lower() for word in head.get("connection", "").split(",")} - {""}
        dropped = dropped | options
        if exchange.client_credentials:
            dropped = dropped - set(KEY_HEADERS)
        fields: list[tuple[bytes, bytes]] = [(b"Host", _host_header(attempt).encode())]
        present: set[str] = set()
        for name, value in flow.metadata["client_fields"]:
            lower = name.decode("latin-1").lower()
            if lower not in dropped and not lower.startswith(_PRIVATE_PREFIXES):
                fields.append((name, value))
                present.add(lower)
        own: dict[str, str] = {}
        if head.get("upgrade", "").lower() == "websocket":
            own |= {"Connection": "Upgrade", "Upgrade": "websocket"}
        else:
            # What comes back must be readable here.
            own["Accept-Encoding"] = "identity"
            if "close" in options:
                # The engine ends the client's connection by what this request says.
                own["Connection"] = "close"
        if server.forward_client_ip:
            own["X-Forwarded-For"] = exchange.remote_addr
        own["X-Client-Request-Id"] = exchange.id
        if provider:
            own |= {name: value for name, value in provider.default_headers.items() if name not in present}
            own |= provider.headers
            fields = [field for field in fields if field[0].decode("latin-1").lower() not in provider.headers]
            if provider.name.startswith("azure"):
                own["x-ms-client-request-id"] = exchange.id
        if key:
            scheme = provider.auth_scheme if provider else "bearer"
            if scheme == "header" and provider:
                own[provider.auth_header] = key
            elif scheme == "bearer":
                own["Authorization"] = f"Bearer {key}"
        if exchange.upload:
            own |= {name: head[name] for name in ("content-length", "transfer-encoding") if name in head}
        elif flow.request.raw_content or exchange.method in ("POST", "PUT", "PATCH"):
            own["Content-Length"] = str(len(flow.request.raw_content or b""))
        fields += [(name.encode(), value.encode()) for name, value in own.items()]
        return http.Headers(fields)


def _host_header(attempt: Attempt) -> str:
    aim = attempt.target
    host = f"[{aim.host}]" if ":" in aim.host else aim.host
    default = 443 if aim.scheme == "https" else 80
    return host if aim.port == default else f"{host}:{aim.port}"


def _gave_up(exchange: Exchange, reason: str) -> Refusal:
    statuses = [failure.status for failure in exchange.failures if failure.status >= 400]
    count = len(exchange.failures)
    if statuses:
        return Refusal(
            statuses[-1],
            "upstream_failed",
            f"all retries exhausted (last status {statuses[-1]}): {reason}",
        )
    status = 504 if "in time" in reason else 502
    return Refusal(
        status,
        "upstream_timeout" if status == 504 else "upstream_failed",
        f"upstream request failed after {count} attempt{'s' if count != 1 else ''}: {reason}",
    )
