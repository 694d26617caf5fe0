"""When an attempt is made again, and how long to wait before it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime

from tokenomics_core.exchange import Attempt

BASE_DELAY = 0.25
"""Seconds before the first retry; it doubles with each further one."""

MAX_DELAY = 8.0
"""Longest wait, in seconds, also when the provider asks for more: clients have patience, not eternity."""


def next_attempt(
    attempts: Sequence[Attempt], current: int, status: int, retry_on: Collection[int]
) -> int | None:
    """Index of the attempt to make after the current one ended with a status (0: no answer), or None.

    A status outside `retry_on` is the answer. A fallback model follows when the attempts of the model before
    it are used up.
    """
    if status and status not in retry_on:
        return None
    return current + 1 if current + 1 < len(attempts) else None


def backoff(retry: int, retry_after: float | None, jitter: float) -> float:
    """Seconds to wait before the given retry (0 for the first).

    jitter: a random number in [0, 1). The wait is drawn from the upper half of the exponential step ("equal
    jitter"); what the provider asks for by Retry-After is the least, MAX_DELAY the most.
    """
    step: float = min(MAX_DELAY, BASE_DELAY * 2.0 ** min(retry, 16))
    wait = step / 2 + jitter * step / 2
    return min(MAX_DELAY, max(wait, retry_after or 0.0))


def retry_after_seconds(headers: dict[str, str], now: float) -> float | None:
    """What `retry-after-ms` or `retry-after` (seconds or a date) asks for; None when absent or unreadable.

    headers: by lower-case name. now: seconds since the epoch.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name, "")
        try:
            seconds = float(value) / unit
        except ValueError:
            continue
        return seconds if 0 <= seconds < 1e6 else None
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except (ValueError, OverflowError):
        return None
    # The oldest of the three date formats names no zone, and means GMT.
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
