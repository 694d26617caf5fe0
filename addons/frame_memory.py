"""Frame memory: what is kept of the conversation on one WebSocket, turn by turn."""

from __future__ import annotations

from collections.abc import Iterable

from addons.said import words
from addons.services import Services
from tokenomics_core.dialects.frames import Turn
from tokenomics_core.exchange import Exchange
from tokenomics_core.guard.answer import AnswerGuard
from tokenomics_core.json_body import JsonBody
from tokenomics_core.memory import Earlier, KeptTurn, Streamed, most_kept, record_of
from tokenomics_core.policy import ResolvedPolicy
from tokenomics_core.request_log import NO_BODIES, Bodies, Body

Fields = tuple[tuple[str, str], ...]


class FrameMemory:
    """request, response: the header fields of the upgrade. secret: the real key."""

    def __init__(
        self,
        services: Services,
        request: Iterable[tuple[str, str]],
        response: Iterable[tuple[str, str]],
        secret: bytes,
    ) -> None:
        self.services = services
        self.request: Fields = tuple(request)
        self.response: Fields = tuple(response)
        self.secret = secret
        self.earlier = Earlier()
        self.turns: dict[Turn, KeptTurn] = {}

    def sent(self, body: JsonBody, policy: ResolvedPolicy) -> None:
        """The client sent what asks for nothing. body: masked. policy: as it was for the last turn."""
        if self.services.writers_of(policy.memory):
            self.earlier.add(body)

    def begin(self, turn: Turn, exchange: Exchange, asked: bytes, policy: ResolvedPolicy) -> None:
        """A turn begins. asked: the frame that asked for it, masked; empty where the provider began."""
        earlier = self.earlier.take()
        if not (self.services.writers(exchange) or self.services.request_log.wants_responses):
            return
        rules = policy.rules
        compiled = self.services.rulebook.ready(rules) or self.services.rulebook.compiled(rules)
        guard = AnswerGuard(compiled.output, None, lambda hit: None)
        told = self.services.communication(exchange)
        self.turns[turn] = KeptTurn(earlier, asked, guard, self.secret, told)

    def heard(self, turn: Turn, *frames: str) -> None:
        """The provider said this in a turn; the gateway did, where it ends one."""
        kept = self.turns.get(turn)
        if kept is None:
            return
        if kept.told is not None and not kept.told.begun:
            kept.told.asked(self.request, kept.said)
            kept.told.answered(self.response)
        for frame in frames:
            kept.capture.frame(frame)

    def bodies(self, turn: Turn, exchange: Exchange) -> Bodies:
        """Both sides of a turn that is over, for the log."""
        log, kept = self.services.request_log, self.turns.get(turn)
        if not exchange.sent:
            return NO_BODIES
        asked, heard = Body(), Body()
        if log.wants_requests and turn.body is not None:
            asked = Body(turn.body.render())
        if log.wants_responses and kept is not None and exchange.refusal is None:
            answer = kept.answer
            text = words(answer) if isinstance(answer, Streamed) else answer
            heard = Body(text, size=exchange.response_bytes)
        return Bodies(asked, heard)

    def end(self, turn: Turn, exchange: Exchange) -> None:
        """A turn is over, and its row is written."""
        kept = self.turns.pop(turn, None)
        if kept is None:
            if (told := self.services.communication(exchange)) is not None:
                told.ended(None, 0)
            return
        writers = self.services.writers(exchange)
        if not (writers or writers.problem):
            return
        answer = kept.answer
        record = record_of(
            exchange,
            self.services.now(),
            request_headers=self.request,
            request_body=kept.asked,
            response_headers=self.response,
            answer=answer,
            earlier=kept.earlier,
            most=most_kept(writers),
        )
        self.services.recorder.record(record, writers)
        if kept.told is not None:
            if not kept.told.begun:
                kept.told.asked(self.request, kept.said)
            kept.told.ended(answer if exchange.upstream_status else None, exchange.response_bytes)
