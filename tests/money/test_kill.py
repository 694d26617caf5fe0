"""A gateway that is killed again and again while clients ask: every request gets one row, no budget is lost.

What a row of an exchange that was cut off by the kill may say is bounded. Nobody knows any more what its
provider billed, but it is no more than was reserved (`reserved_tokens`): a JSON answer is reserved to its end
before it is sent, and a stream is held until its next slice is. What came out of the provider's machine and
had not been read when the gateway died is beyond what any gateway could count (`ON_THE_WAY`).
"""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from tests.fake_provider import Bill, FakeProvider, Record
from tests.money.files import Json, counted, entries, leases, read, rows
from tests.money.governed import update
from tests.money.load import POLICY, PRICES, Mix
from tests.money.steady import Steady
from tests.proxy.conftest import StartProxy
from tests.support.proxy import Proxy
from tokenomics_core.meter.lease import nano

SLICE = 32
ON_THE_WAY = 32
"""Tokens of a stream that its provider sent and the gateway had not read at the kill: half a second of it."""

MIX = Mix(tokens=(1, 250), caps=(None, 200, 1000, 64_000), delay=0.015)
DRAIN = Mix(tokens=(1, 60), caps=(None, 200), streams=0.5)
ROOM = 12_000
"""Tokens that are left after the last kill, to be used to the end."""

CONFIG: Json = {"budgets": {"slice": SLICE, "wait": 1.0}, "pricing": PRICES}
CLIENTS = 8

POINTS = {
    "asked": 25,
    "granted": 25,
    "extended": 8,
    "answered": 25,
    "settled": 25,
    "unwritten": 8,
    "written": 8,
    "forgotten": 3,
    "recovering": 3,
}
"""Where the gateway kills itself, and at which passing at the latest. It is killed from outside, too.

``recovering`` is at the start, when some of what the last one left has been settled.
"""

OUTSIDE = ""
PLAN = (
    "granted",
    OUTSIDE,
    "extended",
    "recovering",
    "answered",
    "settled",
    "recovering",
    "written",
    OUTSIDE,
    "asked",
)
FOLDER = Path(__file__).parent / "kill_points"


@dataclass
class Left:
    """What the gateway had left open when it was killed, over all kills: ids by how far they had come."""

    unsent: set[str] = field(default_factory=set)
    sent: set[str] = field(default_factory=set)
    streaming: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)

    def take(self, data: Path, provider: FakeProvider) -> None:
        """Sorts what the journal holds, while no gateway runs."""
        records = {record.header("x-client-request-id"): record for record in provider.records}
        with closing(read(data / "ledger.db")) as ledger:
            written = {id for (id,) in ledger.execute("SELECT id FROM requests")}
        with closing(read(data / "counters.db")) as counters:
            entries = counters.execute("SELECT id, progress, row FROM intents").fetchall()
        for id, progress, row in entries:
            if row is not None:
                (self.written if id in written else self.settled).add(id)
            elif id not in records:
                self.unsent.add(id)
            elif records[id].finished:
                self.ended.add(id)
            else:
                (self.streaming if json.loads(progress) else self.sent).add(id)


@pytest.mark.long
def test_killed_ten_times(make_proxy: StartProxy, fake_provider: FakeProvider, tmp_path: Path) -> None:
    left = killed(PLAN, make_proxy, fake_provider, tmp_path, seed=3)
    # The kills were different ones.
    assert left.unsent
    assert left.sent
    assert left.streaming
    assert left.ended
    assert left.settled
    assert left.written


@pytest.mark.long
def test_killed_a_hundred_times(make_proxy: StartProxy, fake_provider: FakeProvider, tmp_path: Path) -> None:
    chance = random.Random(100)
    plan = [chance.choice((*POINTS, OUTSIDE, OUTSIDE, OUTSIDE)) for _ in range(100)]
    killed(plan, make_proxy, fake_provider, tmp_path, seed=100)


