from __future__ import annotations

import json
from typing import Any

import pytest

from tokenomics_core.dialects.base import Prompt
from tokenomics_core.policy import (
    CompiledPolicy,
    Memory,
    Policy,
    PolicyError,
    Rule,
    compile,
    parse,
)


def compiled(**fields: Any) -> CompiledPolicy:
    return compile(parse(json.dumps(fields)))


KEY = {"base_key_env": "K"}


@pytest.mark.parametrize(
    ("overall", "entry", "model", "refused"),
    [
        ({"model_regex": "^g"}, {"model": "claude"}, "claude", None),
        ({"model_regex": "^g"}, {}, "claude", 'model "claude" does not match policy regex "^g"'),
        ({"model": "g"}, {"model_regex": "^cl"}, "claude", 'model "claude" not allowed; policy requires "g"'),
        ({"model_regex": "^g"}, {"model_regex": "^cl"}, "claude", None),
        ({"model": "g"}, {"model": "claude"}, "claude", None),
        ({"model": "g"}, {}, "g", None),
        ({"model": "g"}, {}, "G", 'model "G" not allowed; policy requires "g"'),
        # Both are checked, the exact model first.
        ({"model": "g", "model_regex": "^g"}, {}, "g", None),
        ({"model": "g", "model_regex": "^g"}, {}, "x", 'model "x" not allowed; policy requires "g"'),
        ({"model": "x", "model_regex": "^g"}, {}, "x", 'model "x" does not match policy regex "^g"'),
        # An entry that has both is chosen by either, and then both are checked.
        ({}, {"model": "g1", "model_regex": "^g"}, "g2", 'model "g2" not allowed; policy requires "g1"'),
        ({}, {"model": "g1", "model_regex": "^x"}, "g1", 'model "g1" does not match policy regex "^x"'),
        ({}, {"model": "g1", "model_regex": "^g"}, "g1", None),
        # A missing model is the empty string.
        ({"model": "g"}, {}, "", 'model "" not allowed; policy requires "g"'),
        ({"model_regex": "^g"}, {}, "", 'model "" does not match policy regex "^g"'),
        ({}, {}, "", None),
        ({}, {}, "anything", None),
    ],
)
def test_model_check_after_the_merge(
    overall: dict[str, Any], entry: dict[str, Any], model: str, refused: str | None
) -> None:
    resolved = compiled(**KEY, **overall, providers={"p": [KEY | entry]}).resolve(model)
    assert resolved.provider_name == "p"
    assert resolved.check_model(model) == refused


def test_without_a_match_the_global_part_counts_also_without_a_key() -> None:
    resolved = compiled(providers={"openai": [KEY | {"model": "x"}]}).resolve("nope")
    assert (resolved.provider_name, resolved.base_key_env, resolved.key_from_global) == ("", "", False)
    assert resolved.check_model("nope") is None


@pytest.mark.parametrize(
    ("entry", "model", "matches"),
    [
        ({}, "x", True),
        ({}, "", True),
        ({"model": "gpt-4o"}, "gpt-4o", True),
        ({"model": "gpt-4o"}, "GPT-4o", False),
        ({"model": "gpt-4o"}, "gpt-4o-mini", False),
        ({"model_regex": "4o"}, "gpt-4o-mini", True),
        ({"model_regex": "^4o"}, "gpt-4o-mini", False),
        ({"model_regex": "mini$"}, "gpt-4o-mini", True),
        ({"model_regex": "mini$"}, "gpt-4o-mini\n", False),
        ({"model_regex": "ä"}, "modäll", True),
        ({"model_regex": r"^\w+$"}, "modäll", False),
        ({"model_regex": "^x"}, "\ud800", False),
        ({"model": "a", "model_regex": "^b"}, "a", True),
        ({"model": "a", "model_regex": "^b"}, "b1", True),
        ({"model": "a", "model_regex": "^b"}, "c", False),
    ],
)
def test_which_entry_matches(entry: dict[str, Any], model: str, matches: bool) -> None:
    resolved = compiled(**KEY, providers={"p": [KEY | entry]}).resolve(model)
    assert (resolved.provider_name == "p") is matches


def test_the_first_match_in_document_order_wins() -> None:
    policy = compiled(
        providers={
            "zeta": [
                {"base_key_env": "Z1", "model": "gpt-4o"},
                {"base_key_env": "Z2", "model_regex": "^gpt"},
            ],
            "alpha": [{"base_key_env": "A1", "model_regex": "^gpt"}, {"base_key_env": "A2"}],
            "mid": [{"base_key_env": "M1", "model": "claude"}],
        }
    )
    assert [entry.base_key_env for entry in policy.entries] == ["Z1", "Z2", "A1", "A2", "M1"]
    keys = {model: policy.resolve(model).base_key_env for model in ("gpt-4o", "gpt-5", "claude")}
    assert keys == {"gpt-4o": "Z1", "gpt-5": "Z2", "claude": "A2"}


def test_resolving_for_one_provider_passes_the_others_over() -> None:
    policy = compiled(
        base_key_env="G",
        providers={
            "openai": [{"base_key_env": "O"}],
            "Anthropic": [
                {"base_key_env": "A1", "model": "claude-1"},
                {"base_key_env": "A2", "model": "claude-2"},
            ],
        },
    )
    assert policy.resolve("claude-2").base_key_env == "O"
    assert policy.resolve("claude-2", "anthropic").base_key_env == "A2"
    assert policy.resolve("claude-3", "anthropic").base_key_env == "G"
    assert policy.resolve("claude-2", "mistral").provider_name == ""


