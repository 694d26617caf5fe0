"""Guardrails: the content rules on what goes out. What they mask is masked before anything else is done."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from mitmproxy import http

from addons.answer import HEAD, exchange_of
from addons.guarded import guarded
from addons.services import Services, in_thread
from tokenomics_core.counters import CountersUnavailable
from tokenomics_core.exchange import Exchange
from tokenomics_core.guard.answer import AnswerGuard
from tokenomics_core.guard.inspection import Inspected, inspect
from tokenomics_core.guard.request_places import (
    Place,
    check_inspectable,
    check_place,
    escaped_place,
    name_places,
    readable_text,
    rule_failed,
    url_places,
)
from tokenomics_core.guard.rulebook import Compiled
from tokenomics_core.guard.rules import RuleFailed
from tokenomics_core.guard.spans import Span, has_token_ids, request_spans
from tokenomics_core.guard.vault import Vault
from tokenomics_core.guard.verdict import REDACTED_ENTRY, Hit
from tokenomics_core.guard.violation import RuleViolation
from tokenomics_core.json_body import JsonBody
from tokenomics_core.json_reading import lenient, stands_twice, unescaped
from tokenomics_core.json_splice import Path, splice
from tokenomics_core.meter.budget import UNAVAILABLE
from tokenomics_core.policy.schema import Rule
from tokenomics_core.refusal import Refusal

log = logging.getLogger("tokenomics")

LARGE = 32 * 1024
"""Bytes from which on a request is looked at in a thread: about a millisecond of work."""

MANY = 256
"""Values from which on they are replaced in a thread: about a millisecond of work."""


class Guardrails:
    def __init__(self, services: Services) -> None:
        self.services = services

    @guarded
    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and exchange.upload:
            compiled = await self._rules(exchange.attempts[0].policy.rules)
            if compiled.blocking:
                check_inspectable(exchange.policy, "uploads")
            await self._url(exchange, compiled)
            exchange.inspected = True

    @guarded
    async def request(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is None or exchange.upload:
            return
        if flow.metadata[HEAD].get("upgrade", "").lower() != "websocket":
            given = exchange.body
            # Each step says that it was taken: one that does nothing is no yes.
            looked = [await self._request(flow, exchange, given, rules) for rules in _distinct(exchange)]
            exchange.inspected = all(looked)
        else:
            # Its frames are looked at one by one.
            await self._url(exchange, await self._rules(exchange.attempts[0].policy.rules))
            exchange.inspected = True

    async def inspect(self, exchange: Exchange, rules: tuple[Rule, ...], body: JsonBody) -> JsonBody:
        """The body as these rules want it; itself when it stays as it is. Raises Refusal."""
        compiled = await self._rules(rules)
        if not compiled.input:
            return body
        if compiled.blocking and has_token_ids(body.value):
            check_inspectable(exchange.policy, "token ids")
        await self._names(exchange, compiled, body)
        spans = await self._spans(exchange, body.value)
        found = await self._inspected(exchange, compiled, spans, body.value)
        edits = await self._edits(exchange, compiled, found)
        if len(edits) == 0:
            return body
        masked = body.copy()
        masked.replace(edits)
        return masked

    async def _request(
        self, flow: http.HTTPFlow, exchange: Exchange, given: JsonBody | None, rules: tuple[Rule, ...]
    ) -> bool:
        """The request as attempts with these rules send it. True: it was looked at."""
        compiled = await self._rules(rules)
        if not compiled:
            return True
        first = exchange.attempts[0].policy.rules is rules
        try:
            await self._url(exchange, compiled)
            if given is None:
                return await self._raw(flow, exchange, compiled)
            masked = await self.inspect(exchange, rules, given)
        except Refusal as refusal:
            if first or refusal.code != "rule_violation":
                raise
            log.warning("an attempt was left out: %s", refusal.message)
            exchange.attempts = [each for each in exchange.attempts if each.policy.rules is not rules]
            return True
        if first:
            exchange.body = masked
        else:
            exchange.bodies[id(rules)] = masked
        return masked is not None

    async def _url(self, exchange: Exchange, compiled: Compiled) -> None:
        """What a rule covers has no place in a URL."""
        if not compiled.input:
            return
        try:
            await self._places(exchange, compiled, url_places(exchange.path, exchange.query))
        except Refusal:
            if exchange.attempts[0].policy.rules is compiled.rules:
                # Nothing of it is sent, and nothing of it is written down.
                exchange.path, exchange.model, exchange.attempts = "/[REDACTED]", "", []
            raise

    async def _names(self, exchange: Exchange, compiled: Compiled, body: JsonBody) -> None:
        for place in name_places(body.value):
            try:
                await self._places(exchange, compiled, [place])
            except Refusal:
                if place.name == "model" and exchange.attempts[0].policy.rules is compiled.rules:
                    exchange.model = ""
                raise

    async def _places(self, exchange: Exchange, compiled: Compiled, places: Iterable[Place]) -> None:
        for place in places:
            check_place(place, await self._inspected(exchange, compiled, [place.span], None))

    async def _raw(self, flow: http.HTTPFlow, exchange: Exchange, compiled: Compiled) -> bool:
        """A body that is no JSON object: any JSON, or text."""
        raw = flow.request.raw_content
        if not raw or not compiled.input:
            return True
        try:
            value = lenient(raw)
        except ValueError:
            return await self._text(flow, exchange, compiled, raw)
        if stands_twice(raw):
            raise Refusal(400, "invalid_json", "invalid JSON body: a key stands twice in one object")
        found = await self._inspected(exchange, compiled, await self._spans(exchange, value), value)
        edits = await self._edits(exchange, compiled, found)
        if len(edits) > 0:
            flow.request.raw_content = splice(raw, edits)
        return True

    async def _text(self, flow: http.HTTPFlow, exchange: Exchange, compiled: Compiled, raw: bytes) -> bool:
        text = readable_text(raw, flow.metadata[HEAD].get("content-type", ""))
        if not text:
            if compiled.blocking:
                check_inspectable(exchange.policy, "bodies that are no text")
            return True
        spelt = unescaped(text)
        if spelt != text:
            await self._places(exchange, compiled, [escaped_place(spelt)])
        found = await self._inspected(exchange, compiled, [Span((), text, "text")], None)
        edits = await self._edits(exchange, compiled, found)
        for edited in edits.values():
            flow.request.raw_content = edited.encode()
        return True

    async def _inspected(
        self, exchange: Exchange, compiled: Compiled, spans: list[Span], value: object
    ) -> Inspected:
        """What the rules say of these texts, told and recorded. Raises Refusal."""
        try:
            if sum(len(span.text) for span in spans) > LARGE:
                found = await in_thread(lambda: inspect(compiled.input, spans, value))
            else:
                found = inspect(compiled.input, spans, value)
        except RuleFailed as failed:
            raise _failed(compiled.rules, failed) from None
        for hit in found.hits:
            told(exchange, hit)
        if found.blocked:
            raise Refusal(403, "rule_violation", found.blocked)
        return found

    async def _spans(self, exchange: Exchange, value: object) -> list[Span]:
        if exchange.request_bytes > LARGE:
            return await in_thread(lambda: request_spans(value))
        return request_spans(value)

    async def _edits(
        self, exchange: Exchange, compiled: Compiled, found: Inspected
    ) -> dict[tuple[Path, bool], str]:
        """The new texts. Where the policy has values come back, they stand for placeholders in them."""
        if found.masked and REDACTED_ENTRY not in exchange.rule_matches:
            exchange.rule_matches.append(REDACTED_ENTRY)
            log.info("[rule:mask] content redacted")
        if not compiled.restoring or exchange.token is None:
            return await _new_texts(found, None)
        shared = self.services.shared_vaults
        if shared is None:
            if exchange.vault is None:
                exchange.vault = self.services.vaults.of(exchange.token.hash, exchange.session)
            return await _new_texts(found, exchange.vault)
        try:
            vault = exchange.vault or await shared.load(exchange.token.hash, exchange.session)
            for text in found.literal:
                vault.avoid(text)
            await shared.prepare(vault, found.wanted())
            edits = await _new_texts(found, vault)
            await shared.save(vault)
        except CountersUnavailable as error:
            log.error("placeholders: %s", error)
            raise Refusal(503, "store_unavailable", UNAVAILABLE, retry_after=1) from None
        exchange.vault = vault
        return edits

    async def _rules(self, rules: tuple[Rule, ...]) -> Compiled:
        ready = self.services.rulebook.ready(rules)
        return ready if ready is not None else await in_thread(lambda: self.services.rulebook.compiled(rules))


async def _new_texts(found: Inspected, vault: Vault | None) -> dict[tuple[Path, bool], str]:
    if sum(len(masks) for _, masks in found.masked) > MANY:
        return await in_thread(lambda: found.edits(vault))
    return found.edits(vault)


def told(exchange: Exchange, hit: Hit) -> None:
    """Records a hit, and tells the log. Neither holds what was matched."""
    exchange.rule_matches.append(hit.entry())
    if hit.action == "fail":
        log.warning("[rule:fail] policy violation: %s", hit.message)
    elif hit.action == "warn":
        log.warning("[rule:warn] %s", hit.message)
    else:
        log.info("[rule:%s] %s", hit.action, hit.message)


def _failed(rules: tuple[Rule, ...], failed: RuleFailed) -> Refusal:
    log.error("rule %d could not be checked: %s", failed.rule, failed.reason)
    return rule_failed(rules, failed)


def rule_refusal(guard: AnswerGuard, error: RuleViolation | RuleFailed) -> Refusal:
    """Why an answer does not pass."""
    if isinstance(error, RuleFailed):
        return _failed(guard.compiled.rules, error)
    return Refusal(403, "rule_violation", error.message)


def _distinct(exchange: Exchange) -> list[tuple[Rule, ...]]:
    """The lists of rules of all attempts, each once, the first attempt's first."""
    return list({id(attempt.policy.rules): attempt.policy.rules for attempt in exchange.attempts}.values())
