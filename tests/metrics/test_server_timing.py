import pytest

from tokenomics_core.metrics import server_timing


@pytest.mark.parametrize(
    ("timings", "value"),
    [
        ({}, ""),
        ({"admission": 0.1204}, "admission;dur=0.12"),
        (
            {"guardrails": 3.0, "budget": 10.25, "records": 0},
            "guardrails;dur=3, budget;dur=10.25, records;dur=0",
        ),
        ({"one layer, two\r\nx: y": 1.5}, "one-layer--two--x--y;dur=1.5"),
        ({"": 1.0}, "-;dur=1"),
        ({"clock": -0.5}, "clock;dur=0"),
        ({"slow": 1234567.8}, "slow;dur=1234567.8"),
    ],
)
def test_the_field(timings, value):
    assert server_timing(timings) == value
