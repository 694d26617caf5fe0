"""Costs on a running gateway: which price is used, what the answers and the rows say of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal

import pytest

from tests.fake_provider import FakeProvider
from tests.money.governed import POLICY, Json, Token, create, rows_of
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import ANTHROPIC, GEMINI, OPENAI, Format, by_name
from tests.support.proxy import Proxy

# No price list knows them.
NOWHERE, WRITTEN, LISTED = "gpt-nobody-knows", "gpt-of-the-house", "gpt-of-the-table"
MILLION = 1_000_000


@pytest.fixture(scope="module")
def gateway(make_proxy: StartProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    table = tmp_path_factory.mktemp("prices") / "pricing_tables.json"
    table.write_text(
        json.dumps({LISTED: {"input": 0.002, "output": 0.008}, "gpt-4o": {"input": 9, "output": 9}})
    )
    known = {
        # As the vendors list them: what is computed by hand below must not depend on the day.
        "gpt-4o": {"input": 2.5, "cached_input": 1.25, "output": 10},
        "claude-sonnet-4-6": {"input": 3, "cached_input": 0.3, "cache_creation": 3.75, "output": 15},
        WRITTEN: {"input": "1.5", "output": 4},
    }
    with make_proxy({"pricing": known, "pricing_table": str(table), "budgets": {"wait": 0.3}}) as proxy:
        yield proxy
        assert proxy.refusals() == []


@pytest.fixture
def governed(gateway: Proxy, fake_provider: FakeProvider) -> Iterator[Callable[..., tuple[Caller, Token]]]:
    """Makes a client under a policy of these fields, and its token."""
    with ExitStack() as opened:

        def make(**policy: object) -> tuple[Caller, Token]:
            token = create(gateway, POLICY | policy)
            return opened.enter_context(Caller(gateway, token.key)), token

        yield make


Governed = Callable[..., tuple[Caller, Token]]


def budget(limit: str) -> list[Json]:
    return [{"name": "purse", "limit": limit}]


# Which price.


@pytest.mark.parametrize(
    ("model", "source", "id", "input", "output"),
    [
        (WRITTEN, "config", f"config:{WRITTEN}", "1.5", "4"),
        (LISTED, "table", f"table:{LISTED}", "2", "8"),
        ("gpt-4o", "config", "config:gpt-4o", "2.5", "10"),
    ],
)
def test_written_prices(
    governed: Governed, model: str, source: str, id: str, input: str, output: str
) -> None:
    caller, token = governed(budgets=budget("1"))
    outcome = caller.ask(model=model)
    (row,) = rows_of(caller.proxy, token.hash)
    assert (row["price_source"], row["price_id"]) == (source, id)
    cost = (row["input_tokens"] * Decimal(input) + row["output_tokens"] * Decimal(output)) / MILLION
    assert Decimal(row["cost_usd"]) == cost > 0
    assert Decimal(outcome.headers["x-tokenomics-cost-usd"]) == cost
    assert Decimal(outcome.headers["x-tokenomics-budget-remaining"]) == 1 - cost
    assert outcome.headers["x-tokenomics-budget-unit"] == "usd"


def test_a_price_that_is_built_in(governed: Governed) -> None:
    caller, token = governed()
    outcome = caller.ask(GEMINI)
    (row,) = rows_of(caller.proxy, token.hash)
    assert row["price_source"].startswith("genai-prices ")
    assert row["price_id"].startswith("genai-prices:google/gemini-2.5-flash")
    assert Decimal(outcome.headers["x-tokenomics-cost-usd"]) == Decimal(row["cost_usd"]) > 0
    assert "x-tokenomics-budget-remaining" not in outcome.headers


def test_a_price_that_nobody_knows_is_refused(governed: Governed, fake_provider: FakeProvider) -> None:
    caller, _ = governed(budgets=budget("1"))
    outcome = caller.ask(model=NOWHERE)
    error = outcome.json["error"]
    assert (outcome.status, error["code"]) == (403, "price_unknown")
    assert error["message"].startswith(f'the price of model "{NOWHERE}" is not known')
    assert fake_provider.records == []
    # The models with a price are not held up by it.
    assert caller.ask().status == 200


def test_a_price_that_nobody_knows_is_assumed(governed: Governed) -> None:
    caller, token = governed(budgets=budget("1"), unknown_price="assume")
    outcome = caller.ask(model=NOWHERE)
    (row,) = rows_of(caller.proxy, token.hash)
    cost = Decimal(row["input_tokens"] * 30 + row["output_tokens"] * 60) / MILLION
    assert Decimal(outcome.headers["x-tokenomics-cost-usd"]) == Decimal(row["cost_usd"]) == cost > 0
    assert row["price_source"] == "assumed"


def test_a_price_that_nobody_knows_is_let_through(governed: Governed) -> None:
    caller, token = governed(budgets=budget("0.000001"), unknown_price="allow")
    outcomes = [caller.ask(model=NOWHERE) for _ in range(3)]
    assert [outcome.status for outcome in outcomes] == [200] * 3
    assert "x-tokenomics-cost-usd" not in outcomes[0].headers
    rows = rows_of(caller.proxy, token.hash, 3)
    assert {(row["cost_usd"], row["price_id"]) for row in rows} == {(None, None)}
    assert all(row["output_tokens"] for row in rows)


# What is billed.


def test_cached_input_is_billed_once_openai(governed: Governed, fake_provider: FakeProvider) -> None:
    caller, token = governed(budgets=budget("1"))
    for _ in range(2):
        outcome = caller.ask(text="word" * 100, prompt_cache_key="same")
        assert outcome.status == 200
    first, second = rows_of(caller.proxy, token.hash, 2)
    # 100 tokens of text and 3 around it; "pong: " and the text are 102.
    assert (first["input_tokens"], first["cached_input_tokens"], first["output_tokens"]) == (103, 0, 102)
    assert (second["input_tokens"], second["cached_input_tokens"], second["output_tokens"]) == (103, 51, 102)
    assert Decimal(first["cost_usd"]) == Decimal("0.0012775")  # 103 at 2.50, 102 at 10
    assert Decimal(second["cost_usd"]) == Decimal("0.00121375")  # 52 at 2.50, 51 at 1.25, 102 at 10
    assert Decimal(outcome.headers["x-tokenomics-cost-usd"]) == Decimal("0.00121375")
    assert Decimal(outcome.headers["x-tokenomics-budget-remaining"]) == 1 - Decimal("0.00249125")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_cached_input_is_billed_once_anthropic(
    governed: Governed, fake_provider: FakeProvider, stream: bool
) -> None:
    caller, token = governed(budgets=budget("1"))
    system = [{"type": "text", "text": "rule" * 200, "cache_control": {"type": "ephemeral"}}]
    for _ in range(2):
        assert caller.ask(ANTHROPIC, system=system, stream=stream).status == 200
    first, second = rows_of(caller.proxy, token.hash, 2)
    # 200 tokens of rules, 2 of "hello" and 3 around them; "pong: hello" is 3.
    for row, written, read in ((first, 200, 0), (second, 0, 200)):
        assert row["input_tokens"] == 205
        assert (row["cache_creation_tokens"], row["cached_input_tokens"]) == (written, read)
        assert row["output_tokens"] == 3
    assert Decimal(first["cost_usd"]) == Decimal("0.00081")  # 5 at 3, 200 at 3.75, 3 at 15
    assert Decimal(second["cost_usd"]) == Decimal("0.00012")  # 5 at 3, 200 at 0.30, 3 at 15


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("format", [OPENAI, ANTHROPIC, GEMINI], ids=by_name)
def test_an_explicit_zero_stays_zero(
    governed: Governed, fake_provider: FakeProvider, format: Format, stream: bool
) -> None:
    caller, token = governed(max_tokens=1000)
    fake_provider.script([{"usage": "zero"}])
    assert caller.ask(format, stream=stream).status == 200
    (row,) = rows_of(caller.proxy, token.hash)
    assert (row["input_tokens"], row["output_tokens"], row["estimated"]) == (0, 0, 0)
    assert Decimal(row["cost_usd"]) == 0
    # And all of the budget is there.
    assert caller.ask(format).headers["x-tokenomics-budget-remaining"] == str(
        1000 - sum(row["input_tokens"] + row["output_tokens"] for row in rows_of(caller.proxy, token.hash, 2))
    )


@pytest.mark.parametrize("format", [OPENAI, ANTHROPIC, GEMINI], ids=by_name)
def test_a_client_that_leaves_pays_for_what_it_got(
    governed: Governed, fake_provider: FakeProvider, format: Format
) -> None:
    caller, token = governed(max_tokens=100_000)
    fake_provider.script([{"tokens": 1000, "delay": 0.03, "fast": 18}])
    body = format.body(format.model, "hello", True)
    with caller.begin("POST", format.path(format.model, True), body, format=format) as answer:
        received = b""
        for data in answer.iter_raw():
            received += data
            if received.count(b'" the"') >= 20:
                break
    (record,) = fake_provider.wait_ended(timeout=2)
    assert (record.left, record.finished) == (True, False)
    (row,) = rows_of(caller.proxy, token.hash)
    got, billed = received.count(b'" the"'), record.bill.output_tokens
    assert row["error"] == "the client left"
    assert row["estimated"] == 1
    assert got <= row["output_tokens"] < 300
    # To within what was on its way, and a quarter where the encoding is not published.
    assert billed - 5 <= row["output_tokens"] <= 1.25 * billed + 2
    assert Decimal(row["cost_usd"]) > 0


# Agents ask for much on every call.

TITLE: Json = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 64_000,
    "temperature": 1,
    "system": [
        {"type": "text", "text": "You are Claude Code, Anthropic's official CLI for Claude."},
        {"type": "text", "text": "Write a title of a few words.", "cache_control": {"type": "ephemeral"}},
    ],
    "messages": [{"role": "user", "content": [{"type": "text", "text": "mend the tests"}]}],
    "tools": [],
    "metadata": {"user_id": '{"device_id":"d","account_uuid":"","session_id":"5a2c0f6e"}'},
}
LARGE: dict[str, tuple[str, Json]] = {
    "title": ("/v1/messages?beta=true", TITLE),
    "messages": ("/v1/messages", ANTHROPIC.body(ANTHROPIC.model, "hello", False) | {"max_tokens": 64_000}),
    "chat": (
        "/v1/chat/completions",
        OPENAI.body(OPENAI.model, "hello", False) | {"max_completion_tokens": 64_000},
    ),
    "responses": ("/v1/responses", {"model": "gpt-4o", "input": "hello", "max_output_tokens": 64_000}),
    "gemini": (
        "/v1beta/models/gemini-2.0-flash:",
        GEMINI.body("", "hello", False) | {"generationConfig": {"maxOutputTokens": 64_000}},
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", LARGE)
def test_a_large_cap_is_a_wish(
    governed: Governed, fake_provider: FakeProvider, name: str, stream: bool
) -> None:
    """At these prices 64,000 tokens cost more than all of the budget, many times over."""
    caller, token = governed(budgets=budget("0.005"))
    path, body = LARGE[name]
    if name == "gemini":
        path += "streamGenerateContent?alt=sse" if stream else "generateContent"
    else:
        body = body | {"stream": stream}
    outcomes = [
        caller.send("POST", path, body, format=ANTHROPIC if "messages" in path else OPENAI) for _ in range(4)
    ]
    assert [outcome.status for outcome in outcomes] == [200] * 4
    caps = [int(outcome.headers["x-tokenomics-output-cap"]) for outcome in outcomes]
    assert all(64_000 > cap > 50 for cap in caps)
    rows = rows_of(caller.proxy, token.hash, 4)
    spent = sum(Decimal(row["cost_usd"]) for row in rows)
    assert 0 < spent < Decimal("0.005")
    assert {row["finish_reason"] for row in rows}.isdisjoint({"length", "max_tokens", "MAX_TOKENS"})


def test_what_is_sent_is_what_is_told(governed: Governed, fake_provider: FakeProvider) -> None:
    caller, _ = governed(budgets=budget("0.005"))
    outcome = caller.send("POST", "/v1/messages?beta=true", TITLE, format=ANTHROPIC)
    assert outcome.headers["x-tokenomics-output-cap"] == str(fake_provider.last.json["max_tokens"])
