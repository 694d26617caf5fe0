"""The one question to the counters, and its answers: plain data.

Every amount is a whole number in the unit of its limit: tokens, requests, requests in flight, or billionths
of a US dollar (`NANO`), rounded up. Every time is whole milliseconds since 1970 in UTC. Both stay below
2**53, so that a store that computes in doubles computes exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NANO = 1_000_000_000
"""Units of money in one US dollar."""

HIGHEST = 2**53 - 1
"""No limit and no amount is above it."""

Unit = Literal["tokens", "usd", "requests", "parallel"]


@dataclass(frozen=True, slots=True)
class Window:
    """How long what was counted counts.

    total: for ever. calendar: until `end`, in a period that began at `start`. fixed: for `length`, from the
    first count after the window before. sliding: each count for `length`.
    """

    kind: Literal["total", "calendar", "fixed", "sliding"] = "total"
    length: int = 0
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit as the policy has it at this moment.

    key: names the counter among those of its token; limits of one key look at one counter.
    limit: what may be counted; None counts and refuses nothing. An override in the store wins.
    refuse: False only tells (action ``warn``).
    crossing: admits whoever comes while less than the limit is used, however far they go beyond (the token
        rules of a rate limit). All others are never passed: settled + reserved <= limit.
    """

    key: str
    unit: Unit
    window: Window = Window()
    limit: int | None = None
    name: str = ""
    refuse: bool = True
    crossing: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request takes of one limit: base, and per_token for every token of output that is granted."""

    limit: Limit
    base: int
    per_token: int = 0


@dataclass(frozen=True, slots=True)
class Watch:
    """What is looked at to find a session that ran wild. A threshold of 0 is off.

    cost: what the request is estimated at. fingerprint: of all that makes the answer.
    max_requests: in `window`. max_repeats: of the same request in a row, each within `memory` of the one
    before; 3 refuses the fourth. max_spend: estimated cost in `window`. freeze: for how long.
    """

    session: str
    fingerprint: str
    model: str
    cost: int
    max_requests: int = 100
    max_repeats: int = 3
    max_spend: int = NANO
    window: int = 60_000
    memory: int = 300_000
    freeze: int = 300_000


@dataclass(frozen=True, slots=True)
class Question:
    """May this token make one more request?

    id: of the exchange, and of its lease. expires: when the lease ends unless it is renewed.
    want, need: tokens of output to reserve, at most and at least. floor: where not all of want is to be had
    twice, no more than half of what is free is given, but at least this much of it; 0 gives all.
    gates: keys of freezes that hold it up. record: the intent, kept by the journal until the row is written.
    """

    id: str
    token: str
    now: int
    expires: int
    claims: tuple[Claim, ...]
    want: int = 0
    need: int = 0
    floor: int = 0
    gates: tuple[str, ...] = ()
    watch: Watch | None = None
    record: bytes = b""


@dataclass(frozen=True, slots=True)
class Extension:
    """May this lease have more output? claims: as in its question, with the limits as they are now.

    progress: by key, what is used up to now; where nobody settles it is charged, if it is more than is held.
    """

    id: str
    token: str
    now: int
    expires: int
    claims: tuple[Claim, ...]
    want: int
    need: int = 1
    progress: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a lease. amounts: what was used of each limit; those of requests and parallel are ignored.

    row: kept by the journal until the ledger has it.
    """

    id: str
    token: str
    now: int
    amounts: tuple[tuple[Limit, int], ...]
    row: bytes = b""


@dataclass(frozen=True, slots=True)
class Standing:
    """One limit after an answer. resets_at: when nothing of what is used counts any more; None for never."""

    key: str
    limit: int | None
    used: int
    reserved: int
    resets_at: int | None = None

    @property
    def remaining(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used - self.reserved)


@dataclass(frozen=True, slots=True)
class Granted:
    """tokens: of output, reserved. left: what there would be if nobody had anything reserved; None is no end.

    standings: one for each claim, in order, this request included.
    """

    tokens: int
    left: int | None = None
    standings: tuple[Standing, ...] = ()


@dataclass(frozen=True, slots=True)
class Denied:
    """why: ``limit``, ``frozen``, ``anomaly``, or ``lost`` (the lease of that id is no more).

    limit, used, reserved, asked: of the limit that said no. retry_at: when the same question may fit; None
    for never.
    waiting: it fits as soon as others settle what they reserved.
    message: the reason of a freeze, for the records. told: the same for the client.
    """

    why: Literal["limit", "frozen", "anomaly", "lost"]
    limit: Limit | None = None
    used: int = 0
    reserved: int = 0
    asked: int = 0
    retry_at: int | None = None
    waiting: bool = False
    message: str = ""
    told: str = ""
    standings: tuple[Standing, ...] = ()


@dataclass(frozen=True, slots=True)
class Settled:
    """One counter before and after a settlement, in its window, for who wants to know what was crossed."""

    key: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Used:
    """One counter as it stands, for people. override: the limit set by hand, None for the policy's."""

    token: str
    key: str
    unit: Unit
    window: Window
    used: int
    reserved: int
    override: int | None = None


@dataclass(frozen=True, slots=True)
class Freeze:
    """A gate that is closed. until: None for good."""

    token: str
    key: str
    until: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One request in the history of a watched session, newest last."""

    at: int
    model: str
    cost: int


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What a process left in its journal.

    record: the intent. row: the settlement, when it came to that; then only the ledger may lack it.
    granted: tokens of output that were reserved. reserved, progress: by key.
    """

    id: str
    token: str
    owner: str
    record: bytes
    row: bytes
    granted: int
    reserved: tuple[tuple[str, int], ...] = ()
    progress: tuple[tuple[str, int], ...] = ()


class CountersUnavailable(Exception):
    """The store cannot be asked now. One line and a remedy; never a reason to say that a budget is spent."""
