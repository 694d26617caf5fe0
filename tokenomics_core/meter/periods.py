"""Calendar periods: hours, days and months as a clock on the wall of a time zone shows them.

A day has 23 or 25 hours when clocks change, an hour that the clock shows twice is one period of two hours,
and one that it skips does not exist. So periods of one kind follow each other without gap or overlap.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

PERIODS = ("hour", "day", "month")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SECOND = timedelta(seconds=1)

# Files among the time zones that are no zones, or another one on each machine.
_NO_ZONES = ("localtime", "posixrules", "Factory")


def milliseconds(at: datetime) -> int:
    """Whole milliseconds since 1970 in UTC; a part of one is dropped. at: with its time zone."""
    return (at - _EPOCH) // _MILLISECOND


def zone_of(name: str) -> tzinfo:
    """The time zone of an IANA name; raises ValueError for any other, without more words."""
    if name == "UTC":
        return UTC
    if name in _NO_ZONES:
        raise ValueError(name)
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(name) from None


class Period(NamedTuple):
    """Milliseconds; start <= now < end."""

    start: int = 0
    end: int = 0


class Periods:
    """The periods of one kind in one time zone. Remembers the one it was asked for last."""

    def __init__(self, kind: str, zone: tzinfo) -> None:
        """kind: one of PERIODS."""
        self.kind = kind
        self.zone = zone
        self._last = Period()

    def at(self, now: int) -> Period:
        """The period that holds at that moment, in milliseconds."""
        last = self._last
        if not last.start <= now < last.end:
            last = self._last = self._period(now)
        return last

    def _period(self, now: int) -> Period:
        moment = _EPOCH + now * _MILLISECOND
        began = self._begin(moment.astimezone(self.zone).replace(tzinfo=None))
        after = self._next(began)
        # Clocks that were set back over the beginning of a period do not bring the one before back.
        while (end := _first(after, self.zone)) <= moment:
            began, after = after, self._next(after)
        return Period(milliseconds(_first(began, self.zone)), milliseconds(end))

    def _begin(self, wall: datetime) -> datetime:
        begin = wall.replace(minute=0, second=0, microsecond=0, fold=0)
        if self.kind == "hour":
            return begin
        return begin.replace(hour=0) if self.kind == "day" else begin.replace(hour=0, day=1)

    def _next(self, begin: datetime) -> datetime:
        if self.kind == "hour":
            return begin + timedelta(hours=1)
        if self.kind == "day":
            return begin + timedelta(days=1)
        return (begin + timedelta(days=31)).replace(day=1)


def _first(wall: datetime, zone: tzinfo) -> datetime:
    """The first moment at which the clock of the zone shows that time, or a later one if it skips it. UTC."""
    early = wall.replace(tzinfo=zone).astimezone(UTC)
    late = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if late >= early:
        return early
    # Skipped: the clock is set forward somewhere between the two. Zones change at whole seconds.
    low, high = 0, (early - late) // _SECOND
    while high - low > 1:
        middle = (low + high) // 2
        shown = (late + middle * _SECOND).astimezone(zone).replace(tzinfo=None)
        low, high = (low, middle) if shown >= wall else (middle, high)
    return late + high * _SECOND
