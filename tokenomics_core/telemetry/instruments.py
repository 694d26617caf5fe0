"""Instruments: the histograms of the conventions for generative AI, filled from rows."""

from __future__ import annotations

from typing import Any

from opentelemetry.metrics import Meter

from tokenomics_core.ledger.row import Row
from tokenomics_core.metrics.labels import Models
from tokenomics_core.telemetry.names import OPERATIONS, attempt_error, provider_name, request_error
from tokenomics_core.telemetry.spans import each_attempt, server

TOKEN_BUCKETS = tuple(4**power for power in range(14))
DURATION_BUCKETS = tuple(round(0.01 * 2**power, 2) for power in range(14))
FIRST_TOKEN_BUCKETS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
    *(0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)


class Instruments:
    """models: the most pairs of provider and model that are named; others are ``other``."""

    def __init__(self, meter: Meter, *, models: int = 200) -> None:
        self._models = Models(models)
        self._usage = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKEN_BUCKETS,
        )
        self._operation = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        )
        self._request = meter.create_histogram(
            "gen_ai.server.request.duration",
            unit="s",
            description="Generative AI server request duration.",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        )
        self._first_token = meter.create_histogram(
            "gen_ai.server.time_to_first_token",
            unit="s",
            description="Time to generate first token for successful responses.",
            explicit_bucket_boundaries_advisory=FIRST_TOKEN_BUCKETS,
        )

    def record(self, row: Row) -> None:
        """What is no operation of a model is left out, and so are upgrades to a WebSocket."""
        if row.operation not in OPERATIONS or (row.kind == "upgrade" and not row.failed):
            return
        answered = 200 <= row.upstream_status < 400
        common = {**self._attributes(row, row.provider, row.model, answered), **server(row)}
        if answered and row.actual_model:
            named = {**common, "gen_ai.response.model": self._named(row.provider, row.actual_model)}
        else:
            named = common
        if answered:
            self._usage.record(row.input_tokens, {**named, "gen_ai.token.type": "input"})
            if row.operation != "embeddings":
                self._usage.record(row.output_tokens, {**named, "gen_ai.token.type": "output"})
        last = len(row.attempts) - 1
        for number, (attempt, times) in enumerate(each_attempt(row)):
            if not times.measured and last:
                # Of several, nobody knows how long each took.
                continue
            attributes = self._attributes(
                row, str(attempt["provider"]), str(attempt["model"]), answered and number == last
            )
            if number == last:
                attributes = dict(named)
            if error := attempt_error(int(attempt["status"]), str(attempt["reason"])):
                attributes["error.type"] = error
            self._operation.record((times.ended - times.began) / 1000, attributes)
        if error := request_error(row):
            named = {**named, "error.type": error}
        self._request.record(row.duration_ms / 1000, named)
        if answered and not row.failed and row.stream and row.first_byte_ms is not None:
            self._first_token.record(row.first_byte_ms / 1000, named)

    def _attributes(self, row: Row, provider: str, model: str, answered: bool) -> dict[str, Any]:
        found: dict[str, Any] = {
            "gen_ai.operation.name": row.operation,
            "gen_ai.provider.name": provider_name(provider, row.dialect),
        }
        if model:
            found["gen_ai.request.model"] = self._models.of(provider, model, answered=answered)[1]
        return found

    def _named(self, provider: str, model: str) -> str:
        return self._models.of(provider, model, answered=True)[1]
