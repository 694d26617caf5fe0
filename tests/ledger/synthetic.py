"""Ledgers of any size that look like a team's: the same rows for the same seed.

From the command line: ``python -m tests.ledger.synthetic FOLDER ROWS``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tokenomics_core.dialects.base import Usage
from tokenomics_core.ledger import Row
from tokenomics_core.ledger.database import insert_rows, open_for_writing
from tokenomics_core.ledger.row import priced
from tokenomics_core.meter.prices import Price, cost

START = datetime(2026, 1, 1, tzinfo=UTC)
TOKENS = tuple(f"{number:02x}" * 32 for number in range(17, 17 + 12 * 13, 13))
TEAMS = ("billing", "search", "support", "platform")
BRANCHES = ("main", "feat/invoice-export", "fix/rounding", "feat/search")


def _price(provider: str, model: str, *rates: str) -> tuple[str, str, Price]:
    plain, cached, created, out = map(Decimal, rates)
    price = Price(
        id=f"genai-prices:{provider}/{model}@2025-06-10",
        source="genai-prices 0.2",
        as_of=date(2025, 6, 10),
        input=plain,
        cached_input=cached,
        cache_creation=created,
        output=out,
        reasoning=out if model.startswith("o") else None,
    )
    return provider, model, price


PRICES = (
    _price("openai", "gpt-4o", "2.5", "1.25", "2.5", "10"),
    _price("openai", "gpt-4o-mini", "0.15", "0.075", "0.15", "0.6"),
    _price("openai", "o3", "2", "0.5", "2", "8"),
    _price("anthropic", "claude-sonnet-4", "3", "0.3", "3.75", "15"),
    _price("gemini", "gemini-2.5-flash", "0.3", "0.075", "0.3", "2.5"),
    _price("mistral", "mistral-small-latest", "0.1", "0.1", "0.1", "0.3"),
)


class _Session(NamedTuple):
    id: str
    token: str
    branch: str
    model: tuple[str, str, Price]


def rows(count: int, *, seed: int = 1, start: datetime = START, seconds: float = 2.0) -> Iterator[Row]:
    """Rows in the order in which they began, `seconds` apart on the average."""
    random = Random(seed)
    commits = {
        branch: [f"{random.getrandbits(160):040x}" for _ in range(max(3, count // 5000))]
        for branch in BRANCHES
    }
    sessions = [_session(random, number) for number in range(40)]
    moment = start
    for number in range(count):
        moment += timedelta(microseconds=random.randrange(1, int(2_000_000 * seconds)))
        if random.random() < 0.02:
            sessions[random.randrange(40)] = _session(random, number + 40)
        yield _row(random, number, count, moment, random.choice(sessions), commits)


def _session(random: Random, number: int) -> _Session:
    """Some clients name their session, and most work in a repository, mostly with one model."""
    return _Session(
        f"s-{number}" if random.random() > 0.2 else "",
        random.choice(TOKENS),
        random.choice(BRANCHES) if random.random() > 0.1 else "",
        random.choice(PRICES),
    )


def _row(
    random: Random,
    number: int,
    count: int,
    moment: datetime,
    session: _Session,
    commits: dict[str, list[str]],
) -> Row:
    token, branch = session.token, session.branch
    provider, model, price = session.model if random.random() < 0.9 else random.choice(PRICES)
    duration = random.randrange(200, 20_000)
    place = random.random()
    fields: dict[str, Any] = {"status": 200, "upstream_status": 200}
    usage = None
    if place < 0.03:
        fields = {"status": 429, "refusal": "budget_exceeded", "error": "the budget is used up"}
        duration = 1
    elif place < 0.05:
        fields = {"status": 503, "upstream_status": 503, "error": "the provider is overloaded"}
        fields |= {"retry_count": 2}
    else:
        read = random.randrange(100, 8000)
        cached = random.randrange(read) if random.random() < 0.4 else None
        written = random.randrange(20, 1500)
        reasoning = random.randrange(written) if model == "o3" else None
        usage = Usage(read, written, cached, None, reasoning)
        if place < 0.98:
            fields |= priced(price, cost(price, usage))
        if place > 0.99:
            fields["rule_matches"] = [{"name": "cards", "action": "warn", "message": "a card number"}]
    return Row(
        id=f"req_{random.getrandbits(128):032x}",
        started_at=moment,
        ended_at=moment + timedelta(milliseconds=duration),
        duration_ms=duration,
        token_hash=token,
        ingress="base_url",
        method="POST",
        path="/v1/chat/completions",
        dialect="openai_chat",
        operation="chat",
        stream=number % 2 == 0,
        requested_model=model,
        model=model,
        provider=provider,
        base_key_env=f"{provider.upper()}_API_KEY",
        upstream_host=f"api.{provider}.example",
        upstream_url=f"https://api.{provider}.example/v1/chat/completions",
        input_tokens=usage.input_tokens or 0 if usage else 0,
        output_tokens=usage.output_tokens or 0 if usage else 0,
        cached_input_tokens=usage.cached_input_tokens if usage else None,
        reasoning_tokens=usage.reasoning_tokens if usage else None,
        actual_model=model if usage else "",
        finish_reason="stop" if usage else "",
        upstream_id=f"chatcmpl-{number}" if usage else "",
        attempts=[{"model": model, "provider": provider, "status": fields["status"], "reason": ""}],
        metadata={"team": TEAMS[TOKENS.index(token) % len(TEAMS)], "agent_id": session.id[:3] or "none"},
        request_bytes=4321,
        response_bytes=9876,
        remote_addr="127.0.0.1",
        user_agent="shop-bot/2.1",
        session_id=session.id,
        repo="/srv/shop" if branch else "",
        branch=branch,
        commit_hash=commits[branch][number * len(commits[branch]) // count] if branch else "",
        dirty=number % 3 == 0 if branch else None,
        run=f"{number * 8 // count:08x}",
        **fields,
    )


def write(path: Path, count: int, **more: Any) -> None:
    """Adds that many rows to the ledger, which is made when it is missing."""
    with closing(open_for_writing(path, busy_timeout=5)) as db:
        batch: list[Row] = []
        db.execute("BEGIN IMMEDIATE")
        for row in rows(count, **more):
            batch.append(row)
            if len(batch) == 2000:
                insert_rows(db, batch)
                batch.clear()
        insert_rows(db, batch)
        db.execute("COMMIT")


if __name__ == "__main__":
    write(Path(sys.argv[1]) / "ledger.db", int(sys.argv[2]))
