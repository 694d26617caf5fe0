"""Dry run: what would happen to a request under a policy, step by step as the gateway takes them.

Nothing is sent, nothing is counted, and no key is read. Budgets are asked as if nothing of them was used yet.
The same policy and request give the same result: placeholders are numbered by their order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import cast

import orjson

from tokenomics_core.counters import state as decide
from tokenomics_core.counters.question import Denied, Extension, Granted, Question
from tokenomics_core.counters.state import TokenState
from tokenomics_core.counters.store import Counters
from tokenomics_core.exchange import Exchange
from tokenomics_core.guard.answer import AnswerGuard
from tokenomics_core.guard.dry_run_findings import Finding, answer_finding
from tokenomics_core.guard.dry_run_steps import (
    Request,
    Setting,
    begin,
    budget_of,
    check_key,
    leaving,
    look,
    read,
    reserve,
    route,
)
from tokenomics_core.guard.request_places import rule_failed
from tokenomics_core.guard.rules import RuleFailed
from tokenomics_core.guard.spans import answer_spans
from tokenomics_core.guard.violation import RuleViolation
from tokenomics_core.meter import estimate
from tokenomics_core.meter.largest_answer import largest_answer
from tokenomics_core.meter.prices import upper_bound
from tokenomics_core.policy import CompiledPolicy
from tokenomics_core.refusal import Refusal


@dataclass(slots=True)
class Estimated:
    """At most. output_tokens: None where nobody knows; usd and input_usd: None without a price."""

    input_tokens: int
    output_tokens: int | None
    input_usd: Decimal | None
    usd: Decimal | None
    price_id: str


@dataclass(slots=True)
class Answered:
    """What becomes of an answer. body: as the client gets it; None for one that is refused."""

    findings: list[Finding]
    refusal: Refusal | None
    body: bytes | None


@dataclass(slots=True)
class DryRun:
    """refusal: why nothing is sent, in the gateway's words; None for a request that is sent.

    findings: every text in which a rule finds something, also those behind the one that refuses.
    left_out: why a fallback is not tried. body: as it would leave, prompts included; None when refused.
    given: the client's body. masked: the same with its masks.
    """

    exchange: Exchange
    given: bytes = b""
    findings: list[Finding] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    refusal: Refusal | None = None
    masked: bytes | None = None
    body: bytes | None = None
    estimated: Estimated | None = None
    answered: Answered | None = None


async def dry_run(
    policy: CompiledPolicy, request: Request, setting: Setting, answer: bytes | None = None
) -> DryRun:
    """answer: the JSON body of an answer to this request, for the rules on what comes back.

    Raises ValueError for an answer that is no JSON.
    """
    run = DryRun(begin(policy, request, setting.now), request.body)
    exchange = run.exchange
    try:
        read(exchange, request)
        run.left_out = route(exchange, request.headers, setting)
        run.masked = look(exchange, request, setting, run.findings, run.left_out)
        run.estimated = estimated(exchange, setting)
        await reserve(exchange, setting, cast(Counters, _Unused()))
        check_key(exchange, setting)
        run.body = leaving(exchange, run.masked)
    except Refusal as refusal:
        run.refusal = refusal
    if answer is not None and exchange.attempts:
        run.answered = look_at_answer(exchange, setting, answer)
    return run


def look_at_answer(exchange: Exchange, setting: Setting, raw: bytes) -> Answered:
    """The content rules on a whole JSON answer. Raises ValueError for what is no JSON."""
    compiled = setting.rulebook.compiled(exchange.attempts[0].policy.rules)
    vault = exchange.vault
    findings = [
        finding
        for span in answer_spans(orjson.loads(raw))
        if (finding := answer_finding(compiled.output, span, vault)) is not None
    ]
    guard = AnswerGuard(compiled.output, vault, lambda hit: None)
    try:
        return Answered(findings, None, raw if guard.idle else guard.body(raw))
    except RuleViolation as violation:
        return Answered(findings, Refusal(403, "rule_violation", violation.message), None)
    except RuleFailed as failed:
        return Answered(findings, rule_failed(compiled.rules, failed), None)


def estimated(exchange: Exchange, setting: Setting) -> Estimated | None:
    """None for a request in which nothing is billed by tokens."""
    body, attempt = exchange.body, exchange.attempts[0]
    if body is None or exchange.dialect.unknown:
        return None
    tokens = estimate.exact(exchange, setting.tokenizer, attempt.model)
    output = exchange.dialect.output_cap(exchange.path, body, attempt.model)
    longest = largest_answer(attempt.model)
    most = output.asked if output.asked is not None else longest
    if most and longest:
        most = min(most, longest)
    most = None if most is None else most * output.choices
    budget = budget_of(setting, cast(Counters, _Unused()), setting.now)
    price = budget.price(attempt, "", setting.now, assume=attempt.policy.unknown_price == "assume")
    return Estimated(
        tokens,
        most,
        None if price is None else upper_bound(price, tokens, 0),
        None if price is None or most is None else upper_bound(price, tokens, most),
        "" if price is None else price.id,
    )


class _Unused:
    """Counters of a token that has used nothing yet."""

    def __init__(self) -> None:
        self._state = TokenState()

    async def ask(self, question: Question) -> Granted | Denied:
        return decide.ask(self._state, question)

    async def extend(self, extension: Extension) -> Granted | Denied:
        return decide.extend(self._state, extension)
