"""The counters: what was used and what is reserved, of every limit of every token."""

from tokenomics_core.counters.opening import FILE, open_counters
from tokenomics_core.counters.owners import Owners
from tokenomics_core.counters.question import (
    HIGHEST,
    NANO,
    Claim,
    CountersUnavailable,
    Denied,
    Extension,
    Freeze,
    Granted,
    Limit,
    Question,
    Seen,
    Settled,
    Settlement,
    Standing,
    Unit,
    Unsettled,
    Used,
    Watch,
    Window,
)
from tokenomics_core.counters.store import Counters

__all__ = [
    "FILE",
    "HIGHEST",
    "NANO",
    "Claim",
    "Counters",
    "CountersUnavailable",
    "Denied",
    "Extension",
    "Freeze",
    "Granted",
    "Limit",
    "Owners",
    "Question",
    "Seen",
    "Settled",
    "Settlement",
    "Standing",
    "Unit",
    "Unsettled",
    "Used",
    "Watch",
    "Window",
    "open_counters",
]
