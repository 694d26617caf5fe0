"""Counters in Redis, for many machines on one budget. The journal stays on this machine.

A question is asked of Redis first; what it granted is in the journal before the answer is given. A settlement
is in the journal first. Whatever Redis may have missed is sent again in the background until it answered:
settlements, and the withdrawal of questions whose answer nobody got.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

from tokenomics_core.config.schema import Redis as Settings
from tokenomics_core.counters.journal import Ended, Extended, Journal, Opened, Written
from tokenomics_core.counters.journal_queue import JournalQueue
from tokenomics_core.counters.question import (
    Claim,
    CountersUnavailable,
    Denied,
    Extension,
    Freeze,
    Granted,
    Question,
    Seen,
    Settled,
    Settlement,
    Unit,
    Unsettled,
    Used,
    Window,
)
from tokenomics_core.counters.redis_answers import read_answer
from tokenomics_core.counters.redis_client import RedisClient
from tokenomics_core.counters.sqlite import SqliteCounters
from tokenomics_core.counters.store import Counters

log = logging.getLogger("tokenomics")

_BATCH = 256
"""Of what waits, so much is sent at once."""

_WITHDRAWN = 10_000
"""Questions without an answer that are remembered."""


class RedisCounters(Counters):
    """journal: of this machine, not open yet. local: counts here while Redis does not answer.

    on_error: what then happens. ``refuse``: every call raises CountersUnavailable. ``local``: local is asked,
    and a lease is settled where it was granted; all else raises. pause: seconds between two tries to reach
    Redis.
    """

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        *,
        on_error: Literal["refuse", "local"],
        local: SqliteCounters,
        pause: float = 1.0,
    ) -> None:
        self._client = RedisClient(settings)
        self._journal = journal
        self._queue = JournalQueue(journal)
        self._local = local if on_error == "local" else None
        self._pause = pause
        self._down = False
        # Ids of leases that local granted, or extended.
        self._granted_here: set[str] = set()
        self._extended_here: set[str] = set()
        # What Redis has to be told yet, by id.
        self._kept: dict[str, Settlement] = {}
        self._withdrawn: dict[str, str] = {}
        self._now = 0
        # Ids whose entries can go when their settlement arrived.
        self._written: set[str] = set()
        self._mending: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Opens the journal. A Redis that does not answer is tried again in the background."""
        await asyncio.to_thread(self._journal.open)
        if self._local is not None:
            await self._local.open()
        try:
            await self._client.ping()
        except CountersUnavailable as error:
            self._lost(error)

    async def close(self) -> None:
        """Sends once more what waits. What is left then is settled by whoever recovers the journal."""
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.gather(self._mending, return_exceptions=True)
        while not self._down and (self._kept or self._withdrawn) and await self._send_waiting():
            pass
        await self._queue.drain()
        await self._client.close()
        if self._local is not None:
            await self._local.close()
        await asyncio.to_thread(self._journal.close)

    async def caught_up(self) -> None:
        """Returns when Redis answers, and has been told all that it missed."""
        if self._mending is not None:
            await asyncio.wait([self._mending])

    async def ask(self, question: Question) -> Granted | Denied:
        """An id whose question ended in an exception cannot be asked again: it is ``lost``."""
        self._now = max(self._now, question.now)
        if self._down and self._local is not None:
            return await self._ask_here(question)
        try:
            answer = read_answer(await self._run(question.token, "ask", question), question.claims)
        except CountersUnavailable:
            self._withdraw(question)
            if self._local is None:
                raise
            return await self._ask_here(question)
        except BaseException:
            self._withdraw(question)
            raise
        if isinstance(answer, Granted) and question.record:
            reserved = _reserved(question.claims, answer.tokens)
            try:
                await self._queue.write(
                    Opened(question.id, question.token, question.record, answer.tokens, reserved)
                )
            except BaseException:
                self._withdraw(question)
                self._queue.post(Written(question.id))
                raise
        return answer

    async def extend(self, extension: Extension) -> Granted | Denied:
        if self._local is not None and (self._down or extension.id in self._granted_here):
            return await self._extend_here(self._local, extension)
        try:
            answer, *held = await self._run(extension.token, "extend", extension)
        except CountersUnavailable:
            if self._local is None:
                raise
            return await self._extend_here(self._local, extension)
        if held:
            granted, reserved = held
            await self._queue.write(
                Extended(
                    extension.id, granted, [(key, amount) for key, amount in reserved], extension.progress
                )
            )
        return read_answer(answer, extension.claims)

    async def settle(self, settlement: Settlement) -> tuple[Settled, ...] | None:
        id = settlement.id
        if self._local is not None and id in self._granted_here:
            settled = await self._local.settle(settlement)
            self._granted_here.discard(id)
            return settled
        try:
            await self._note(settlement)
            if self._local is not None and id in self._extended_here:
                await self._local.settle(settlement)
                self._extended_here.discard(id)
            if self._down:
                raise CountersUnavailable(
                    f"redis at {self._client.address} does not answer; the settlement is kept until it does"
                )
            return await self._settle_there(settlement)
        except BaseException:
            # Also when nobody waits any more: Redis may not have heard of it.
            self._kept[id] = settlement
            self._mend()
            raise

    async def renew(self, leases: Mapping[str, str], expires: int) -> None:
        by_token: defaultdict[str, list[str]] = defaultdict(list)
        here: dict[str, str] = {}
        for id, token in leases.items():
            if id in self._granted_here or id in self._extended_here:
                here[id] = token
            if id not in self._granted_here:
                by_token[token].append(id)
        if self._local is not None and here:
            await self._local.renew(here, expires)
        renewals = (
            self._run(token, "renew", {"ids": ids, "expires": expires}) for token, ids in by_token.items()
        )
        for result in await asyncio.gather(*renewals, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def written(self, ids: Sequence[str]) -> None:
        # An entry stays as long as its settlement is not in Redis: after a crash it is all that tells of it.
        waiting = [id for id in ids if id in self._kept]
        self._written.update(waiting)
        await self._queue.write(*(Written(id) for id in ids if id not in self._kept))

    async def unsettled(self, alive: Callable[[str], bool]) -> list[Unsettled]:
        return await asyncio.to_thread(self._journal.unsettled, alive)

    async def usage(self, token: str = "", *, now: int, prefix: str = "") -> list[Used]:
        used: list[Used] = []
        for each in [token] if token else await self._client.tokens():
            found: dict[str, Used] = {}
            cursor = ""
            while cursor != "0":
                about = {"now": now, "prefix": prefix, "cursor": cursor or "0"}
                cursor, page = await self._run(each, "usage", about)
                for key, unit, kind, length, start, end, settled, reserved, override in page:
                    window = Window(kind, length, start, end)
                    found[key] = Used(each, key, unit, window, settled, reserved, override)
            used.extend(found[key] for key in sorted(found))
        return used

    async def set_limit(self, token: str, key: str, limit: int | None, *, unit: Unit, window: Window) -> None:
        await self._run(token, "set_limit", {"key": key, "limit": limit, "unit": unit, "window": window})

    async def put(self, token: str, key: str, settled: int, *, unit: Unit, window: Window, now: int) -> None:
        about = {"key": key, "settled": settled, "unit": unit, "window": window, "now": now}
        await self._run(token, "put", about)

    async def reset(self, token: str, *, prefix: str = "", now: int) -> int:
        count: int = await self._run(token, "reset", {"prefix": prefix, "now": now})
        return count

    async def forget(self, token: str, *, prefix: str = "") -> int:
        count: int = await self._run(token, "forget", {"prefix": prefix})
        return count

    async def freeze(self, freeze: Freeze) -> None:
        await self._run(freeze.token, "freeze", freeze)

    async def thaw(self, token: str, key: str) -> bool:
        return bool(await self._run(token, "thaw", {"key": key}))

    async def frozen(self, token: str = "", *, now: int) -> list[Freeze]:
        frozen: list[Freeze] = []
        for each in [token] if token else await self._client.tokens("gates"):
            gates = await self._run(each, "frozen", {"now": now})
            frozen.extend(Freeze(each, key, until or None, reason) for key, until, reason in sorted(gates))
        return frozen

    async def history(self, token: str, session: str, *, now: int) -> list[Seen]:
        seen = await self._run(token, "history", {"session": session, "now": now})
        return [Seen(at, model, cost) for at, model, cost in seen]

    async def _run(self, token: str, question: str, about: object) -> Any:
        try:
            return await self._client.run(token, question, about)
        except CountersUnavailable as error:
            self._lost(error)
            raise

    async def _note(self, settlement: Settlement) -> None:
        if settlement.row:
            await self._queue.write(Ended(settlement.id, settlement.row))

    async def _settle_there(self, settlement: Settlement) -> tuple[Settled, ...] | None:
        settled = await self._run(settlement.token, "settle", settlement)
        if settled is not None:
            return tuple(Settled(key, before, after) for key, before, after in settled)
        # A process that is gone may have had the lease from its own machine.
        return None if self._local is None else await self._local.settle(settlement)

    # While Redis does not answer.

    async def _ask_here(self, question: Question) -> Granted | Denied:
        assert self._local is not None
        answer = await self._local.ask(question)
        if isinstance(answer, Granted):
            self._granted_here.add(question.id)
        return answer

    async def _extend_here(self, local: SqliteCounters, extension: Extension) -> Granted | Denied:
        """A lease that Redis granted gets a second one here, for the rest of its output."""
        answer = await local.extend(extension)
        if answer != Denied("lost") or extension.id in self._granted_here:
            return answer
        claims = tuple(
            Claim(claim.limit, 0, claim.per_token) for claim in extension.claims if claim.per_token
        )
        answer = await local.ask(
            Question(
                extension.id,
                extension.token,
                extension.now,
                extension.expires,
                claims,
                extension.want,
                extension.need,
            )
        )
        if isinstance(answer, Granted):
            self._extended_here.add(extension.id)
        return answer

    @property
    def backlog(self) -> int:
        return len(self._kept) + len(self._withdrawn) + self._queue.backlog

    def _lost(self, error: CountersUnavailable) -> None:
        if not self._down:
            self._down = True
            then = "requests are refused" if self._local is None else "this machine counts by itself"
            log.warning("%s; %s until it answers", error, then)
        self._mend()

    def _withdraw(self, question: Question) -> None:
        # While it is away for long, what is asked anew has not even reached it.
        if len(self._withdrawn) < _WITHDRAWN:
            self._withdrawn[question.id] = question.token
        self._mend()

    def _mend(self) -> None:
        if self._mending is None or self._mending.done():
            self._mending = asyncio.create_task(self._try_again())

    async def _try_again(self) -> None:
        while self._down or self._kept or self._withdrawn:
            try:
                await self._client.ping()
                answers = True
            except CountersUnavailable:
                answers = False
            # The other nodes of a cluster may answer.
            if answers or self._client.cluster:
                sent = await self._send_waiting()
                if answers and self._down:
                    self._down = False
                    log.warning("redis at %s answers again", self._client.address)
                if sent:
                    continue
            await asyncio.sleep(self._pause)

    async def _send_waiting(self) -> bool:
        """Sends some of what waits; whether all of that arrived."""
        kept = list(islice(self._kept.values(), _BATCH))
        withdrawn: defaultdict[str, list[str]] = defaultdict(list)
        for id, token in islice(self._withdrawn.items(), _BATCH):
            withdrawn[token].append(id)
        arrived = await asyncio.gather(
            *(self._send_kept(each) for each in kept),
            *(self._send_withdrawn(token, ids) for token, ids in withdrawn.items()),
        )
        return all(arrived)

    async def _send_kept(self, settlement: Settlement) -> bool:
        id = settlement.id
        try:
            await self._note(settlement)
            await self._settle_there(settlement)
        except CountersUnavailable:
            # To the end: of a cluster, the node of the next one may answer.
            self._kept[id] = self._kept.pop(id)
            return False
        del self._kept[id]
        if id in self._written:
            self._written.discard(id)
            self._queue.post(Written(id))
        return True

    async def _send_withdrawn(self, token: str, ids: list[str]) -> bool:
        try:
            await self._run(token, "withdraw", {"ids": ids, "now": self._now})
        except CountersUnavailable:
            for id in ids:
                self._withdrawn[id] = self._withdrawn.pop(id)
            return False
        for id in ids:
            del self._withdrawn[id]
        return True


def _reserved(claims: Sequence[Claim], tokens: int) -> list[tuple[str, int]]:
    """What the script reserved of each counter for a question that was granted."""
    reserved: dict[str, int] = {}
    for claim in claims:
        amount = 0 if claim.limit.unit == "requests" else claim.base + claim.per_token * tokens
        reserved.setdefault(claim.limit.key, amount)
    return list(reserved.items())
