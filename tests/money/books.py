"""Books: what the provider billed, what the ledgers say, and what the counters say, after a load."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from tests.counters.redis_servers import RedisServer, make_store
from tests.fake_provider import FakeProvider, Record
from tests.money.load import PRICES
from tests.support.proxy import Proxy
from tokenomics_core.meter.lease import nano

Row = dict[str, Any]
Unit = Literal["tokens", "usd"]


def amount(unit: Unit, model: str, input_tokens: int, output_tokens: int) -> int:
    """Tokens, or what they cost in billionths of a US dollar."""
    if unit == "tokens":
        return input_tokens + output_tokens
    price = PRICES[model]
    usd = input_tokens * Decimal(str(price["input"])) + output_tokens * Decimal(str(price["output"]))
    return nano(usd / 1_000_000)


@dataclass(frozen=True)
class Entry:
    """One request as its provider saw it, and the row that it left."""

    record: Record
    row: Row

    def billed(self, unit: Unit) -> int:
        bill = self.record.bill
        return amount(unit, self.row["model"], bill.input_tokens, bill.output_tokens)

    def counted(self, unit: Unit) -> int:
        if unit == "usd":
            return nano(Decimal(self.row["cost_usd"]))
        return int(self.row["input_tokens"] + self.row["output_tokens"])

    @property
    def estimated(self) -> bool:
        """Its provider did not come to say what it bills."""
        return bool(self.row["estimated"])


def entries(provider: FakeProvider, *proxies: Proxy) -> list[Entry]:
    """Every request that reached the provider, with its row; AssertionError where one has none or two."""
    records = provider.wait_ended(len(provider.records))
    folders = list({proxy.dir: proxy for proxy in proxies}.values())
    wanted = {record.header("user-agent"): record for record in records}
    assert len(wanted) == len(records)

    def written() -> list[Row]:
        return [row for proxy in folders for row in proxy.rows(0) if row["upstream_status"]]

    rows = Proxy.wait_for(written, lambda rows: len(rows) >= len(wanted))
    by_name = {row["user_agent"]: row for row in rows}
    assert len(by_name) == len(rows)
    assert by_name.keys() == wanted.keys()
    return [Entry(record, by_name[name]) for name, record in wanted.items()]


@dataclass(frozen=True)
class Counted:
    """A counter of a token; leases: of the whole store."""

    settled: int
    reserved: int
    leases: int


def in_sqlite(path: Path, token: str, key: str) -> Counted:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
        row = "SELECT settled, reserved FROM counters WHERE token = ? AND key = ?"
        settled, reserved = database.execute(row, (token, key)).fetchone()
        (leases,) = database.execute("SELECT count(*) FROM leases").fetchone()
    return Counted(settled, reserved, leases)


def in_redis(server: RedisServer, folder: Path, token: str, key: str) -> Counted:
    async def read() -> Counted:
        store = make_store(server.settings(), folder)
        await store.open()
        try:
            used = await store.usage(token, now=int(time.time() * 1000))
        finally:
            await store.close()
        found = next(each for each in used if each.key == key)
        with server.client() as client:
            leases = client.hlen(f"tokenomics:{{{token}}}:leases")
        assert isinstance(leases, int)
        return Counted(found.used, found.reserved, leases)

    return asyncio.run(read())
