"""Calls on the counters, many in a batch: what they touch, decided one after the other, answered together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenomics_core.counters import state as decide
from tokenomics_core.counters.journal import Change, Ended, Extended, Opened, Written
from tokenomics_core.counters.question import Extension, Granted, Question, Settlement
from tokenomics_core.counters.state import Lease, TokenState
from tokenomics_core.counters.tables import Tables, Wanted

MOST = 32
"""Calls decided in one go: the loop gets no say meanwhile, which must stay about a millisecond."""


@dataclass(frozen=True, slots=True)
class Renewal:
    leases: Mapping[str, str]
    expires: int


@dataclass(frozen=True, slots=True)
class Removal:
    ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Nobody waits for the answer any more: what was granted is given back."""

    question: Question


@dataclass(frozen=True, slots=True)
class Repair:
    """For people, and done alone. wanted: what of the token it looks at; None for everything."""

    token: str
    run: Callable[[TokenState], Any]
    wanted: Wanted | None = None


type Work = Question | Extension | Settlement | Renewal | Removal | Withdrawal | Repair


@dataclass(slots=True, eq=False)
class Call:
    """future: None when nobody waits. until: monotonic seconds after which it is given up."""

    work: Work
    loop: asyncio.AbstractEventLoop | None
    future: asyncio.Future[Any] | None
    until: float
    result: Any = None
    error: Exception | None = None


def take(calls: list[Call]) -> tuple[list[Call], list[Call]]:
    """The next batch, and the calls after it. A repair is a batch by itself."""
    for index, call in enumerate(calls[:MOST]):
        if isinstance(call.work, Repair):
            index = index or 1
            return calls[:index], calls[index:]
    return calls[:MOST], calls[MOST:]


def wanted_by(batch: list[Call]) -> Wanted:
    wanted = Wanted()
    for call in batch:
        match call.work:
            case Question() as question:
                token = question.token
                wanted.leases.add(question.id)
                wanted.due[token] = max(question.now, wanted.due.get(token, 0))
                wanted.counters.update((token, claim.limit.key) for claim in question.claims)
                wanted.gates.update((token, key) for key in question.gates)
                if question.watch is not None:
                    wanted.watched.add((token, question.watch.session))
                    wanted.gates.add((token, question.watch.session))
            case Extension() as extension:
                wanted.leases.add(extension.id)
                wanted.due[extension.token] = max(extension.now, wanted.due.get(extension.token, 0))
                wanted.counters.update((extension.token, claim.limit.key) for claim in extension.claims)
            case Settlement() as settlement:
                wanted.leases.add(settlement.id)
                wanted.counters.update((settlement.token, limit.key) for limit, _ in settlement.amounts)
            case Renewal(leases):
                wanted.leases.update(leases)
            case Withdrawal(question):
                wanted.leases.add(question.id)
            case _:
                pass
    return wanted


def decided(tables: Tables, work: Work, changes: list[Change]) -> Any:
    """The answer; what the journal must keep of it is added to changes."""
    match work:
        case Question():
            state = tables.state(work.token)
            answer = decide.ask(state, work)
            if isinstance(answer, Granted) and work.record:
                lease = state.leases[work.id]
                changes.append(Opened(work.id, work.token, work.record, lease.tokens, _reserved(lease)))
            return answer
        case Extension():
            state = tables.state(work.token)
            answer = decide.extend(state, work)
            held = state.leases.get(work.id)
            if held is not None and not held.charged:
                changes.append(Extended(work.id, held.tokens, _reserved(held), work.progress))
            return answer
        case Settlement():
            changes.append(Ended(work.id, work.row))
            return decide.settle(tables.state(work.token), work)
        case Renewal():
            for id, token in work.leases.items():
                renewed = tables.state(token).leases.get(id)
                if renewed is not None and not renewed.charged:
                    renewed.expires = max(renewed.expires, work.expires)
        case Withdrawal(question):
            nothing = Settlement(question.id, question.token, question.now, ())
            decide.settle(tables.state(question.token), nothing)
            changes.append(Written(question.id))
        case Removal():
            changes.extend(Written(id) for id in work.ids)
    return None


def _reserved(lease: Lease) -> list[tuple[str, int]]:
    return [(hold.key, hold.amount) for hold in lease.holds]


def deliver(calls: list[Call]) -> None:
    """Wakes each loop once for all its calls."""
    loops: dict[asyncio.AbstractEventLoop, list[Call]] = {}
    for call in calls:
        if call.loop is not None:
            loops.setdefault(call.loop, []).append(call)
    for loop, answered in loops.items():
        try:
            loop.call_soon_threadsafe(_answer, answered)
        except RuntimeError:
            # The loop was closed; nobody waits there any more.
            continue


def _answer(calls: list[Call]) -> None:
    for call in calls:
        if call.future is None or call.future.done():
            continue
        if call.error is not None:
            call.future.set_exception(call.error)
        else:
            call.future.set_result(call.result)
