"""Frames: a WebSocket is LLM traffic. Each response that is asked for in its frames is a request of its own,
under the same identity, routing and counting as one over HTTPS, with a row of its own."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson
from mitmproxy import ctx, http
from mitmproxy.websocket import WebSocketMessage

from addons.answer import HEAD, exchange_of, fields_of
from addons.budget import Budget
from addons.engine import close_upstream
from addons.frame_memory import FrameMemory
from addons.guardrails import Guardrails, rule_refusal, told
from addons.identity import Identity
from addons.records import write_down
from addons.routing import announce
from addons.services import Services
from addons.session import Session
from tokenomics_core.dialects import frame_reader
from tokenomics_core.dialects.base import Stop
from tokenomics_core.dialects.frames import Done, FrameReader, Started, Turn
from tokenomics_core.exchange import Exchange
from tokenomics_core.guard.answer import AnswerGuard
from tokenomics_core.guard.rules import RuleFailed
from tokenomics_core.guard.stream import FrameGuard
from tokenomics_core.guard.verdict import Hit
from tokenomics_core.guard.violation import RuleViolation
from tokenomics_core.json_body import JsonBody
from tokenomics_core.policy import ResolvedPolicy
from tokenomics_core.refusal import Refusal
from tokenomics_core.routing import Aim, plan
from tokenomics_core.scrub import scrub

log = logging.getLogger("tokenomics")

BLOCKED = ("rule_violation", "rule_failed")
"""Refusals of an answer by a content rule."""


class Lane(NamedTuple):
    """What one turn after the other says. What is held back of it holds up no other lane."""

    guard: AnswerGuard
    frames: FrameGuard


@dataclass
class Connection:
    """One upgraded connection. running: the exchange of each turn that is not over.

    policy: as it was for the last turn. lanes: the content rules for what comes back, by the word that tells
    turns apart which run at once; none where there is nothing to apply.
    """

    upgrade: Exchange
    reader: FrameReader
    secret: bytes
    policy: ResolvedPolicy
    memory: FrameMemory
    lanes: dict[str, Lane] = field(default_factory=dict)
    running: dict[Turn, Exchange] = field(default_factory=dict)


class Frames:
    def __init__(
        self,
        services: Services,
        identity: Identity,
        session: Session,
        guardrails: Guardrails,
        budget: Budget,
    ) -> None:
        self.services = services
        self.identity = identity
        self.session = session
        self.guardrails = guardrails
        self.budget = budget

    def websocket_start(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None:
            self.services.streams["websocket"] += 1
            reader = frame_reader(exchange.path, exchange.query)
            secret: bytes = flow.metadata.get("secret", b"")
            answered = fields_of(flow.response.headers) if flow.response is not None else {}
            memory = FrameMemory(self.services, flow.metadata[HEAD].items(), answered.items(), secret)
            flow.metadata["connection"] = Connection(
                exchange, reader, secret, exchange.attempts[0].policy, memory
            )

    async def websocket_message(self, flow: http.HTTPFlow) -> None:
        """Nothing passes whose handling failed."""
        assert flow.websocket is not None
        message = flow.websocket.messages[-1]
        # They would be kept for the life of the connection.
        flow.websocket.messages[:-1] = []
        connection: Connection | None = flow.metadata.get("connection")
        if message.injected:
            return
        if connection is None:
            message.drop()
            return
        try:
            if message.from_client:
                await self._from_client(flow, connection, message)
            else:
                await self._from_provider(flow, connection, message)
        except Refusal as refusal:
            await self._refuse(flow, connection, message, refusal)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error(
                "%s at %s:%s; the frame was refused", type(error).__name__, place.filename, place.lineno
            )
            failed = Refusal(500, "internal_error", "the gateway failed on this frame and refused it")
            await self._refuse(flow, connection, message, failed)

    async def websocket_end(self, flow: http.HTTPFlow) -> None:
        connection: Connection | None = flow.metadata.get("connection")
        if connection is None:
            return
        self.services.streams["websocket"] -= 1
        connection.reader.close()
        for turn, exchange in list(connection.running.items()):
            exchange.error = "the gateway stopped" if self.services.stopping else "the connection ended"
            await self._settle(connection, turn, exchange)

    async def _from_client(
        self, flow: http.HTTPFlow, connection: Connection, message: WebSocketMessage
    ) -> None:
        if not message.is_text:
            raise Refusal(400, "bad_request", "only text frames are understood on this connection")
        text = message.content.decode("utf-8", "replace")
        turn = connection.reader.client_frame(text)
        if turn is None:
            # It generates nothing by itself, and is read by the model all the same.
            body = JsonBody(text.encode())
            masked = await self._look(connection, connection.upgrade, body)
            if masked.changed:
                message.content = masked.render()
            connection.memory.sent(masked, connection.policy)
            return
        exchange = self._begin(connection, turn)
        policy = self._govern(connection, exchange)
        asked = b""
        if turn.body is not None:
            masked = await self._look(connection, exchange, turn.body)
            if masked.changed:
                exchange.body = turn.body = masked
            asked = turn.body.render()
            exchange.dialect.add_prompts(turn.body, policy.prompts)
        await self.budget.reserve(exchange)
        if turn.body is not None:
            if exchange.output_cap is not None:
                exchange.dialect.set_output_cap(turn.body, exchange.model, exchange.output_cap)
            if turn.body.changed:
                message.content = turn.body.render()
        exchange.request_bytes = len(message.content)
        exchange.sent, exchange.attempt_began = True, self.services.clock()
        connection.memory.begin(turn, exchange, asked, policy)
        connection.reader.sent(turn)
        if (lane := connection.lanes.get(turn.lane)) is not None:
            lane.guard.told.clear()

    async def _look(self, connection: Connection, exchange: Exchange, body: JsonBody) -> JsonBody:
        """The client's frame as the content rules want it. Raises Refusal."""
        upgrade, rules = connection.upgrade, connection.policy.rules
        exchange.vault = upgrade.vault
        exchange.request_bytes = len(body.render())
        masked = await self.guardrails.inspect(exchange, rules, body)
        # One connection is one conversation, also when nobody named a session.
        upgrade.vault = exchange.vault
        return masked

    def _lane(self, connection: Connection, name: str) -> Lane | None:
        """What comes back on a lane is under the rules as they are now; what runs there, under those under
        which it began."""
        rules, vault = connection.policy.rules, connection.upgrade.vault
        compiled = self.services.rulebook.ready(rules) or self.services.rulebook.compiled(rules)
        lane = connection.lanes.get(name)
        began = any(turn.lane == name and turn.id for turn in connection.running)
        if lane is not None and (began or lane.guard.compiled is compiled.output):
            lane.guard.vault = vault
            return lane

        def report(hit: Hit) -> None:
            running = (each for turn, each in connection.running.items() if turn.lane == name)
            told(next(running, connection.upgrade), hit)

        # What the old rules held back is not given under the new ones.
        connection.lanes.pop(name, None)
        guard = AnswerGuard(compiled.output, vault, report)
        if guard.idle:
            return None
        connection.lanes[name] = lane = Lane(guard, guard.frames())
        return lane

    def _govern(self, connection: Connection, exchange: Exchange) -> ResolvedPolicy:
        """What the policy, as it is now, says of this frame; raises Refusal."""
        upgrade = connection.upgrade
        assert upgrade.token is not None
        if reason := self.services.ledger.unavailable:
            log.error("%s", reason)
            raise Refusal(503, "ledger_unavailable", "the ledger cannot be written; see the gateway's log")
        record = self.identity.find(upgrade.token.hash)
        if record is None:
            raise Refusal(401, "invalid_token", "invalid token")
        exchange.token, exchange.policy = record, record.policy
        self.identity.check_enforced(record.policy)
        aim = Aim(upgrade.path, exchange.model, modelled=True, host=upgrade.host, port=upgrade.port)
        catalogue, defaults = self.services.catalogue, self.services.defaults
        attempts, _ = plan(record.policy, catalogue, defaults, aim, {}, retries=False)
        attempt, first = attempts[0], upgrade.attempts[0]
        if (attempt.target.origin, attempt.key_env) != (first.target.origin, first.key_env):
            raise Refusal(
                403, "other_provider", "the policy sends this model to another provider; use HTTPS for it"
            )
        exchange.attempts = attempts
        connection.policy = attempt.policy
        return attempt.policy

    async def _from_provider(
        self, flow: http.HTTPFlow, connection: Connection, message: WebSocketMessage
    ) -> None:
        clean = scrub(message.content, connection.secret)
        if clean is not message.content:
            message.content = clean
        if not message.is_text:
            if self._lane(connection, "") is not None:
                # This protocol has no such frames, and nobody looks into them.
                message.drop()
            return
        text = message.content.decode("utf-8", "replace")
        if connection.reader.is_over(text):
            # What comes of a turn that was ended here.
            message.drop()
            return
        violation: Refusal | None = None
        name = _lane_of(text)
        lane = self._lane(connection, name)
        if lane is not None:
            message.drop()
            try:
                self._give(flow, lane.frames.feed(text))
            except (RuleViolation, RuleFailed) as error:
                self._give(flow, lane.frames.settled)
                violation = rule_refusal(lane.guard, error)
                del connection.lanes[name]
        frame = connection.reader.server_frame(text)
        if frame is None:
            if violation is not None:
                self._give(flow, [connection.reader.error_frame(violation, connection.upgrade.id)])
                close_upstream(flow)
            return
        exchange = connection.running.get(frame.turn)
        if exchange is None:
            # The provider began by itself.
            exchange = self._begin(connection, frame.turn)
            exchange.policy, exchange.attempts = connection.upgrade.policy, connection.upgrade.attempts
            exchange.sent, exchange.attempt_began = True, self.services.clock()
            try:
                policy = self._govern(connection, exchange)
                await self.budget.reserve(exchange)
                connection.memory.begin(frame.turn, exchange, b"", policy)
            except Refusal as refusal:
                exchange.upstream_status = 200
                await self._end(flow, connection, frame.turn, exchange, refusal)
                message.drop()
                return
        exchange.response_bytes += len(message.content)
        if isinstance(frame, Started | Done) and not exchange.upstream_status:
            exchange.upstream_status = exchange.status = 200
        connection.memory.heard(frame.turn, text)
        if isinstance(frame, Done):
            if frame.error:
                exchange.error = "the provider reported a failure"
                exchange.upstream_status = exchange.status = frame.status or 500
            if violation is not None:
                exchange.error = violation.message
                self._give(flow, [connection.reader.error_frame(violation, exchange.id, frame.turn)])
            await self._settle(connection, frame.turn, exchange)
            if name and (done := connection.lanes.pop(name, None)) is not None:
                self._give(flow, done.frames.close())
        elif violation is not None:
            await self._end(flow, connection, frame.turn, exchange, violation)
        else:
            await self._extend(flow, connection, frame.turn, exchange)

    async def _extend(
        self, flow: http.HTTPFlow, connection: Connection, turn: Turn, exchange: Exchange
    ) -> None:
        """Counts what a turn said; asks for more, or ends the turn and the connection to its provider."""
        lease = exchange.lease
        if lease is None or not lease.bounded:
            return
        attempt = exchange.attempt
        lease.count(
            turn.answer, self.services.tokenizer.counter(attempt.model if attempt else exchange.model)
        )
        refusal = await self.budget.extend(exchange) if lease.short else None
        if refusal is not None:
            await self._end(flow, connection, turn, exchange, refusal)

    async def _end(
        self, flow: http.HTTPFlow, connection: Connection, turn: Turn, exchange: Exchange, refusal: Refusal
    ) -> None:
        """Ends a turn that the provider is still at."""
        exchange.error = refusal.message
        texts = connection.reader.end_turn(turn, Stop(refusal.code, refusal.message))
        if refusal.code in BLOCKED:
            # What ends a turn says again what was said in it.
            texts = [connection.reader.error_frame(refusal, exchange.id, turn)]
        connection.memory.heard(turn, *texts)
        if refusal.code not in BLOCKED and (lane := connection.lanes.pop(turn.lane, None)) is not None:
            try:
                texts = [out for text in texts for out in lane.frames.feed(text)] + lane.frames.close()
            except (RuleViolation, RuleFailed) as error:
                violation = rule_refusal(lane.guard, error)
                texts = [connection.reader.error_frame(violation, exchange.id, turn)]
        self._give(flow, texts)
        cancels = connection.reader.cancel(turn)
        for text in cancels:
            self._inject(flow, text, to_client=False)
        if not cancels:
            # This provider knows no other way to be told.
            close_upstream(flow)
        await self._settle(connection, turn, exchange)

    def _give(self, flow: http.HTTPFlow, texts: Sequence[str]) -> None:
        for text in texts:
            self._inject(flow, text, to_client=True)

    def _inject(self, flow: http.HTTPFlow, text: str, *, to_client: bool) -> None:
        ctx.master.commands.call("inject.websocket", flow, to_client, text.encode(), True)

    def _begin(self, connection: Connection, turn: Turn) -> Exchange:
        upgrade = connection.upgrade
        exchange = connection.running[turn] = Exchange(
            id=self.services.new_id(),
            started=self.services.now(),
            clock=self.services.clock(),
            ingress=upgrade.ingress,
            method="GET",
            path=upgrade.path,
            query="",
            dialect=connection.reader.dialect,
            host=upgrade.host,
            remote_addr=upgrade.remote_addr,
            user_agent=upgrade.user_agent,
            agent=upgrade.agent,
            traceparent=upgrade.traceparent,
            tracestate=upgrade.tracestate,
            token=upgrade.token,
            client_credentials=upgrade.client_credentials,
            session=upgrade.session,
            body=turn.body,
            model=turn.model,
            stream=True,
        )
        self.services.begin(exchange)
        announce(exchange, self.services)
        self.session.place(exchange, upgrade.git.repo if upgrade.git is not None else "")
        return exchange

    async def _settle(self, connection: Connection, turn: Turn, exchange: Exchange) -> None:
        connection.running.pop(turn, None)
        exchange.answer = turn.answer
        try:
            bodies = connection.memory.bodies(turn, exchange)
            await write_down(exchange, self.services, "frame", connection.upgrade.id, bodies=bodies)
            connection.memory.end(turn, exchange)
        finally:
            # As in Records: a stop closes the ledger, and memory, when nothing is in flight.
            self.services.end(exchange)

    async def _refuse(
        self, flow: http.HTTPFlow, connection: Connection, message: WebSocketMessage, refusal: Refusal
    ) -> None:
        """The frame goes nowhere; the client gets an error in its dialect, the ledger a row."""
        message.drop()
        if not message.from_client:
            return
        unsent = next((turn for turn, exchange in connection.running.items() if not exchange.sent), None)
        request_id = connection.upgrade.id
        if unsent is not None:
            exchange = connection.running[unsent]
            exchange.refusal, exchange.status, request_id = refusal, refusal.status, exchange.id
            await self._settle(connection, unsent, exchange)
        frame = connection.reader.error_frame(refusal, request_id, unsent)
        self._inject(flow, frame, to_client=True)


def _lane_of(frame: str) -> str:
    """The lane on which a provider's frame comes."""
    if '"stream_id"' not in frame:
        return ""
    try:
        event = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return ""
    named = event.get("stream_id") if isinstance(event, dict) else ""
    return named if isinstance(named, str) else ""
