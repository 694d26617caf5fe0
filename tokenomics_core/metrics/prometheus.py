"""Metrics: counters and histograms of one process, made from rows, exposed for Prometheus.

Each process has its own, from its start: a scraper that asks each of them adds them up. What all processes of
a data directory have written down together is in gauges (`moment`), which are the same whichever of them is
asked.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from tokenomics_core import __version__
from tokenomics_core.guard.verdict import REDACTED_ENTRY
from tokenomics_core.ledger.row import Row
from tokenomics_core.metrics.families import Counter, Histogram
from tokenomics_core.metrics.labels import Bounded, Models
from tokenomics_core.metrics.moment import Moment

MOST_MODELS = 200
"""Pairs of provider and model with series of their own."""

_OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_LATENCY = (0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2.5, 5, 7.5, 10, 15, 30, 60, 120, 300)

# How `guard.verdict` begins to tell of a match.
_RULE_TYPES = {
    "matched regex": "regex",
    "matched keyword": "keyword",
    "detected PII": "pii",
    "detected jailbreak": "jailbreak",
}


class Metrics:
    """`add` and `expose` may be called from different threads. models: the most with series of their own."""

    def __init__(self, *, models: int = MOST_MODELS) -> None:
        self._lock = threading.Lock()
        self._models = Models(models)
        self._refusals, self._layers, self._statuses = Bounded(100), Bounded(32), Bounded(32)
        self._requests = Counter(
            "tokenomics_requests",
            "Requests that ended. status_class: 1xx to 5xx, none, broken. refusal: our own reason, if any.",
            ("provider", "model", "status_class", "dialect", "refusal"),
        )
        self._tokens = Counter(
            "tokenomics_tokens",
            "Tokens. cached_input and cache_creation are part of input, reasoning is part of output.",
            ("provider", "model", "type"),
        )
        self._cost = Counter(
            "tokenomics_cost_usd", "US dollars that the tokens cost, where a price is known.", _PAIR
        )
        self._unpriced = Counter(
            "tokenomics_unpriced_requests", "Requests with tokens and without a price.", _PAIR
        )
        self._rules = Counter("tokenomics_rule_hits", "Content rules that matched.", ("action", "type"))
        self._retries = Counter(
            "tokenomics_retries",
            "Attempts that failed. status: what the provider answered, or network.",
            ("provider", "status"),
        )
        self._overhead = Histogram(
            "tokenomics_overhead_seconds",
            "What the gateway's layers took of a request.",
            _OVERHEAD,
            ("layer",),
        )
        self._first_token = Histogram(
            "tokenomics_time_to_first_token_seconds",
            "From the start of a streamed request to the first byte of the provider's answer.",
            _LATENCY,
            _PAIR,
        )
        self._upstream = Histogram(
            "tokenomics_upstream_seconds", "What providers took of a request, all attempts.", _LATENCY, _PAIR
        )
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Asked(self._collect))
        ProcessCollector(registry=self._registry)
        self._moment = Moment()
        self._exposing = threading.Lock()

    def add(self, row: Row) -> None:
        """Counts a finished exchange, also one whose token nobody knows."""
        # As in the statistics: the responses asked for in its frames are the requests.
        if row.kind == "upgrade" and not row.failed:
            return
        with self._lock:
            pair = self._models.of(row.provider, row.model, answered=200 <= row.upstream_status < 400)
            self._requests.add(1, *pair, _status_class(row), row.dialect, self._refusals.of(row.refusal))
            self._add_tokens(row, pair)
            self._add_times(row, pair)
            for failed in row.attempts[: row.retry_count]:
                provider, _ = self._models.of(str(failed["provider"]), "", answered=False)
                said = self._statuses.of(str(failed["status"])) if failed["status"] else "network"
                self._retries.add(1, provider, said)
            self._add_rules(row)

    def _add_tokens(self, row: Row, pair: tuple[str, str]) -> None:
        for type, count in (
            ("input", row.input_tokens),
            ("output", row.output_tokens),
            ("cached_input", row.cached_input_tokens),
            ("cache_creation", row.cache_creation_tokens),
            ("reasoning", row.reasoning_tokens),
        ):
            if count:
                self._tokens.add(count, *pair, type)
        if row.cost_usd is not None:
            self._cost.add(row.cost_usd, *pair)
        elif row.input_tokens or row.output_tokens:
            self._unpriced.add(1, *pair)

    def _add_times(self, row: Row, pair: tuple[str, str]) -> None:
        observe, layer_of = self._overhead.observe, self._layers.of
        for layer, spent in row.timings.items():
            observe(spent / 1000, layer_of(layer))
        if row.attempts:
            self._upstream.observe(upstream_ms(row) / 1000, *pair)
        if row.stream and row.first_byte_ms is not None and 200 <= row.upstream_status < 400:
            self._first_token.observe(row.first_byte_ms / 1000, *pair)

    def _add_rules(self, row: Row) -> None:
        single = any(match.get("action") == "mask" and match != REDACTED_ENTRY for match in row.rule_matches)
        for match in row.rule_matches:
            # Where single rules say what they masked, the remark that something was says nothing more.
            if match != REDACTED_ENTRY or not single:
                self._rules.add(1, str(match.get("action", "")), _rule_type(str(match.get("message", ""))))

    def expose(self, accept: str = "", moment: Moment | None = None) -> tuple[str, bytes]:
        """Content type and body, in the format that the Accept field asks for: text, or OpenMetrics.

        moment: what is so now, beside what was counted.
        """
        encode, kind = choose_encoder(accept)
        with self._exposing:
            self._moment = moment or Moment()
            return kind, encode(self._registry)

    def _collect(self) -> list[Metric]:
        with self._lock:
            own: list[Counter | Histogram] = [
                family.copy()
                for family in (
                    self._requests,
                    self._tokens,
                    self._cost,
                    self._unpriced,
                    self._rules,
                    self._retries,
                    self._overhead,
                    self._first_token,
                    self._upstream,
                )
            ]
        build = GaugeMetricFamily("tokenomics_build_info", "Versions.", labels=("version", "python"))
        build.add_metric((__version__, platform.python_version()), 1)
        return [*(family.collect() for family in own), *self._moment.collect(), build]


_PAIR = ("provider", "model")


class _Asked(Collector):
    def __init__(self, ask: Callable[[], list[Metric]]) -> None:
        self._ask = ask

    def collect(self) -> list[Metric]:
        return self._ask()


def _status_class(row: Row) -> str:
    if not row.status:
        return "none"
    # The head had gone out with another status; by this one alerts find it.
    return "broken" if row.status < 400 and row.failed else f"{row.status // 100}xx"


def upstream_ms(row: Row) -> float:
    """Milliseconds that providers took: of each attempt, or what the gateway's layers leave of the whole."""
    if row.attempts and all("ended_ms" in each for each in row.attempts):
        return sum(float(each["ended_ms"] - each["began_ms"]) for each in row.attempts)
    return max(0.0, row.duration_ms - sum(row.timings.values()))


def _rule_type(message: str) -> str:
    """The empty string where no single rule is told of."""
    return next((type for begin, type in _RULE_TYPES.items() if message.startswith(begin)), "")
