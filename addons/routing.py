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
from tokenomics_core.json_body import InvalidJson, JsonBody
from tokenomics_core.meter.session_id import find_session, strip_session
from tokenomics_core.multipart import form_field
from tokenomics_core.policy import CompiledPolicy
from tokenomics_core.providers import Catalogue
from tokenomics_core.refusal import Refusal
from tokenomics_core.routing import Aim, Defaults, plan, routes
from tokenomics_core.sensitive_paths import check_path

UNKNOWN = "unknown"

BAD_PATH = "this path is not one that the policy allows"

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
            await in_thread(lambda: self._read(exchange, raw, kind))
        else:
            self._read(exchange, raw, kind)
        self._plan(flow, exchange)

    def _read(self, exchange: Exchange, raw: bytes, kind: str) -> None:
        exchange.request_bytes = len(raw)
        dialect = exchange.dialect
        media = kind.partition(";")[0].strip().lower()
        form_model = ""
        if not raw:
            if exchange.method == "POST" and dialect.name != UNKNOWN:
                raise Refusal(400, "invalid_json", "invalid JSON body")
        elif media == "multipart/form-data" and dialect.name == UNKNOWN:
            form_model = form_field(raw, kind, "model")
        elif dialect.name != UNKNOWN or media == "application/json" or media.endswith("+json"):
            try:
                exchange.body = JsonBody(raw)
            except InvalidJson as error:
                # Elsewhere an array is as good as an object; it names no model.
                if dialect.name != UNKNOWN or not raw.lstrip().startswith(b"["):
                    raise Refusal(400, "invalid_json", f"invalid JSON body: {error}") from None
        if exchange.body is not None and not isinstance(exchange.body.value.get("model", ""), str):
            raise Refusal(400, "invalid_model", "model must be a string")
        exchange.model = form_model or dialect.model(exchange.path, exchange.query, exchange.body)
        exchange.stream = dialect.is_stream(exchange.path, exchange.query, exchange.body)

    def _plan(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        policy = exchange.policy
        if policy is None:
            raise Refusal(500, "internal_error", "no policy")
        dialect = exchange.dialect
        upgrade = flow.metadata[HEAD].get("upgrade", "").lower() == "websocket"
        if not upgrade:
            announce(exchange, self.services)
        if dialect.name == UNKNOWN and policy.policy.unknown_paths == "deny" and not upgrade:
            raise Refusal(403, "path_not_allowed", BAD_PATH)
        check_path(exchange.method, exchange.path, policy)
        if upgrade:
            self._check_upgrade(exchange)
        tunnelled = exchange.ingress is not Ingress.BASE_URL
        exchange.port = flow.request.port if tunnelled else 0
        aim = Aim(
            path=exchange.path,
            model=exchange.model,
            modelled=dialect.name != UNKNOWN,
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
        exchange.session = find_session(flow.metadata[HEAD], exchange.query, exchange.body).id
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