@pytest.mark.parametrize(
    ("name", "key", "provider"),
    [
        ("openai", "O1", "OpenAI"),
        ("OPENAI", "O1", "OpenAI"),
        ("", "G", ""),
        ("nobody", "G", ""),
        ("empty", "G", ""),
    ],
)
def test_resolving_by_provider_name_takes_its_first_entry(name: str, key: str, provider: str) -> None:
    policy = compiled(
        base_key_env="G",
        providers={
            "OpenAI": [{"base_key_env": "O1", "model": "x"}, {"base_key_env": "O2"}],
            "empty": [],
        },
    )
    resolved = policy.resolve_provider(name)
    assert (resolved.base_key_env, resolved.provider_name) == (key, provider)


GLOBAL: dict[str, Any] = {
    "base_key_env": "G",
    "upstream_url": "https://global.example",
    "max_tokens": 100,
    "timeout": 10,
    "prompts": [{"role": "system", "content": "global"}],
    "rules": ["global"],
    "default_provider": "azure",
    "metadata": {"team": "a"},
    "memory": {"enabled": True},
    "retry": {"max_retries": 2, "fallbacks": ["m2"], "retry_on": [429]},
    "rate_limit": {"max_parallel": 3},
}


def test_merge_replaces_and_joins() -> None:
    entry = {
        "base_key_env": "E",
        "upstream_url": "https://entry.example",
        "max_tokens": 5,
        "timeout": 3,
        "model": "m",
        "prompts": [{"role": "system", "content": "entry"}],
        "rules": ["entry"],
    }
    policy = compiled(**GLOBAL, providers={"p": [entry]})
    resolved = policy.resolve("m")
    assert (resolved.provider_name, resolved.base_key_env) == ("p", "E")
    assert (resolved.upstream_url, resolved.max_tokens) == ("https://entry.example", 5)
    assert (resolved.timeout, resolved.model) == (3, "m")
    assert resolved.prompts == (Prompt("system", "entry"), Prompt("system", "global"))
    assert resolved.rules == (Rule(pattern="global"), Rule(pattern="entry"))
    # Not available per provider.
    assert resolved.default_provider == "azure"
    assert resolved.metadata == {"team": "a"}
    assert resolved.memory == Memory(enabled=True)
    assert (resolved.retry.max_retries, resolved.retry.fallbacks, resolved.retry.retry_on) == (
        2,
        ("m2",),
        (429,),
    )
    assert resolved.rate_limit is not None
    assert resolved.rate_limit.max_parallel == 3
    # The stored policy is as it was.
    assert policy.policy == parse(json.dumps(GLOBAL | {"providers": {"p": [entry]}}))
    assert policy.resolve_global().prompts == (Prompt("system", "global"),)
    assert policy.resolve("other") == policy.resolve_global()


@pytest.mark.parametrize("number", [None, 0, -1])
def test_merge_keeps_what_the_entry_does_not_set(number: int | None) -> None:
    entry = {"base_key_env": "E", "max_tokens": number, "timeout": number, "upstream_url": "", "model": ""}
    resolved = compiled(**GLOBAL, providers={"p": [entry]}).resolve("m")
    assert (resolved.max_tokens, resolved.timeout) == (100, 10)
    assert (resolved.upstream_url, resolved.model) == ("https://global.example", "")
    assert resolved.prompts == (Prompt("system", "global"),)


def test_negative_numbers_are_not_set() -> None:
    resolved = compiled(**KEY, max_tokens=-1, timeout=-1, retry={"max_retries": -1}).resolve_global()
    assert (resolved.max_tokens, resolved.timeout, resolved.retry.max_retries) == (0, 0, 0)


@pytest.mark.parametrize("retry", [None, {}, {"retry_on": []}, {"retry_on": None}])
def test_retry_defaults(retry: Any) -> None:
    resolved = compiled(**KEY, retry=retry).resolve_global()
    assert resolved.retry.retry_on == (429, 500, 502, 503)
    assert (resolved.retry.max_retries, resolved.retry.fallbacks) == (0, ())


@pytest.mark.parametrize(
    ("overall", "entry", "key_from_global", "url_from_global"),
    [
        ({}, None, True, False),
        ({"upstream_url": "https://g"}, None, True, True),
        ({"upstream_url": "https://g"}, {"base_key_env": "E"}, False, True),
        ({"upstream_url": "https://g"}, {"base_key_env": "E", "upstream_url": "https://e"}, False, False),
        ({}, {"base_key_env": "E", "upstream_url": "https://e"}, False, False),
        ({}, {"base_key_env": "E"}, False, False),
        ({"credentials": "client", "upstream_url": "https://g"}, {}, False, True),
    ],
)
def test_where_key_and_url_come_from(
    overall: dict[str, Any], entry: dict[str, Any] | None, key_from_global: bool, url_from_global: bool
) -> None:
    policy = compiled(**KEY, **overall, providers={} if entry is None else {"p": [entry]})
    resolved = policy.resolve("m")
    assert (resolved.key_from_global, resolved.url_from_global) == (key_from_global, url_from_global)


def test_an_entry_never_falls_back_to_the_global_key() -> None:
    policy = compiled(**KEY, credentials="client", providers={"p": [{"model": "m"}]})
    assert policy.resolve("m").base_key_env == ""


def test_compiling_refuses_a_pattern_that_was_never_validated() -> None:
    with pytest.raises(PolicyError, match=r'^invalid model_regex "\("'):
        compile(Policy(base_key_env="K", model_regex="("))
