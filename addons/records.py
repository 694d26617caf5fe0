"""Records: exactly once for each exchange, its ledger row, its counters and its log line."""

from __future__ import annotations

import asyncio
import logging

from mitmproxy import http

from addons.answer import HEAD, exchange_of, fields_of
from addons.guarded import guarded
from addons.said import Said, asked, bodies_of, said_of
from addons.services import Services, in_thread
from tokenomics_core.counters.question import Limit, Settled
from tokenomics_core.dialects.base import Usage
from tokenomics_core.events import events_of
from tokenomics_core.exchange import Exchange
from tokenomics_core.ledger import Kind, Row
from tokenomics_core.ledger.session_file import session_id
from tokenomics_core.memory import most_kept, record_of
from tokenomics_core.meter.headers import settled_headers
from tokenomics_core.meter.prices import Cost, Price, cost
from tokenomics_core.meter.thresholds import crossed, warning
from tokenomics_core.metrics import server_timing
from tokenomics_core.refusal import Refusal
from tokenomics_core.request_log import NO_BODIES, Bodies
from tokenomics_core.scrub import scrub

log = logging.getLogger("tokenomics")

GIT = 0.25
"""Seconds that a row waits for git at most."""

Settlements = list[tuple[Limit, Settled]]


class Records:
    def __init__(self, services: Services) -> None:
        self.services = services

    @guarded
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """What could not be recorded is not begun."""
        exchange = exchange_of(flow)
        if exchange is None:
            return
        self.services.begin(exchange)
        flow.metadata["in_flight"] = True
        if reason := self.services.ledger.unavailable:
            log.error("%s", reason)
            raise Refusal(503, "ledger_unavailable", "the ledger cannot be written; see the gateway's log")

    @guarded
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """From here on there is an answer, whose events are told as they come."""
        exchange, response = exchange_of(flow), flow.response
        if exchange is None or response is None or not exchange.metered or exchange.refusal is not None:
            return
        told = self.services.communication(exchange) if response.status_code != 101 else None
        if told is None:
            return
        flow.metadata["told"] = told
        told.asked(flow.metadata[HEAD].items(), asked(flow, exchange))
        told.answered(fields_of(response.headers).items())
        if (capture := flow.metadata.get("capture")) is not None:
            capture.heard = told.chunk

    @guarded
    async def response(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and flow.response is not None:
            exchange.status = flow.response.status_code
            await self._record(flow, exchange)
            # Of a stream the head has gone out before anybody knew.
            for name, value in settled_headers(exchange).items():
                flow.response.headers[name] = value
            if self.services.config.server.timing and not flow.response.stream:
                elapsed = (self.services.clock() - exchange.clock) * 1000 if exchange.sent else None
                flow.response.headers.add("server-timing", server_timing(exchange.timings, elapsed))

    @guarded
    async def error(self, flow: http.HTTPFlow) -> None:
        """The client left, or the provider broke off in the middle of what it streamed."""
        exchange = exchange_of(flow)
        if exchange is None:
            return
        status, error = _outcome(flow.error.msg if flow.error else "")
        if self.services.stopping:
            error = "the gateway stopped"
        exchange.status = exchange.status or (flow.response.status_code if flow.response else status)
        exchange.error = exchange.error or error
        await self._record(flow, exchange)

    async def _record(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        if exchange.recorded:
            return
        if exchange.answer is not None and exchange.answer.error and not exchange.error:
            # The provider's own words, inside a stream that began well.
            words = scrub(exchange.answer.error.encode(), flow.metadata.get("secret", b""))
            exchange.error = words.decode("utf-8", "replace")
        try:
            said = said_of(flow, exchange, self.services)
            await write_down(
                exchange,
                self.services,
                "upgrade" if exchange.status == 101 else "request",
                bodies=bodies_of(exchange, said),
            )
            self._remember(flow, exchange, said)
        finally:
            # Not before the row is with the ledger: a stop closes it when nothing is in flight.
            if flow.metadata.pop("in_flight", False):
                self.services.end(exchange)
            if flow.metadata.pop("streams", False):
                self.services.streams["http"] -= 1

    def _remember(self, flow: http.HTTPFlow, exchange: Exchange, said: Said | None) -> None:
        """Hands the conversation over, for those who may keep it."""
        writers = self.services.writers(exchange)
        if not (writers or writers.problem) or exchange.token is None or exchange.status == 101:
            return
        fields = flow.metadata[HEAD].items()
        if said is not None:
            record = record_of(
                exchange,
                self.services.now(),
                request_headers=fields,
                request_body=said.request,
                response_headers=said.head.items(),
                answer=said.answer,
                answer_size=exchange.response_bytes,
                most=most_kept(writers),
            )
            self.services.recorder.record(record, writers)
        told = flow.metadata.get("told") or self.services.communication(exchange)
        if told is not None:
            if exchange.sent and not told.begun:
                told.asked(fields, asked(flow, exchange))
            answer = said.answer if said is not None and exchange.metered else None
            told.ended(answer, exchange.response_bytes)


def _outcome(message: str) -> tuple[int, str]:
    """What the engine answered, and words for mitmproxy's, which may hold bytes of a body."""
    message = message.lower()
    if any(sign in message for sign in ("disconnected", "closed", "reset by client")):
        return 0, "the client left"
    if "in time" in message:
        return 408, "the request body did not arrive in time"
    if "protocol error" in message:
        return 400, "the request is not valid HTTP"
    return 0, "the exchange broke off"


async def write_down(
    exchange: Exchange, services: Services, kind: Kind, parent_id: str = "", *, bodies: Bodies = NO_BODIES
) -> None:
    """The one place where an exchange becomes a row, and its lease is settled with it."""
    usage, estimated = await settle_usage(exchange, services)
    if (placing := services.placing.get(exchange.id)) is not None:
        # A commit was just made; git takes some milliseconds.
        await asyncio.wait({placing}, timeout=GIT)
    price, bill = _bill(exchange, services, usage)
    row = Row.of(
        exchange,
        input_tokens=usage.input_tokens or 0,
        output_tokens=usage.output_tokens or 0,
        estimated=estimated,
        now=services.clock(),
        kind=kind,
        parent_id=parent_id,
        price=price,
        cost=bill,
        run=session_id(services.instance),
    )
    settled: Settlements = []
    if exchange.lease is not None:
        services.unwritten.add(row.id)
        settled = await _settle(exchange, services, row)
    if exchange.token is not None:
        services.ledger.record(row)
        services.stats.add(row)
    services.metrics.add(row)
    if services.telemetry is not None:
        services.telemetry.add(row, exchange.traceparent, exchange.tracestate)
    services.request_log.add(row, bodies)
    if services.events.receivers:
        told = events_of(
            row,
            settled=settled,
            exceeded=exchange.refusal.exceeded if exchange.refusal is not None else None,
            agent=exchange.agent,
            announced=exchange.announced,
        )
        services.events.emit(*told)
    exchange.recorded = True
    exchange.cost = bill.usd if bill is not None else None


def _bill(exchange: Exchange, services: Services, usage: Usage) -> tuple[Price | None, Cost | None]:
    """What the provider asks for the exchange; nothing for what it did not answer."""
    if not exchange.sent or not 200 <= exchange.upstream_status < 400 or exchange.attempt is None:
        return None, None
    if usage.input_tokens is None and usage.output_tokens is None:
        return None, None
    answered = exchange.answer.model if exchange.answer else ""
    assume = exchange.attempt.policy.unknown_price == "assume"
    price = services.budget.price(exchange.attempt, answered, exchange.started, assume=assume)
    return price, cost(price, usage) if price is not None else None


async def _settle(exchange: Exchange, services: Services, row: Row) -> Settlements:
    """Gives back what was not used, and tells whose warning line was crossed. What each limit counts now."""
    attempt, lease = exchange.attempt, exchange.lease
    assert attempt is not None and lease is not None  # noqa: PT018
    limits = lease.limits
    if attempt.provider_name != exchange.attempts[0].provider_name:
        limits = services.limits_of(exchange, attempt)
    limits = tuple(limit for limit in limits if limit.unit in ("tokens", "usd"))
    settled = await services.budget.settle(exchange, limits, row)
    lease.settled(settled)
    percents = services.limits_under(attempt.policy)
    after = {each.key: each for each in settled}
    for limit in limits:
        counted = after.get(limit.key)
        if counted is None or limit.limit is None:
            continue
        percent = percents.warn_at(limit) or services.config.budgets.warn_at
        if crossed(limit, counted, percent):
            log.warning("token %s: %s", row.token_hash[:16], warning(limit, counted, percent))
    return [(limit, after[limit.key]) for limit in limits if limit.key in after]


async def settle_usage(exchange: Exchange, services: Services) -> tuple[Usage, bool]:
    """The tokens of an exchange, and whether they are our estimate.

    The provider's own numbers win; an explicit zero stays zero. Where it gave none, what was sent and
    received is counted: an answer that broke off before its usage came was billed all the same.
    """
    answer = exchange.answer
    usage = answer.usage if answer is not None else Usage()
    if not 200 <= exchange.upstream_status < 400:
        return usage, False
    body, texts = exchange.body, answer.text if answer is not None else []
    final = answer is not None and answer.ended
    need_input = usage.input_tokens is None and body is not None and exchange.dialect.counts_tokens
    need_output = bool(texts) and (usage.output_tokens is None or not final)
    if not need_input and not need_output:
        return usage, False
    attempt = exchange.attempt
    model = attempt.model if attempt else exchange.model
    tokenizer = services.tokenizer

    def count() -> tuple[int, int]:
        input_tokens = 0
        if need_input and body is not None:
            input_tokens = exchange.dialect.input_overhead(body)
            input_tokens += sum(tokenizer.count(text, model) for text in exchange.dialect.input_texts(body))
        return input_tokens, tokenizer.count("".join(texts), model) if need_output else 0

    input_tokens, output_tokens = await in_thread(count)
    if need_input:
        usage.input_tokens = input_tokens
    if need_output:
        # Piece by piece, where a limit had it counted so: the provider's tokens end where its pieces do.
        lease = exchange.lease
        counted = lease.counted * lease.choices if lease is not None and lease.bounded else 0
        usage.output_tokens = max(output_tokens, usage.output_tokens or 0, counted)
    return usage, True