def killed(
    plan: Sequence[str], make_proxy: StartProxy, provider: FakeProvider, folder: Path, seed: int
) -> Left:
    """Kills a gateway under load as planned, starts it again each time, and looks into the books."""
    chance, order, left = random.Random(seed), folder / "order", Left()
    proxy = make_proxy(CONFIG, {"PYTHONPATH": str(FOLDER), "KILL_POINT": str(order)})
    proxy.start()
    try:
        created = proxy.create_token(POLICY | {"max_tokens": 100_000_000})
        proxy.kill()
        with Steady(created["token"], [proxy.http_port], MIX, clients=CLIENTS, seed=seed) as load:
            for point in plan:
                latest = POINTS.get(point, 1)
                if point == "recovering":
                    latest = min(latest, len(entries(proxy)))
                point = point if latest else OUTSIDE
                order.write_text(f"{point} {chance.randint(1, latest or 1)}")
                proxy.launch(proxy.serve_command())
                if point == OUTSIDE:
                    load.wait_answers(CLIENTS)
                    time.sleep(chance.random())
                    proxy.kill()
                else:
                    proxy.wait_for(lambda: proxy.alive, lambda alive: not alive, 60)
                left.take(proxy.dir, provider)
            order.unlink()
            proxy.restart()
        limit = drain(proxy, created, seed)
        check(proxy, provider, created["hash"], limit)
    finally:
        proxy.stop()
    return left


def drain(proxy: Proxy, created: Json, seed: int) -> int:
    """Leaves a little room, has it used up by others, and gives the limit."""
    limit = settled_rows(proxy, created["hash"]) + ROOM
    update(proxy, created["hash"], {"max_tokens": limit})
    with Steady(created["token"], [proxy.http_port], DRAIN, clients=CLIENTS, seed=seed + 1) as load:
        proxy.wait_for(lambda: load.last, lambda last: last > 3 * CLIENTS, 30)
    return limit


def settled_rows(proxy: Proxy, token: str) -> int:
    """The tokens of all rows, once no intent is left."""
    proxy.wait_for(lambda: entries(proxy), lambda found: not found, 10)
    return sum(Amount.of_row(row).tokens for row in rows(proxy, token))


def check(proxy: Proxy, provider: FakeProvider, token: str, limit: int) -> None:
    """The books: what was billed, the rows, the counters, the limit."""
    proxy.wait_for(lambda: entries(proxy) + leases(proxy), lambda found: not found, 10)
    billed: dict[str, list[Record]] = defaultdict(list)
    for record in provider.wait_ended(len(provider.records), timeout=10):
        billed[record.header("x-client-request-id")].append(record)
    written = rows(proxy, token)
    by_id = {row["id"]: row for row in written}
    assert len(by_id) == len(written)
    assert billed.keys() <= by_id.keys()
    bill = ledger = bound = Amount()
    for row in written:
        ours, theirs = Amount.of_row(row), Amount.of_bills(row, billed[row["id"]])
        bill, ledger = bill + theirs, ledger + ours
        if not row["recovered"]:
            assert not row["estimated"]
            assert ours == theirs, row
            continue
        reserved = Amount(row["reserved_tokens"], nano(Decimal(row["reserved_usd"])))
        assert ours == reserved
        most = reserved + Amount.of_output(row, ON_THE_WAY if row["stream"] else 0)
        assert theirs.tokens <= most.tokens, row
        assert theirs.nano <= most.nano, row
        bound += reserved
    assert abs(ledger.tokens - bill.tokens) <= bound.tokens
    assert abs(ledger.nano - bill.nano) <= bound.nano
    assert counted(proxy) == {"tokens:total": (ledger.tokens, 0), "usd:total": (ledger.nano, 0)}
    assert bill.tokens <= ledger.tokens <= limit
    # No room was lost: only what is too little for any request.
    assert ledger.tokens >= limit - 200


@dataclass(frozen=True)
class Amount:
    """nano: billionths of a US dollar."""

    tokens: int = 0
    nano: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.tokens + other.tokens, self.nano + other.nano)

    @classmethod
    def of_row(cls, row: Json) -> Amount:
        return cls(row["input_tokens"] + row["output_tokens"], nano(Decimal(row["cost_usd"] or 0)))

    @classmethod
    def of_bills(cls, row: Json, records: list[Record]) -> Amount:
        bill = sum((record.bill for record in records), Bill())
        given = cls.of_output(row, bill.output_tokens)
        taken = nano(Decimal(str(PRICES[row["model"]]["input"])) * bill.input_tokens / 1_000_000)
        return given + cls(bill.input_tokens, taken)

    @classmethod
    def of_output(cls, row: Json, tokens: int) -> Amount:
        return cls(tokens, nano(Decimal(str(PRICES[row["model"]]["output"])) * tokens / 1_000_000))
