from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from tests.policy.strategies import policies
from tokenomics_core.policy import Memory, Policy, PolicyError, Rule, parse, serialise

KEY = {"base_key_env": "K"}


def parse_with(**fields: Any) -> Policy:
    return parse(json.dumps(KEY | fields))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "nonsense",
        "@policy.json",
        "[]",
        '"base_key_env"',
        "null",
        "1",
        '{"base_key_env":"K"',
        '{"base_key_env":"K"} x',
        "{'base_key_env':'K'}",
        '{"base_key_env":"K",}',
        '{"base_key_env":"K","max_tokens":NaN}',
        '{"base_key_env":"K","x":1e400}',
        '{"base_key_env":"\\ud800"}',
        "\ufeff{}",
        '{"base_key_env":"K","base_key_env":"L"}',
        '{"base_key_env":"K","metadata":{"a":"1","a":"2"}}',
        '{"base_key_env":"K","x":' + "[" * 150 + "]" * 150 + "}",
        '{"base_key_env":"K","x":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"base_key_env":"K","max_tokens":' + "9" * 5000 + "}",
    ],
)
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match=r"^invalid policy JSON: .") as caught:
        parse(text)
    assert "\n" not in caught.value.message


def test_a_key_that_stands_twice_is_named() -> None:
    with pytest.raises(PolicyError, match=r'the key "max_tokens" stands twice in one object$'):
        parse('{"base_key_env":"K","providers":{"a":[{"max_tokens":1,"max_tokens":2}]}}')


