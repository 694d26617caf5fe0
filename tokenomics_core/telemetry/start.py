"""Whether telemetry is wanted, and its start by the standard variables."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenomics_core.telemetry.export import Telemetry

log = logging.getLogger("tokenomics")

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_PROTOCOL = "http/protobuf"


def wanted(signal: str, environ: Mapping[str, str], *, enabled: bool = False) -> bool:
    """Whether that signal (``traces``, ``metrics``) is to be sent.

    It is where an endpoint or the exporter ``otlp`` is named for it, or the configuration says so (enabled).
    ``OTEL_SDK_DISABLED=true`` and the exporter ``none`` switch it off.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower()
    if exporter:
        return "otlp" in exporter.split(",")
    named = (_ENDPOINT, f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    return enabled or any(environ.get(name, "").strip() for name in named)


def start_telemetry(environ: Mapping[str, str], *, enabled: bool = False) -> Telemetry | None:
    """The exporters that are wanted, by the standard ``OTEL_*`` variables; None for none.

    environ: the process environment, which the exporters read for themselves. What stands in the way is told
    in the log, and the gateway runs without.
    """
    traces = wanted("traces", environ, enabled=enabled)
    metrics = wanted("metrics", environ, enabled=enabled)
    if not traces and not metrics:
        return None
    for signal, asked in (("TRACES", traces), ("METRICS", metrics)):
        protocol = environ.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL") or environ.get(
            "OTEL_EXPORTER_OTLP_PROTOCOL", _PROTOCOL
        )
        if asked and protocol != _PROTOCOL:
            log.warning("telemetry is off: only %s is spoken, not %.40r", _PROTOCOL, protocol)
            return None
    # It would log the whole of a header that it cannot read, and such a header holds a key.
    logging.getLogger("opentelemetry.util.re").setLevel(logging.ERROR)
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from tokenomics_core import __version__
        from tokenomics_core.telemetry.export import Telemetry
    except ImportError:
        log.warning("telemetry is off: install the extra for it, pip install 'tokenomics[otel]'")
        return None
    own = {"service.version": __version__}
    if not environ.get("OTEL_SERVICE_NAME") and "service.name=" not in environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    ):
        own["service.name"] = "tokenomics"
    try:
        return Telemetry(
            spans=BatchSpanProcessor(OTLPSpanExporter()) if traces else None,
            metrics=PeriodicExportingMetricReader(OTLPMetricExporter()) if metrics else None,
            resource=Resource.create(own),
        )
    except Exception as error:
        # A variable that cannot be read, such as a time-out that is no number. Its value may be a secret.
        log.warning("telemetry is off: %s while the OTEL_* variables were read", type(error).__name__)
        return None
