"""Many clients on one budget: the provider bills no more than the budget, and nearly all of it.

The fake provider bills each token when it sends it, in streams too that nobody reads to their end.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.counters.redis_servers import redis_server
from tests.fake_provider import FakeProvider
from tests.money.books import Counted, Unit, amount, entries, in_redis, in_sqlite
from tests.money.load import POLICY, PRICES, Load, Mix
from tests.support.proxy import Proxy

StartProxy = Callable[..., Proxy]

SLOW = Mix(tokens=(1, 400), delay=0.004)
HARDLY_MORE = 1.25
"""Tokens that are counted for one that was billed, at most, of models whose tokenizer is not published."""


@dataclass(frozen=True)
class Budget:
    """limit: tokens of a token's whole life, or billionths of a US dollar."""

    unit: Unit
    limit: int

    @property
    def policy(self) -> dict[str, Any]:
        if self.unit == "tokens":
            return POLICY | {"max_tokens": self.limit}
        return POLICY | {"budgets": [{"limit": f"{self.limit / 10**9:f}"}]}

    @property
    def key(self) -> str:
        return f"{self.unit}:total"


TOKENS = Budget("tokens", 60_000)
AMPLE = Budget("tokens", 120_000)
"""More than 128 slices: the first streams begin without a cap."""
DOLLARS = Budget("usd", 150_000_000)


def check(
    name: str, load: Load, budget: Budget, provider: FakeProvider, proxies: Sequence[Proxy], counted: Counted
) -> None:
    """What must hold when everybody was refused for good."""
    unit, limit = budget.unit, budget.limit
    book = entries(provider, *proxies)
    billed = sum(entry.billed(unit) for entry in book)
    ledger = sum(entry.counted(unit) for entry in book)
    ended = [entry for entry in book if entry.estimated]
    print(
        f"{name}: {load.seconds:.1f} s, {len(book)} requests, {load.ended} ended in mid-stream, billed"
        f" {billed / limit:.2%} of {limit} {unit}, ledger {ledger / limit:.2%}, answers {dict(load.answers)}"
    )
    assert load.broken == []
    assert billed <= limit
    assert billed >= 0.9 * limit
    # The three books agree; nothing is left reserved.
    assert counted == Counted(ledger, reserved=0, leases=0)
    # What is counted of ended streams is rather too much.
    assert ledger <= 1.01 * limit
    for entry in book:
        if not entry.estimated:
            assert entry.counted(unit) == entry.billed(unit), entry
        else:
            # Counted is what was received, and an input that nobody named: never less than billed.
            model, bill = entry.row["model"], entry.record.bill
            most = amount(unit, model, bill.input_tokens + 10, bill.output_tokens + 8)
            assert entry.billed(unit) <= entry.counted(unit) <= HARDLY_MORE * most + 1, entry
    # One may be ended so late that only its provider's last word is missing.
    assert len(ended) >= load.ended
    # Nobody was refused for good for whom there was room, even at the end.
    for ask, said in load.final:
        assert amount(unit, ask.model, *ask.least) > limit - counted.settled, said


def settings(**budgets: Any) -> dict[str, Any]:
    return {"pricing": PRICES, "budgets": budgets}


def run_one(
    start_proxy: StartProxy, provider: FakeProvider, budget: Budget, mix: Mix, seed: int, **budgets: Any
) -> None:
    proxy = start_proxy(settings(**budgets))
    created = proxy.create_token(budget.policy)
    load = Load(created["token"], [proxy.http_port], mix, seed)
    load.run()
    counted = settled(lambda: in_sqlite(proxy.dir / "counters.db", created["hash"], budget.key))
    check("one proxy", load, budget, provider, [proxy], counted)


def settled(read: Callable[[], Counted]) -> Counted:
    """The counter, once the last lease is settled."""
    return Proxy.wait_for(read, lambda counted: counted.leases == 0)


