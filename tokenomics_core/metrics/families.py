"""Families: counters and histograms as plain dictionaries, made into prometheus-client's when they are asked.

Those of prometheus-client hold floats; money here is added up as exact decimals and made a float only when it
is shown.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily

_EXACT = Context(prec=200)


@dataclass(slots=True)
class Counter:
    """name: without the ``_total`` under which it is shown. labels: names; values go by the same order."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    values: dict[tuple[str, ...], int | Decimal] = field(default_factory=dict)

    def add(self, amount: int | Decimal, *labels: str) -> None:
        before = self.values.get(labels, 0)
        if isinstance(amount, Decimal):
            self.values[labels] = _EXACT.add(Decimal(before), amount)
        else:
            self.values[labels] = before + amount

    def copy(self) -> Counter:
        """As it stands now; quick, for who counts has to wait."""
        return replace(self, values=dict(self.values))

    def collect(self) -> CounterMetricFamily:
        family = CounterMetricFamily(self.name, self.help, labels=self.labels)
        for labels, value in self.values.items():
            family.add_metric(labels, float(value))
        return family


@dataclass(slots=True)
class _Distribution:
    counts: list[int]
    sum: float = 0.0


@dataclass(slots=True)
class Histogram:
    """buckets: upper bounds, ascending, in the unit of the name; one without a bound is added."""

    name: str
    help: str
    buckets: Sequence[float]
    labels: tuple[str, ...] = ()
    values: dict[tuple[str, ...], _Distribution] = field(default_factory=dict)

    def observe(self, value: float, *labels: str) -> None:
        found = self.values.get(labels)
        if found is None:
            found = self.values[labels] = _Distribution([0] * (len(self.buckets) + 1))
        found.counts[bisect_left(self.buckets, value)] += 1
        found.sum += value

    def copy(self) -> Histogram:
        """As it stands now; quick, for who counts has to wait."""
        values = {key: _Distribution(found.counts.copy(), found.sum) for key, found in self.values.items()}
        return replace(self, values=values)

    def collect(self) -> HistogramMetricFamily:
        family = HistogramMetricFamily(self.name, self.help, labels=self.labels)
        bounds = [*(f"{float(bound)}" for bound in self.buckets), "+Inf"]
        for labels, found in self.values.items():
            so_far, cells = 0, list[tuple[str, float]]()
            for bound, count in zip(bounds, found.counts, strict=True):
                so_far += count
                cells.append((bound, so_far))
            family.add_metric(labels, buckets=cells, sum_value=found.sum)
        return family
