"""What a policy says that can never have an effect."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tokenomics_core.policy import parse
from tokenomics_core.policy.shadowed import shadowed

Json = dict[str, Any]


def told(*rules: Json | str, **policy: Any) -> list[tuple[str, str]]:
    text = json.dumps({"base_key_env": "K", "rules": list(rules), **policy})
    return [(warning.path, warning.message) for warning in shadowed(parse(text))]


def keywords(*words: str, **fields: Any) -> Json:
    return {"type": "keyword", "keywords": list(words), **fields}


def pii(*detect: str, **fields: Any) -> Json:
    return {"type": "pii", "detect": list(detect), **fields}


def jailbreak(**fields: Any) -> Json:
    return {"type": "jailbreak", **fields}


REFUSES = "has no effect: $.rules[0] refuses everything that it finds"
MASKS = "has no effect: $.rules[0] masks everything that it finds, and decides how it looks"
SAME = "does the same as $.rules[0]"


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ({"pattern": "a+"}, {"pattern": "a+", "action": "warn"}, REFUSES),
        ({"pattern": "a+"}, {"pattern": "a+", "action": "mask", "style": "typed"}, REFUSES),
        ({"pattern": "a+"}, {"pattern": "a+", "name": "again"}, SAME),
        ({"pattern": "a+", "scope": "both"}, {"pattern": "a+", "action": "log"}, REFUSES),
        ({"pattern": "a+", "action": "mask"}, {"pattern": "a+", "action": "mask", "style": "typed"}, MASKS),
        (keywords("top", "x"), keywords("Top Secret", "X", action="warn"), REFUSES),
        (keywords("A", "b"), keywords("B", "a"), SAME),
        (keywords("env"), keywords("my.env", action="log"), REFUSES),
        (keywords("a", "b", action="mask"), keywords("A", "B", action="mask", style="typed"), MASKS),
        (pii("personal"), pii("email", "ssn", action="warn"), REFUSES),
        (pii("all"), pii("secrets", action="mask", restore=True), REFUSES),
        (pii("email", min_score=0.4), pii("email", min_score=0.4, action="log"), REFUSES),
        (pii("EMAIL"), pii("email", strict=True, action="log"), REFUSES),
        (pii("api_key"), pii("openai_key", action="log"), REFUSES),
        (jailbreak(), jailbreak(action="warn"), REFUSES),
        (jailbreak(threshold=0.6), jailbreak(action="warn", threshold=0.7), REFUSES),
        (jailbreak(), jailbreak(action="mask", strict=True), REFUSES),
        (
            {"pattern": "a", "action": "mask"},
            {"pattern": "a"},
            "masks nothing that is passed on: $.rules[1] refuses everything that it finds",
        ),
    ],
)
def test_a_rule_behind_another(first: Json, second: Json, why: str) -> None:
    path = "$.rules[0]" if why.startswith("masks nothing") else "$.rules[1]"
    assert told(first, second) == [(path, why)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"pattern": "a+"}, {"pattern": "a*", "action": "warn"}),
        ({"pattern": "a"}, {"pattern": "a", "action": "warn", "scope": "output"}),
        ({"pattern": "a"}, {"pattern": "a", "action": "warn", "scope": "both"}),
        ({"pattern": "a", "action": "warn"}, {"pattern": "a"}),
        ({"pattern": "a", "on_error": "warn"}, {"pattern": "a", "action": "warn"}),
        (keywords("secrets"), keywords("secret", action="warn")),
        (keywords("top"), keywords("stop", action="warn")),
        (keywords(".env"), keywords("my .env", action="warn")),
        (keywords("a", action="mask"), keywords("a b", action="mask")),
        (pii("email", min_score=0.9), pii("email", action="warn")),
        (pii("email", strict=True), pii("email", action="warn")),
        (pii("email", action="mask"), pii("email", action="mask", restore=True)),
        (pii("ssn"), {"pattern": r"\d{3}-\d{2}-\d{4}", "action": "warn"}),
        (jailbreak(strict=True), jailbreak(action="warn")),
        (jailbreak(), jailbreak(action="warn", threshold=0.2)),
        (jailbreak(threshold=0.5), jailbreak(action="warn")),
    ],
)
def test_rules_that_both_count(first: Json, second: Json) -> None:
    assert told(first, second) == []


def test_single_words_behind_another_rule() -> None:
    why = "has no effect: $.rules[0] refuses everything that it finds"
    assert told(keywords("top", "x"), keywords("top secret", "y", action="mask")) == [
        ("$.rules[1].keywords[0]", f'"top secret" {why}')
    ]
    assert told(pii("email"), pii("ssn", "email", action="mask")) == [
        ("$.rules[1].detect[1]", f'"email" {why}')
    ]


def test_words_within_one_rule() -> None:
    assert told(keywords("a", "A", "a b")) == [
        ("$.rules[0].keywords[1]", '"A" stands twice; case does not count'),
        ("$.rules[0].keywords[2]", '"a b" adds nothing: "a" is a part of it'),
    ]
    # The longer one masks more.
    assert told(keywords("a", "a b", action="mask")) == []
    assert told(pii("personal", "Email", "ssn", "ssn")) == [
        ("$.rules[0].detect[1]", '"email" adds nothing: "personal" finds it too'),
        ("$.rules[0].detect[2]", '"ssn" adds nothing: "personal" finds it too'),
        ("$.rules[0].detect[3]", '"ssn" stands twice'),
    ]
    assert told(pii("iban", strict=True)) == [
        ("$.rules[0].detect[0]", '"iban" finds nothing: no pattern of it is a strict one')
    ]


def test_rules_of_a_provider_are_behind_the_global_ones() -> None:
    entry = {"base_key_env": "K", "rules": [{"pattern": "a", "action": "warn"}, {"pattern": "b"}]}
    assert told("a", providers={"my-own": [entry]}) == [('$.providers["my-own"][0].rules[0]', REFUSES)]


@pytest.mark.parametrize(
    ("first", "second", "reached"),
    [
        ({}, {"model": "gpt-4o"}, False),
        ({}, {}, False),
        ({"model_regex": ".*"}, {"model_regex": "^o3"}, False),
        ({"model": "o3"}, {"model": "o3", "max_tokens": 5}, False),
        ({"model_regex": "^o"}, {"model": "o3"}, False),
        ({"model_regex": "^o"}, {"model_regex": "^o"}, False),
        ({"model_regex": "^o"}, {"model_regex": "^o3"}, True),
        ({"model_regex": "^o"}, {}, True),
        ({"model": "o3"}, {"model": "o3-mini"}, True),
        ({"model": "o3"}, {"model": "o3", "model_regex": "^o"}, True),
    ],
)
def test_entries_that_no_model_reaches(first: Json, second: Json, reached: bool) -> None:
    entries = [{"base_key_env": "K", **first}, {"base_key_env": "K", **second}]
    found = told(providers={"openai": entries})
    why = "no model reaches this entry: $.providers.openai[0] matches first"
    assert found == ([] if reached else [("$.providers.openai[1]", why)])
    apart = told(providers={"openai": entries[:1], "groq": entries[1:]})
    assert [path for path, _ in apart] == ([] if reached else ["$.providers.groq[0]"])


def test_many_keywords_are_compared_in_no_time() -> None:
    ones, others = ([f"{word}{n} here" for n in range(10_000)] for word in ("one", "other"))
    began = time.process_time()
    assert told(keywords(*ones), keywords(*others, action="warn")) == []
    assert told(keywords(*ones), keywords(*reversed(ones), action="warn")) == [("$.rules[1]", REFUSES)]
    assert time.process_time() - began < 5
