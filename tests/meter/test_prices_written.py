"""Prices that people write, and which source decides."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
import yaml

from tokenomics_core.meter.prices import PriceError, Prices, assumed

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
TWO = {"input": 1, "output": 2}


def price_of(model, pricing=None, table=None, provider="openai"):
    return Prices(pricing or {}, table).price(provider, model, AT)


@pytest.fixture
def table(tmp_path):
    def write(**models):
        path = tmp_path / "pricing_tables.json"
        path.write_text(json.dumps(models))
        return path

    return write


def test_every_field():
    text = """
    pricing:
      GPT-4o:
        input: 2.5
        cached_input: 0.1
        cache_creation: "3.125"
        output: 1e1
        reasoning: 7
        request: 0.001
        as_of: 2025-06-01
    """
    price = price_of("gpt-4o", yaml.safe_load(text)["pricing"])
    assert price.id == "config:gpt-4o@2025-06-01"
    assert (price.source, price.as_of) == ("config", date(2025, 6, 1))
    assert (price.input, price.cached_input, price.cache_creation) == (
        Decimal("2.5"),
        Decimal("0.1"),
        Decimal("3.125"),
    )
    assert (price.output, price.reasoning, price.request) == (10, 7, Decimal("0.001"))
    assert all(isinstance(value, Decimal) for value in (price.input, price.output, price.request))


def test_what_is_not_written_costs_as_its_kind():
    price = price_of("mine", {"mine": {"input": 1.5, "output": 2}})
    assert (price.cached_input, price.cache_creation) == (Decimal("1.5"), Decimal("1.5"))
    assert (price.reasoning, price.request, price.as_of, price.id) == (None, 0, None, "config:mine")


def test_zero_is_a_price_and_nothing_is_none():
    assert price_of("llama3.1", {"ollama/*": {"input": 0, "output": 0}}, provider="ollama").input == 0
    assert price_of("llama3.1", provider="ollama") is None


@pytest.mark.parametrize(
    ("keys", "provider", "model", "found"),
    [
        (["gpt-4o"], "openai", "GPT-4o", "gpt-4o"),
        (["gpt-4o"], "azure_openai", "gpt-4o", "gpt-4o"),
        (["gpt-4o", "azure_openai/gpt-4o"], "azure_openai", "gpt-4o", "azure_openai/gpt-4o"),
        (["gpt-4o", "azure_openai/gpt-4o"], "openai", "gpt-4o", "gpt-4o"),
        (["gpt-4o"], "openai", "gpt-4o-2024-08-06", "gpt-4o"),
        (["gpt-4o", "gpt-4o-2024-08-06"], "openai", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        (["openai/gpt-4o", "gpt-4o-2024-08-06"], "openai", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        (["gemini-x"], "vertex_ai", "publishers/google/models/gemini-x", "gemini-x"),
        (["ft:gpt-4.1-2025-04-14"], "openai", "ft:gpt-4.1-2025-04-14:org::id", "ft:gpt-4.1-2025-04-14"),
        (["ft:gpt-4.1"], "openai", "ft:gpt-4.1-2025-04-14:org::id", "ft:gpt-4.1"),
        (["gpt*", "gpt-4o*"], "openai", "gpt-4o-mini", "gpt-4o*"),
        (["gpt-4o-mini*", "openai/*"], "openai", "gpt-4o-mini", "openai/*"),
        (["gpt-4o-mini", "openai/*"], "openai", "gpt-4o-mini", "gpt-4o-mini"),
        (["my-*"], "MyGateway", "my-model", "my-*"),
    ],
)
def test_the_most_particular_key_decides(keys, provider, model, found):
    assert price_of(model, dict.fromkeys(keys, TWO), provider=provider).id == f"config:{found}"


@pytest.mark.parametrize("model", ["gpt-4o-mini", "ft:gpt-4o-2024-08-06:org::id", "gpt-4o-audio-preview"])
def test_another_model_is_not_meant(model):
    assert price_of(model, {"gpt-4o": TWO}).source.startswith("genai-prices")


def test_table_is_per_thousand_tokens(table):
    path = table(_comment="USD per 1K", **{"gpt-4o-mini": {"input": 0.00015, "output": 0.0006}})
    price = price_of("gpt-4o-mini", table=path)
    assert (price.id, price.source) == ("table:gpt-4o-mini", "table")
    assert (price.input, price.output) == (Decimal("0.15"), Decimal("0.6"))


def test_precedence(table):
    path = table(**{"gpt-4o": {"input": 1, "output": 1}, "gpt-4o-mini": {"input": 1, "output": 1}})
    pricing = {"gpt-4o": TWO}
    assert price_of("gpt-4o", pricing, path).source == "config"
    assert price_of("gpt-4o-mini", pricing, path).source == "table"
    assert price_of("gpt-4.1", pricing, path).source.startswith("genai-prices")
    assert price_of("no-such-model", pricing, path) is None


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("gpt-5", "table:gpt-5"),
        ("gpt-5-mini-2099-01-01", "table:gpt-5-mini"),
        ("gpt-3.5-turbo-16k-0613", "genai-prices:openai/gpt-3.5-turbo-16k"),
        ("o3-pro", "genai-prices:openai/o3-pro"),
        ("o1", "genai-prices:openai/o1"),
        ("o3-mini-high-9", "table:o3-mini"),
        ("gpt-5-mini-internal", "table:gpt-5-mini"),
    ],
)
def test_the_beginning_of_a_name_counts_where_nobody_knows_the_whole(table, model, found):
    names = ["gpt-5", "gpt-5-mini", "gpt-3.5-turbo", "o3", "o3-mini"]
    assert price_of(model, table=table(**dict.fromkeys(names, TWO))).id == found


@pytest.mark.parametrize(
    ("pricing", "words"),
    [
        ({"m": {"input": -1, "output": 1}}, ["pricing: m: input is -1", "0 or more", "1,000,000 tokens"]),
        ({"m": {"input": "cheap", "output": 1}}, ["m: input is no number", "USD per 1,000,000"]),
        ({"m": {"input": True, "output": 1}}, ["m: input is no number"]),
        ({"m": {"input": None, "output": 1}}, ["m: input is no number"]),
        ({"m": {"input": [1], "output": 1}}, ["m: input is no number"]),
        ({"m": {"input": float("nan"), "output": 1}}, ["m: input is NaN", "0 or more"]),
        ({"m": {"input": "Infinity", "output": 1}}, ["m: input is Infinity"]),
        ({"m": {"input": 1e9, "output": 1}}, ["m: input is too large"]),
        ({"m": {"input": "0.0000000000001", "output": 1}}, ["too many decimals"]),
        ({"m": {"input": "9e999999", "output": 1}}, ["m: input is too large"]),
        ({"m": {**TWO, "request": -1}}, ["m: request is -1", "USD per request"]),
        ({"m": {**TWO, "reasoning": -1}}, ["m: reasoning is -1"]),
        ({"m": {"input": 1}}, ["m: output is missing", "0 where it is free"]),
        ({"m": {"output": 1}}, ["m: input is missing"]),
        ({"m": {**TWO, "outptu": 1}}, ["m: outptu is not known", "write output"]),
        ({"m": {**TWO, "zzz": 1}}, ["m: zzz is not known", "known are input"]),
        ({"m": {**TWO, "as_of": "June"}}, ["m: as_of is no date", "2025-06-01"]),
        ({"m": 3}, ["pricing: m is no map", "{input: 2.5, output: 10}"]),
        ({"M": TWO, "m": TWO}, ["m is empty or there twice"]),
        ({"": TWO}, ["a key is empty"]),
        ({"*": TWO}, ["* has no name before the star", "unknown_price"]),
        ({"a*b": TWO}, ["a*b has"]),
        ([1], ["pricing: is no map"]),
    ],
)
def test_mistakes_in_the_configuration(pricing, words):
    with pytest.raises(PriceError) as raised:
        Prices(pricing)
    assert "\n" not in str(raised.value)
    assert [word for word in words if word not in str(raised.value)] == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"m": {"input": -0.1, "output": 1}}', ["m: input is -0.1", "USD per 1,000 tokens"]),
        ('{"m": {"input": NaN, "output": 1}}', ["m: input is NaN"]),
        ('{"m": {"input": 0.001}}', ["m: output is missing"]),
        ("[]", ["is no map"]),
        ("{", ["is no JSON"]),
        ("\udcff", ["is no JSON"]),
    ],
)
def test_mistakes_in_the_table(tmp_path, content, words):
    path = tmp_path / "prices.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(PriceError) as raised:
        Prices(table=path)
    assert "\n" not in str(raised.value)
    assert [word for word in [str(path), *words] if word not in str(raised.value)] == []


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(PriceError, match=r"none\.json: No such file or directory; give the path"):
        Prices(table=tmp_path / "none.json")


def test_assumed_prices_are_checked():
    with pytest.raises(PriceError, match="unknown_price: output is -1"):
        assumed(1, -1)
