"""Money in what is written down: ledger rows, request log lines, and a provider's error within a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest

from tests.fake_provider import FakeProvider
from tests.money.governed import POLICY, Json, create, rows_of
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import ANTHROPIC, FORMATS, GEMINI, OPENAI, Format, by_name
from tests.support.proxy import Proxy

PRICES: Json = {"gpt-4o": {"input": 2.5, "output": 10, "as_of": "2025-06-01"}}
BUDGETS: Json = {"budgets": [{"limit": "1"}], "max_tokens": 50_000}
PATHS = {"responses": ("/v1/responses", {"model": "gpt-4o", "input": "hello", "stream": True})}


@pytest.fixture(scope="module")
def gateway(make_proxy: StartProxy) -> Iterator[Proxy]:
    with make_proxy({"pricing": PRICES}) as proxy:
        yield proxy
        assert proxy.refusals() == []


def logged(gateway: Proxy, id: str) -> Json:
    """The request log's line of an exchange."""

    def read() -> list[Json]:
        lines = [line for file in gateway.dir.glob("*.log") for line in file.read_text().splitlines()]
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry for entry in entries if entry.get("client_request_id") == id]

    (entry,) = gateway.wait_for(read, bool)
    return entry


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_row_says_what_it_cost_and_why(gateway: Proxy, fake_provider: FakeProvider, stream: bool) -> None:
    token = create(gateway, POLICY | BUDGETS)
    with Caller(gateway, token.key) as caller:
        outcome = caller.ask(stream=stream, headers={"X-Session-ID": "team:seven"})
    (row,) = rows_of(gateway, token.hash)
    bill = fake_provider.bill
    assert (row["input_tokens"], row["output_tokens"]) == (bill.input_tokens, bill.output_tokens)
    cost = (bill.input_tokens * Decimal("2.5") + bill.output_tokens * Decimal(10)) / 1_000_000
    assert Decimal(row["cost_usd"]) == cost
    by_class = {name: Decimal(part) for name, part in json.loads(row["cost_by_class"]).items()}
    assert sum(by_class.values()) == cost
    assert by_class["output"] == bill.output_tokens * Decimal(10) / 1_000_000
    assert (row["price_id"], row["price_source"]) == ("config:gpt-4o@2025-06-01", "config")
    assert date.fromisoformat(row["price_as_of"]) == date(2025, 6, 1)
    assert row["session_id"] == "team:seven"
    assert row["reserved_tokens"] >= row["input_tokens"] + row["output_tokens"]
    assert cost <= Decimal(row["reserved_usd"]) < 1
    assert row["recovered"] == 0
    if not stream:
        assert Decimal(outcome.headers["x-tokenomics-cost-usd"]) == cost
    entry = logged(gateway, row["id"])
    assert Decimal(entry["cost_usd"]) == cost
    assert entry["session_id"] == "team:seven"
    assert entry["input_tokens"] == bill.input_tokens


def test_a_price_of_the_list_has_its_date(gateway: Proxy, fake_provider: FakeProvider) -> None:
    token = create(gateway, POLICY)
    with Caller(gateway, token.key) as caller:
        assert caller.ask(ANTHROPIC).status == 200
    (row,) = rows_of(gateway, token.hash)
    assert row["price_id"].startswith("genai-prices:anthropic/")
    assert row["price_source"].startswith("genai-prices ")
    assert Decimal(row["cost_usd"]) > 0
    # Nothing is limited: what is counted all the same is reserved too.
    assert row["reserved_tokens"] > 0
    assert row["session_id"] is None
    assert "session_id" not in logged(gateway, row["id"])


