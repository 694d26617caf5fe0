"""What a store keeps for one token, and what the question does to it: pure, and the same for every store.

A store loads the parts of a `TokenState` that a question touches, calls one of the functions here, and
writes back what changed, all in one transaction. The Lua script of the Redis store does the same in Lua.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tokenomics_core.counters.question import (
    Claim,
    Denied,
    Extension,
    Granted,
    Limit,
    Question,
    Settled,
    Settlement,
    Standing,
    Unit,
    Watch,
    Window,
)

GRAINS = 128
"""A sliding window forgets in steps of this part of it: so many counts of a busy minute are kept apart."""

KEPT = 24 * 3600 * 1000
"""Milliseconds for which a lease that expired is kept, so that who settles it late corrects its charge."""

HISTORY = 100
"""Requests of a watched session that are remembered."""

HISTORY_KEPT = 3600 * 1000
"""Milliseconds for which they are."""


@dataclass(slots=True)
class Bucket:
    """Counts that came within a grain of each other. They leave the window together, with the last one."""

    first: int
    last: int
    amount: int


@dataclass(slots=True)
class Counter:
    """since: the start of the current window; 0 for a fixed one that has not begun.

    settled: counted in the window; of a sliding one, the sum of its buckets.
    """

    unit: Unit
    window: Window
    since: int = 0
    settled: int = 0
    reserved: int = 0
    override: int | None = None
    buckets: list[Bucket] = field(default_factory=list)


@dataclass(slots=True)
class Hold:
    """What a lease holds of one counter. progress: used up, as far as is known; None for unknown."""

    key: str
    unit: Unit
    window: Window
    amount: int
    progress: int | None = None


@dataclass(slots=True)
class Lease:
    """tokens: of output that it holds. charged: when it expired and its holds were counted as used, or 0."""

    id: str
    expires: int
    tokens: int
    holds: list[Hold]
    charged: int = 0


@dataclass(slots=True)
class Gate:
    """until: 0 for good."""

    until: int
    reason: str


@dataclass(slots=True)
class Watched:
    """What is remembered of a session: the last request, how often it came again, and those before."""

    fingerprint: str = ""
    repeats: int = 0
    last: int = 0
    requests: Counter = field(default_factory=lambda: Counter("requests", Window("sliding")))
    spend: Counter = field(default_factory=lambda: Counter("usd", Window("sliding")))
    history: list[tuple[int, str, int]] = field(default_factory=list)


@dataclass(slots=True)
class TokenState:
    """The state of one token, or the part of it that is at hand."""

    counters: dict[str, Counter] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    gates: dict[str, Gate] = field(default_factory=dict)
    watched: dict[str, Watched] = field(default_factory=dict)

    def counter(self, key: str, unit: Unit, window: Window, now: int) -> Counter:
        """The counter of that key, in the window that holds now. Another kind of window begins anew."""
        counter = self.counters.get(key)
        if counter is None:
            counter = self.counters[key] = Counter(unit, window, since=window.start)
        roll(counter, window, now)
        return counter


def roll(counter: Counter, window: Window, now: int) -> None:
    """Brings a counter into the window that holds now."""
    old = counter.window
    if (old.kind, old.length) != (window.kind, window.length):
        counter.since, counter.buckets = window.start, []
        if window.kind != "total":
            counter.settled = 0
    if window.kind == "calendar":
        # A process whose clock is behind does not bring the old period back.
        if window.start <= counter.since and old.kind == "calendar":
            window = old
        else:
            counter.since, counter.settled = window.start, 0
    elif window.kind == "fixed":
        if counter.since and now >= counter.since + window.length:
            counter.since = counter.settled = 0
    elif window.kind == "sliding":
        counter.buckets = [each for each in counter.buckets if each.last > now - window.length]
        counter.settled = sum(each.amount for each in counter.buckets)
    counter.window = window


def add(counter: Counter, now: int, amount: int) -> None:
    """Counts as used."""
    if amount <= 0:
        return
    counter.settled += amount
    if counter.window.kind == "sliding":
        newest = counter.buckets[-1] if counter.buckets else None
        if newest is not None and now - newest.first < counter.window.length // GRAINS:
            newest.last = max(newest.last, now)
            newest.amount += amount
        else:
            counter.buckets.append(Bucket(now, now, amount))
    elif counter.window.kind == "fixed" and not counter.since:
        counter.since = now


def take_back(counter: Counter, at: int, amount: int) -> None:
    """Takes back what was counted at that time, unless it has left the window since."""
    if counter.window.kind == "sliding":
        bucket = next((each for each in counter.buckets if each.last >= at), None)
        if bucket is not None and bucket.first <= at:
            amount = min(amount, bucket.amount)
            bucket.amount -= amount
            counter.settled -= amount
    elif at >= counter.since and (counter.since or counter.window.kind != "fixed"):
        counter.settled = max(0, counter.settled - amount)


def ask(state: TokenState, question: Question) -> Granted | Denied:
    """Grants a lease, or says why not; then nothing is reserved."""
    now = question.now
    expire(state, now)
    if (before := state.leases.get(question.id)) is not None:
        return _again(state, question, before)
    for key in question.gates:
        gate = state.gates.get(key)
        if gate is not None and (not gate.until or gate.until > now):
            return Denied(
                "frozen",
                retry_at=gate.until or None,
                message=gate.reason,
                told=f"Session frozen: {gate.reason}",
            )
        if gate is not None:
            del state.gates[key]
    if question.watch is not None and (found := watch(state, question.watch, now)):
        return found
    fit = _fit(state, question.claims, now, question.want, question.need, question.floor)
    if isinstance(fit, Denied):
        return fit
    tokens, left = fit
    holds: dict[str, Hold] = {}
    for claim in question.claims:
        limit = claim.limit
        if limit.key in holds:
            continue
        counter = state.counters[limit.key]
        amount = claim.base + claim.per_token * tokens
        if limit.unit == "requests":
            add(counter, now, amount)
            amount = 0
        counter.reserved += amount
        holds[limit.key] = Hold(limit.key, limit.unit, counter.window, amount)
    state.leases[question.id] = Lease(question.id, question.expires, tokens, list(holds.values()))
    return Granted(tokens, left, standings(state, question.claims))


def _again(state: TokenState, question: Question, lease: Lease) -> Granted | Denied:
    """The same question once more, after its answer was lost: what it was granted, or that it is over."""
    if lease.charged:
        return Denied("lost")
    left: int | None = None
    for claim in question.claims:
        limit = claim.limit
        counter = state.counter(limit.key, limit.unit, limit.window, question.now)
        most = _limit(limit, counter)
        if most is not None and limit.refuse and not limit.crossing and claim.per_token:
            there = max(0, (most - counter.settled - claim.base) // claim.per_token)
            left = there if left is None else min(left, there)
    return Granted(lease.tokens, left, standings(state, question.claims))


def extend(state: TokenState, extension: Extension) -> Granted | Denied:
    """More output for a lease; the base of its claims was reserved before and is not reserved again."""
    lease = state.leases.get(extension.id)
    if lease is None or lease.charged:
        return Denied("lost")
    expire(state, extension.now, but=extension.id)
    lease.expires = max(lease.expires, extension.expires)
    used = dict(extension.progress)
    for hold in lease.holds:
        if hold.key in used:
            hold.progress = used[hold.key]
    claims = tuple(Claim(claim.limit, 0, claim.per_token) for claim in extension.claims if claim.per_token)
    fit = _fit(state, claims, extension.now, extension.want, extension.need, 0)
    if isinstance(fit, Denied):
        return fit
    tokens, left = fit
    holds = {hold.key: hold for hold in lease.holds}
    seen: set[str] = set()
    for claim in claims:
        if claim.limit.key in seen:
            continue
        seen.add(claim.limit.key)
        counter = state.counters[claim.limit.key]
        amount = claim.per_token * tokens
        counter.reserved += amount
        known = holds.get(claim.limit.key)
        if known is None:
            lease.holds.append(Hold(claim.limit.key, claim.limit.unit, counter.window, amount))
        else:
            known.amount += amount
    lease.tokens += tokens
    return Granted(tokens, left, standings(state, claims))


def settle(state: TokenState, settlement: Settlement) -> tuple[Settled, ...] | None:
    """Gives back what the lease holds and counts what was used. None for a lease that was settled before.

    One that expired gives back what it was charged instead.
    """
    lease = state.leases.pop(settlement.id, None)
    if lease is None:
        return None
    now = settlement.now
    charged: dict[str, int] = {}
    for hold in lease.holds:
        counter = state.counter(hold.key, hold.unit, hold.window, now)
        if lease.charged:
            charged[hold.key] = counter.settled
            take_back(counter, lease.charged, _charge(hold))
        else:
            counter.reserved = max(0, counter.reserved - hold.amount)
    settled: list[Settled] = []
    for limit, amount in settlement.amounts:
        if limit.unit in ("requests", "parallel") or any(each.key == limit.key for each in settled):
            continue
        counter = state.counter(limit.key, limit.unit, limit.window, now)
        before = charged.get(limit.key, counter.settled)
        add(counter, now, amount)
        settled.append(Settled(limit.key, before, counter.settled))
    return tuple(settled)


def expire(state: TokenState, now: int, but: str = "") -> None:
    """Charges what leases hold whose time is over: nobody knows what their provider billed.

    Charged is all they held: what is known of their use may be old, and the bill may not be passed.
    """
    for lease in list(state.leases.values()):
        if lease.charged and lease.expires <= now - KEPT:
            del state.leases[lease.id]
        if lease.charged or lease.expires > now or lease.id == but:
            continue
        lease.charged = now
        for hold in lease.holds:
            counter = state.counter(hold.key, hold.unit, hold.window, now)
            counter.reserved = max(0, counter.reserved - hold.amount)
            add(counter, now, _charge(hold))


def watch(state: TokenState, about: Watch, now: int) -> Denied | None:
    """Notes the request of a session; freezes the session when it runs wild."""
    seen = state.watched.setdefault(about.session, Watched())
    window = Window("sliding", about.window)
    roll(seen.requests, window, now)
    roll(seen.spend, window, now)
    add(seen.requests, now, 1)
    add(seen.spend, now, about.cost)
    again = seen.fingerprint == about.fingerprint and seen.last > now - about.memory
    seen.repeats = seen.repeats + 1 if again else 0
    seen.fingerprint, seen.last = about.fingerprint, now
    kept = [each for each in seen.history if each[0] > now - HISTORY_KEPT]
    seen.history = [*kept, (now, about.model, about.cost)][-HISTORY:]
    requests, spend = seen.requests.settled, seen.spend.settled
    if about.max_requests and requests > about.max_requests:
        reason = f"Exceeded rate limit: {requests} requests/minute"
        told = f"Rate limit exceeded: {requests} requests in 1 minute"
    elif about.max_repeats and seen.repeats >= about.max_repeats:
        reason = f"Loop detected: {seen.repeats + 1} identical consecutive requests"
        told = f"Loop detected: {seen.repeats + 1} identical requests"
    elif about.max_spend and spend > about.max_spend:
        # Four decimals, as TokenGate writes it; rounded up, so that it is above the threshold.
        units = -(-spend // 100_000)
        reason = told = f"High spending velocity: ${units // 10_000}.{units % 10_000:04d}/minute"
    else:
        return None
    # The words say minute; another window is named in seconds.
    if about.window != 60_000:
        seconds = f"{about.window / 1000:g} seconds"
        reason = reason.replace("requests/minute", f"requests in {seconds}").replace(
            "/minute", f" in {seconds}"
        )
        told = told.replace("in 1 minute", f"in {seconds}").replace("/minute", f" in {seconds}")
    state.gates[about.session] = Gate(now + about.freeze, reason)
    # A freeze that ends by itself ends: what led to it does not lead to the next one.
    calm(seen)
    return Denied("anomaly", retry_at=now + about.freeze, message=reason, told=told)


def calm(seen: Watched) -> None:
    """Forgets what could freeze a session; its history stays."""
    seen.fingerprint, seen.repeats = "", 0
    seen.requests.buckets, seen.spend.buckets = [], []
    seen.requests.settled = seen.spend.settled = 0


def thaw(state: TokenState, session: str) -> bool:
    """Opens a gate, and forgets what closed it. False when it was open."""
    if session in state.watched:
        calm(state.watched[session])
    return state.gates.pop(session, None) is not None


def standings(state: TokenState, claims: tuple[Claim, ...]) -> tuple[Standing, ...]:
    return tuple(
        Standing(
            claim.limit.key,
            _limit(claim.limit, counter),
            counter.settled,
            counter.reserved,
            _resets_at(counter),
        )
        for claim in claims
        if (counter := state.counters.get(claim.limit.key)) is not None
    )


def _fit(
    state: TokenState, claims: tuple[Claim, ...], now: int, want: int, need: int, floor: int
) -> tuple[int, int | None] | Denied:
    """Tokens of output that fit into every limit, and how many would without the reservations of others."""
    free: int | None = None
    left: int | None = None
    # All of them first: the answer tells of each, also when one of the first says no.
    for limit in (claim.limit for claim in claims):
        state.counter(limit.key, limit.unit, limit.window, now)
    for claim in claims:
        limit = claim.limit
        counter = state.counters[limit.key]
        most = _limit(limit, counter)
        if most is None or not limit.refuse:
            continue
        used, asked = counter.settled, claim.base + claim.per_token * need
        if limit.crossing:
            if used + counter.reserved >= most:
                return _denied(state, claims, limit, counter, asked, most - 1, now)
            continue
        if used + counter.reserved + asked > most:
            return _denied(state, claims, limit, counter, asked, most - asked, now)
        if claim.per_token:
            room = most - used - claim.base
            here = (room - counter.reserved) // claim.per_token
            free = here if free is None else min(free, here)
            left = room // claim.per_token if left is None else min(left, room // claim.per_token)
    tokens = want
    if free is not None:
        tokens = min(want, free)
        if floor:
            tokens = max(min(want, max(free // 2, floor), free), need)
    return tokens, left


def _denied(
    state: TokenState,
    claims: tuple[Claim, ...],
    limit: Limit,
    counter: Counter,
    asked: int,
    fits: int,
    now: int,
) -> Denied:
    """fits: the most that may be used for the question to fit."""
    return Denied(
        "limit",
        limit,
        counter.settled,
        counter.reserved,
        asked,
        _fits_at(counter, fits, now),
        waiting=counter.settled <= fits,
        standings=standings(state, claims),
    )


def _limit(limit: Limit, counter: Counter) -> int | None:
    return limit.limit if counter.override is None else counter.override


def _charge(hold: Hold) -> int:
    if hold.unit in ("requests", "parallel"):
        return 0
    return max(hold.amount, hold.progress or 0)


def _resets_at(counter: Counter) -> int | None:
    window = counter.window
    if window.kind == "calendar":
        return window.end
    if window.kind == "fixed":
        return counter.since + window.length if counter.since else None
    if window.kind == "sliding" and counter.buckets:
        return counter.buckets[-1].last + window.length
    return None


def _fits_at(counter: Counter, fits: int, now: int) -> int | None:
    """When no more than fits will be used, if nobody uses anything until then."""
    if fits < 0:
        return None
    if counter.settled <= fits:
        return now
    if counter.window.kind != "sliding":
        return _resets_at(counter)
    used = counter.settled
    for bucket in counter.buckets:
        used -= bucket.amount
        if used <= fits:
            return bucket.last + counter.window.length
    return None