CASES = [
    pytest.param(TOKENS, Mix(), {}, id="tokens, at full speed"),
    pytest.param(AMPLE, Mix(), {}, id="tokens, streams without a cap"),
    pytest.param(DOLLARS, SLOW, {}, id="dollars, slow streams"),
    pytest.param(Budget("tokens", 30_000), SLOW, {"slice": 32}, id="tokens, slices of 32, slow streams"),
    pytest.param(
        Budget("tokens", 20_000),
        Mix(tokens=(1, 400), delay=0.004, streams=0.8, ignore_cap=True),
        {},
        id="tokens, a provider that ignores caps",
    ),
]


# The others are among the long ones.
@pytest.mark.long
@pytest.mark.parametrize(("budget", "mix", "budgets"), CASES[:3:2])
def test_clients_of_one_proxy(
    start_proxy: StartProxy, fake_provider: FakeProvider, budget: Budget, mix: Mix, budgets: dict[str, Any]
) -> None:
    run_one(start_proxy, fake_provider, budget, mix, 0, **budgets)


def on_one_sqlite(
    make_proxy: StartProxy, provider: FakeProvider, budget: Budget, mix: Mix, seed: int
) -> None:
    first, second = make_proxy(settings()), make_proxy(settings())
    second.dir = first.dir
    with first, second:
        created = first.create_token(budget.policy)
        load = Load(created["token"], [first.http_port, second.http_port], mix, seed)
        load.run()
        counted = settled(lambda: in_sqlite(first.dir / "counters.db", created["hash"], budget.key))
        check("two on one SQLite", load, budget, provider, [first, second], counted)


@pytest.mark.long
def test_clients_of_two_proxies_on_one_sqlite(make_proxy: StartProxy, fake_provider: FakeProvider) -> None:
    on_one_sqlite(make_proxy, fake_provider, AMPLE, Mix(), 0)


def on_one_redis(
    make_proxy: StartProxy, provider: FakeProvider, folder: Path, budget: Budget, mix: Mix, seed: int
) -> None:
    with redis_server(folder / "redis") as server:
        store = {"backend": "redis", "redis": {"addr": f"127.0.0.1:{server.port}"}}
        tokens = {"db_path": str(folder / "tokens.db")}
        config = settings() | {"session": store, "storage": tokens}
        first, second = make_proxy(config), make_proxy(config)
        with first:
            # Two machines that know the same tokens.
            shutil.copytree(first.dir / "keys", second.dir / "keys")
            with second:
                created = first.create_token(budget.policy)
                load = Load(created["token"], [first.http_port, second.http_port], mix, seed)
                load.run()
                read = lambda: in_redis(server, folder, created["hash"], budget.key)  # noqa: E731
                counted = settled(read)
                check("two on one Redis", load, budget, provider, [first, second], counted)


@pytest.mark.long
def test_clients_of_two_proxies_on_one_redis(
    make_proxy: StartProxy, fake_provider: FakeProvider, tmp_path: Path
) -> None:
    on_one_redis(make_proxy, fake_provider, tmp_path, DOLLARS, SLOW, 0)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 9))
@pytest.mark.parametrize(("budget", "mix", "budgets"), CASES)
def test_clients_of_one_proxy_again_and_again(
    start_proxy: StartProxy,
    fake_provider: FakeProvider,
    budget: Budget,
    mix: Mix,
    budgets: dict[str, Any],
    seed: int,
) -> None:
    run_one(start_proxy, fake_provider, budget, mix, seed, **budgets)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 9))
@pytest.mark.parametrize(("budget", "mix"), [(AMPLE, Mix()), (DOLLARS, SLOW)])
def test_clients_of_two_proxies_again_and_again(
    make_proxy: StartProxy,
    fake_provider: FakeProvider,
    tmp_path: Path,
    budget: Budget,
    mix: Mix,
    seed: int,
) -> None:
    on_one_sqlite(make_proxy, fake_provider, budget, mix, seed)
    fake_provider.reset()
    on_one_redis(make_proxy, fake_provider, tmp_path, budget, mix, seed)
