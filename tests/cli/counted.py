"""What a gateway would have left in the data directory of a program: counters, and rows of the ledger."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.cli.program import Program
from tests.ledger.build import a_row
from tokenomics_core.counters.question import Claim, Question, Settlement, Used
from tokenomics_core.counters.sqlite import SqliteCounters
from tokenomics_core.ledger.database import insert_rows, open_for_writing
from tokenomics_core.meter.lease import nano
from tokenomics_core.meter.limits import Limits
from tokenomics_core.policy import compile, parse

_IDS = iter(range(10**9))


def now() -> int:
    return int(time.time() * 1000)


def with_counters[T](program: Program, work: Callable[[SqliteCounters], Awaitable[T]]) -> T:
    async def run() -> T:
        counters = SqliteCounters(program.data / "counters.db", "gateway")
        await counters.open()
        try:
            return await work(counters)
        finally:
            await counters.close()

    return asyncio.run(run())


def write_row(program: Program, token: str, tokens: int, usd: str, **changes: Any) -> None:
    """A row of the ledger, and nothing in the counters."""
    moment = datetime.now(UTC)
    fields: dict[str, Any] = {"started_at": moment, "ended_at": moment, "provider": "openai"}
    row = replace(
        a_row(next(_IDS)),
        token_hash=token,
        input_tokens=tokens,
        output_tokens=0,
        cost_usd=Decimal(usd),
        **(fields | changes),
    )
    with closing(open_for_writing(program.data / "ledger.db", busy_timeout=5)) as db:
        db.execute("BEGIN IMMEDIATE")
        insert_rows(db, [row])
        db.execute("COMMIT")


def spend(
    program: Program, token: str, tokens: int, usd: str, *, session: str = "", provider: str = "openai"
) -> None:
    """One request as the gateway counts it, under the policy that the token has now, and its row."""
    _request(program, token, tokens, usd, session, provider, end=True)
    write_row(program, token, tokens, usd, session_id=session, provider=provider)


def begin(program: Program, token: str, tokens: int, usd: str, *, session: str = "") -> None:
    """A request that is under way, and what it holds."""
    _request(program, token, tokens, usd, session, "openai", end=False)


def used(program: Program, token: str) -> dict[str, Used]:
    found = with_counters(program, lambda counters: counters.usage(token, now=now()))
    return {each.key: each for each in found}


def _request(
    program: Program, token: str, tokens: int, usd: str, session: str, provider: str, end: bool
) -> None:
    text = next(each["policy"] for each in program.json("list") if each["hash"] == token)
    limits = Limits(compile(parse(json.dumps(text))).resolve_global()).at(
        provider=provider, session=session, now=datetime.now(UTC)
    )
    amounts = tuple(
        (limit, nano(Decimal(usd)) if limit.unit == "usd" else tokens if limit.unit == "tokens" else 1)
        for limit in limits
    )
    id = f"req_{next(_IDS)}"

    async def work(counters: SqliteCounters) -> None:
        claims = tuple(Claim(limit, amount) for limit, amount in amounts)
        answer = await counters.ask(Question(id, token, now(), now() + 600_000, claims))
        assert hasattr(answer, "tokens"), answer
        if end:
            await counters.settle(Settlement(id, token, now(), amounts))

    with_counters(program, work)
