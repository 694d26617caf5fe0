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
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from tokenomics_core.counters import state as decide
from tokenomics_core.counters.batch import (
    Call,
    Removal,
    Renewal,
    Repair,
    Withdrawal,
    Work,
    decided,
    deliver,
    take,
    wanted_by,
)
from tokenomics_core.counters.checkpoint import Checkpointer
from tokenomics_core.counters.database import begin, open_database, open_for_reading, unavailable
from tokenomics_core.counters.journal import (
    Change,
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
from tokenomics_core.counters.state import Counter, Gate, TokenState
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


class SqliteCounters(Counters):
    """path: of the file, made when it is missing. owner: this process's word in the journal.

    busy_timeout: seconds that a call waits while other processes write.
    """

    def __init__(self, path: Path, owner: str, *, busy_timeout: float = 5.0) -> None:
        self.path = path
        self.owner = owner
        self._busy_timeout = busy_timeout
        self._queue: SimpleQueue[Call | None] = SimpleQueue()
        self._again: list[Call] = []
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
            self._post(Withdrawal(question))
            raise
        return answer

    async def extend(self, extension: Extension) -> Granted | Denied:
        answer: Granted | Denied = await self._call(extension)
        return answer

    async def settle(self, settlement: Settlement) -> tuple[Settled, ...] | None:
        settled: tuple[Settled, ...] | None = await self._call(settlement)
        return settled

    async def renew(self, leases: Mapping[str, str], expires: int) -> None:
        await self._call(Renewal(dict(leases), expires))

    async def written(self, ids: Sequence[str]) -> None:
        await self._call(Removal(tuple(ids)))

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

        await self._call(Repair(token, run, Wanted(counters={(token, key)})))

    async def put(self, token: str, key: str, settled: int, *, unit: Unit, window: Window, now: int) -> None:
        wanted = Wanted(counters={(token, key)}, due={token: HIGHEST})
        await self._call(Repair(token, lambda state: put(state, key, settled, unit, window, now), wanted))

    async def reset(self, token: str, *, prefix: str = "", now: int) -> int:
        count: int = await self._call(Repair(token, lambda state: reset(state, prefix, now)))
        return count

    async def forget(self, token: str, *, prefix: str = "") -> int:
        count: int = await self._call(Repair(token, lambda state: forget(state, prefix)))
        return count

    async def freeze(self, freeze: Freeze) -> None:
        def run(state: TokenState) -> None:
            state.gates[freeze.key] = Gate(freeze.until or 0, freeze.reason)

        await self._call(Repair(freeze.token, run, Wanted(gates={(freeze.token, freeze.key)})))

    async def thaw(self, token: str, key: str) -> bool:
        wanted = Wanted(gates={(token, key)}, watched={(token, key)})
        thawed: bool = await self._call(Repair(token, lambda state: decide.thaw(state, key), wanted))
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

    async def _call(self, work: Work) -> Any:
        self._opened()
        if not isinstance(work, Repair):
            call = Call(work, None, None, time.monotonic())
            if self._at_once(call):
                if call.error is not None:
                    raise call.error
                return call.result
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._queue.put(Call(work, loop, future, time.monotonic() + self._busy_timeout))
        return await future

    def _at_once(self, call: Call) -> bool:
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

    def _post(self, work: Work) -> None:
        self._queue.put(Call(work, None, None, time.monotonic() + self._busy_timeout))

    def _opened(self) -> None:
        if self._thread is None:
            raise CountersUnavailable("the counters are not open; open them first")

    # From here on: the thread.

    def _run(self, db: sqlite3.Connection) -> None:
        waiting: list[Call] = []
        more = True
        with closing(db):
            while more or waiting:
                if more:
                    more = self._wait(waiting)
                batch, waiting = take(self._again + waiting)
                self._again = []
                if not batch:
                    continue
                with self._turn:
                    left = self._serve(db, batch)
                waiting = left + waiting
                deliver([call for call in batch if call not in left])
            # The last try; nobody is left who could try later.
            if self._again:
                with self._turn:
                    self._serve(db, self._again)

    def _wait(self, waiting: list[Call]) -> bool:
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

    def _serve(self, db: sqlite3.Connection, batch: list[Call]) -> list[Call]:
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
                if isinstance(call.work, Settlement | Withdrawal):
                    self._again.append(Call(call.work, None, None, now + self._busy_timeout))
            return left
        except Exception as error:
            # One of them cannot be done. Alone, it fails for itself.
            if len(batch) > 1:
                return [call for each in batch for call in self._serve(db, [each])]
            batch[0].error = unavailable(self.path, error) if isinstance(error, sqlite3.Error) else error
            return []

    def _transact(self, db: sqlite3.Connection, batch: list[Call]) -> None:
        begin(db, max(0.0, min(call.until for call in batch) - time.monotonic()))
        try:
            tables = Tables()
            first = batch[0].work
            if isinstance(first, Repair):
                if first.wanted is None:
                    tables.read_token(db, first.token)
                else:
                    tables.read(db, first.wanted)
                batch[0].result = first.run(tables.state(first.token))
                tables.write(db)
            else:
                tables.read(db, wanted_by(batch))
                changes: list[Change] = []
                for call in batch:
                    call.result = decided(tables, call.work, changes)
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
