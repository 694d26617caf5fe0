"""Telemetry: rows as spans and metrics of OpenTelemetry, made and sent on threads of their own.

A request only hands its row over. Where the collector is slow or gone, spans are dropped, no request waits.
"""

from __future__ import annotations

import threading

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tokenomics_core import __version__
from tokenomics_core.ledger.row import Row
from tokenomics_core.ledger.writer import BatchWriter, QueueFull, WriterClosed
from tokenomics_core.telemetry.instruments import Instruments
from tokenomics_core.telemetry.spans import write_spans

_Item = tuple[Row, str, str]


class Telemetry:
    """spans, metrics: where they go; None for nowhere. dropped: rows that found the queue full.

    Nothing global is set: what else runs in the process has its own.
    """

    def __init__(
        self,
        *,
        spans: SpanProcessor | None,
        metrics: MetricReader | None,
        resource: Resource | None = None,
        capacity: int = 10_000,
    ) -> None:
        resource = resource or Resource.create({"service.name": "tokenomics"})
        self.dropped = 0
        self._tracers = self._meters = None
        self._instruments = None
        if spans is not None:
            self._tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
            self._tracers.add_span_processor(spans)
            self._tracer = self._tracers.get_tracer("tokenomics", __version__)
        if metrics is not None:
            self._meters = MeterProvider([metrics], resource=resource, shutdown_on_exit=False)
            self._instruments = Instruments(self._meters.get_meter("tokenomics", __version__))
        self._propagator = TraceContextTextMapPropagator()
        self._writer = BatchWriter[_Item]("telemetry", self._write, capacity=capacity)

    @property
    def backlog(self) -> int:
        """Rows that wait to be made into spans."""
        return self._writer.backlog

    def add(self, row: Row, traceparent: str = "", tracestate: str = "") -> None:
        """Hands the row over and returns at once. traceparent, tracestate: the client's header fields."""
        try:
            self._writer.put((row, traceparent, tracestate))
        except (QueueFull, WriterClosed):
            self.dropped += 1

    def flush(self, timeout: float = 5.0) -> bool:
        """Waits until all that was handed over is sent; False when that took longer (timeout: seconds)."""
        done = self._writer.flush(timeout)
        milliseconds = int(timeout * 1000)
        if self._tracers is not None:
            done = self._tracers.force_flush(milliseconds) and done
        if self._meters is not None:
            done = self._meters.force_flush(milliseconds) and done
        return done

    def close(self, timeout: float = 5.0) -> bool:
        """Sends what waits and ends the threads; False when that took longer (timeout: seconds)."""
        complete = self._writer.close(timeout)
        # An exporter whose collector is gone tries for longer than a stop may take.
        thread = threading.Thread(target=self._shut_down, name="telemetry-close", daemon=True)
        thread.start()
        thread.join(timeout)
        return complete and not thread.is_alive()

    def _shut_down(self) -> None:
        if self._tracers is not None:
            self._tracers.shutdown()
        if self._meters is not None:
            self._meters.shutdown()

    def _write(self, items: list[_Item]) -> None:
        for row, traceparent, tracestate in items:
            try:
                if self._tracers is not None:
                    carrier = {"traceparent": traceparent, "tracestate": tracestate}
                    parent = self._propagator.extract(carrier, Context()) if traceparent else None
                    write_spans(self._tracer, row, parent)
                if self._instruments is not None:
                    self._instruments.record(row)
            except Exception:
                # Telemetry is no ledger; one row that cannot be told must not hold up the rest.
                self.dropped += 1
