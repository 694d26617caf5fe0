"""The steps of the gateway on a request, one by one, without a network, counters or keys.

Each raises Refusal with the gateway's own words. They are taken in the order in which they stand here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from tokenomics_core.counters.store import Counters
from tokenomics_core.dialects import recognise
from tokenomics_core.exchange import Attempt, Exchange, Ingress
from tokenomics_core.guard.dry_run_findings import Finding, request_findings
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
from tokenomics_core.guard.rulebook import Compiled, Rulebook
from tokenomics_core.guard.rules import RuleFailed
from tokenomics_core.guard.spans import Span, has_token_ids, request_spans
from tokenomics_core.guard.vault import Vault
from tokenomics_core.guard.verdict import REDACTED_ENTRY
from tokenomics_core.json_body import JsonBody
from tokenomics_core.json_reading import lenient, stands_twice, unescaped
from tokenomics_core.json_splice import splice
from tokenomics_core.meter.budget import Budget, Settings
from tokenomics_core.meter.limits import Limits
from tokenomics_core.meter.prices import Prices
from tokenomics_core.meter.session_id import check_strict, find_session, strip_session
from tokenomics_core.meter.tokenizer import Tokenizer
from tokenomics_core.outgoing import outgoing_body
from tokenomics_core.policy import CompiledPolicy
from tokenomics_core.policy.document import step
from tokenomics_core.providers import Catalogue
from tokenomics_core.refusal import Refusal
from tokenomics_core.request_reading import read_request
from tokenomics_core.routing import Aim, Defaults, plan
from tokenomics_core.sensitive_paths import check_path
from tokenomics_core.tokens import TokenRecord


@dataclass(frozen=True, slots=True)
class Request:
    """path: without the query. headers: by lower-case name."""

    method: str
    path: str
    body: bytes
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a gateway has beside its policies. now: UTC, for which prices hold.

    strict: a request has to name its session. session_budget: USD of each session. environ: where a key has
    to be set; None asks only whether a policy names one.
    """

    catalogue: Catalogue
    defaults: Defaults
    prices: Prices
    tokenizer: Tokenizer
    now: datetime
    settings: Settings = field(default_factory=Settings)
    strict: bool = False
    session_budget: Decimal | None = None
    environ: Mapping[str, str] | None = None
    rulebook: Rulebook = field(default_factory=Rulebook)


def begin(policy: CompiledPolicy, request: Request, now: datetime, id: str = "dry-run") -> Exchange:
    return Exchange(
        id=id,
        started=now,
        clock=0.0,
        ingress=Ingress.BASE_URL,
        method=request.method.upper(),
        path=request.path,
        query=request.query,
        dialect=recognise(request.method, request.path, request.headers.keys()),
        token=TokenRecord(hash="dry-run", policy_text="", created_at=now),
        policy=policy,
        request_bytes=len(request.body),
    )


def read(exchange: Exchange, request: Request) -> None:
    """Body, model, and whether a stream is asked for."""
    read_request(exchange, request.body, request.headers.get("content-type", "application/json"))


def route(exchange: Exchange, headers: Mapping[str, str], setting: Setting) -> list[str]:
    """The attempts, and the session. Why fallbacks are left out."""
    policy, dialect = exchange.policy, exchange.dialect
    assert policy is not None
    check_path(exchange.method, exchange.path, policy, known=not dialect.unknown)
    aim = Aim(
        path=exchange.path,
        model=exchange.model,
        modelled=not dialect.unknown,
        host=exchange.host,
        port=exchange.port,
        scheme="http" if exchange.ingress is Ingress.FORWARD else "https",
    )
    fallbacks = policy.resolve_global().retry.fallbacks
    paths = {model: dialect.set_model(exchange.path, None, model) for model in fallbacks}
    left_out: list[str] = []
    exchange.attempts, exchange.retry_on = plan(
        policy, setting.catalogue, setting.defaults, aim, paths, left_out=left_out
    )
    given = policy.policy.session.id
    exchange.session = find_session(headers, exchange.query, exchange.body, given).id
    exchange.query = strip_session(exchange.query)
    problems = {id(each): _key_problem(exchange, each, setting) for each in exchange.attempts[1:]}
    exchange.attempts = [each for each in exchange.attempts if not problems.get(id(each))]
    return list(dict.fromkeys(filter(None, [*left_out, *problems.values()])))


def look(
    exchange: Exchange, request: Request, setting: Setting, findings: list[Finding], left_out: list[str]
) -> bytes:
    """The content rules of every attempt; the body as the first one sends it.

    Adds to findings what the rules of the first attempt find, and to left_out why others are not made.
    """
    raw, kind = request.body, request.headers.get("content-type", "")
    masked = raw
    for rules in {id(each.policy.rules): each.policy.rules for each in exchange.attempts}.values():
        compiled = setting.rulebook.compiled(rules)
        first = exchange.attempts[0].policy.rules is rules
        try:
            body = _inspected(exchange, raw, kind, compiled, findings if first else [], told=first)
        except Refusal as refusal:
            if first or refusal.code != "rule_violation":
                raise
            left_out.append(refusal.message)
            exchange.attempts = [each for each in exchange.attempts if each.policy.rules is not rules]
            continue
        masked = body if first else masked
    if masked != raw and exchange.body is not None:
        exchange.body = JsonBody(masked)
    exchange.inspected = True
    return masked


