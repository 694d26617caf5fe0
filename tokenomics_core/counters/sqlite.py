"""Counters in one SQLite file, shared by all processes of a machine.

A call takes about a tenth of a millisecond, less than handing it to a thread and back. So it is done where it
is made, as long as nobody else has the file and the disk is quick. A commit is a write without an fsync.

Otherwise a thread does it. It takes all calls that wait, reads what they touch, decides them one after the
other, writes what changed and commits: many calls, one transaction. It alone waits for neighbours, and for
a disk that takes its time.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from tokenomics_core.counters import state as decide
from tokenomics_core.counters.checkpoint import Checkpointer
from tokenomics_core.counters.database import begin, open_database, open_for_reading, unavailable
from tokenomics_core.counters.journal import (
    Change,
    Ended,
    Extended,
    Opened,
    Written,
    read_unsettled,
    write_changes,
)
from tokenomics_core.counters.maintenance import forget, put, read_usage, reset
from tokenomics_core.counters.question import (
    HIGHEST,
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
from tokenomics_core.counters.state import Counter, Gate, Lease, TokenState
from tokenomics_core.counters.store import Counters
from tokenomics_core.counters.tables import Tables, Wanted

SLOW = 0.001
"""Seconds of one call after which the next ones are left to the thread: then it is the disk's time, or a
neighbour's, and the event loop must not stand still."""

TURN = 0.001
"""Seconds that calls may take together of one turn of the loop. What is more, the thread does at once."""

REST = 0.02
"""Seconds for which calls are left to the thread then; after slow calls twice as long each time, up to
LONGEST_REST, until one was quick again."""

LONGEST_REST = 10.0

_BATCH = 32
"""Calls decided in one go: the loop gets no say meanwhile, which must stay about a millisecond."""


@dataclass(frozen=True, slots=True)
class _Renewal:
    leases: Mapping[str, str]
    expires: int


@dataclass(frozen=True, slots=True)
class _Removal:
    ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Withdrawal:
    """Nobody waits for the answer any more: what was granted is given back."""

    question: Question


@dataclass(frozen=True, slots=True)
class _Repair:
    """For people, and done alone. wanted: what of the token it looks at; None for everything."""

    token: str
    run: Callable[[TokenState], Any]
    wanted: Wanted | None = None


type _Work = Question | Extension | Settlement | _Renewal | _Removal | _Withdrawal | _Repair


@dataclass(slots=True, eq=False)
class _Call:
    """future: None when nobody waits. until: monotonic seconds after which it is given up."""

    work: _Work
    loop: asyncio.AbstractEventLoop | None
    future: asyncio.Future[Any] | None
    until: float
    result: Any = None
    error: Exception | None = None