@pytest.mark.parametrize(
    ("fields", "path", "detail"),
    [
        ({"base_key_env": 1}, "$.base_key_env", "must be a string, not a number"),
        ({"max_tokens": "5"}, "$.max_tokens", "must be an integer, not a string"),
        ({"max_tokens": True}, "$.max_tokens", "must be an integer, not a boolean"),
        (
            {"max_tokens": 5.0},
            "$.max_tokens",
            "must be an integer, not a number with a fraction or an exponent",
        ),
        ({"max_tokens": [5]}, "$.max_tokens", "must be an integer, not an array"),
        ({"max_tokens": 2**63}, "$.max_tokens", "does not fit into 64 bits"),
        ({"max_tokens": -(2**63) - 1}, "$.max_tokens", "does not fit into 64 bits"),
        ({"max_tokens": 10**30}, "$.max_tokens", "does not fit into 64 bits"),
        ({"timeout": "30s"}, "$.timeout", "must be an integer, not a string"),
        ({"model": ["gpt-4o"]}, "$.model", "must be a string, not an array"),
        ({"metadata": {"a": 1}}, "$.metadata.a", "must be a string, not a number"),
        ({"metadata": {"a b": {}}}, '$.metadata["a b"]', "must be a string, not an object"),
        ({"metadata": []}, "$.metadata", "must be an object, not an array"),
        ({"prompts": {}}, "$.prompts", "must be an array, not an object"),
        ({"prompts": [None]}, "$.prompts[0]", "must be an object, not null"),
        ({"prompts": ["hello"]}, "$.prompts[0]", "must be an object, not a string"),
        ({"prompts": [{"content": []}]}, "$.prompts[0].content", "must be a string, not an array"),
        ({"rules": [{"pattern": 1}]}, "$.rules[0].pattern", "must be a string, not a number"),
        ({"rules": [{"keywords": "a"}]}, "$.rules[0].keywords", "must be an array, not a string"),
        ({"rules": [{"detect": [None]}]}, "$.rules[0].detect[0]", "must be a string, not null"),
        ({"providers": []}, "$.providers", "must be an object, not an array"),
        ({"providers": {"openai": {}}}, "$.providers.openai", "must be an array, not an object"),
        ({"providers": {"openai": [None]}}, "$.providers.openai[0]", "must be an object, not null"),
        ({"providers": {"open-ai": [1]}}, '$.providers["open-ai"][0]', "must be an object, not a number"),
        (
            {"providers": {"a": [{"base_key_env": "K", "timeout": "1"}]}},
            "$.providers.a[0].timeout",
            "must be an integer, not a string",
        ),
        ({"memory": True}, "$.memory", "must be an object, not a boolean"),
        ({"memory": {"enabled": 1}}, "$.memory.enabled", "must be true or false, not a number"),
        ({"memory": {"redis": "yes"}}, "$.memory.redis", "must be true or false, not a string"),
        ({"rate_limit": []}, "$.rate_limit", "must be an object, not an array"),
        ({"rate_limit": {"rules": [None]}}, "$.rate_limit.rules[0]", "must be an object, not null"),
        ({"rate_limit": {"rules": [{"window": 60}]}}, "$.rate_limit.rules[0].window", "must be a string"),
        ({"retry": 3}, "$.retry", "must be an object, not a number"),
        ({"retry": {"retry_on": ["429"]}}, "$.retry.retry_on[0]", "must be an integer, not a string"),
        ({"credentials": False}, "$.credentials", "must be a string, not a boolean"),
    ],
)
def test_a_wrong_type_is_refused_with_its_path(fields: dict[str, Any], path: str, detail: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_with(**fields)
    assert caught.value.path == path
    assert caught.value.message.startswith(f"invalid policy JSON: {path} {detail}")


@pytest.mark.parametrize(
    ("rules", "detail"),
    [
        ({}, "it is an object"),
        ("secret", "it is a string"),
        (["secret", {"pattern": "x"}], "strings and objects are mixed"),
        ([{"pattern": "x"}, "secret"], "strings and objects are mixed"),
        ([None], "item 0 is null"),
        ([{"pattern": "x"}, 5], "item 1 is a number"),
    ],
)
def test_rules_of_a_wrong_shape(rules: Any, detail: str) -> None:
    expected = f"invalid policy JSON: rules must be an array of rule objects or regex strings: {detail}"
    with pytest.raises(PolicyError) as caught:
        parse_with(rules=rules)
    assert (caught.value.message, caught.value.path) == (expected, "$.rules")
    with pytest.raises(PolicyError) as caught:
        parse_with(providers={"openai": [KEY | {"rules": rules}]})
    assert (caught.value.message, caught.value.path) == (expected, "$.providers.openai[0].rules")


def test_a_wrong_value_is_not_repeated_in_the_message() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_with(upstream_url=["sk-secret"])
    assert "sk-secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_defaults() -> None:
    assert parse('{"base_key_env":"K"}') == Policy(base_key_env="K")
    policy = parse('{"base_key_env":"K"}')
    assert (policy.max_tokens, policy.timeout, policy.model, policy.default_provider) == (0, 0, "", "")
    assert (policy.prompts, policy.rules, policy.providers, policy.metadata) == ((), (), {}, {})
    assert (policy.rate_limit, policy.retry, policy.memory) == (None, None, Memory())
    assert (policy.credentials, policy.unknown_paths) == ("wrapper", "allow")


@pytest.mark.parametrize("name", [name for name in Policy.model_fields if name != "base_key_env"])
def test_null_is_the_same_as_absent(name: str) -> None:
    assert parse_with(**{name: None}) == parse_with()


def test_null_inside_parts_is_the_same_as_absent() -> None:
    assert parse_with(rules=[{"pattern": "x", "action": None, "type": None, "keywords": None}]) == parse_with(
        rules=[{"pattern": "x"}]
    )
    assert parse_with(metadata={"a": None, "b": "1"}).metadata == {"b": "1"}
    assert parse_with(memory={"enabled": None}).memory == Memory()
    assert parse_with(providers={"openai": None}).providers == {"openai": ()}


@pytest.mark.parametrize(
    "unknown",
    [
        {"budget": {"type": "daily", "limit": 5}},
        {"routing": []},
        {"system_prompt": "x"},
        {"model_allowlist": ["gpt-4o"]},
        {"rate_limit": {"requests_per_minute": 5}},
        {"memory": {"pii": True}},
        {"rules": [{"pattern": "x", "acton": 5}]},
        {"providers": {"openai": [{"base_key_env": "K", "rate_limit": {"max_parallel": "x"}}]}},
    ],
)
def test_unknown_fields_are_ignored(unknown: dict[str, Any]) -> None:
    parse_with(**unknown)


def test_negative_numbers_are_accepted() -> None:
    policy = parse_with(max_tokens=-1, timeout=-1, retry={"max_retries": -1}, rate_limit={"max_parallel": -1})
    assert (policy.max_tokens, policy.timeout) == (-1, -1)


def test_providers_keep_the_order_of_the_document() -> None:
    entry = '[{"base_key_env":"K"}]'
    policy = parse(f'{{"providers":{{"zeta":{entry},"alpha":{entry},"mid":{entry}}}}}')
    assert list(policy.providers) == ["zeta", "alpha", "mid"]
    assert list(parse(serialise(policy)).providers) == ["zeta", "alpha", "mid"]


def test_legacy_rules_are_failing_input_regexes() -> None:
    policy = parse_with(rules=["secret", "(?i)x"])
    assert policy.rules == (
        Rule(type="regex", pattern="secret", action="fail", scope="input"),
        Rule(type="regex", pattern="(?i)x", action="fail", scope="input"),
    )


def test_a_rule_without_a_type_is_a_regex() -> None:
    assert parse_with(rules=[{"pattern": "x"}]).rules[0].type == "regex"
    assert parse_with(rules=[{"pattern": "x", "type": "", "action": "", "scope": ""}]).rules == (
        Rule(pattern="x"),
    )


def test_legacy_memory_file_is_accepted() -> None:
    memory = parse_with(memory={"enabled": True, "file_path": "~/m.md"}).memory
    assert (memory.file_path, memory.file_name) == ("~/m.md", "")
    memory = parse_with(memory={"enabled": True, "file_name": "{session_id}/{date}.md"}).memory
    assert memory.file_name == "{session_id}/{date}.md"


def test_a_policy_cannot_be_changed() -> None:
    policy = parse_with()
    with pytest.raises(ValidationError):
        policy.max_tokens = 5


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"memory": {}}),
        ({"model": "", "max_tokens": 0, "metadata": {}, "rules": [], "providers": {}}, {"memory": {}}),
        ({"budget": 5}, {"memory": {}}),
        (
            {"rules": ["x"]},
            {
                "rules": [{"type": "regex", "pattern": "x", "action": "fail", "scope": "input"}],
                "memory": {},
            },
        ),
        (
            {"rules": [{"type": "jailbreak"}]},
            {"rules": [{"type": "jailbreak", "action": "fail", "scope": "input"}], "memory": {}},
        ),
        ({"max_tokens": -5, "memory": {"enabled": True}}, {"max_tokens": -5, "memory": {"enabled": True}}),
        ({"providers": {"openai": []}}, {"providers": {"openai": []}, "memory": {}}),
        ({"metadata": {"team": ""}}, {"memory": {}, "metadata": {"team": ""}}),
        (
            {"credentials": "client", "unknown_paths": "deny"},
            {"memory": {}, "credentials": "client", "unknown_paths": "deny"},
        ),
        ({"credentials": "", "unknown_paths": ""}, {"memory": {}}),
    ],
)
def test_serialising_drops_what_is_empty(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert json.loads(serialise(parse_with(**fields))) == KEY | expected


@given(policies)
def test_what_is_serialised_parses_to_the_same_policy(document: dict[str, Any]) -> None:
    policy = parse(json.dumps(document))
    text = serialise(policy)
    again = parse(text)
    assert again == policy
    assert list(again.providers) == list(policy.providers)
    assert serialise(again) == text
