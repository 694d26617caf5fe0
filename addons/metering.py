"""Metering: reads the provider's answer as it passes, cleans its head, and takes the real key out of it."""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Callable

import orjson
from mitmproxy import http

from addons.answer import exchange_of, fields_of, refuse
from addons.engine import Cut
from addons.guarded import guarded
from addons.guardrails import LARGE, rule_failed, told
from addons.services import Services, in_thread
from tokenomics_core.dialects.base import Stop, StreamReader, Usage
from tokenomics_core.exchange import Exchange
from tokenomics_core.guard.answer import AnswerGuard
from tokenomics_core.guard.rules import RuleFailed
from tokenomics_core.guard.stream import StreamGuard
from tokenomics_core.guard.violation import RuleViolation
from tokenomics_core.memory import Capture, restores, unrestored
from tokenomics_core.meter.headers import standing_headers
from tokenomics_core.metrics import server_timing
from tokenomics_core.refusal import Refusal
from tokenomics_core.scrub import StreamScrubber, scrub

log = logging.getLogger("tokenomics")

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_PASSED_ON = frozenset(
    b"set-cookie set-cookie2 keep-alive proxy-connection proxy-authenticate "
    b"proxy-authentication-info te trailer upgrade alt-svc connection".split()
)
_NAMED_IN_RECORDS = set(
    "x-request-id request-id apim-request-id mistral-correlation-id retry-after "
    "x-ratelimit-remaining-requests x-ratelimit-remaining-tokens x-ratelimit-reset-requests "
    "x-ratelimit-reset-tokens anthropic-ratelimit-requests-remaining "
    "anthropic-ratelimit-tokens-remaining anthropic-ratelimit-tokens-reset".split()
)
_FILES = re.compile(r"(?:audio|image|video|font)/|application/(?:pdf|zip|gzip|x-gzip|x-tar|vnd\.)")
_STREAMS = ("text/event-stream", "application/x-ndjson", "application/stream+json")


class Metering:
    def __init__(self, services: Services) -> None:
        self.services = services

    @guarded
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        response = flow.response
        if exchange is None or response is None or not exchange.sent or exchange.refusal is not None:
            return
        exchange.upstream_status = response.status_code
        exchange.first_byte = self.services.clock()
        secret: bytes = flow.metadata.get("secret", b"")
        kept = _clean_head(response, secret, upgrade=response.status_code == 101)
        own = standing_headers(exchange, self.services.budget.milliseconds())
        kept = [field for field in kept if field[0].lower().decode("latin-1") not in own]
        response.headers = http.Headers(
            [
                *kept,
                (b"x-client-request-id", exchange.id.encode()),
                *((name.encode(), value.encode()) for name, value in own.items()),
            ]
        )
        if self.services.config.server.timing:
            exchange.timings["upstream"] = (exchange.first_byte - exchange.clock) * 1000 - sum(
                exchange.timings.values()
            )
            response.headers.add("server-timing", server_timing(exchange.timings))
        head = fields_of(response.headers)
        exchange.upstream_headers = {name: head[name][:256] for name in _NAMED_IN_RECORDS & head.keys()}
        kind = head.get("content-type", "").partition(";")[0].strip().lower()
        streamed = response.status_code < 300 and (kind in _STREAMS or exchange.stream)
        if response.status_code == 101:
            pass
        elif streamed:
            self._stream(flow, exchange, response, secret)
        elif response.status_code < 300 and kind and self._is_binary(exchange, kind):
            response.stream = _Binary(exchange, secret)
        if flow.request.http_version == "HTTP/1.0":
            # It knows no chunks; the end of the connection ends the body.
            response.headers.pop("transfer-encoding", None)
        exchange.metered = True

    @guarded
    async def response(self, flow: http.HTTPFlow) -> None:
        """A whole answer: usage out of the body, the key out of it too, then the content rules."""
        exchange = exchange_of(flow)
        response = flow.response
        if exchange is None or response is None or not exchange.metered or exchange.refusal is not None:
            return
        raw = response.raw_content
        if not raw or response.stream:
            return
        coding = fields_of(response.headers).get("content-encoding", "identity").lower()
        if coding not in ("identity", ""):
            raw = _decompress(coding)(raw)
            del response.headers["content-encoding"]
        exchange.response_bytes = len(raw)
        clean = scrub(raw, flow.metadata.get("secret", b""))
        _read(exchange, raw)
        guard = self._guard(exchange)
        if restores(guard) and response.status_code < 400 and self.services.writers(exchange):
            whole = clean
            flow.metadata["unrestored"] = await in_thread(lambda: unrestored(guard, whole))
        if response.status_code < 400 and not guard.idle:
            try:
                clean = await _inspected(guard, clean, fields_of(response.headers).get("content-type", ""))
            except (RuleViolation, RuleFailed) as error:
                # The provider's bill stands.
                refuse(flow, _refusal(guard, error))
                return
        if clean is not response.raw_content:
            response.content = clean

    def _is_binary(self, exchange: Exchange, kind: str) -> bool:
        """Whether nobody looks into it. What has no name of its own may be lines of JSON all the same."""
        return not _is_text(kind) and (_FILES.match(kind) is not None or self._guard(exchange).idle)

    def _guard(self, exchange: Exchange) -> AnswerGuard:
        """The content rules for what comes back from the provider that answered."""
        attempt = exchange.attempt
        assert attempt is not None
        rules = attempt.policy.rules
        compiled = self.services.rulebook.ready(rules) or self.services.rulebook.compiled(rules)
        return AnswerGuard(compiled.output, exchange.vault, lambda hit: told(exchange, hit))

    @guarded
    def tokenomics_cut(self, cut: Cut) -> None:
        exchange = exchange_of(cut.flow)
        tap = cut.flow.metadata.get("tap")
        if exchange is None:
            return
        exchange.error = cut.refusal.message
        if isinstance(tap, _Tap):
            framing = exchange.dialect.framing(exchange.path, exchange.query)
            tail = exchange.dialect.error_event(cut.refusal, exchange.id, framing)
            if framing == "json_array" and not tap.passed:
                # It follows nothing yet.
                tail = b"[" + tail.lstrip(b",")
            cut.tail = tap.abandon() + tail

    def _stream(
        self, flow: http.HTTPFlow, exchange: Exchange, response: http.Response, secret: bytes
    ) -> None:
        coding = response.headers.get("content-encoding", "identity").lower()
        decompress = None
        if coding not in ("identity", ""):
            decompress = _decompress(coding)
            del response.headers["content-encoding"]
        framing = exchange.dialect.framing(exchange.path, exchange.query)
        reader = exchange.dialect.stream_reader(framing, hide_usage=exchange.hide_usage)
        reader.usage_wanted = exchange.body is not None and exchange.dialect.wants_usage(exchange.body)
        exchange.answer = reader.answer
        attempt = exchange.attempt
        tokens = self.services.tokenizer.counter(attempt.model if attempt else exchange.model)
        guard = self._guard(exchange)
        tap = _Tap(
            exchange, reader, None if guard.idle else guard, StreamScrubber(secret), decompress, tokens
        )
        if exchange.model and self.services.writers(exchange):
            tap.capture = flow.metadata["capture"] = Capture(framing, guard, secret)
        flow.metadata["tap"] = tap
        response.stream = tap
        if response.headers.pop("content-length", None) is not None:
            # What is passed on may be shorter than what came.
            response.headers["transfer-encoding"] = "chunked"


