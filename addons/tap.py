"""Tap: what the bytes of an answer pass on their way from the provider to the client."""

from __future__ import annotations

import logging
from collections.abc import Callable

from addons.guardrails import rule_refusal
from tokenomics_core.dialects.base import Stop, StreamReader, Usage
from tokenomics_core.exchange import Exchange
from tokenomics_core.guard.answer import AnswerGuard
from tokenomics_core.guard.rules import RuleFailed
from tokenomics_core.guard.stream import StreamGuard
from tokenomics_core.guard.violation import RuleViolation
from tokenomics_core.memory import Capture
from tokenomics_core.refusal import Refusal
from tokenomics_core.scrub import StreamScrubber

log = logging.getLogger("tokenomics")


class Tap:
    """The path of a streamed answer's bytes: decompressed, read, guarded, scrubbed, on to the client.

    mitmproxy calls it with b"" at the end. It gives no empty piece: that would be written as a chunk of
    length zero, which ends the body.
    """

    def __init__(
        self,
        exchange: Exchange,
        reader: StreamReader,
        guard: AnswerGuard | None,
        scrubber: StreamScrubber,
        decompress: Callable[[bytes], bytes] | None,
        tokens: Callable[[str], int],
    ) -> None:
        self.exchange = exchange
        self.reader = reader
        self.framing = exchange.dialect.framing(exchange.path, exchange.query)
        self.guard = guard
        self.guarded: StreamGuard | None = guard.stream(self.framing) if guard is not None else None
        self.scrubber = scrubber
        self.decompress = decompress
        self.tokens = tokens
        self.held = False
        if exchange.lease is not None and exchange.lease.bounded:
            self.hold()
        self.capture: Capture | None = None
        self.passed = False
        """Whether the client was given anything."""

    def __call__(self, data: bytes) -> list[bytes]:
        passed = b"" if self.exchange.stop else self._pass_on(data)
        self.passed = self.passed or bool(passed)
        return [self._given(passed)] if passed else []

    def _given(self, passed: bytes) -> bytes:
        """What goes to the client; memory is told."""
        if self.capture is not None and not self.capture.early:
            self.capture.feed(passed)
        return passed

    def _pass_on(self, data: bytes) -> bytes:
        try:
            if not data:
                return self.scrubber.feed(self._look(self._came(self.reader.close()), last=True)) + (
                    self.scrubber.close()
                )
            if self.decompress:
                data = self.decompress(data)
            self.exchange.response_bytes += len(data)
            passed = self._came(self.reader.feed(data))
            self._count()
            return self.scrubber.feed(self._look(passed))
        except (RuleViolation, RuleFailed) as error:
            return self._refused(error)
        except Exception as error:
            # mitmproxy would drop this piece and let the rest of the stream pass unread.
            log.error("%s while a stream was read; the stream was ended", type(error).__name__)
            self.exchange.stop = True
            refusal = error if isinstance(error, Refusal) else None
            refusal = refusal or Refusal(
                500, "internal_error", "the gateway failed on this stream and ended it"
            )
            self.exchange.error = refusal.message
            return b"\n\n" + self.exchange.dialect.error_event(refusal, self.exchange.id, self.framing)

    def _came(self, data: bytes) -> bytes:
        """What the provider said; memory is told, where the client gets values back in it."""
        if self.capture is not None and self.capture.early:
            self.capture.feed(data)
        return data

    def _look(self, data: bytes, *, last: bool = False) -> bytes:
        """What the content rules let pass now."""
        if self.guarded is None:
            return data
        passed = self.guarded.feed(data) if data else b""
        if last:
            # What raises here has given nothing of either.
            try:
                passed += self.guarded.close()
            except Exception:
                self.guarded.settled = passed + self.guarded.settled
                raise
        return passed

    def _refused(self, error: RuleViolation | RuleFailed) -> bytes:
        """What was settled before, then an error in the client's dialect: the end."""
        assert self.guard is not None and self.guarded is not None  # noqa: PT018
        self.exchange.stop = True
        refusal = rule_refusal(self.guard, error)
        self.exchange.error = refusal.message
        settled = self.guarded.settled
        event = self.exchange.dialect.error_event(refusal, self.exchange.id, self.framing)
        if self.framing == "json_array" and not (self.passed or settled):
            event = b"[" + event.lstrip(b",")
        return self.scrubber.feed(settled) + self.scrubber.close() + event

    def _count(self) -> None:
        lease = self.exchange.lease
        if lease is None:
            return
        if not lease.bounded:
            lease.count_roughly(self.reader.answer)
            return
        lease.count(self.reader.answer, self.tokens)
        if not self.held:
            # A limit came while it ran.
            self.hold()

    def hold(self) -> None:
        """From here on whole events are passed on: it may have to end, and not in the middle of one."""
        self.held = True
        self.reader.hold()

    def finish(self, refusal: Refusal) -> bytes:
        """What ends the stream at this place: as if its output cap was reached, with the reason in it."""
        self.exchange.stop = True
        self.exchange.error = refusal.message
        try:
            if refusal.status >= 500:
                event = self.exchange.dialect.error_event(refusal, self.exchange.id, self.framing)
                return self._given(
                    self.scrubber.feed(self._look(b"", last=True)) + self.scrubber.close() + event
                )
            end = self.reader.finish(Stop(refusal.code, refusal.message), self._usage())
            return self._given(self.scrubber.feed(self._look(end, last=True)) + self.scrubber.close())
        except (RuleViolation, RuleFailed) as error:
            return self._refused(error)

    def _usage(self) -> Usage:
        """What the client is told of a bill that its provider will not send any more."""
        lease, said = self.exchange.lease, self.reader.answer.usage
        assert lease is not None
        return Usage(
            said.input_tokens if said.input_tokens is not None else lease.input_tokens,
            max(said.output_tokens or 0, lease.counted),
        )

    def abandon(self) -> bytes:
        """What ends the event that was left incomplete, so that another can follow."""
        self.exchange.stop = True
        try:
            held = self._look(b"", last=True)
        except (RuleViolation, RuleFailed):
            held = self.guarded.settled if self.guarded is not None else b""
        return self._given(self.scrubber.feed(held) + b"\n\n")


class Binary:
    """The path of a binary answer's bytes: counted, scrubbed, on to the client. Its length stays."""

    def __init__(self, exchange: Exchange, secret: bytes) -> None:
        self.exchange = exchange
        self.scrubber = StreamScrubber(secret, b"*" * len(secret))

    def __call__(self, data: bytes) -> list[bytes]:
        self.exchange.response_bytes += len(data)
        passed = self.scrubber.feed(data) if data else self.scrubber.close()
        return [passed] if passed else []
