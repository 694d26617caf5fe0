"""When a token ends: the ways to write it, and the one way in which it is stored."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tokenomics_core.duration import parse_duration

_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_CALENDAR = re.compile(r"([0-9]{1,9})([dy])")


class ExpiryError(ValueError):
    """The text names no point in time; the message is one line and says what would."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """The end of a token.

    text: RFC 3339, stored and shown as it is.
    at: the same instant, aware; a token is expired when now is later. None only in `CLEAR`.
    """

    text: str
    at: datetime | None


CLEAR = Expiry("", None)
"""Takes an expiry away."""


def parse_expiry(text: str, now: datetime) -> Expiry | None:
    """Reads what a person wrote for an expiry.

    The empty string gives None (never, or unchanged), ``clear`` gives `CLEAR`. Otherwise an RFC 3339
    timestamp, kept letter by letter and allowed to lie in the past; whole days or years such as ``30d`` and
    ``1y``; or a Go duration such as ``1h30m``. The last two count from now and end on a whole second, in UTC.
    Raises ExpiryError for anything else.
    """
    if text == "":
        return None
    if text == "clear":
        return CLEAR
    at = parse_timestamp(text)
    if at is not None:
        return Expiry(text, at)
    try:
        later = _add(text, now.astimezone(UTC))
        return Expiry(format_timestamp(later), later.replace(microsecond=0))
    except (ValueError, OverflowError) as error:
        if isinstance(error, ExpiryError):
            raise
        raise ExpiryError(
            f"invalid expiration {json.dumps(text, ensure_ascii=False)}: "
            "use a duration (24h, 7d, 30d, 1y), RFC3339 timestamp, or 'clear'"
        ) from None


def _add(text: str, now: datetime) -> datetime:
    calendar = _CALENDAR.fullmatch(text)
    if calendar is None:
        seconds = parse_duration(text)
        if seconds <= 0:
            raise ExpiryError(f"expiration must be positive, got {text}")
        return now + timedelta(seconds=seconds)
    count = int(calendar[1])
    if count == 0:
        raise ValueError(text)
    if calendar[2] == "d":
        return now + timedelta(days=count)
    try:
        return now.replace(year=now.year + count)
    except ValueError:
        # 29 February in a year that has none; a year past 9999 fails here once more.
        return now.replace(year=now.year + count, month=3, day=1)


def parse_timestamp(text: str) -> datetime | None:
    """The instant of an RFC 3339 timestamp, in UTC; None when the text is none."""
    if not _TIMESTAMP.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def format_timestamp(instant: datetime) -> str:
    """RFC 3339 in UTC, cut to whole seconds: ``2027-01-31T00:00:00Z``."""
    return instant.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
