"""Telemetry: OpenTelemetry's traces and metrics, for who asks for them and has the extra ``otel`` installed.

Nothing of OpenTelemetry is imported before that.
"""

from tokenomics_core.telemetry.start import start_telemetry, wanted

__all__ = ["start_telemetry", "wanted"]
