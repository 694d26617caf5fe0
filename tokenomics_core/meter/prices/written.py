"""Prices that people write: ``pricing`` in the configuration, and a table in TokenGate's format.

Configuration, USD per 1,000,000 tokens::

    pricing:
      gpt-4o: {input: 2.5, cached_input: 1.25, output: 10}
      azure_openai/my-deployment: {input: 2, output: 8, as_of: 2025-06-01}
      ollama/*: {input: 0, output: 0}

A key is a model or provider/model in any case; a star at its end stands for any rest. ``input`` and
``output`` are required. Without ``cached_input`` and ``cache_creation`` such tokens cost as input, without
``reasoning`` as output. ``request`` is USD per request, ``as_of`` the date of the price.

Table, a JSON file, USD per 1,000 tokens, keys with ``_`` in front are comments::

    {"_source": "...", "gpt-4o": {"input": 0.0025, "output": 0.01}}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Context, Decimal, DecimalException
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tokenomics_core.meter.prices.price import DECIMALS, ZERO, Price

_RATES = ("input", "cached_input", "cache_creation", "output", "reasoning")
_FIELDS = (*_RATES, "request", "as_of")
_HIGHEST = 1_000_000
# Enough digits to scale what has been read without rounding it; what is too long is refused after that.
_READING = Context(prec=200)


class PriceError(Exception):
    """A written price cannot be used. The message is one line: which one, and what to write instead."""


@dataclass(slots=True)
class WrittenPrices:
    """Prices by lower-case key. The keys of `patterns` come without their star, the longest first."""

    exact: dict[str, Price] = field(default_factory=dict)
    patterns: dict[str, Price] = field(default_factory=dict)

    def find(self, provider: str, names: Sequence[str]) -> Price | None:
        """The price of the first name that has one; a key with the provider in it before one without."""
        for name in names:
            for key in (f"{provider}/{name}", name):
                if key in self.exact:
                    return self.exact[key]
        for prefix in (f"{provider}/", ""):
            for start, price in self.patterns.items():
                if any((prefix + name).startswith(start) for name in names):
                    return price
        return None

    def guess(self, names: Sequence[str]) -> Price | None:
        """The price of the longest key that one of the names begins with."""
        starts = [key for key in self.exact if any(name.startswith(key) for name in names)]
        return self.exact[max(starts, key=len)] if starts else None


def read_overrides(pricing: Mapping[str, Any]) -> WrittenPrices:
    """The configuration's ``pricing``. Raises PriceError."""
    written = WrittenPrices()
    for key, price in _prices(pricing, "config", "pricing: ", 1_000_000):
        start, star, rest = key.partition("*")
        if not star:
            written.exact[key] = price
        elif rest or not start:
            raise PriceError(
                f"pricing: {key} has no name before the star, or more after it; write a key such as ollama/*,"
                " and for models without a price use unknown_price"
            )
        else:
            written.patterns[start] = price
    written.patterns = dict(sorted(written.patterns.items(), key=lambda item: -len(item[0])))
    return written


def read_table(path: Path) -> WrittenPrices:
    """A pricing table in TokenGate's format. Raises PriceError."""
    try:
        content = json.loads(path.read_bytes(), parse_float=Decimal)
    except OSError as error:
        raise PriceError(
            f"{path}: {error.strerror or 'cannot be read'}; give the path of a pricing table"
        ) from None
    except (ValueError, RecursionError, DecimalException):
        raise PriceError(
            f'{path}: is no JSON; write {{"gpt-4o": {{"input": 0.0025, "output": 0.01}}}}'
        ) from None
    if not isinstance(content, dict):
        raise PriceError(f"{path}: is no map; write models as keys and their prices below them")
    return WrittenPrices(dict(_prices(content, "table", f"{path}: ", 1_000)))


