"""Counters: what every store of counters can do. SQLite keeps them on one machine, Redis for many."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from tokenomics_core.counters.question import (
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


class Counters(ABC):
    """Every method is one transaction and raises CountersUnavailable when the store cannot be asked.

    token: the token's hash. Times are milliseconds, amounts as in `question`.
    """

    # While requests are served.

    @abstractmethod
    async def ask(self, question: Question) -> Granted | Denied: ...

    @abstractmethod
    async def extend(self, extension: Extension) -> Granted | Denied: ...

    @abstractmethod
    async def settle(self, settlement: Settlement) -> tuple[Settled, ...] | None:
        """Ends the lease; the row is on disk before the counters change. None for one settled before.

        A settlement is not lost when the store cannot be asked: it is kept, and tried again until it is done.
        """

    @abstractmethod
    async def renew(self, leases: Mapping[str, str], expires: int) -> None:
        """leases: lease id -> token. Those that are no more are passed over."""

    # The journal of this machine: what makes a crash harmless. `record` of a question opens an entry.

    @abstractmethod
    async def written(self, ids: Sequence[str]) -> None:
        """The ledger has the rows of these exchanges; their entries are not needed any more."""

    @abstractmethod
    async def unsettled(self, alive: Callable[[str], bool]) -> list[Unsettled]:
        """The entries of processes that are gone. alive: of an owner, the word a process gave as its own."""

    # For people, and for repair.

    @abstractmethod
    async def usage(self, token: str = "", *, now: int, prefix: str = "") -> list[Used]:
        """The counters of a token, or of all, whose key begins with prefix; in the window of now."""

    @abstractmethod
    async def set_limit(self, token: str, key: str, limit: int | None, *, unit: Unit, window: Window) -> None:
        """Overrides the policy's limit for one counter, which is made when it is not there; None ends it."""

    @abstractmethod
    async def put(self, token: str, key: str, settled: int, *, unit: Unit, window: Window, now: int) -> None:
        """Sets what was used, as the ledger has it. What is reserved stays reserved."""

    @abstractmethod
    async def reset(self, token: str, *, prefix: str = "", now: int) -> int:
        """Nothing was used; what is reserved and overrides stay. The number of counters that were reset."""

    @abstractmethod
    async def forget(self, token: str, *, prefix: str = "") -> int:
        """Takes counters, overrides and freezes away, for a token or a session that is no more."""

    @abstractmethod
    async def freeze(self, freeze: Freeze) -> None: ...

    @abstractmethod
    async def thaw(self, token: str, key: str) -> bool:
        """Ends a freeze, and forgets what led to it. False when there was none."""

    @abstractmethod
    async def frozen(self, token: str = "", *, now: int) -> list[Freeze]: ...

    @abstractmethod
    async def history(self, token: str, session: str, *, now: int) -> list[Seen]:
        """The last requests of a watched session, the newest last."""

    @property
    @abstractmethod
    def backlog(self) -> int:
        """Calls not begun yet, and settlements that are tried again; told at once."""

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...
