"""Moment: what is so when somebody looks, beside what is counted as it happens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

from tokenomics_core.meter.stats import Counters
from tokenomics_core.metrics.budgets import Remaining


@dataclass(frozen=True, slots=True)
class Moment:
    """Of this process: requests in flight; open streams by kind (``http``, ``websocket``); by the name of a
    queue what waits, in items or in bytes, and what found no room since the start.

    Of the data directory, and so the same in all processes that share it: what is left of budgets; deliveries
    by webhook and state; the sums over the ledger, None where they cannot be read.
    """

    in_flight: int = 0
    open_streams: Mapping[str, int] = field(default_factory=dict)
    queues: Mapping[str, int] = field(default_factory=dict)
    queued_bytes: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    budgets: Iterable[Remaining] = ()
    webhooks: Mapping[tuple[str, str], int] = field(default_factory=dict)
    ledger: Counters | None = None

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "tokenomics_requests_in_flight", "Requests that have not ended.", value=self.in_flight
        )
        yield _gauge(
            "tokenomics_open_streams",
            "Answers that stream now, and open WebSockets.",
            "kind",
            self.open_streams,
        )
        yield _gauge("tokenomics_queue_depth", "What waits for a writer.", "queue", self.queues)
        yield _gauge("tokenomics_queue_bytes", "Bytes that wait for a writer.", "queue", self.queued_bytes)
        dropped = CounterMetricFamily(
            "tokenomics_dropped", "What was not written: its queue was full.", labels=("queue",)
        )
        for name, count in self.dropped.items():
            dropped.add_metric((name,), count)
        yield dropped
        yield self._left()
        yield self._deliveries()
        if self.ledger is not None:
            yield from _ledger(self.ledger)

    def _left(self) -> Metric:
        left = GaugeMetricFamily(
            "tokenomics_budget_remaining",
            "What is left of a budget, in its unit. token: the first 16 characters of its hash.",
            labels=("unit", "period", "scope", "token"),
        )
        for each in self.budgets:
            left.add_metric((each.unit, each.period, each.scope, each.token[:16]), float(each.amount))
        return left

    def _deliveries(self) -> Metric:
        deliveries = GaugeMetricFamily(
            "tokenomics_webhook_deliveries",
            "Events that wait for a webhook, or were given up. webhook: its place in the configuration.",
            labels=("webhook", "state"),
        )
        for labels, count in self.webhooks.items():
            deliveries.add_metric(labels, count)
        return deliveries


def _gauge(name: str, help: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, help, labels=(label,))
    for value, count in values.items():
        family.add_metric((value,), count)
    return family


def _ledger(sums: Counters) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "tokenomics_ledger_requests", "Requests in the ledger, of all processes.", value=sums.request_count
    )
    yield GaugeMetricFamily("tokenomics_ledger_errors", "Those of them that failed.", value=sums.error_count)
    tokens = GaugeMetricFamily("tokenomics_ledger_tokens", "Tokens in the ledger.", labels=("type",))
    tokens.add_metric(("input",), sums.input_tokens)
    tokens.add_metric(("output",), sums.output_tokens)
    yield tokens
    yield GaugeMetricFamily("tokenomics_ledger_cost_usd", "US dollars in the ledger.", value=float(sums.cost))
