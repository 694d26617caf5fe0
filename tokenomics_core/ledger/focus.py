"""FOCUS: rows of the ledger as charges of the FinOps Open Cost and Usage Specification, version 1.2.

A request is as many charges as classes of its tokens cost something or are there to be counted: input, cached
input, cache creation, output, reasoning, and what a provider takes for the request itself. The charges of a
request add up to its cost exactly.

Where no price is known the charge is zero and ``x_PriceKnown`` false: the specification has no unknown cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from tokenomics_core.ledger.facts import EXACT
from tokenomics_core.ledger.row import Row, timestamp

VERSION = "1.2"
COLUMNS = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency"),
    *("BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription"),
    *("ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit"),
    *("ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName"),
    *("ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName"),
    *("PublisherName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName"),
    *("ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId"),
    *("SubAccountName", "SubAccountType", "Tags", "x_RequestId", "x_StartedAt", "x_TokenClass"),
    *("x_RequestedModel", "x_Model", "x_SessionId", "x_Repository", "x_Branch", "x_CommitHash", "x_Status"),
    *("x_Estimated", "x_Recovered", "x_PriceKnown"),
)
_METERS = {
    "input": "Input Tokens",
    "cached_input": "Cached Input Tokens",
    "cache_creation": "Cache Creation Tokens",
    "output": "Output Tokens",
    "reasoning": "Reasoning Tokens",
    "request": "Requests",
    "total": "Tokens",
}
_SECOND = timedelta(seconds=1)
_TENTH = Decimal("0.1")


def charges(row: Row) -> Iterator[dict[str, Any]]:
    """The charges of a row, by column: amounts and quantities are Decimal, dates text, NULL is None.

    None for a row that used no tokens and cost nothing.
    """
    common = _common(row)
    known = row.cost_usd is not None
    for name, quantity, usd in parts(row):
        unit = "requests" if name == "request" else "tokens"
        price = _unit_price(usd, quantity) if known and row.price_id else None
        # The specification wants decimals; readers of CSV take what has no point for integers.
        amount = Decimal(quantity).quantize(_TENTH)
        yield common | {
            "BilledCost": usd,
            "ContractedCost": usd,
            "EffectiveCost": usd,
            "ListCost": usd,
            "ListUnitPrice": price,
            "ContractedUnitPrice": price,
            "ConsumedQuantity": amount,
            "ConsumedUnit": unit,
            "PricingQuantity": amount,
            "PricingUnit": unit,
            "PricingCategory": "Standard" if price is not None else "Other",
            "ChargeDescription": f"{_METERS[name]} of {row.model or 'an unnamed model'}",
            "SkuMeter": _METERS[name],
            "SkuPriceId": f"{row.price_id}#{name}" if price is not None else None,
            "SkuPriceDetails": _details(row) if price is not None else None,
            "x_TokenClass": name,
        }


def parts(row: Row) -> Iterator[tuple[str, int, Decimal]]:
    """By class: how many tokens, and USD. They are the classes of `tokenomics_core.meter.prices`."""
    cost = row.cost_usd or Decimal(0)
    if cost and not row.cost_by_class:
        # The ledger says what was reserved, and not of which class.
        yield "total", max(1, row.input_tokens + row.output_tokens), cost
        return
    cached, created, reasoning = (
        row.cached_input_tokens or 0,
        row.cache_creation_tokens or 0,
        row.reasoning_tokens or 0,
    )
    tokens = {
        "input": max(0, row.input_tokens - cached - created),
        "cached_input": cached,
        "cache_creation": created,
        "output": max(0, row.output_tokens - reasoning),
        "reasoning": reasoning,
        "request": 1 if "request" in row.cost_by_class else 0,
    }
    left = cost
    for name, quantity in tokens.items():
        usd = Decimal(row.cost_by_class.get(name, "0"))
        left = EXACT.subtract(left, usd)
        if quantity or usd:
            yield name, max(1, quantity), usd
    if left:
        yield "total", 1, left


def _common(row: Row) -> dict[str, Any]:
    started = row.started_at.astimezone(UTC)
    begin = started.replace(microsecond=0)
    # The end is exclusive, and after the start.
    end = max(row.ended_at.astimezone(UTC), started + timedelta(microseconds=1))
    end = end if not end.microsecond else end.replace(microsecond=0) + _SECOND
    month = begin.replace(day=1, hour=0, minute=0, second=0)
    next_month = (month + timedelta(days=32)).replace(day=1)
    provider = row.provider or row.upstream_host or "unknown"
    account = row.base_key_env or provider
    return {
        **dict.fromkeys(COLUMNS),
        "BillingAccountId": account,
        "BillingAccountName": account,
        "BillingAccountType": "API key" if row.base_key_env else "Provider",
        "BillingCurrency": "USD",
        "BillingPeriodStart": _date(month),
        "BillingPeriodEnd": _date(next_month),
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _date(begin),
        "ChargePeriodEnd": _date(max(end, begin + _SECOND)),
        "InvoiceIssuerName": provider,
        "ProviderName": provider,
        "PublisherName": provider,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": provider,
        "ServiceSubcategory": "Generative AI",
        "SkuId": f"{provider}/{row.model}" if row.model else provider,
        "SubAccountId": row.token_hash or None,
        "SubAccountName": row.token_hash[:8] or None,
        "SubAccountType": "Wrapper token" if row.token_hash else None,
        "Tags": orjson.dumps(row.metadata, option=orjson.OPT_SORT_KEYS).decode() if row.metadata else None,
        "x_RequestId": row.id,
        "x_StartedAt": timestamp(started),
        "x_RequestedModel": row.requested_model or None,
        "x_Model": row.model or None,
        "x_SessionId": row.session_id or None,
        "x_Repository": row.repo or None,
        "x_Branch": row.branch or None,
        "x_CommitHash": row.commit_hash or None,
        "x_Status": row.status,
        "x_Estimated": row.estimated,
        "x_Recovered": row.recovered,
        "x_PriceKnown": row.cost_usd is not None,
    }


def _unit_price(usd: Decimal, quantity: int) -> Decimal | None:
    """USD of one; None where it cannot be said exactly, or is not the price of one."""
    price = Decimal(usd) / quantity if quantity else None
    if price is None or EXACT.multiply(price, Decimal(quantity)) != usd:
        return None
    return price


def _details(row: Row) -> str:
    details = {"x_Source": row.price_source, "x_AsOf": row.price_as_of and row.price_as_of.isoformat()}
    return orjson.dumps({name: value for name, value in details.items() if value}).decode()


def _date(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")[:19] + "Z"
