"""Prices: which price holds for a model of a provider at a moment.

Three sources, and the first that knows the model decides: ``pricing`` of the configuration, a pricing table,
genai-prices. Of a table that only has the beginning of a name, genai-prices comes first: ``o3`` says little
about an ``o3-pro``.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tokenomics_core.meter.prices.genai import GenaiPrices
from tokenomics_core.meter.prices.names import LONGEST, spellings
from tokenomics_core.meter.prices.price import Price
from tokenomics_core.meter.prices.written import WrittenPrices, read_overrides, read_table

KEPT = 4096
"""Answers that are remembered. Clients choose model names, so there is an end to it."""

_NONE: Mapping[str, Any] = MappingProxyType({})
# The prices of a day by the time from which they hold, the last one first.
_Day = tuple[tuple[time, Price | None], ...]


class Prices:
    """Built once, asked from any thread. Nothing is ever fetched from a network.

    overrides: ``pricing`` of the configuration. table: a pricing table; both as in `written`, which see.
    Raises PriceError when one of them cannot be used.
    """

    def __init__(self, overrides: Mapping[str, Any] = _NONE, table: Path | None = None) -> None:
        self._overrides = read_overrides(overrides)
        self._table = read_table(table) if table is not None else WrittenPrices()
        self._genai: GenaiPrices | None = None
        self._loading = threading.Lock()
        self._days: dict[tuple[str, str, date], _Day] = {}

    @property
    def ready(self) -> bool:
        """Whether `load` is done, so that `price` does not wait for it."""
        return self._genai is not None

    def load(self) -> None:
        """Loads genai-prices, once; takes about half a second, so call it in a thread at the start."""
        self._loaded()

    def price(self, provider: str, model: str, at: datetime) -> Price | None:
        """The price that holds at that moment (without a time zone: UTC), None when it is not known.

        provider: a name of the catalogue, or any other. A zero price is a price.
        """
        if at.tzinfo is not UTC:
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        key = (provider, model, at.date())
        day = self._days.get(key)
        if day is None:
            if len(model) > LONGEST:
                return None
            day = self._day(*key)
            if len(self._days) >= KEPT:
                self._days.clear()
            self._days[key] = day
        if len(day) == 1:
            return day[0][1]
        now = at.time()
        return next(price for start, price in day if start <= now)

    def _day(self, provider: str, model: str, day: date) -> _Day:
        provider, names = provider.lower(), spellings(model)
        for written in (self._overrides, self._table):
            if found := written.find(provider, names):
                return ((time.min, found),)
        if prices := self._loaded().prices(provider, names, day):
            return tuple(reversed(prices))
        return ((time.min, self._table.guess(names)),)

    def _loaded(self) -> GenaiPrices:
        with self._loading:
            if self._genai is None:
                self._genai = GenaiPrices()
            return self._genai
