"""Routing: reads the request once, and makes the list of attempts: provider, URL, key name, model."""

from __future__ import annotations

from functools import lru_cache

from mitmproxy import http

from addons.answer import HEAD, exchange_of
from addons.engine import MAX_UPLOAD, too_large
from addons.guarded import guarded
from addons.services import Services, in_thread
from tokenomics_core.dialects import is_websocket_path
from tokenomics_core.dialects.base import Dialect
from tokenomics_core.events import agent_request
from tokenomics_core.exchange import Attempt, Exchange, Ingress
from tokenomics_core.meter.session_id import find_session, strip_session
from tokenomics_core.policy import CompiledPolicy
from tokenomics_core.providers import Catalogue
from tokenomics_core.refusal import Refusal
from tokenomics_core.request_reading import read_request
from tokenomics_core.routing import Aim, Defaults, plan, routes
from tokenomics_core.sensitive_paths import check_path

LARGE_BODY = 128 * 1024
"""Bytes from which on a body is parsed in a thread: about a millisecond of work."""


def announce(exchange: Exchange, services: Services) -> None:
    """Tells of a request of an agent that names itself, before anything is decided."""
    if exchange.agent and exchange.token is not None:
        exchange.announced = True
        services.events.emit(agent_request(exchange.token.hash, exchange.model, exchange.agent))


class Routing:
    def __init__(self, services: Services) -> None:
        self.services = services
        self.max_body = int(services.config.server.max_body_mb * 1024 * 1024)
        # The same policy, catalogue, model and path lead the same way.
        self._planned = lru_cache(maxsize=1024)(self._make_plan)

    @guarded
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is None:
            return
        most = MAX_UPLOAD if exchange.upload else self.max_body
        if int(flow.metadata[HEAD].get("content-length", "0")) > most:
            raise too_large(most)
        if exchange.upload:
            self._plan(flow, exchange)

    @guarded
    async def request(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is None or exchange.upload:
            return
        raw = flow.request.raw_content or b""
        kind = flow.metadata[HEAD].get("content-type", "")
        if len(raw) > LARGE_BODY:
            await in_thread(lambda: read_request(exchange, raw, kind))
        else:
            read_request(exchange, raw, kind)
        self._plan(flow, exchange)

    def _plan(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        policy = exchange.policy
        if policy is None:
            raise Refusal(500, "internal_error", "no policy")
        dialect = exchange.dialect
        upgrade = flow.metadata[HEAD].get("upgrade", "").lower() == "websocket"
        if not upgrade:
            announce(exchange, self.services)
        check_path(exchange.method, exchange.path, policy, known=upgrade or not dialect.unknown)
        if upgrade:
            self._check_upgrade(exchange)
        tunnelled = exchange.ingress is not Ingress.BASE_URL
        exchange.port = flow.request.port if tunnelled else 0
        aim = Aim(
            path=exchange.path,
            model=exchange.model,
            modelled=not dialect.unknown,
            host=exchange.host if tunnelled else "",
            port=exchange.port,
            scheme="https" if exchange.ingress is Ingress.TUNNEL else "http",
        )
        again = not exchange.upload and not upgrade
        services = self.services
        attempts, exchange.retry_on = self._planned(
            policy, services.catalogue, services.defaults, dialect, aim, again
        )
        exchange.attempts = list(attempts)
        given = policy.policy.session.id
        exchange.session = find_session(flow.metadata[HEAD], exchange.query, exchange.body, given).id
        exchange.query = strip_session(exchange.query)

    @staticmethod
    def _make_plan(
        policy: CompiledPolicy,
        catalogue: Catalogue,
        defaults: Defaults,
        dialect: Dialect,
        aim: Aim,
        again: bool,
    ) -> tuple[list[Attempt], frozenset[int]]:
        # The path alone: the body that is sent is made when the attempt is.
        paths = {
            model: dialect.set_model(aim.path, None, model)
            for model in policy.resolve_global().retry.fallbacks
        }
        return plan(policy, catalogue, defaults, aim, paths, retries=again)

    def _check_upgrade(self, exchange: Exchange) -> None:
        """Frames are governed one by one, on a connection whose provider and key were chosen before any model
        was named. Where that choice depends on the model, the agent is sent back to HTTPS."""
        policy = exchange.policy
        assert policy is not None
        if not is_websocket_path(exchange.path):
            raise Refusal(403, "path_not_allowed", "no WebSocket is forwarded on this path")
        if not exchange.model and len(routes(policy, self.services.catalogue, self.services.defaults)) > 1:
            raise Refusal(
                426,
                "upgrade_required",
                "the policy routes by model: send this request over HTTPS, not WebSocket",
            )