class _Tap:
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
        refusal = _refusal(self.guard, error)
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


class _Binary:
    """The path of a binary answer's bytes: counted, scrubbed, on to the client. Its length stays."""

    def __init__(self, exchange: Exchange, secret: bytes) -> None:
        self.exchange = exchange
        self.scrubber = StreamScrubber(secret, b"*" * len(secret))

    def __call__(self, data: bytes) -> list[bytes]:
        self.exchange.response_bytes += len(data)
        passed = self.scrubber.feed(data) if data else self.scrubber.close()
        return [passed] if passed else []


def _clean_head(response: http.Response, secret: bytes, *, upgrade: bool) -> list[tuple[bytes, bytes]]:
    """The header fields that may go to the client: well-formed, about the answer alone, without the key."""
    kept: list[tuple[bytes, bytes]] = []
    named = {word.strip().lower().encode() for word in response.headers.get("connection", "").split(",")}
    for name, value in response.headers.fields:
        lower = name.lower()
        if lower in _NOT_PASSED_ON | named and not (upgrade and lower in (b"upgrade", b"connection")):
            continue
        if _NAME.fullmatch(name) and not _CONTROL.search(value) and scrub(name, secret) == name:
            kept.append((name, scrub(value, secret)))
    response.reason = "".join(letter for letter in response.reason if letter.isprintable())
    return kept


def _read(exchange: Exchange, raw: bytes) -> None:
    """Takes the usage out of a JSON answer."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return
    if isinstance(value, list) and value and isinstance(value[-1], dict):
        value = value[-1]
    if isinstance(value, dict):
        exchange.answer = exchange.dialect.read_answer(value)


async def _inspected(guard: AnswerGuard, raw: bytes, kind: str) -> bytes:
    """A whole answer as the content rules let it pass."""

    def look() -> bytes:
        try:
            return guard.body(raw)
        except orjson.JSONDecodeError:
            pass
        try:
            return guard.lines(raw)
        except orjson.JSONDecodeError:
            pass
        try:
            return guard.text(raw.decode()).encode()
        except UnicodeDecodeError:
            if kind and not _is_text(kind.partition(";")[0].strip().lower()):
                # A file that is no text.
                return raw
            raise RuleViolation("the answer holds text that cannot be read") from None

    return await in_thread(look) if len(raw) > LARGE else look()


def _refusal(guard: AnswerGuard, error: RuleViolation | RuleFailed) -> Refusal:
    if isinstance(error, RuleFailed):
        return rule_failed(guard.compiled.rules, error)
    return Refusal(403, "rule_violation", error.message)


def _is_text(kind: str) -> bool:
    return kind.startswith("text/") or kind.endswith(("json", "xml")) or kind == "application/javascript"


def _decompress(coding: str) -> Callable[[bytes], bytes]:
    """For providers that compress although nobody asked them to. Bounded: a bomb is not unpacked."""
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise Refusal(
            502, "upstream_encoding", "the provider's answer has an encoding that cannot be read here"
        )
    unpacker = zlib.decompressobj(wbits=47 if coding != "deflate" else 15)

    def unpack(data: bytes) -> bytes:
        try:
            unpacked = unpacker.decompress(data, 64 * 1024 * 1024)
        except zlib.error:
            raise Refusal(502, "upstream_encoding", "the provider's answer is not validly encoded") from None
        if unpacker.unconsumed_tail:
            raise Refusal(502, "answer_too_large", "the provider's answer is too large")
        return unpacked

    return unpack
