from __future__ import annotations

import json
from typing import Any

import pytest

from tokenomics_core.policy import Policy, PolicyError, PolicyWarning, warnings

KEY = {"base_key_env": "K"}


def found(**fields: Any) -> list[tuple[str, str]]:
    return [(w.path, w.message) for w in warnings(json.dumps(KEY | fields))]


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        (
            {"rules": [{"pattern": "x", "acton": "warn"}]},
            "$.rules[0].acton",
            'unknown field "acton" has no effect; did you mean "action"?',
        ),
        (
            {"max_token": 5},
            "$.max_token",
            'unknown field "max_token" has no effect; did you mean "max_tokens"?',
        ),
        ({"Model": "x"}, "$.Model", 'unknown field "Model" has no effect; did you mean "model"?'),
        ({"zzz": 5}, "$.zzz", 'unknown field "zzz" has no effect'),
        ({"x-y": 5}, '$["x-y"]', 'unknown field "x-y" has no effect'),
        (
            {"budget": {"limit": 5}},
            "$.budget",
            'unknown field "budget" has no effect; did you mean "budgets"?',
        ),
        (
            {"budgets": [{"limit": 5, "time_zone": "UTC"}]},
            "$.budgets[0].time_zone",
            'unknown field "time_zone" has no effect; did you mean "timezone"?',
        ),
        (
            {"session": {"anomaly": {"max_request": 5}}},
            "$.session.anomaly.max_request",
            'unknown field "max_request" has no effect; did you mean "max_requests"?',
        ),
        (
            {"anomaly": {"enabled": True}},
            "$.anomaly",
            'unknown field "anomaly" has no effect; it belongs into "session"',
        ),
        (
            {"providers": {"p": [KEY | {"budgets": [{"limit": 5}]}]}},
            "$.providers.p[0].budgets",
            'unknown field "budgets" has no effect here; it belongs at the top level',
        ),
        (
            {"budgets": [{"limit": 5, "period": "36h", "timezone": "Europe/Berlin"}]},
            "$.budgets[0].timezone",
            'a period of "36h" has no time zone',
        ),
        (
            {"budgets": [{"limit": 9007200}]},
            "$.budgets[0].limit",
            "counts as 9007199.254740991: no more can be counted",
        ),
        (
            {"session": {"anomaly": {"max_usd": "-0.5"}}},
            "$.session.anomaly.max_usd",
            "-0.5 is negative and counts as not set",
        ),
        ({"routing": {}}, "$.routing", 'unknown field "routing" has no effect; use "providers"'),
        (
            {"system_prompt": "x"},
            "$.system_prompt",
            'unknown field "system_prompt" has no effect; use "prompts"',
        ),
        (
            {"model_allowlist": []},
            "$.model_allowlist",
            'unknown field "model_allowlist" has no effect; use "model_regex"',
        ),
        (
            {"rate_limit": {"requests_per_minute": 5}},
            "$.rate_limit.requests_per_minute",
            'unknown field "requests_per_minute" has no effect; '
            'use "rules": [{"requests": N, "window": "1m"}]',
        ),
        (
            {"max_retries": 2},
            "$.max_retries",
            'unknown field "max_retries" has no effect; it belongs into "retry"',
        ),
        (
            {"providers": {"open-ai": [KEY, KEY | {"rate_limit": {}}]}},
            '$.providers["open-ai"][1].rate_limit',
            'unknown field "rate_limit" has no effect here; it belongs at the top level',
        ),
        (
            {"providers": {"p": [KEY | {"rules": [{"pattern": "x", "scop": "both"}]}]}},
            "$.providers.p[0].rules[0].scop",
            'unknown field "scop" has no effect; did you mean "scope"?',
        ),
        (
            {"prompts": [{"role": "system", "contents": "x"}]},
            "$.prompts[0].contents",
            'unknown field "contents" has no effect; did you mean "content"?',
        ),
        ({"memory": {"pii": True}}, "$.memory.pii", 'unknown field "pii" has no effect'),
        (
            {"retry": {"max_retry": 5}},
            "$.retry.max_retry",
            'unknown field "max_retry" has no effect; did you mean "max_retries"?',
        ),
        (
            {"rate_limit": {"rules": [{"requests": 5, "period": "1m"}]}},
            "$.rate_limit.rules[0].period",
            'unknown field "period" has no effect',
        ),
        ({"max_tokens": -1}, "$.max_tokens", "-1 is negative and counts as not set"),
        ({"timeout": -1}, "$.timeout", "-1 is negative and counts as not set"),
        ({"retry": {"max_retries": -1}}, "$.retry.max_retries", "-1 is negative and counts as not set"),
        (
            {"rate_limit": {"max_parallel": -1}},
            "$.rate_limit.max_parallel",
            "-1 is negative and counts as not set",
        ),
        (
            {"providers": {"p": [KEY | {"max_tokens": -2}]}},
            "$.providers.p[0].max_tokens",
            "-2 is negative and counts as not set",
        ),
        (
            {"rate_limit": {"rules": [{"requests": -1, "tokens": 5}]}},
            "$.rate_limit.rules[0].requests",
            "-1 is negative and counts as not set",
        ),
        (
            {"rate_limit": {"rules": [{"window": "1h"}]}},
            "$.rate_limit.rules[0]",
            "limits nothing: neither requests nor tokens is set",
        ),
        (
            {"rate_limit": {"rules": [{"requests": 1, "strategy": "Fixed"}]}},
            "$.rate_limit.rules[0].strategy",
            'unknown strategy "Fixed" counts as sliding',
        ),
        ({"retry": {"retry_on": [429, 200]}}, "$.retry.retry_on[1]", "200 is not the status of an error"),
        (
            {"providers": {"p": [KEY | {"model": "m", "model_regex": "^m"}]}},
            "$.providers.p[0].model_regex",
            'model and model_regex both have to agree: at most "m" can be used',
        ),
        (
            {"base_key_env": "sk-proj-1234"},
            "$.base_key_env",
            "not the name of an environment variable; give the name, never the key",
        ),
        (
            {"rules": [{"pattern": "x", "keywords": ["y"]}]},
            "$.rules[0].keywords",
            "a regex rule does not look at keywords",
        ),
        (
            {"rules": [{"pattern": "x", "threshold": 0.5}]},
            "$.rules[0].threshold",
            "a regex rule does not look at threshold",
        ),
        (
            {"rules": [{"type": "jailbreak", "min_score": 0.5}]},
            "$.rules[0].min_score",
            "a jailbreak rule does not look at min_score",
        ),
        (
            {"rules": [{"pattern": "x", "style": "typed"}]},
            "$.rules[0].style",
            "the action fail masks nothing",
        ),
        (
            {"prompts": [{"content": "x"}]},
            "$.prompts[0]",
            "a prompt without a role, which most providers refuse",
        ),
    ],
)
def test_one_warning(fields: dict[str, Any], path: str, message: str) -> None:
    assert found(**fields) == [(path, message)]


