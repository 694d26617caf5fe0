"""Identity: whose wrapper token is this, and which policy goes with it."""

from __future__ import annotations

import logging

from mitmproxy import http

from addons.answer import HEAD, exchange_of
from addons.guarded import guarded
from addons.services import Services
from tokenomics_core.client_token import (
    KEY_HEADERS,
    find_credentials,
    proxy_token,
    strip_query,
    strip_subprotocol,
)
from tokenomics_core.events import auth_failed, token_expired
from tokenomics_core.policy import CompiledPolicy
from tokenomics_core.refusal import Refusal
from tokenomics_core.tokens import StoreError, TokenRecord, hash_token, looks_like_token

log = logging.getLogger("tokenomics")

NO_TOKEN = "missing or invalid token (use x-api-key header or Authorization bearer token)"


class Identity:
    """enforced: what the steps of this pipeline enforce; a policy that asks for more is refused."""

    def __init__(self, services: Services, enforced: frozenset[str]) -> None:
        self.services = services
        self.enforced = enforced

    @guarded
    def http_connect(self, flow: http.HTTPFlow) -> None:
        value = flow.request.headers.get("proxy-authorization", "")
        if not value:
            return
        token = proxy_token(value)
        if token is None or self._lookup(token) is None:
            peer = flow.client_conn.peername
            self.services.events.emit(auth_failed("invalid_token", "invalid token", peer[0] if peer else ""))
            raise Refusal(407, "invalid_token", "invalid token")
        self.services.proxy_authorization[flow.client_conn.id] = value

    @guarded
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is None:
            return
        head: dict[str, str] = flow.metadata[HEAD]
        tunnel = self.services.proxy_authorization.get(flow.client_conn.id, "")
        found = find_credentials(
            list(head.items()), exchange.query, head.get("proxy-authorization") or tunnel
        )
        if not found.any:
            raise Refusal(401, "missing_token", NO_TOKEN)
        record = self._lookup(found.wrapper) if found.wrapper else None
        if record is None or found.wrapper is None:
            raise Refusal(401, "invalid_token", "invalid token")
        exchange.token, exchange.policy = record, record.policy
        exchange.client_credentials = record.policy.policy.credentials == "client"
        if exchange.client_credentials and not (found.from_proxy and found.other):
            raise Refusal(
                401,
                "client_credentials_missing",
                "this token governs an agent's own login: put it into the proxy URL and log the agent in",
            )
        self._take_out(flow, found.wrapper, keep_login=exchange.client_credentials)
        self.check_enforced(record.policy)

    def check_enforced(self, policy: CompiledPolicy) -> None:
        """Raises Refusal when the policy asks for something that no step of the pipeline enforces."""
        if missing := policy.needs - self.enforced:
            raise Refusal(
                503,
                "not_enforced",
                f"the policy asks for {', '.join(sorted(missing))}, which this gateway does not enforce",
            )

    def _lookup(self, token: str) -> TokenRecord | None:
        return self.find(hash_token(token, self.services.store.keys.hash_key))

    def find(self, hash: str) -> TokenRecord | None:
        """The record as it is now; None when the token is unknown, expired or disabled. Raises Refusal."""
        try:
            store, now = self.services.store, self.services.now()
            record = store.lookup(hash, now)
            if record is not None:
                store.touch({record.hash: now})
            elif ended := store.expired(hash, now):
                self.services.events.emit(token_expired(hash, ended))
            return record
        except StoreError as error:
            log.error("token store: %s", error)
            raise Refusal(500, "store_error", "store lookup error") from None

    def _take_out(self, flow: http.HTTPFlow, token: str, *, keep_login: bool) -> None:
        """From here on the wrapper token stands nowhere in the request."""
        exchange = exchange_of(flow)
        assert exchange is not None
        secret = token.encode()
        kept: list[tuple[bytes, bytes]] = []
        for name, value in flow.request.headers.fields:
            lower = name.decode("latin-1").lower()
            if lower == "sec-websocket-protocol":
                value = strip_subprotocol(value.decode("latin-1")).encode("latin-1")
                if not value:
                    continue
            elif lower in KEY_HEADERS and not (keep_login and not looks_like_token(_bare(value))):
                continue
            if lower != "proxy-authorization" and secret not in value:
                kept.append((name, value))
        flow.request.headers = http.Headers(kept)
        keep_key = keep_login and token not in exchange.query
        exchange.query = strip_query(exchange.query, keep_key=keep_key)
        if token in exchange.query or token in exchange.path:
            raise Refusal(400, "bad_request", "the wrapper token has no place in this part of the URL")
        flow.request.path = exchange.path + ("?" + exchange.query if exchange.query else "")


def _bare(value: bytes) -> str:
    return value.decode("latin-1").strip().rpartition(" ")[2]
