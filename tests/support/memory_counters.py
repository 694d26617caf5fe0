"""Counters in memory, for tests of what asks them: the pure decisions on a dict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tokenomics_core.counters import state as decide
from tokenomics_core.counters.maintenance import reset
from tokenomics_core.counters.question import (
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
from tokenomics_core.counters.state import Gate, TokenState
from tokenomics_core.counters.store import Counters


class MemoryCounters(Counters):
    """questions, extensions, settlements: what was asked. down: every call fails while it is set."""

    def __init__(self) -> None:
        self.tokens: dict[str, TokenState] = {}
        self.questions: list[Question] = []
        self.extensions: list[Extension] = []
        self.settlements: list[Settlement] = []
        self.journal: dict[str, Unsettled] = {}
        self.down = False

    @property
    def backlog(self) -> int:
        return 0

    def state(self, token: str) -> TokenState:
        if self.down:
            raise CountersUnavailable("the store is down; start it")
        return self.tokens.setdefault(token, TokenState())

    async def ask(self, question: Question) -> Granted | Denied:
        answer = decide.ask(self.state(question.token), question)
        self.questions.append(question)
        if isinstance(answer, Granted):
            lease = self.state(question.token).leases[question.id]
            self.journal[question.id] = Unsettled(
                question.id,
                question.token,
                "gone",
                question.record,
                b"",
                answer.tokens,
                tuple((hold.key, hold.amount) for hold in lease.holds),
            )
        return answer

    async def extend(self, extension: Extension) -> Granted | Denied:
        self.extensions.append(extension)
        return decide.extend(self.state(extension.token), extension)

    async def settle(self, settlement: Settlement) -> tuple[Settled, ...] | None:
        self.settlements.append(settlement)
        return decide.settle(self.state(settlement.token), settlement)

    async def renew(self, leases: Mapping[str, str], expires: int) -> None:
        for id, token in leases.items():
            lease = self.state(token).leases.get(id)
            if lease is not None:
                lease.expires = expires

    async def written(self, ids: Sequence[str]) -> None:
        for id in ids:
            self.journal.pop(id, None)

    async def unsettled(self, alive: Callable[[str], bool]) -> list[Unsettled]:
        return [entry for entry in self.journal.values() if not alive(entry.owner)]

    async def usage(self, token: str = "", *, now: int, prefix: str = "") -> list[Used]:
        return [
            Used(token, key, each.unit, each.window, each.settled, each.reserved, each.override)
            for key, each in self.state(token).counters.items()
            if key.startswith(prefix)
        ]

    async def set_limit(self, token: str, key: str, limit: int | None, *, unit: Unit, window: Window) -> None:
        self.state(token).counter(key, unit, window, 0).override = limit

    async def put(self, token: str, key: str, settled: int, *, unit: Unit, window: Window, now: int) -> None:
        self.state(token).counter(key, unit, window, now).settled = settled

    async def reset(self, token: str, *, prefix: str = "", now: int) -> int:
        return reset(self.state(token), prefix, now)

    async def forget(self, token: str, *, prefix: str = "") -> int:
        return len(self.tokens.pop(token, TokenState()).counters)

    async def freeze(self, freeze: Freeze) -> None:
        self.state(freeze.token).gates[freeze.key] = Gate(freeze.until or 0, freeze.reason)

    async def thaw(self, token: str, key: str) -> bool:
        return decide.thaw(self.state(token), key)

    async def frozen(self, token: str = "", *, now: int) -> list[Freeze]:
        return [Freeze(token, key, gate.until or None, gate.reason) for key, gate in self._gates(token)]

    async def history(self, token: str, session: str, *, now: int) -> list[Seen]:
        return []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def _gates(self, token: str) -> list[tuple[str, Any]]:
        return list(self.state(token).gates.items())
