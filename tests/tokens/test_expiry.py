from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.tokens import CLEAR, ExpiryError, format_timestamp, parse_expiry, parse_timestamp

NOW = datetime(2024, 2, 29, 10, 30, 15, 987_654, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("1d", "2024-03-01T10:30:15Z"),
        ("7d", "2024-03-07T10:30:15Z"),
        ("030d", "2024-03-30T10:30:15Z"),
        ("1y", "2025-03-01T10:30:15Z"),
        ("4y", "2028-02-29T10:30:15Z"),
        ("24h", "2024-03-01T10:30:15Z"),
        ("1h30m", "2024-02-29T12:00:15Z"),
        ("1.5h", "2024-02-29T12:00:15Z"),
        ("+90s", "2024-02-29T10:31:45Z"),
        ("15ms", "2024-02-29T10:30:16Z"),
        ("2027-01-31T00:00:00Z", "2027-01-31T00:00:00Z"),
        ("2027-01-31T02:00:00+02:00", "2027-01-31T02:00:00+02:00"),
        ("2027-01-31T00:00:00+00:00", "2027-01-31T00:00:00+00:00"),
        ("2027-01-31T00:00:00.123456789Z", "2027-01-31T00:00:00.123456789Z"),
        ("1999-12-31T23:59:59Z", "1999-12-31T23:59:59Z"),
    ],
)
def test_what_is_stored(text: str, stored: str) -> None:
    expiry = parse_expiry(text, NOW)
    assert expiry is not None
    assert expiry.text == stored
    assert expiry.at is not None
    # Python keeps microseconds; the digits beyond are cut.
    assert expiry.at == datetime.fromisoformat(stored)


def test_nothing_and_clear() -> None:
    assert parse_expiry("", NOW) is None
    assert parse_expiry("clear", NOW) is CLEAR


def test_the_clock_may_run_in_any_zone() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=-11)))
    assert parse_expiry("1h", elsewhere) == parse_expiry("1h", NOW)


@pytest.mark.parametrize(
    "text",
    [
        "garbage",
        "1.5d",
        "7xd",
        "1h30d",
        "d",
        "y",
        "0d",
        "0y",
        "-1d",
        "+1d",
        "1 d",
        " 7d",
        "7d ",
        "7d\n",
        "1d1d",
        "1.5y",
        "9999y",
        "999999999d",
        "99999999999999999999d",
        "٧d",
        "7",
        "24H",
        "24",
        "1w",
        "Clear",
        "2027-01-31",
        "2027-01-31T00:00:00",
        "2027-01-31 00:00:00Z",
        "2027-01-31t00:00:00z",
        "2027-01-31T00:00Z",
        "2027-1-31T00:00:00Z",
        "2027-02-30T00:00:00Z",
        "2027-01-31T24:00:00Z",
        "2027-01-31T00:00:60Z",
        "2027-01-31T00:00:00,5Z",
        "2027-01-31T00:00:00+0200",
        "9999-12-31T23:59:59-23:59",
        "0000-01-01T00:00:00Z",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ExpiryError) as caught:
        parse_expiry(text, NOW)
    message = str(caught.value)
    assert message.startswith('invalid expiration "')
    assert message.endswith(": use a duration (24h, 7d, 30d, 1y), RFC3339 timestamp, or 'clear'")
    assert "\n" not in message


@pytest.mark.parametrize("text", ["0", "0s", "-1h", "-0.5ms", "0h0m"])
def test_durations_go_forward(text: str) -> None:
    with pytest.raises(ExpiryError, match=f"expiration must be positive, got {text}$"):
        parse_expiry(text, NOW)


@given(st.text(max_size=40))
def test_any_text_is_answered(text: str) -> None:
    try:
        expiry = parse_expiry(text, NOW)
    except ExpiryError:
        return
    assert expiry is None or expiry is CLEAR or parse_timestamp(expiry.text) is not None


@given(st.datetimes(timezones=st.just(UTC)))
def test_written_timestamps_read_back(instant: datetime) -> None:
    assert parse_timestamp(format_timestamp(instant)) == instant.replace(microsecond=0)