def assumed(limit_input: Decimal | float | str, limit_output: Decimal | float | str) -> Price:
    """The price taken where none is known: USD per 1,000,000 tokens of input and output.

    Cached tokens cost as input, so that it stays the upper limit that it was stated to be. Raises
    PriceError.
    """
    price_in = _number(limit_input, "unknown_price: input", 1_000_000)
    price_out = _number(limit_output, "unknown_price: output", 1_000_000)
    return Price(
        id=f"assumed:{price_in:f}/{price_out:f}",
        source="assumed",
        input=price_in,
        cached_input=price_in,
        cache_creation=price_in,
        output=price_out,
    )


def _prices(entries: Any, source: str, where: str, per: int) -> Iterator[tuple[str, Price]]:
    """per: tokens that the amounts are for. where: stands in front of a key in errors."""
    if not isinstance(entries, Mapping):
        raise PriceError(f"{where}is no map; write models as keys and their prices below them")
    seen = set()
    for name, values in entries.items():
        key = str(name).strip().lower()
        if key.startswith("_"):
            continue
        if not key or key in seen:
            raise PriceError(f"{where}{key or 'a key'} is empty or there twice; name every model once")
        seen.add(key)
        yield key, _price(key, values, source, f"{where}{key}", per)


def _price(key: str, values: Any, source: str, where: str, per: int) -> Price:
    if not isinstance(values, Mapping):
        raise PriceError(f"{where} is no map; write {{input: 2.5, output: 10}}, USD per {per:,} tokens")
    values = {name: value for name, value in values.items() if not str(name).startswith("_")}
    for name in values:
        if name not in _FIELDS:
            near = get_close_matches(str(name), _FIELDS, n=1)
            hint = f"write {near[0]}" if near else f"known are {', '.join(_FIELDS)}"
            raise PriceError(f"{where}: {name} is not known; {hint}")
    for name in ("input", "output"):
        if name not in values:
            raise PriceError(f"{where}: {name} is missing; write it, 0 where it is free")
    rates = {name: _number(values[name], f"{where}: {name}", per) for name in _RATES if name in values}
    as_of = _date(values["as_of"], f"{where}: as_of") if "as_of" in values else None
    return Price(
        id=f"{source}:{key}@{as_of}" if as_of else f"{source}:{key}",
        source=source,
        as_of=as_of,
        input=rates["input"],
        cached_input=rates.get("cached_input", rates["input"]),
        cache_creation=rates.get("cache_creation", rates["input"]),
        output=rates["output"],
        reasoning=rates.get("reasoning"),
        request=_number(values["request"], f"{where}: request", 1) if "request" in values else ZERO,
    )


def _number(value: Any, where: str, per: int) -> Decimal:
    """The amount for `per` tokens as USD per 1,000,000 tokens; for a `per` of 1 as it is."""
    remedy = "USD per request" if per == 1 else f"USD per {per:,} tokens"
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise ValueError(value)
        # YAML has no decimals; the repr of a float has the digits that were written.
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except (ValueError, DecimalException):
        raise PriceError(f"{where} is no number; write {remedy}") from None
    if not number.is_finite() or number < 0:
        raise PriceError(f"{where} is {_short(number)}; write 0 or more, {remedy}")
    if per > 1:
        number = _READING.multiply(number, 1_000_000 // per)
    exponent = number.as_tuple().exponent
    if number > _HIGHEST or not isinstance(exponent, int) or exponent < -DECIMALS:
        raise PriceError(f"{where} is too large or has too many decimals; write {remedy}")
    # No exponent above zero and no minus, so that an id shows it as people write it.
    return abs(number) if exponent <= 0 else number.quantize(ZERO)


def _short(number: Decimal) -> str:
    text = str(number)
    return text if len(text) <= 24 else f"{text[:24]}..."


def _date(value: Any, where: str) -> date:
    try:
        # A datetime is a date too.
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        raise PriceError(f"{where} is no date; write one such as 2025-06-01") from None
