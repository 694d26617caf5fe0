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


def test_what_the_layers_leave_is_the_provider_s():
    assert server_timing({"admission": 1.0, "budget": 2.5}, 10.0) == (
        "admission;dur=1, budget;dur=2.5, upstream;dur=6.5"
    )
    assert server_timing({"budget": 2.5}, 2.0) == "budget;dur=2.5, upstream;dur=0"