def test_a_policy_with_every_known_field_has_none() -> None:
    rule = {"name": "n", "type": "regex", "pattern": "x", "action": "warn", "scope": "both"}
    entry = {
        "base_key_env": "K",
        "upstream_url": "https://u",
        "max_tokens": 1,
        "model_regex": "^g",
        "timeout": 5,
        "prompts": [{"role": "system", "content": "x"}],
        "rules": ["legacy"],
    }
    fields: dict[str, Any] = entry | {
        "model": "g",
        "rules": [
            rule,
            {"type": "keyword", "keywords": ["k"]},
            {"type": "pii", "detect": ["ssn"], "min_score": 0.5, "strict": False, "on_error": "warn"},
            {"type": "pii", "detect": ["secrets"], "action": "mask", "style": "typed"},
            {"type": "pii", "detect": ["email"], "action": "mask", "restore": True, "restore_secrets": True},
            {"type": "jailbreak", "threshold": "0.7"},
        ],
        "uninspected": "allow",
        "providers": {"openai": [entry]},
        "default_provider": "openai",
        "memory": {
            "enabled": True,
            "file_path": "p",
            "file_name": "n",
            "redis": False,
            "max_size_mb": -1,
            "compress_old": True,
        },
        "rate_limit": {
            "rules": [{"requests": 1, "tokens": 2, "window": "1h", "strategy": "fixed"}],
            "max_parallel": 5,
        },
        "budgets": [
            {
                "limit": "2.5",
                "unit": "usd",
                "period": "day",
                "scope": "session",
                "timezone": "Europe/Berlin",
                "action": "warn",
                "name": "daily",
                "warn_at": 90,
            }
        ],
        "unknown_price": "assume",
        "session": {
            "budget_usd": 5,
            "strict": True,
            "anomaly": {
                "enabled": True,
                "max_requests": 1,
                "max_identical": 1,
                "max_usd": 1,
                "window": 1,
                "memory": 1,
                "freeze": 1,
            },
        },
        "retry": {"max_retries": 1, "fallbacks": ["m"], "retry_on": [429]},
        "metadata": {"anything": "x"},
        "credentials": "wrapper",
        "unknown_paths": "deny",
    }
    assert set(fields) == set(Policy.model_fields)
    assert found(**fields) == []


def test_metadata_and_provider_names_are_free() -> None:
    assert found(metadata={"budget": "x"}, providers={"budget": [KEY]}) == []


def test_of_a_policy_with_wrong_types_the_unknown_fields_are_told() -> None:
    assert found(rules={"a": 1}, max_tokens="5", providers=[1], retry=None, budgt=1) == [
        ("$.budgt", 'unknown field "budgt" has no effect; did you mean "budgets"?')
    ]
    with pytest.raises(PolicyError, match=r"^invalid policy JSON"):
        warnings("nonsense")


def test_a_value_that_may_be_a_key_is_not_repeated() -> None:
    text = json.dumps({"base_key_env": "sk-proj-1234"})
    assert "sk-proj" not in repr(warnings(text))
    assert isinstance(warnings(text)[0], PolicyWarning)