class SqliteCounters(Counters):
    """path: of the file, made when it is missing. owner: this process's word in the journal.

    busy_timeout: seconds that a call waits while other processes write.
    """

    def __init__(self, path: Path, owner: str, *, busy_timeout: float = 5.0) -> None:
        self.path = path
        self.owner = owner
        self._busy_timeout = busy_timeout
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()
        self._again: list[_Call] = []
        self._thread: threading.Thread | None = None
        self._checkpointer: Checkpointer | None = None
        self._db: sqlite3.Connection | None = None
        self._turn = threading.Lock()
        """Held by whoever uses the connection."""

        self._rest = REST
        self._rests_until = 0.0
        self._spent = 0.0
        """Seconds that calls have taken of this turn of the loop."""

    async def open(self) -> None:
        if self._thread is None:
            db = await asyncio.to_thread(open_database, self.path, busy_timeout=self._busy_timeout)
            self._checkpointer = Checkpointer(self.path)
            self._checkpointer.start()
            self._db = db
            self._thread = threading.Thread(target=self._run, args=(db,), name="counters", daemon=True)
            self._thread.start()

    async def close(self) -> None:
        """What waits is done first."""
        thread, self._thread = self._thread, None
        checkpointer, self._checkpointer = self._checkpointer, None
        if thread is not None and checkpointer is not None:
            self._db = None
            self._queue.put(None)
            await asyncio.to_thread(thread.join)
            await asyncio.to_thread(checkpointer.close)

    async def ask(self, question: Question) -> Granted | Denied:
        try:
            answer: Granted | Denied = await self._call(question)
        except asyncio.CancelledError:
            self._post(_Withdrawal(question))
            raise
        return answer

    async def extend(self, extension: Extension) -> Granted | Denied:
        answer: Granted | Denied = await self._call(extension)
        return answer

    async def settle(self, settlement: Settlement) -> tuple[Settled, ...] | None:
        settled: tuple[Settled, ...] | None = await self._call(settlement)
        return settled

    async def renew(self, leases: Mapping[str, str], expires: int) -> None:
        await self._call(_Renewal(dict(leases), expires))

    async def written(self, ids: Sequence[str]) -> None:
        await self._call(_Removal(tuple(ids)))

    async def unsettled(self, alive: Callable[[str], bool]) -> list[Unsettled]:
        return await self._look(lambda db: read_unsettled(db, self.owner, alive))

    async def usage(self, token: str = "", *, now: int, prefix: str = "") -> list[Used]:
        return await self._look(lambda db: read_usage(db, token, now, prefix))

    async def set_limit(self, token: str, key: str, limit: int | None, *, unit: Unit, window: Window) -> None:
        def run(state: TokenState) -> None:
            counter = state.counters.get(key)
            if counter is None:
                counter = state.counters[key] = Counter(unit, window, since=window.start)
            counter.override = limit

        await self._call(_Repair(token, run, Wanted(counters={(token, key)})))

    async def put(self, token: str, key: str, settled: int, *, unit: Unit, window: Window, now: int) -> None:
        wanted = Wanted(counters={(token, key)}, due={token: HIGHEST})
        await self._call(_Repair(token, lambda state: put(state, key, settled, unit, window, now), wanted))

    async def reset(self, token: str, *, prefix: str = "", now: int) -> int:
        count: int = await self._call(_Repair(token, lambda state: reset(state, prefix, now)))
        return count

    async def forget(self, token: str, *, prefix: str = "") -> int:
        count: int = await self._call(_Repair(token, lambda state: forget(state, prefix)))
        return count

    async def freeze(self, freeze: Freeze) -> None:
        def run(state: TokenState) -> None:
            state.gates[freeze.key] = Gate(freeze.until or 0, freeze.reason)

        await self._call(_Repair(freeze.token, run, Wanted(gates={(freeze.token, freeze.key)})))

    async def thaw(self, token: str, key: str) -> bool:
        wanted = Wanted(gates={(token, key)}, watched={(token, key)})
        thawed: bool = await self._call(_Repair(token, lambda state: decide.thaw(state, key), wanted))
        return thawed

    async def frozen(self, token: str = "", *, now: int) -> list[Freeze]:
        def look(db: sqlite3.Connection) -> list[Freeze]:
            gates = db.execute(
                "SELECT token, key, until, reason FROM gates WHERE (token = ? OR ? = '')"
                " AND (until = 0 OR until > ?) ORDER BY token, key",
                (token, token, now),
            )
            return [Freeze(of, key, until or None, reason) for of, key, until, reason in gates]

        return await self._look(look)

    async def history(self, token: str, session: str, *, now: int) -> list[Seen]:
        def look(db: sqlite3.Connection) -> list[Seen]:
            tables = Tables()
            tables.read(db, Wanted(watched={(token, session)}))
            seen = tables.state(token).watched.get(session)
            oldest = now - decide.HISTORY_KEPT
            return [Seen(*each) for each in seen.history if each[0] > oldest] if seen else []

        return await self._look(look)

    @property
    def backlog(self) -> int:
        return self._queue.qsize() + len(self._again)

    async def _look[T](self, look: Callable[[sqlite3.Connection], T]) -> T:
        """Reads beside the thread, in a snapshot: a long list holds no question up."""

        def run() -> T:
            self._opened()
            try:
                with closing(open_for_reading(self.path, busy_timeout=self._busy_timeout)) as db:
                    db.execute("BEGIN")
                    return look(db)
            except sqlite3.Error as error:
                raise unavailable(self.path, error) from error

        return await asyncio.to_thread(run)

    async def _call(self, work: _Work) -> Any:
        self._opened()
        if not isinstance(work, _Repair):
            call = _Call(work, None, None, time.monotonic())
            if self._at_once(call):
                if call.error is not None:
                    raise call.error
                return call.result
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._queue.put(_Call(work, loop, future, time.monotonic() + self._busy_timeout))
        return await future

    def _at_once(self, call: _Call) -> bool:
        """Does the call here and now; False when it has to be left to the thread."""
        db, began = self._db, time.monotonic()
        if db is None or began < self._rests_until:
            return False
        if self._spent > TURN or not self._turn.acquire(blocking=False):
            self._rests_until = began + REST
            return False
        try:
            if self._again or not self._queue.empty():
                # What came before is done before.
                self._rests_until = began + REST
                return False
            self._transact(db, [call])
        except sqlite3.Error:
            # The thread waits for a neighbour, tries again, and finds the words.
            return False
        except Exception as error:
            call.error = error
        finally:
            self._turn.release()
            self._note(time.monotonic() - began)
        return True

    def _note(self, took: float) -> None:
        if not self._spent:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._spent += took
        if took <= SLOW:
            self._rest = REST
        else:
            self._rests_until = time.monotonic() + self._rest
            self._rest = min(2 * self._rest, LONGEST_REST)

    def _next_turn(self) -> None:
        self._spent = 0.0

    def _post(self, work: _Work) -> None:
        self._queue.put(_Call(work, None, None, time.monotonic() + self._busy_timeout))

    def _opened(self) -> None:
        if self._thread is None:
            raise CountersUnavailable("the counters are not open; open them first")

    # From here on: the thread.

    def _run(self, db: sqlite3.Connection) -> None:
        waiting: list[_Call] = []
        more = True
        with closing(db):
            while more or waiting:
                if more:
                    more = self._wait(waiting)
                batch, waiting = _take(self._again + waiting)
                self._again = []
                if not batch:
                    continue
                with self._turn:
                    left = self._serve(db, batch)
                waiting = left + waiting
                _deliver([call for call in batch if call not in left])
            # The last try; nobody is left who could try later.
            if self._again:
                with self._turn:
                    self._serve(db, self._again)

    def _wait(self, waiting: list[_Call]) -> bool:
        """Adds the calls that came; False when there will be no more."""
        try:
            if not waiting:
                call = self._queue.get(timeout=0.1 if self._again else None)
                if call is None:
                    return False
                waiting.append(call)
            while True:
                call = self._queue.get_nowait()
                if call is None:
                    return False
                waiting.append(call)
        except Empty:
            return True

    def _serve(self, db: sqlite3.Connection, batch: list[_Call]) -> list[_Call]:
        """Does the calls of a batch; returns those that may wait longer for a neighbour."""
        try:
            self._transact(db, batch)
            return []
        except sqlite3.OperationalError as error:
            failure = unavailable(self.path, error)
            now = time.monotonic()
            left = []
            for call in batch:
                if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY and call.until > now:
                    left.append(call)
                    continue
                call.error = failure
                if isinstance(call.work, Settlement | _Withdrawal):
                    self._again.append(_Call(call.work, None, None, now + self._busy_timeout))
            return left
        except Exception as error:
            # One of them cannot be done. Alone, it fails for itself.
            if len(batch) > 1:
                return [call for each in batch for call in self._serve(db, [each])]
            batch[0].error = unavailable(self.path, error) if isinstance(error, sqlite3.Error) else error
            return []

    def _transact(self, db: sqlite3.Connection, batch: list[_Call]) -> None:
        begin(db, max(0.0, min(call.until for call in batch) - time.monotonic()))
        try:
            tables = Tables()
            first = batch[0].work
            if isinstance(first, _Repair):
                if first.wanted is None:
                    tables.read_token(db, first.token)
                else:
                    tables.read(db, first.wanted)
                batch[0].result = first.run(tables.state(first.token))
                tables.write(db)
            else:
                tables.read(db, _wanted(batch))
                changes: list[Change] = []
                for call in batch:
                    call.result = _decide(tables, call.work, changes)
                tables.write(db)
                if changes:
                    write_changes(db, self.owner, changes)
            db.execute("COMMIT")
        except BaseException:
            # SQLite itself has rolled back after some errors, such as a full disk.
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        if self._checkpointer is not None:
            self._checkpointer.commits += 1


