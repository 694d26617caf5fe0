"""Replay: what would have become of recorded requests under another policy.

Routing, prices, budgets and rate limits are decided by the code that decides them in the gateway, on what the
rows say was used. Content rules can only be run again where somebody recorded the body. What a policy cannot
know from a row (a provider's answer to another model, say) is told as unknown, not guessed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from tokenomics_core.counters import state as decide
from tokenomics_core.counters.question import Denied, Extension, Granted, Question, Settlement
from tokenomics_core.counters.state import TokenState
from tokenomics_core.counters.store import Counters
from tokenomics_core.dialects import frame_reader
from tokenomics_core.dialects.base import Usage
from tokenomics_core.exchange import Attempt, Exchange, Ingress
from tokenomics_core.guard.dry_run_steps import (
    Request,
    Setting,
    begin,
    budget_of,
    check_key,
    leaving,
    look,
    provider_of,
    read,
    reserve,
    route,
)
from tokenomics_core.json_body import InvalidJson, JsonBody
from tokenomics_core.ledger import clean
from tokenomics_core.ledger.database import read_rows
from tokenomics_core.ledger.row import Row
from tokenomics_core.meter.budget import refused
from tokenomics_core.meter.lease import amounts, claims, rate_of
from tokenomics_core.meter.periods import milliseconds
from tokenomics_core.meter.prices import Price, cost
from tokenomics_core.policy import CompiledPolicy
from tokenomics_core.refusal import Refusal

Verdict = Literal["as before", "sent", "cut", "refused", "failed", "unknown"]
"""sent: what was refused would be sent. cut: the answer would end before its end. failed: no model is left of
which the row says that it answered."""

_BY_RULES = frozenset(("rule_violation", "rule_failed", "not_inspected", "prompts_not_supported"))
"""Refusals that depend on what the body says."""

_BY_POLICY = _BY_RULES | frozenset(
    "model_not_allowed host_not_allowed path_not_allowed budget_exceeded rate_limited price_unknown"
    " session_required not_configured upgrade_required key_not_set".split()
)
"""Refusals that another policy may take back."""


BYTES_PER_TOKEN = 4
"""Of a request that nobody counted."""


class RecordedBodies(Protocol):
    """Where the bodies of recorded requests are."""

    def body(self, request_id: str) -> bytes | None:
        """The JSON body of a request by the id of its row; None where it was not recorded."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a request. cost_usd: None where it is not known.

    refusal: our reason as a stable word; message: the same for people.
    """

    verdict: Verdict
    status: int
    refusal: str
    message: str
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """One row, as it was and as it would be.

    body: whether it was recorded. added, gone: what rules say now and did not, and the other way round; rules
    on the answer are among the old ones alone.
    """

    row: Row
    old: Outcome
    new: Outcome
    body: bool
    added: tuple[dict[str, Any], ...] = ()
    gone: tuple[dict[str, Any], ...] = ()

    @property
    def changes(self) -> tuple[str, ...]:
        """Of ``verdict``, ``model``, ``cost`` and ``rules``, what would change."""
        old, new = self.old, self.new
        found = {
            "verdict": new.verdict != "as before" and (new.verdict, new.refusal) != ("refused", old.refusal),
            "model": (new.provider, new.model) != (old.provider, old.model),
            "cost": new.cost_usd != old.cost_usd,
            "rules": bool(self.added or self.gone),
        }
        return tuple(name for name, changed in found.items() if changed)


@dataclass(slots=True)
class Exceeded:
    """A limit of the new policy that recorded requests would have met, and from which one on."""

    token: str
    key: str
    message: str
    first: Row
    requests: int = 0


@dataclass(slots=True)
class Replay:
    """In the order in which the requests began."""

    rows: list[Replayed] = field(default_factory=list)
    exceeded: dict[tuple[str, str], Exceeded] = field(default_factory=dict)


def recorded(path: Path, *, since: datetime | None, token: str = "", limit: int | None = None) -> list[Row]:
    """The requests of a ledger, in the order in which they began; those whose upgrade it was are left out.

    token: a hash or its beginning. limit: the last so many. Raises LedgerError.
    """
    rows = (
        row
        for row in read_rows(path, since=since)
        if row.kind != "upgrade" and row.token_hash.startswith(token)
    )
    return sorted(deque(rows, maxlen=limit), key=lambda row: (row.started_at, row.id))


async def replayed(
    rows: Iterable[Row], policy: CompiledPolicy, setting: Setting, bodies: RecordedBodies
) -> Replay:
    """The rows under the policy, each token by itself, with nothing used at the first row."""
    replay = Replay()
    states: dict[str, TokenState] = {}
    for row in rows:
        counters = _Used(row, states.setdefault(row.token_hash, TokenState()), setting)
        body = bodies.body(row.id)
        one = await _replayed(row, policy, setting, counters, body)
        if counters.denied is not None and counters.denied.limit is not None:
            key = (row.token_hash, counters.denied.limit.key)
            met = replay.exceeded.setdefault(key, Exceeded(*key, one.new.message, row))
            met.requests += 1
        replay.rows.append(one)
    return replay


async def _replayed(
    row: Row, policy: CompiledPolicy, setting: Setting, counters: _Used, body: bytes | None
) -> Replayed:
    old = Outcome(
        "refused" if row.refusal else "as before",
        row.status,
        row.refusal,
        row.error,
        row.provider,
        row.model,
        row.input_tokens,
        row.output_tokens,
        row.cost_usd,
    )
    if row.refusal and row.refusal not in _BY_POLICY:
        # It had no answer, whatever the policy was.
        return Replayed(row, old, replace(old, verdict="as before"), body is not None)
    request = Request(row.method, row.path, body or b"")
    exchange = _exchange(row, policy, request, setting)
    inspected = False
    try:
        inspected = _read(exchange, row, request)
        route(exchange, {}, setting)
        exchange.session = row.session_id
        counters.way = _answering(row, exchange.attempts)
        masked = look(exchange, request, setting, [], []) if inspected else b""
        given, exchange.body = exchange.body, None
        await reserve(exchange, setting, cast(Counters, counters))
        check_key(exchange, setting)
        exchange.body = given
        if inspected:
            leaving(exchange, masked)
    except Refusal as refusal:
        new = _refused(old, counters.told(refusal))
    else:
        new = _outcome(row, old, exchange, setting, counters, inspected)
    counters.settle(new)
    added, gone = _compared(exchange.rule_matches, row.rule_matches) if inspected else ((), ())
    return Replayed(row, old, new, inspected, added, gone)


def _exchange(row: Row, policy: CompiledPolicy, request: Request, setting: Setting) -> Exchange:
    exchange = begin(policy, request, row.started_at, row.id)
    assert exchange.token is not None
    exchange.token = replace(exchange.token, hash=row.token_hash)
    exchange.model, exchange.stream = row.requested_model, row.stream
    if row.kind == "frame":
        exchange.dialect = frame_reader(row.path, "").dialect
    ways = {"tunnel": (Ingress.TUNNEL, 443, "https"), "forward": (Ingress.FORWARD, 80, "http")}
    if row.ingress in ways:
        # Where the client aimed at is where it went, unless the provider's URL is another one.
        ingress, port, scheme = ways[row.ingress]
        if setting.catalogue.by_host(row.upstream_host, port, scheme):
            exchange.ingress, exchange.host, exchange.port = ingress, row.upstream_host, port
    return exchange


def _read(exchange: Exchange, row: Row, request: Request) -> bool:
    """Takes up the recorded body; whether there is one that can be read. Raises Refusal."""
    if not request.body:
        return False
    if row.kind != "frame":
        read(exchange, request)
        return True
    try:
        exchange.body = JsonBody(request.body)
    except InvalidJson:
        return False
    return True


def _refused(old: Outcome, refusal: Refusal) -> Outcome:
    return replace(
        old,
        verdict="refused",
        status=refusal.status,
        refusal=refusal.code,
        message=refusal.message,
        output_tokens=0,
        # What cost nothing, or nobody knows what, did so because it was refused or failed.
        cost_usd=Decimal(0) if old.cost_usd else old.cost_usd,
    )


def _outcome(
    row: Row, old: Outcome, exchange: Exchange, setting: Setting, counters: _Used, inspected: bool
) -> Outcome:
    """Of a request that the policy lets in."""
    if row.refusal:
        unknown = row.refusal in _BY_RULES and not inspected and _may_refuse(row, exchange, setting)
        verdict: Verdict = "unknown" if unknown else "sent"
        first = exchange.attempts[0]
        return replace(
            old,
            verdict=verdict,
            status=0,
            refusal="",
            message="",
            provider=provider_of(first),
            model=first.model,
            cost_usd=None,
        )
    way = counters.way
    if way is None:
        status = next((int(each["status"]) for each in row.attempts if each.get("status")), 502)
        return replace(old, verdict="failed", status=status, output_tokens=0, cost_usd=Decimal(0))
    if not _answered(row) and row.attempts and way.model != row.attempts[0].get("model"):
        return replace(old, verdict="unknown", provider=provider_of(way), model=way.model, cost_usd=None)
    named = way.model or row.model
    new = replace(old, provider=provider_of(way), model=named, output_tokens=counters.output_tokens)
    if new.output_tokens < row.output_tokens:
        new = replace(new, verdict="cut")
    if (new.provider, new.model, new.output_tokens) == (row.provider, row.model, row.output_tokens):
        return new
    return replace(new, cost_usd=_cost(row, counters.price(way), new.output_tokens))


def _may_refuse(row: Row, exchange: Exchange, setting: Setting) -> bool:
    """Whether the rules could still refuse what others refused: the request, or its answer."""
    policy = exchange.attempts[0].policy
    compiled = setting.rulebook.compiled(policy.rules)
    rules = compiled.output if row.upstream_status else compiled.input
    return any(rules.rules[index].action == "fail" for index in rules.active) or bool(policy.prompts)


def _answering(row: Row, attempts: Sequence[Attempt]) -> Attempt | None:
    """The attempt that would have answered: the first whose model did not fail in the row."""
    if not _answered(row):
        return attempts[0]
    failed = {str(each.get("model", "")) for each in row.attempts[:-1]} - {row.model}
    return next((each for each in attempts if clean.name(each.model) not in failed), None)


def _answered(row: Row) -> bool:
    return 0 < row.upstream_status < 400


def _cost(row: Row, price: Price | None, output_tokens: int) -> Decimal | None:
    if price is None:
        return None
    reasoning = None if row.reasoning_tokens is None else min(row.reasoning_tokens, output_tokens)
    usage = Usage(
        row.input_tokens, output_tokens, row.cached_input_tokens, row.cache_creation_tokens, reasoning
    )
    return cost(price, usage).usd


def _compared(
    new: Sequence[dict[str, Any]], old: Sequence[dict[str, Any]]
) -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]:
    """What is among the new ones only, and among the old ones only. New ones are cleaned as rows are."""
    cleaned = [
        {name: clean.name(said, 1024) if isinstance(said, str) else said for name, said in match.items()}
        for match in new
    ]
    added = tuple(match for match in cleaned if match not in old)
    return added, tuple(match for match in old if match not in cleaned)


class _Used:
    """The counters of a row's token, asked for what the row says was used.

    way: the attempt that would answer. denied: the answer, where it was no. output_tokens: of the row's, how
    many were granted. input_tokens: of a request that was refused nobody counted them; they are estimated by
    its size, and a token of output is wanted at least.
    """

    def __init__(self, row: Row, state: TokenState, setting: Setting) -> None:
        self.row = row
        self.denied: Denied | None = None
        self.output_tokens = row.output_tokens
        self.way: Attempt | None = None
        uncounted = bool(row.refusal and row.requested_model) and not row.upstream_status
        self.least = 1 if uncounted else 0
        self.input_tokens = row.input_tokens
        if uncounted and not row.input_tokens:
            self.input_tokens = -(-row.request_bytes // BYTES_PER_TOKEN)
        self._state = state
        self._budget = budget_of(setting, cast(Counters, self), row.started_at)
        self._question: Question | None = None

    def price(self, attempt: Attempt) -> Price | None:
        assume = attempt.policy.unknown_price == "assume"
        return self._budget.price(attempt, "", self.row.started_at, assume=assume)

    async def ask(self, question: Question) -> Granted | Denied:
        row = self.row
        limits = tuple(claim.limit for claim in question.claims if claim.limit.unit != "parallel")
        price = self.price(self.way) if self.way is not None else None
        asked = replace(
            question,
            claims=claims(limits, self.input_tokens, rate_of([price], self.input_tokens), 1),
            want=max(row.output_tokens, self.least),
            need=min(1, max(row.output_tokens, self.least)),
            floor=0,
            watch=None,
        )
        answer = decide.ask(self._state, asked)
        if isinstance(answer, Denied):
            self.denied = answer
            return answer
        self.denied = None
        self._question = asked
        self.output_tokens = min(answer.tokens, row.output_tokens)
        # The claims are the question's own, one for each limit.
        return replace(answer, standings=())

    async def extend(self, extension: Extension) -> Granted | Denied:
        return Granted(0)

    def told(self, refusal: Refusal) -> Refusal:
        """The refusal; of a limit, with what the row says was asked for."""
        denied = self.denied
        if denied is None or denied.limit is None:
            return refusal
        if denied.limit.unit == "tokens":
            denied = replace(denied, asked=self.input_tokens)
        return refused(denied, milliseconds(self.row.started_at))

    def settle(self, new: Outcome) -> None:
        """Counts what the request would have used."""
        question = self._question
        if question is None:
            return
        used = 0 if new.verdict in ("refused", "failed") else new.input_tokens + new.output_tokens
        settlement = Settlement(
            question.id,
            question.token,
            milliseconds(self.row.started_at),
            amounts(tuple(claim.limit for claim in question.claims), used, new.cost_usd),
        )
        decide.settle(self._state, settlement)
