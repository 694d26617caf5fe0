from __future__ import annotations

import re
from pathlib import Path

import pytest

from tokenomics_core.policy import (
    PII_TYPES,
    Anomaly,
    Budget,
    Policy,
    Rule,
    SessionPart,
    parse,
    warnings,
)

PAGE = (Path(__file__).parents[2] / "docs" / "POLICIES.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
def test_every_example_is_a_policy_without_warnings(example: str) -> None:
    parse(example)
    assert warnings(example) == []


_PARTS = (Policy, Rule, Budget, SessionPart, Anomaly)


@pytest.mark.parametrize("name", [*(name for part in _PARTS for name in part.model_fields), *PII_TYPES])
def test_every_field_is_documented(name: str) -> None:
    assert f"`{name}`" in PAGE
