from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokenomics_core.meter.periods import PERIODS, Periods, milliseconds, zone_of

# Zones whose clocks change at midnight, by half an hour, by a whole day, or twice in a year.
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Havana",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Africa/Cairo",
    "Asia/Kathmandu",
)
HOUR = 3_600_000


def at(text: str) -> int:
    return milliseconds(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("kind", "zone", "now", "start", "end"),
    [
        ("day", "UTC", "2025-06-01T12:30:00Z", "2025-06-01T00:00:00Z", "2025-06-02T00:00:00Z"),
        ("day", "UTC", "2025-06-01T00:00:00Z", "2025-06-01T00:00:00Z", "2025-06-02T00:00:00Z"),
        ("day", "UTC", "2025-06-01T23:59:59.999Z", "2025-06-01T00:00:00Z", "2025-06-02T00:00:00Z"),
        ("hour", "UTC", "2025-06-01T12:30:00Z", "2025-06-01T12:00:00Z", "2025-06-01T13:00:00Z"),
        ("month", "UTC", "2025-12-31T23:59:59Z", "2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("month", "UTC", "2024-02-29T12:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        ("month", "UTC", "2025-01-31T12:00:00Z", "2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"),
        # 23 and 25 hours.
        (
            "day",
            "Europe/Berlin",
            "2025-03-30T12:00:00Z",
            "2025-03-30T00:00:00+01:00",
            "2025-03-31T00:00:00+02:00",
        ),
        (
            "day",
            "Europe/Berlin",
            "2025-10-26T12:00:00Z",
            "2025-10-26T00:00:00+02:00",
            "2025-10-27T00:00:00+01:00",
        ),
        (
            "month",
            "America/New_York",
            "2025-11-30T23:00:00Z",
            "2025-11-01T00:00:00-04:00",
            "2025-12-01T00:00:00-05:00",
        ),
        # The hour that the clock shows twice is one period, the one that it skips is none.
        (
            "hour",
            "Europe/Berlin",
            "2025-10-26T01:30:00Z",
            "2025-10-26T02:00:00+02:00",
            "2025-10-26T03:00:00+01:00",
        ),
        (
            "hour",
            "Europe/Berlin",
            "2025-03-30T01:00:00Z",
            "2025-03-30T03:00:00+02:00",
            "2025-03-30T04:00:00+02:00",
        ),
        (
            "hour",
            "Asia/Kathmandu",
            "2025-06-01T12:30:00Z",
            "2025-06-01T12:15:00Z",
            "2025-06-01T13:15:00Z",
        ),
        # A day without a midnight, a day that was left out, and a midnight that came twice.
        (
            "day",
            "Africa/Cairo",
            "2025-04-25T12:00:00Z",
            "2025-04-25T01:00:00+03:00",
            "2025-04-26T00:00:00+03:00",
        ),
        (
            "day",
            "Pacific/Apia",
            "2011-12-30T12:00:00Z",
            "2011-12-31T00:00:00+14:00",
            "2012-01-01T00:00:00+14:00",
        ),
        (
            "day",
            "America/Havana",
            "2025-11-02T05:30:00Z",
            "2025-11-02T00:00:00-04:00",
            "2025-11-03T00:00:00-05:00",
        ),
        # Set back over midnight: the day before does not come again.
        (
            "day",
            "America/St_Johns",
            "2010-11-07T02:45:00Z",
            "2010-11-07T00:00:00-02:30",
            "2010-11-08T00:00:00-03:30",
        ),
    ],
)
def test_a_period(kind: str, zone: str, now: str, start: str, end: str) -> None:
    assert Periods(kind, zone_of(zone)).at(at(now)) == (at(start), at(end))


@pytest.mark.parametrize(("day", "hours"), [("2025-03-30", 23), ("2025-03-29", 24), ("2025-10-26", 25)])
def test_days_of_23_and_25_hours(day: str, hours: int) -> None:
    period = Periods("day", ZoneInfo("Europe/Berlin")).at(at(f"{day}T12:00:00Z"))
    assert period.end - period.start == hours * HOUR


@given(st.integers(0, at("2060-01-01T00:00:00Z")), st.sampled_from(ZONES), st.sampled_from(PERIODS))
@example(at("2010-11-07T02:45:00Z"), "America/St_Johns", "day")
@example(at("2025-04-06T15:15:00Z") - 45 * 60_000, "Australia/Lord_Howe", "hour")
def test_periods_follow_each_other_without_gap_or_overlap(now: int, name: str, kind: str) -> None:
    zone = zone_of(name)
    period = Periods(kind, zone).at(now)
    assert period.start <= now < period.end
    for inside in (period.start, period.end - 1):
        assert Periods(kind, zone).at(inside) == period
    assert Periods(kind, zone).at(period.end).start == period.end
    assert Periods(kind, zone).at(period.start - 1).end == period.start


@given(st.lists(st.integers(0, 2**41), min_size=2, max_size=6))
def test_what_is_remembered_does_not_show(moments: list[int]) -> None:
    zone = zone_of("Europe/Berlin")
    kept = Periods("day", zone)
    assert [kept.at(now) for now in moments] == [Periods("day", zone).at(now) for now in moments]


@pytest.mark.parametrize(
    "name", ["", "Mars", "America", "../UTC", "/etc/passwd", "a\0b", "localtime", "posixrules", "tzdata.zi"]
)
def test_what_is_no_zone(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(name)}$"):
        zone_of(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.001999Z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2025-06-01T12:30:00.123Z", 1748781000123),
    ],
)
def test_milliseconds(text: str, expected: int) -> None:
    assert at(text) == expected
