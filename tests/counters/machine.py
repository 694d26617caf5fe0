"""Every store against the pure functions: the same answers, no limit passed, nothing left reserved.

A subclass names the store: `make` returns an empty one, not opened yet.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.counters.build import NOW, TOTAL, fixed, hourly, parallel, requests, rolling
from tokenomics_core.counters import state as decide
from tokenomics_core.counters.maintenance import put, reset
from tokenomics_core.counters.question import (
    Claim,
    Extension,
    Limit,
    Question,
    Settlement,
    Watch,
    Window,
)
from tokenomics_core.counters.state import Lease, TokenState
from tokenomics_core.counters.store import Counters

TOKENS = ("one", "two")
MONEY = Limit("usd:total", "usd", limit=5000)
CROSSING = Limit("rate:tokens:sliding:7000", "tokens", Window("sliding", 7000), 100, crossing=True)
WARNED = Limit("session:s:usd:total", "usd", limit=100, refuse=False)

tokens = st.sampled_from(TOKENS)
amounts = st.integers(0, 120)


class CountersMachine(RuleBasedStateMachine):
    make: Callable[..., Counters]
    """A method of each subclass: a store that is empty."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.count = 0
        self.model = {token: TokenState() for token in TOKENS}
        self.settled: list[tuple[str, str]] = []
        self.runner = asyncio.Runner()
        self.store = self.make()
        self.run(self.store.open())

    def run(self, call: Any) -> Any:
        return self.runner.run(call)

    def limits(self) -> tuple[Limit, ...]:
        return (
            TOTAL,
            hourly(self.now),
            rolling(),
            fixed(),
            requests(),
            parallel(),
            MONEY,
            CROSSING,
            WARNED,
        )

    def claim(self, limit: Limit, base: int) -> Claim:
        if limit.unit in ("requests", "parallel"):
            return Claim(limit, 1)
        return Claim(limit, base, 3 if limit.unit == "usd" else 1)

    def over(self, state: TokenState) -> list[str]:
        """Hard limits that are passed."""
        passed = []
        for limit in self.limits():
            counter = state.counters.get(limit.key)
            if counter is None or not limit.refuse or limit.crossing:
                continue
            most = limit.limit if counter.override is None else counter.override
            if most is not None and counter.settled + counter.reserved > most:
                passed.append(limit.key)
        return passed

    def leases(self) -> list[tuple[str, Lease]]:
        return [(token, lease) for token, state in self.model.items() for lease in state.leases.values()]

    @rule(
        token=tokens,
        chosen=st.sets(st.integers(0, 8), min_size=1),
        base=amounts,
        want=amounts,
        need=st.integers(0, 20),
        floor=st.sampled_from((0, 16)),
        lasts=st.sampled_from((1000, 6000, 60_000)),
        watched=st.booleans(),
        times=st.integers(1, 5),
        gap=st.sampled_from((0, 1, 60, 900)),
    )
    def ask(
        self,
        token: str,
        chosen: set[int],
        base: int,
        want: int,
        need: int,
        floor: int,
        lasts: int,
        watched: bool,
        times: int,
        gap: int,
    ) -> None:
        for _ in range(times):
            limits = self.limits()
            self.count += 1
            watch = Watch("session:s", "same", "model", base, 6, 3, 400, 5000, 4000, 3000)
            question = Question(
                f"id{self.count}",
                token,
                self.now,
                self.now + lasts,
                tuple(self.claim(limits[index], base) for index in sorted(chosen)),
                max(want, need),
                need,
                floor,
                ("session:s",) if watched else (),
                watch if watched else None,
                b"intent",
            )
            assert self.run(self.store.ask(question)) == decide.ask(self.model[token], question)
            self.now += gap

    @precondition(lambda self: self.leases())
    @rule(data=st.data(), want=amounts, part=st.integers(0, 100))
    def extend(self, data: st.DataObject, want: int, part: int) -> None:
        token, lease = data.draw(st.sampled_from(self.leases()))
        known = {limit.key: limit for limit in self.limits()}
        claims = tuple(self.claim(known[hold.key], 0) for hold in lease.holds)
        progress = tuple((hold.key, hold.amount * part // 100) for hold in lease.holds)
        expires = self.now + 5000
        extension = Extension(lease.id, token, self.now, expires, claims, want, min(1, want), progress)
        assert self.run(self.store.extend(extension)) == decide.extend(self.model[token], extension)

    @precondition(lambda self: self.leases())
    @rule(data=st.data(), part=st.integers(0, 100))
    def settle(self, data: st.DataObject, part: int) -> None:
        token, lease = data.draw(st.sampled_from(self.leases()))
        known = {limit.key: limit for limit in self.limits()}
        used = tuple((known[hold.key], hold.amount * part // 100) for hold in lease.holds)
        settlement = Settlement(lease.id, token, self.now, used, b"row")
        trial = copy.deepcopy(self.model[token])
        decide.settle(trial, settlement)
        if lease.charged and self.over(trial):
            # Who comes late with more than was charged cannot be refused: the provider bills it.
            settlement = Settlement(lease.id, token, self.now, tuple((limit, 0) for limit, _ in used), b"row")
        expected = decide.settle(self.model[token], settlement)
        assert expected is not None
        assert self.run(self.store.settle(settlement)) == expected
        self.settled.append((token, lease.id))

    @precondition(lambda self: self.settled)
    @rule(data=st.data())
    def settle_again(self, data: st.DataObject) -> None:
        token, id = data.draw(st.sampled_from(self.settled))
        assert self.run(self.store.settle(Settlement(id, token, self.now, ((TOTAL, 50),)))) is None

    @precondition(lambda self: self.leases())
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        token, lease = data.draw(st.sampled_from(self.leases()))
        expires = self.now + 8000
        self.run(self.store.renew({lease.id: token, "gone": token}, expires))
        if not lease.charged:
            lease.expires = max(lease.expires, expires)

    @rule(step=st.sampled_from((1, 40, 700, 3000, 11_000, 90_000, 25 * 3600 * 1000)))
    def wait(self, step: int) -> None:
        self.now += step

    @precondition(lambda self: any(state.counters for state in self.model.values()))
    @rule(
        token=tokens,
        kind=st.sampled_from(("raise", "put", "reset", "thaw")),
        prefix=st.sampled_from(("", "tokens:", "session:")),
        part=st.integers(0, 100),
        index=st.sampled_from((0, 2, 3, 6)),
    )
    def repair(self, token: str, kind: str, prefix: str, part: int, index: int) -> None:
        state, limit = self.model[token], self.limits()[index]
        assert limit.limit is not None
        counter = state.counters.get(limit.key)
        most = limit.limit if counter is None or counter.override is None else counter.override
        if kind == "raise":
            more = most + 2 * part
            self.run(self.store.set_limit(token, limit.key, more, unit=limit.unit, window=limit.window))
            if counter is None:
                counter = decide.Counter(limit.unit, limit.window, since=limit.window.start)
                state.counters[limit.key] = counter
            counter.override = more
        elif kind == "put":
            settled = (most - (counter.reserved if counter else 0)) * part // 100
            put(state, limit.key, settled, limit.unit, limit.window, self.now)
            self.run(
                self.store.put(token, limit.key, settled, unit=limit.unit, window=limit.window, now=self.now)
            )
        elif kind == "reset":
            reset(state, prefix, self.now)
            self.run(self.store.reset(token, prefix=prefix, now=self.now))
        else:
            expected = decide.thaw(state, "session:s")
            assert self.run(self.store.thaw(token, "session:s")) == expected

    def usage(self) -> dict[tuple[str, str], tuple[int, int, int | None]]:
        return {
            (each.token, each.key): (each.used, each.reserved, each.override)
            for each in self.run(self.store.usage(now=self.now))
            if each.used or each.reserved or each.override is not None
        }

    @invariant()
    def no_limit_is_passed(self) -> None:
        usage = self.usage()
        for limit in self.limits():
            for token in TOKENS if limit.refuse and not limit.crossing else ():
                used, reserved, override = usage.get((token, limit.key), (0, 0, None))
                most = limit.limit if override is None else override
                assert most is None or used + reserved <= most, (token, limit.key)

    @invariant()
    def the_store_knows_what_the_model_knows(self) -> None:
        expected = {}
        for token, state in copy.deepcopy(self.model).items():
            decide.expire(state, self.now)
            for key, counter in state.counters.items():
                decide.roll(counter, counter.window, self.now)
                over = counter.window.kind == "calendar" and counter.window.end <= self.now
                used = 0 if over else counter.settled
                if used or counter.reserved or counter.override is not None:
                    expected[token, key] = (used, counter.reserved, counter.override)
        assert self.usage() == expected

    def teardown(self) -> None:
        try:
            for token, lease in self.leases():
                self.run(self.store.settle(Settlement(lease.id, token, self.now, ())))
            assert all(reserved == 0 for _, reserved, _ in self.usage().values())
        finally:
            self.run(self.store.close())
            self.runner.close()
