from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.guard.jailbreak_texts import ATTACKS, BENIGN
from tokenomics_core.guard.detectors import GROUPS, detectors, named
from tokenomics_core.guard.jailbreak import signs
from tokenomics_core.guard.rules import CompiledRules
from tokenomics_core.guard.verdict import verdict
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

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs" / "POLICIES.md").read_text(encoding="utf-8")
GUARDRAILS = (PROJECT / "docs" / "GUARDRAILS.md").read_text(encoding="utf-8")
FEATURES = (PROJECT / "docs" / "FEATURES.md").read_text(encoding="utf-8")
README = (PROJECT / "README.md").read_text(encoding="utf-8")

_EXAMPLE = re.compile(r"```json\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("example", _EXAMPLE.findall(PAGE) + _EXAMPLE.findall(GUARDRAILS))
def test_every_example_is_a_policy_without_warnings(example: str) -> None:
    parse(example)
    assert warnings(example) == []


_PARTS = (Policy, Rule, Budget, SessionPart, Anomaly)


@pytest.mark.parametrize("name", [*(name for part in _PARTS for name in part.model_fields), *PII_TYPES])
def test_every_field_is_documented(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_the_tables_of_detectors_are_as_the_script_prints_them() -> None:
    script = PROJECT / "scripts" / "detector_table.py"
    printed = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True).stdout
    tables = GUARDRAILS.partition("<!-- detectors -->\n\n")[2]
    assert tables == printed
    rows = re.findall(r"^\| `([a-z0-9_]+)` \|.*\| (.*) \|$", tables, re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(detectors())
    assert all(example for name, example in rows if detectors()[name].shapes)
    assert all(f"`{group}`" in tables for group in GROUPS if group != "all")


def test_the_numbers_of_detectors_and_signs_are_true() -> None:
    kinds = Counter(detector.kind for detector in detectors().values())
    families = Counter(detector.family for detector in detectors().values())
    assert f"There are {len(detectors())} of them" in GUARDRAILS
    assert f"those of the {len(named('api_key')) - 1} detectors that name it" in GUARDRAILS
    assert all(f"`{family}`" in GUARDRAILS for family in families if family)
    assert f"{len(signs())} signs are known" in GUARDRAILS
    assert f"| Detectors | {len(detectors())}:" in FEATURES
    assert f"{families['national_id']} national ids, {kinds['secret']} forms of keys" in FEATURES
    assert f"{len(detectors())} detectors" in README


_RATES: list[tuple[str, dict[str, Any]]] = [
    ('`"threshold": 0.5`', {"threshold": "0.5"}),
    ("no threshold", {}),
    ('`"strict": true`: the eight patterns', {"strict": True}),
]


@pytest.mark.parametrize(("row", "fields"), _RATES)
def test_the_rates_of_the_jailbreak_rule_are_true(row: str, fields: dict[str, Any]) -> None:
    compiled = CompiledRules([Rule(type="jailbreak", **fields)], "input")

    def matches(text: str, role: str) -> bool:
        return bool(verdict(compiled, compiled.scan(text), role))

    attacks = [
        matches(text, "tool" if category == "tool_output_injection" else "")
        for category, texts in ATTACKS.items()
        for text in texts
    ]
    harmless = [matches(text, role) for role, text in BENIGN]
    told = f"{sum(attacks)} of {len(attacks)} | {sum(harmless)} of {len(harmless)}"
    assert f"| {row} | {told} |" in GUARDRAILS
