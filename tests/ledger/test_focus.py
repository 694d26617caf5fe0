from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger import synthetic
from tests.ledger.build import START, a_row
from tokenomics_core.dialects.base import Usage
from tokenomics_core.ledger import Row
from tokenomics_core.ledger.export import exported
from tokenomics_core.ledger.focus import COLUMNS, charges
from tokenomics_core.ledger.row import priced
from tokenomics_core.meter.prices import cost

# Columns of FOCUS 1.2 that every data set has, and those of them that may not be null.
MANDATORY = set(
    "BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart"
    " ChargeCategory ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart ContractedCost"
    " EffectiveCost InvoiceIssuerName ListCost PricingQuantity PricingUnit ProviderName PublisherName"
    " ServiceCategory ServiceName".split()
)
NOT_NULL = MANDATORY - {"BillingAccountName", "ChargeClass", "ChargeDescription"}
COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
NUMBERS = (*COSTS, "ListUnitPrice", "ContractedUnitPrice", "PricingQuantity", "ConsumedQuantity")
DATES = ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")
EXACT = Context(prec=300)


def rows() -> list[Row]:
    return [
        *synthetic.rows(400),
        a_row(1, cost_usd=Decimal("0.25"), cost_by_class={}, recovered=True),
        a_row(2, cost_usd=None),
        a_row(3, cost_usd=Decimal("0.01"), cost_by_class={"request": "0.01"}, price_id="config:x"),
        a_row(4, input_tokens=0, output_tokens=0, cached_input_tokens=None, reasoning_tokens=None),
        a_row(5, provider="", base_key_env="", token_hash="", model="", metadata={}, cost_usd=None),
        a_row(6, ended_at=START + timedelta(seconds=6)),
    ]


def lines(some: list[Row]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(exported(some, "focus")))))


def test_columns() -> None:
    assert set(COLUMNS) >= MANDATORY
    assert len(set(COLUMNS)) == len(COLUMNS)
    own = [name for name in COLUMNS if not re.fullmatch(r"[A-Z][A-Za-z]+", name)]
    assert all(re.fullmatch(r"x_[A-Z][A-Za-z]+", name) for name in own)
    assert tuple(lines(rows())[0]) == COLUMNS


def test_every_charge_keeps_the_rules() -> None:
    for line in lines(rows()):
        assert {name for name in NOT_NULL if not line[name]} == set()
        for name in NUMBERS:
            # No exponent, no thousands.
            assert re.fullmatch(r"\d+(\.\d+)?|", line[name]), (name, line[name])
        for name in DATES:
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line[name])
        assert line["ChargePeriodStart"] < line["ChargePeriodEnd"]
        assert line["BillingPeriodStart"] <= line["ChargePeriodStart"] < line["BillingPeriodEnd"]
        begin, end = (
            datetime.fromisoformat(line[name]) for name in ("BillingPeriodStart", "BillingPeriodEnd")
        )
        assert (begin.day, begin.hour, end.day, end.hour) == (1, 0, 1, 0)
        assert timedelta(days=28) <= end - begin <= timedelta(days=31)
        assert line["ChargeCategory"] == "Usage"
        assert line["BillingCurrency"] == "USD"
        assert line["ServiceCategory"] == "AI and Machine Learning"
        assert line["ServiceSubcategory"] == "Generative AI"
        assert line["PricingCategory"] in ("Standard", "Other")
        assert line["PricingUnit"] in ("tokens", "requests")
        assert Decimal(line["PricingQuantity"]) >= 1
        assert (line["ConsumedQuantity"], line["ConsumedUnit"]) == (
            line["PricingQuantity"],
            line["PricingUnit"],
        )
        assert len({Decimal(line[name]) for name in COSTS}) == 1
        assert bool(line["SkuPriceId"]) == bool(line["ListUnitPrice"]) == bool(line["SkuPriceDetails"])
        if line["SkuPriceId"]:
            assert line["SkuId"]
            assert EXACT.multiply(
                Decimal(line["ListUnitPrice"]), Decimal(line["PricingQuantity"])
            ) == Decimal(line["ListCost"])
            assert all(name.startswith("x_") for name in json.loads(line["SkuPriceDetails"]))
        if line["Tags"]:
            assert isinstance(json.loads(line["Tags"]), dict)
        if line["x_PriceKnown"] == "false":
            assert (Decimal(line["BilledCost"]), line["SkuPriceId"]) == (0, "")


def test_charges_add_up_to_the_cost_of_each_request() -> None:
    billed: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines(rows()):
        billed[line["x_RequestId"]] = EXACT.add(billed[line["x_RequestId"]], Decimal(line["BilledCost"]))
    assert {row.id: row.cost_usd for row in rows() if row.cost_usd} == {
        id: usd for id, usd in billed.items() if usd
    }


def test_classes_and_their_meters() -> None:
    price = synthetic.PRICES[2][2]
    row = a_row(
        **priced(price, cost(price, Usage(1500, 655, 1024, None, 192))), provider="openai", model="o3"
    )
    found = [
        (each["x_TokenClass"], each["SkuMeter"], each["PricingQuantity"], each["ListUnitPrice"])
        for each in charges(row)
    ]
    assert found == [
        ("input", "Input Tokens", 476, Decimal("0.000002")),
        ("cached_input", "Cached Input Tokens", 1024, Decimal("0.0000005")),
        ("output", "Output Tokens", 463, Decimal("0.000008")),
        ("reasoning", "Reasoning Tokens", 192, Decimal("0.000008")),
    ]
    assert next(each["SkuPriceId"] for each in charges(row)) == "genai-prices:openai/o3@2025-06-10#input"


_amounts = st.decimals(0, 100, places=12)


@given(
    tokens=st.tuples(*[st.integers(0, 10**6)] * 5),
    by_class=st.dictionaries(
        st.sampled_from(["input", "cached_input", "cache_creation", "output", "reasoning", "request"]),
        _amounts,
    ),
    more=_amounts,
)
def test_no_cent_is_lost(tokens: tuple[int, ...], by_class: dict[str, Decimal], more: Decimal) -> None:
    usd = sum(by_class.values(), more)
    row = a_row(
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        cached_input_tokens=tokens[2],
        cache_creation_tokens=tokens[3],
        reasoning_tokens=tokens[4],
        cost_usd=usd,
        cost_by_class={name: f"{value:f}" for name, value in by_class.items()},
        price_id="config:x",
    )
    found: list[dict[str, Any]] = list(charges(row))
    assert sum((each["BilledCost"] for each in found), Decimal(0)) == usd
    assert all(each["PricingQuantity"] >= 1 for each in found)


@pytest.mark.parametrize(
    ("ended", "end"),
    [(0, "2026-03-02T08:16:11Z"), (519_887, "2026-03-02T08:16:11Z"), (519_888, "2026-03-02T08:16:12Z")],
)
def test_the_end_of_a_charge_is_after_its_start(ended: int, end: str) -> None:
    row = a_row(ended_at=START + timedelta(microseconds=ended))
    assert {(each["ChargePeriodStart"], each["ChargePeriodEnd"]) for each in charges(row)} == {
        ("2026-03-02T08:16:10Z", end)
    }
