"""Budget: nothing is sent that was not granted, and no stream runs beyond what was."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mitmproxy import http

from addons.answer import HEAD, exchange_of
from addons.engine import Extend
from addons.guarded import guarded
from addons.services import Services
from tokenomics_core.counters.question import Watch
from tokenomics_core.exchange import Exchange
from tokenomics_core.meter import anomaly
from tokenomics_core.meter.session_id import check_strict
from tokenomics_core.policy import CompiledPolicy, ResolvedPolicy
from tokenomics_core.refusal import Refusal

TOKEN_GATE = "token"


class Budget:
    def __init__(self, services: Services) -> None:
        self.services = services

    @guarded
    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and exchange.upload:
            await self._reserve(flow, exchange)

    @guarded
    async def request(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and not exchange.upload:
            await self._reserve(flow, exchange)

    @guarded
    async def tokenomics_extend(self, extend: Extend) -> None:
        """A stream has nearly used up what it reserved: it gets more, or a proper end."""
        exchange = exchange_of(extend.flow)
        assert exchange is not None
        refusal = await self.extend(exchange)
        if refusal is not None:
            extend.tail = partial(extend.flow.metadata["tap"].finish, refusal)
            extend.ended = True

    async def _reserve(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        upgrade = flow.metadata[HEAD].get("upgrade", "").lower() == "websocket"
        check_strict(exchange.session, self._strict(exchange.attempts[0].policy))
        # The upgrade of a WebSocket is no request: its frames are.
        if not upgrade:
            retries = flow.metadata[HEAD].get("x-stainless-retry-count", "0")
            await self.reserve(exchange, again=retries not in ("", "0"))

    async def reserve(self, exchange: Exchange, *, again: bool = False) -> None:
        """Gives the exchange its lease; raises Refusal. again: an SDK sends it once more by itself."""
        services = self.services
        await services.opened.wait()
        policy = exchange.attempts[0].policy
        gates = (TOKEN_GATE, f"session:{exchange.session}") if exchange.session else (TOKEN_GATE,)
        await services.budget.reserve(
            exchange,
            services.limits_of(exchange, exchange.attempts[0]),
            gates=gates,
            watch=self._watch(exchange, policy, again),
        )

    async def extend(self, exchange: Exchange) -> Refusal | None:
        """None when a stream may go on, else why it ends. The limits are those of the policy as it is now."""
        services = self.services
        attempt = exchange.attempt
        assert attempt is not None and exchange.token is not None  # noqa: PT018
        record = services.store.lookup(exchange.token.hash, services.now())
        policy: CompiledPolicy | None = record.policy if record is not None else exchange.policy
        resolved = policy.resolve(attempt.model, attempt.policy.provider_name) if policy else attempt.policy
        return await services.budget.extend(exchange, services.limits_of(exchange, attempt, resolved))

    def _strict(self, policy: ResolvedPolicy) -> bool:
        said = policy.session.strict
        return self.services.config.session.strict if said is None else said

    def _watch(
        self, exchange: Exchange, policy: ResolvedPolicy, again: bool
    ) -> Callable[[int], Watch | None]:
        thresholds = anomaly.settings(policy.session.anomaly, self.services.config.session.anomaly)
        if thresholds is None:
            return lambda cost: None
        gate = f"session:{exchange.session}" if exchange.session else TOKEN_GATE
        # What an SDK repeats after an error is the same request, and no loop of the agent's.
        mark = "" if again else anomaly.fingerprint(exchange.dialect.name, exchange.path, exchange.body)
        return lambda cost: anomaly.watch_of(thresholds, gate, mark, exchange.model, cost)
