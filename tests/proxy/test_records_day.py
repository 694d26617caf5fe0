"""A day of 100,000 requests through the real writers: everybody who tells what it came to tells the same."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.ledger import synthetic
from tests.ledger.json_schema import errors
from tests.support.environment import PROJECT
from tests.support.proxy import Proxy
from tokenomics_core.ledger import Ledger, Row
from tokenomics_core.ledger.session_file import SessionFile, session_id
from tokenomics_core.meter.stats import Stats
from tokenomics_core.metrics import Metrics

REQUESTS = 100_000
INSTANCE = "5eed0001" + "00000000"
SCHEMA = json.loads((PROJECT / "tokenomics_core/ledger/session.schema.json").read_bytes())
EXACT = Context(prec=200)

Came = dict[str, int | Decimal]
NAMES = ("requests", "input", "output", "errors", "cost")


class Sums:
    """What the rows come to, added up here by the plainest means."""

    def __init__(self) -> None:
        self.all = dict[str, Any](dict.fromkeys(NAMES, 0), cost=Decimal(0))
        self.models: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()

    def add(self, row: Row) -> None:
        self.all["requests"] += 1
        self.all["input"] += row.input_tokens
        self.all["output"] += row.output_tokens
        self.all["errors"] += row.status >= 400
        self.all["cost"] = EXACT.add(self.all["cost"], row.cost_usd or Decimal(0))
        self.models[row.model] += row.input_tokens + row.output_tokens
        self.tokens[row.token_hash] += row.input_tokens + row.output_tokens


def came(totals: dict[str, Any]) -> Came:
    """The members that the documents have in common."""
    return {
        "requests": totals["request_count"],
        "input": totals["input_tokens"],
        "output": totals["output_tokens"],
        "errors": totals["error_count"],
        "cost": Decimal(totals["cost_usd"]),
    }


def session_files(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted((directory / "sessions").glob("*.json"))]


def gauges(text: str) -> dict[str, float]:
    """Samples without labels other than type, which is joined to the name."""
    return {
        "_".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        if family.name.startswith("tokenomics_ledger")
        for sample in family.samples
    }


def counted(metrics: Metrics, name: str, **labels: str) -> float:
    """The sum of all series of that name that have these labels."""
    text = metrics.expose("")[1].decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def tokens_of(rollups: dict[str, dict[str, Any]]) -> dict[str, int]:
    return {name: rollup["total_tokens"] for name, rollup in rollups.items()}


@pytest.mark.long
def test_everybody_tells_the_same(make_proxy: Callable[..., Proxy]) -> None:
    proxy = make_proxy()
    proxy.dir.mkdir(mode=0o700, parents=True)
    sums, stats, metrics = Sums(), Stats(), Metrics()
    ledger = Ledger(proxy.dir / "ledger.db")
    session = SessionFile(proxy.dir, INSTANCE, synthetic.START)
    session.start()
    moment = synthetic.START
    for number, made in enumerate(synthetic.rows(REQUESTS, seconds=0.86)):
        row = replace(made, run=session_id(INSTANCE))
        moment = max(moment, row.ended_at)
        sums.add(row)
        ledger.record(row)
        stats.add(row)
        metrics.add(row)
        if number % 10_000 == 9_999:
            assert ledger.flush()
            session.write(moment)
    assert ledger.close()
    session.close(moment)
    assert timedelta(hours=23) < moment - synthetic.START < timedelta(hours=25)

    # The process that served them.
    expected = sums.all
    assert came(stats.snapshot()["totals"]) == expected
    assert counted(metrics, "tokenomics_requests_total") == REQUESTS
    for name in ("input", "output"):
        assert counted(metrics, "tokenomics_tokens_total", type=name) == expected[name]
    assert counted(metrics, "tokenomics_cost_usd_total") == pytest.approx(float(expected["cost"]), rel=1e-12)

    # The session's files.
    parts = session_files(proxy.dir)
    assert len(parts) == 5
    assert [error for part in parts for error in errors(part, SCHEMA)] == []
    for name in NAMES:
        assert sum(came(part["totals"])[name] for part in parts) == expected[name], name
        assert all(
            sum(came(part["totals"] | rollup)[name] for rollup in part["by_model"].values())
            == came(part["totals"])[name]
            for part in parts
            if name != "errors"
        ), name

    # The file itself, with SQL alone.
    with closing(sqlite3.connect(f"file:{proxy.dir / 'ledger.db'}?mode=ro", uri=True)) as db:
        query = "SELECT count(*), sum(input_tokens), sum(output_tokens), sum(status >= 400) FROM requests"
        numbers = db.execute(query).fetchone()
        cost = Decimal(0)
        for (text,) in db.execute("SELECT cost_usd FROM requests WHERE cost_usd IS NOT NULL"):
            cost = EXACT.add(cost, Decimal(text))
    assert dict(zip(NAMES, (*numbers, cost), strict=True)) == expected

    # A gateway that is started over it, and the commands.
    with proxy:
        with httpx.Client(base_url=proxy.http_url, trust_env=False, timeout=60) as client:
            all_time = client.get("/stats").json()["all_time"]
            shown = gauges(client.get("/metrics").text)
        summary = json.loads(proxy.cli("ledger", "summary", "--json").stdout)
    assert came(all_time["totals"]) == expected
    assert {each["token_hash"]: each["total_tokens"] for each in all_time["by_token"]} == {
        token[:16]: count for token, count in sums.tokens.items()
    }
    assert came(summary["totals"]) == expected
    assert tokens_of(summary["by_model"]) == dict(sums.models)
    assert tokens_of(summary["by_token"]) == dict(sums.tokens)
    assert shown["tokenomics_ledger_requests"] == REQUESTS
    assert shown["tokenomics_ledger_errors"] == expected["errors"]
    assert shown["tokenomics_ledger_tokens_input"] == expected["input"]
    assert shown["tokenomics_ledger_tokens_output"] == expected["output"]
    assert shown["tokenomics_ledger_cost_usd"] == pytest.approx(float(expected["cost"]), rel=1e-12)
