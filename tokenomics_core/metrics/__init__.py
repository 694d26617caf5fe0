"""Metrics: what passes through this process, for Prometheus."""

from tokenomics_core.metrics.budgets import Remaining, remaining
from tokenomics_core.metrics.moment import Moment
from tokenomics_core.metrics.prometheus import Metrics
from tokenomics_core.metrics.server_timing import server_timing

__all__ = ["Metrics", "Moment", "Remaining", "remaining", "server_timing"]
