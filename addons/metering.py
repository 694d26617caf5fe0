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
from addons.guardrails import LARGE, rule_refusal, told
from addons.said import LOGGED
from addons.services import Services, in_thread
from addons.tap import Binary, Tap
from tokenomics_core.exchange import Exchange
from tokenomics_core.guard.answer import AnswerGuard
from tokenomics_core.guard.rules import RuleFailed
from tokenomics_core.guard.violation import RuleViolation
from tokenomics_core.memory import CAPTURED, Capture, restores, unrestored
from tokenomics_core.meter.headers import standing_headers
from tokenomics_core.metrics import server_timing
from tokenomics_core.refusal import Refusal
from tokenomics_core.request_log import BODY_KEPT
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
        flow.metadata[LOGGED] = self.services.request_log.wants_responses
        head = fields_of(response.headers)
        exchange.upstream_headers = {name: head[name][:256] for name in _NAMED_IN_RECORDS & head.keys()}
        kind = head.get("content-type", "").partition(";")[0].strip().lower()
        streamed = response.status_code < 300 and (kind in _STREAMS or exchange.stream)
        if response.status_code == 101:
            pass
        elif streamed:
            self._stream(flow, exchange, response, secret)
        elif response.status_code < 300 and kind and self._is_binary(exchange, kind):
            response.stream = Binary(exchange, secret)
        if response.stream:
            flow.metadata["streams"] = True
            self.services.streams["http"] += 1
            if self.services.config.server.timing:
                elapsed = (exchange.first_byte - exchange.clock) * 1000
                response.headers.add("server-timing", server_timing(exchange.timings, elapsed))
        if flow.request.http_version == "HTTP/1.0":
            # It knows no chunks; the end of the connection ends the body.
            response.headers.pop("transfer-encoding", None)
        exchange.metered = True

    @guarded
    async def response(self, flow: http.HTTPFlow) -> None:
        """A whole answer: usage out of the body, the key out of it too, then the content rules."""
        exchange = exchange_of(flow)
        response = flow.response
        if exchange is not None:
            exchange.attempt_ended = self.services.clock()
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
        good = response.status_code < 400
        differs = restores(guard) if good else not guard.idle
        if differs and (flow.metadata.get(LOGGED) or (good and self.services.writers(exchange))):
            whole = clean
            flow.metadata["unrestored"] = await in_thread(lambda: unrestored(guard, whole))
        if good and not guard.idle:
            try:
                clean = await _inspected(guard, clean, fields_of(response.headers).get("content-type", ""))
            except (RuleViolation, RuleFailed) as error:
                # The provider's bill stands.
                refuse(flow, rule_refusal(guard, error))
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
        if isinstance(tap, Tap):
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
        tap = Tap(exchange, reader, None if guard.idle else guard, StreamScrubber(secret), decompress, tokens)
        kept = exchange.model and self.services.writers(exchange)
        if kept or flow.metadata[LOGGED]:
            most = CAPTURED if kept else BODY_KEPT
            tap.capture = flow.metadata["capture"] = Capture(framing, guard, secret, limit=most)
        flow.metadata["tap"] = tap
        response.stream = tap
        if response.headers.pop("content-length", None) is not None:
            # What is passed on may be shorter than what came.
            response.headers["transfer-encoding"] = "chunked"


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