def _take(calls: list[_Call]) -> tuple[list[_Call], list[_Call]]:
    """The next batch, and the calls after it. A repair is a batch by itself."""
    for index, call in enumerate(calls[:_BATCH]):
        if isinstance(call.work, _Repair):
            index = index or 1
            return calls[:index], calls[index:]
    return calls[:_BATCH], calls[_BATCH:]


def _wanted(batch: list[_Call]) -> Wanted:
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
            case _Renewal(leases):
                wanted.leases.update(leases)
            case _Withdrawal(question):
                wanted.leases.add(question.id)
            case _:
                pass
    return wanted


def _decide(tables: Tables, work: _Work, changes: list[Change]) -> Any:
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
        case _Renewal():
            for id, token in work.leases.items():
                renewed = tables.state(token).leases.get(id)
                if renewed is not None and not renewed.charged:
                    renewed.expires = max(renewed.expires, work.expires)
        case _Withdrawal(question):
            nothing = Settlement(question.id, question.token, question.now, ())
            decide.settle(tables.state(question.token), nothing)
            changes.append(Written(question.id))
        case _Removal():
            changes.extend(Written(id) for id in work.ids)
    return None


def _reserved(lease: Lease) -> list[tuple[str, int]]:
    return [(hold.key, hold.amount) for hold in lease.holds]


def _deliver(calls: list[_Call]) -> None:
    """Wakes each loop once for all its calls."""
    loops: dict[asyncio.AbstractEventLoop, list[_Call]] = {}
    for call in calls:
        if call.loop is not None:
            loops.setdefault(call.loop, []).append(call)
    for loop, answered in loops.items():
        try:
            loop.call_soon_threadsafe(_answer, answered)
        except RuntimeError:
            # The loop was closed; nobody waits there any more.
            continue


def _answer(calls: list[_Call]) -> None:
    for call in calls:
        if call.future is None or call.future.done():
            continue
        if call.error is not None:
            call.future.set_exception(call.error)
        else:
            call.future.set_result(call.result)