async def reserve(exchange: Exchange, setting: Setting, counters: Counters) -> None:
    """Prices, budgets and limits, as the counters answer."""
    policy = exchange.attempts[0].policy
    strict = setting.strict if policy.session.strict is None else policy.session.strict
    check_strict(exchange.session, strict)
    await budget_of(setting, counters, exchange.started).reserve(
        exchange,
        Limits(policy).at(
            provider=provider_of(exchange.attempts[0]),
            session=exchange.session,
            now=exchange.started,
            session_budget=setting.session_budget,
        ),
    )


def budget_of(setting: Setting, counters: Counters, now: datetime) -> Budget:
    """A budget whose clock stands still."""
    return Budget(
        counters,
        setting.prices,
        setting.tokenizer,
        setting.settings,
        now=lambda: now,
        clock=lambda: 0.0,
        jitter=lambda: 0.0,
    )


def check_key(exchange: Exchange, setting: Setting) -> None:
    """Whether there is a key to send the request with. Its value is not looked at."""
    if problem := _key_problem(exchange, exchange.attempts[0], setting):
        raise Refusal(500, "key_not_set", problem)


def provider_of(attempt: Attempt) -> str:
    return attempt.provider_name or (attempt.provider.name if attempt.provider else "")


def entry_path(policy: CompiledPolicy, attempt: Attempt) -> str:
    """Where in the policy the provider entry of an attempt stands; ``$`` for the global part."""
    places = [
        step(step("$.providers", name), index)
        for name, entries in policy.policy.providers.items()
        for index in range(len(entries))
    ]
    found = zip(places, policy.entries, strict=True)
    return next((place for place, entry in found if entry is attempt.policy), "$")


def leaving(exchange: Exchange, masked: bytes) -> bytes:
    """The body of the first attempt, as it goes out."""
    body = outgoing_body(exchange, exchange.attempts[0])
    return masked if body is None else body.render()


def _inspected(
    exchange: Exchange,
    raw: bytes,
    content_type: str,
    compiled: Compiled,
    findings: list[Finding],
    *,
    told: bool,
) -> bytes:
    """The body as these rules let it pass. told: what they matched is kept with the exchange."""
    if not compiled.input:
        return raw

    def rules_on(spans: list[Span], value: Any = None, place: str = "") -> Inspected:
        return _rules_on(exchange, compiled, spans, value, findings, told, place)

    def check(places: Iterable[Place]) -> None:
        for place in places:
            check_place(place, rules_on([place.span], place=place.name))

    check(url_places(exchange.path, exchange.query))
    value: Any = None
    if exchange.body is not None:
        value = exchange.body.value
        if compiled.blocking and has_token_ids(value):
            check_inspectable(exchange.policy, "token ids")
        check(name_places(value))
        spans = request_spans(value)
    elif not raw:
        spans = []
    else:
        try:
            value = lenient(raw)
        except ValueError:
            text = readable_text(raw, content_type)
            if not text and compiled.blocking:
                check_inspectable(exchange.policy, "bodies that are no text")
            if (spelt := unescaped(text)) != text:
                check([escaped_place(spelt)])
            spans = [Span((), text, "text")] if text else []
        else:
            if stands_twice(raw):
                raise Refusal(400, "invalid_json", "invalid JSON body: a key stands twice in one object")
            spans = request_spans(value)
    found = rules_on(spans, value)
    if told and found.masked and REDACTED_ENTRY not in exchange.rule_matches:
        exchange.rule_matches.append(REDACTED_ENTRY)
    edits = found.edits(exchange.vault if compiled.restoring else None)
    if not edits:
        return raw
    if exchange.body is not None:
        masked = exchange.body.copy()
        masked.replace(edits)
        return masked.render()
    return splice(raw, edits) if value is not None else edits[(), False].encode()


def _rules_on(
    exchange: Exchange,
    compiled: Compiled,
    spans: Sequence[Span],
    value: Any,
    findings: list[Finding],
    told: bool,
    place: str = "",
) -> Inspected:
    vault = exchange.vault or (Vault() if compiled.restoring else None)
    if compiled.restoring:
        exchange.vault = vault
    try:
        found = inspect(compiled.input, spans, value)
        findings += request_findings(compiled.input, spans, value, vault, found.literal, place)
    except RuleFailed as failed:
        raise rule_failed(compiled.rules, failed) from None
    if told:
        exchange.rule_matches += [hit.entry() for hit in found.hits]
    if found.blocked:
        raise Refusal(403, "rule_violation", found.blocked)
    return found


def _key_problem(exchange: Exchange, attempt: Attempt, setting: Setting) -> str:
    provider, policy = attempt.provider, exchange.policy
    own_login = policy is not None and policy.policy.credentials == "client"
    if own_login or (provider is not None and (provider.auth_scheme == "none" or provider.key_optional)):
        return ""
    given = True if setting.environ is None else setting.environ.get(attempt.key_env, "").strip()
    return "" if attempt.key_env and given else f'base key env "{attempt.key_env}" is not set'
