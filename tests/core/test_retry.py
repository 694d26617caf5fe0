"""Retries: which attempt follows, and when."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.exchange import Attempt
from tokenomics_core.retry import BASE_DELAY, MAX_DELAY, backoff, next_attempt, retry_after_seconds

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("count", "current", "status", "expected"),
    [
        (1, 0, 0, None),
        (1, 0, 503, None),
        (2, 0, 0, 1),
        (2, 0, 503, 1),
        (2, 0, 429, 1),
        (2, 1, 503, None),
        (2, 1, 0, None),
        (3, 1, 503, 2),
        (2, 0, 200, None),
        (2, 0, 400, None),
        (2, 0, 401, None),
        (2, 0, 504, None),
    ],
)
def test_next_attempt(count: int, current: int, status: int, expected: int | None) -> None:
    attempts = cast(list[Attempt], [object()] * count)
    assert next_attempt(attempts, current, status, {429, 503}) == expected


def test_a_lost_connection_is_tried_again_whatever_the_statuses() -> None:
    assert next_attempt(cast(list[Attempt], [object()] * 2), 0, 0, frozenset()) == 1


@given(st.integers(0, 100_000), st.none() | st.floats(0, 1e9), st.floats(0, 1, exclude_max=True))
def test_the_wait_is_bounded(retry: int, asked: float | None, jitter: float) -> None:
    wait = backoff(retry, asked, jitter)
    assert BASE_DELAY / 2 <= wait <= MAX_DELAY
    assert wait >= min(asked or 0.0, MAX_DELAY)


@pytest.mark.parametrize(
    ("retry", "asked", "jitter", "expected"),
    [
        (0, None, 0.0, 0.125),
        (0, None, 0.5, 0.1875),
        (1, None, 0.0, 0.25),
        (4, None, 0.0, 2.0),
        (10, None, 0.0, 4.0),
        (10, None, 0.5, 6.0),
        (0, 2.0, 0.0, 2.0),
        (0, 60.0, 0.0, 8.0),
        (5, 1.0, 0.0, 4.0),
    ],
)
def test_backoff(retry: int, asked: float | None, jitter: float, expected: float) -> None:
    assert backoff(retry, asked, jitter) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0.0),
        # The three formats of RFC 9110; the last has no zone and means GMT.
        ({"retry-after": "Tue, 14 Nov 2023 22:13:30 GMT"}, 10.0),
        ({"retry-after": "Tuesday, 14-Nov-23 22:13:30 GMT"}, 10.0),
        ({"retry-after": "Tue Nov 14 22:13:30 2023"}, 10.0),
        ({"retry-after": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, None),
        ({"retry-after": "Mon, 01 Jan 2024 00:00:00 +999999999999999999"}, None),
        ({"retry-after": "Mon, 99 Jan 2024 00:00:00 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_seconds(headers, NOW) == expected


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("tokyo")
@pytest.mark.parametrize("zone", ["", " GMT", " -0000"])
def test_dates_mean_gmt_wherever_the_proxy_runs(zone: str) -> None:
    date = "Tue Nov 14 22:13:30 2023" if not zone else f"Tue, 14 Nov 2023 22:13:30{zone}"
    assert retry_after_seconds({"retry-after": date}, NOW) == 10.0


@given(
    st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms"]),
        st.text(max_size=40) | st.from_regex(r"\w{3}, \d{1,9} \w{3} \d{1,9} \d+:\d+:\d+ [+-]\d{1,9}"),
    )
)
def test_no_answer_of_a_provider_breaks_it(headers: dict[str, str]) -> None:
    found = retry_after_seconds(headers, NOW)
    assert found is None or (found >= 0 and math.isfinite(found))