@pytest.mark.parametrize(
    ("step", "headers"),
    [({"status": 400}, {}), ({"status": 503}, {}), ({"reset": "before_headers"}, {})],
    ids=["refused", "failed", "unreached"],
)
def test_what_did_not_succeed_costs_nothing(
    gateway: Proxy, fake_provider: FakeProvider, step: Json, headers: dict[str, str]
) -> None:
    token = create(gateway, POLICY | BUDGETS)
    fake_provider.script([step])
    with Caller(gateway, token.key) as caller:
        outcome = caller.ask(headers=headers)
        assert outcome.status >= 400
        assert "x-tokenomics-cost-usd" not in outcome.headers
        (row,) = rows_of(gateway, token.hash)
        assert (row["cost_usd"], row["price_id"], row["output_tokens"]) == (None, None, 0)
        # All of it was given back.
        again = caller.ask()
    last = rows_of(gateway, token.hash, 2)[1]
    left = [1 - Decimal(last["cost_usd"]), 50_000 - last["input_tokens"] - last["output_tokens"]]
    assert Decimal(again.headers["x-tokenomics-budget-remaining"]) in left


@pytest.mark.parametrize("format", FORMATS, ids=by_name)
def test_an_error_within_a_stream_is_in_its_row(
    gateway: Proxy, fake_provider: FakeProvider, format: Format
) -> None:
    """The stream began well, so its status is 200; what was received until then is billed."""
    token = create(gateway, POLICY | BUDGETS)
    fake_provider.script([{"tokens": 50, "error_after": 12}])
    with Caller(gateway, token.key) as caller:
        outcome = caller.ask(format, stream=True)
    assert outcome.status == 200
    (row,) = rows_of(gateway, token.hash)
    assert "The server had an error while processing your request." in row["error"]
    assert (row["status"], row["estimated"]) == (200, 1)
    billed = fake_provider.bill.output_tokens
    assert billed <= row["output_tokens"] <= 1.25 * billed + 1
    assert Decimal(row["cost_usd"]) > 0
    assert "The server had an error" in logged(gateway, row["id"])["error"]


def test_an_error_event_of_a_response(gateway: Proxy, fake_provider: FakeProvider) -> None:
    token = create(gateway, POLICY | BUDGETS)
    fake_provider.script([{"tokens": 50, "error_after": 12}])
    path, body = PATHS["responses"]
    with Caller(gateway, token.key) as caller:
        assert caller.send("POST", path, body).status == 200
    (row,) = rows_of(gateway, token.hash)
    assert "The server had an error while processing your request." in row["error"]
    assert row["output_tokens"] == fake_provider.bill.output_tokens


def test_a_secret_in_an_error_within_a_stream_is_taken_out(
    gateway: Proxy, fake_provider: FakeProvider
) -> None:
    token = create(gateway, POLICY)
    key = gateway.keys["OPENAI_API_KEY"]
    fake_provider.script([{"text": f"the key is {key} and that is all", "error_after": 30}])
    with Caller(gateway, token.key) as caller:
        outcome = caller.ask(stream=True)
    assert key.encode() not in outcome.body
    rows_of(gateway, token.hash)
    assert gateway.files_with(key) == []


def test_all_rows_add_up(gateway: Proxy, fake_provider: FakeProvider) -> None:
    """Over formats, whole and streamed, the ledger's tokens are the provider's, and its money theirs."""
    token = create(gateway, POLICY | BUDGETS)
    with Caller(gateway, token.key) as caller:
        for format in (OPENAI, ANTHROPIC, GEMINI):
            for stream in (False, True):
                assert caller.ask(format, text="some words to say", stream=stream).status == 200
        last = caller.ask()
    rows = rows_of(gateway, token.hash, 7)
    bill = fake_provider.bill
    assert sum(row["input_tokens"] for row in rows) == bill.input_tokens
    assert sum(row["output_tokens"] for row in rows) == bill.output_tokens
    assert sum(row["estimated"] for row in rows) == 0
    spent = sum(Decimal(row["cost_usd"]) for row in rows)
    used = bill.input_tokens + bill.output_tokens
    assert last.headers["x-tokenomics-budget-remaining"] in (f"{1 - spent:f}", str(50_000 - used))
