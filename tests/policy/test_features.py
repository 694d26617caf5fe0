from __future__ import annotations

import json
from typing import Any

import pytest

from tokenomics_core.policy import needs, parse

KEY = {"base_key_env": "K"}


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, set()),
        ({"rules": ["x"]}, {"rules"}),
        ({"rules": [{"pattern": "x", "action": "log"}]}, {"rules"}),
        ({"providers": {"p": [KEY, KEY | {"rules": ["x"]}]}}, {"rules"}),
        ({"max_tokens": 1}, {"max_tokens"}),
        ({"max_tokens": -1}, set()),
        ({"providers": {"p": [KEY | {"max_tokens": 1}]}}, {"max_tokens"}),
        ({"rate_limit": {}}, set()),
        ({"rate_limit": {"rules": [{"window": "1m"}]}}, set()),
        ({"rate_limit": {"rules": [{"requests": -1, "tokens": 0}], "max_parallel": -1}}, set()),
        ({"rate_limit": {"rules": [{"requests": 1}]}}, {"rate_limit"}),
        ({"rate_limit": {"rules": [{}, {"tokens": 1}]}}, {"rate_limit"}),
        ({"rate_limit": {"max_parallel": 1}}, {"rate_limit"}),
        ({"memory": {"enabled": False, "file_path": "x"}}, set()),
        ({"memory": {"enabled": True}}, {"memory"}),
        (
            {"rules": ["x"], "max_tokens": 1, "rate_limit": {"max_parallel": 1}, "memory": {"enabled": True}},
            {"rules", "max_tokens", "rate_limit", "memory"},
        ),
        ({"budgets": [{"limit": 1}]}, {"budgets"}),
        ({"budgets": [{"limit": 1, "action": "warn"}]}, {"budgets"}),
        ({"budgets": []}, set()),
        ({"session": {}}, set()),
        ({"session": {"anomaly": {}}}, set()),
        ({"session": {"strict": True}}, {"session"}),
        ({"session": {"anomaly": {"enabled": True}}}, {"session"}),
        ({"session": {"budget_usd": 1}}, {"session"}),
        ({"unknown_price": "allow"}, set()),
        ({"model": "m", "timeout": 5, "retry": {"max_retries": 1}, "prompts": [{"role": "system"}]}, set()),
    ],
)
def test_what_a_policy_asks_for(fields: dict[str, Any], wanted: set[str]) -> None:
    assert needs(parse(json.dumps(KEY | fields))) == wanted
