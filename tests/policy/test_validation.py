from __future__ import annotations

import json
from typing import Any

import pytest

from tokenomics_core.policy import PolicyError, parse

KEY = {"base_key_env": "K"}
PII_NAMES = (
    "ssn, credit_card, email, phone, ip_address, aws_key, api_key, jwt, private_key, connection_string, "
    "github_token"
)

RULES: list[tuple[dict[str, Any], str, str]] = [
    (
        {"pattern": "x", "action": "redact"},
        "action",
        'invalid rule action "redact"; must be fail, warn, log, or mask',
    ),
    (
        {"pattern": "x", "action": "Fail"},
        "action",
        'invalid rule action "Fail"; must be fail, warn, log, or mask',
    ),
    ({"pattern": "x", "scope": "x"}, "scope", 'invalid rule scope "x"; must be input, output, or both'),
    ({"type": "X"}, "type", 'invalid rule type "X"; must be regex, keyword, pii, or jailbreak'),
    ({"type": "regex"}, "pattern", "regex rule requires a pattern"),
    ({}, "pattern", "regex rule requires a pattern"),
    ({"type": "regex", "keywords": ["x"]}, "pattern", "regex rule requires a pattern"),
    ({"type": "keyword"}, "keywords", "keyword rule requires at least one keyword"),
    ({"type": "keyword", "pattern": "x"}, "keywords", "keyword rule requires at least one keyword"),
    (
        {"type": "keyword", "keywords": ["a", ""]},
        "keywords",
        "keyword rule has an empty keyword, which would match everywhere",
    ),
    (
        {"type": "keyword", "keywords": [" "]},
        "keywords",
        "keyword rule has an empty keyword, which would match everywhere",
    ),
    (
        {"type": "pii"},
        "detect",
        "pii rule requires at least one detect type "
        "(ssn, credit_card, email, phone, ip_address, aws_key, api_key)",
    ),
    (
        {"type": "pii", "detect": ["ssn", "emial"]},
        "detect",
        f'unknown PII type "emial"; available: {PII_NAMES}; did you mean "email"?',
    ),
    ({"pattern": "x", "style": "X"}, "style", 'invalid rule style "X"; must be redacted, typed, or partial'),
    ({"pattern": "x", "on_error": "X"}, "on_error", 'invalid rule on_error "X"; must be fail or warn'),
    ({"pattern": "x", "min_score": "1.5"}, "min_score", "invalid rule min_score 1.5; must be from 0 to 1"),
    ({"pattern": "x", "threshold": -1}, "threshold", "invalid rule threshold -1; must be from 0 to 1"),
    (
        {"pattern": "x", "restore": True},
        "restore",
        "restore needs action mask, scope input or both, and a type other than jailbreak",
    ),
    *(
        (
            {"type": "jailbreak"} | extra,
            "type",
            "jailbreak rule should not have pattern, keywords, or detect fields",
        )
        for extra in ({"pattern": "x"}, {"keywords": ["x"]}, {"detect": ["ssn"]})
    ),
    # Action before scope before type before what the type needs.
    (
        {"type": "X", "action": "X", "scope": "X"},
        "action",
        'invalid rule action "X"; must be fail, warn, log, or mask',
    ),
    ({"type": "X", "scope": "X"}, "scope", 'invalid rule scope "X"; must be input, output, or both'),
    (
        {"type": "X", "pattern": "("},
        "type",
        'invalid rule type "X"; must be regex, keyword, pii, or jailbreak',
    ),
]


def refusal(**fields: Any) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        parse(json.dumps(fields))
    assert "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize(("rule", "field", "message"), RULES)
def test_a_global_rule_is_refused(rule: dict[str, Any], field: str, message: str) -> None:
    error = refusal(**KEY, rules=[{"pattern": "fine"}, rule])
    assert (error.message, error.path) == (f"global rule 1: {message}", f"$.rules[1].{field}")


@pytest.mark.parametrize(("rule", "field", "message"), RULES)
def test_a_rule_of_a_provider_is_refused(rule: dict[str, Any], field: str, message: str) -> None:
    error = refusal(providers={"open-ai": [KEY, KEY | {"rules": [rule]}]})
    assert error.message == f'provider "open-ai" policy 1: rule 0: {message}'
    assert error.path == f'$.providers["open-ai"][1].rules[0].{field}'


@pytest.mark.parametrize(
    "fields", [{}, {"base_key_env": ""}, {"base_key_env": None}, {"providers": {}}, {"providers": None}]
)
def test_a_policy_needs_a_key_or_a_provider(fields: dict[str, Any]) -> None:
    assert refusal(**fields).message == "base_key_env is required (or at least one provider)"


def test_the_missing_key_is_the_first_thing_said() -> None:
    assert refusal(rules=[{"type": "X"}]).message == "base_key_env is required (or at least one provider)"


@pytest.mark.parametrize("entry", [{}, {"base_key_env": ""}, {"model": "gpt-4o"}])
def test_a_provider_entry_needs_a_key(entry: dict[str, Any]) -> None:
    error = refusal(**KEY, providers={"openai": [KEY, entry]})
    assert error.message == 'provider "openai" policy 1: base_key_env is required'
    assert error.path == "$.providers.openai[1].base_key_env"


@pytest.mark.parametrize(
    "fields",
    [
        {"providers": {"openai": []}},
        {"providers": {"openai": None}},
        {"providers": {"openai": [KEY]}},
        {"credentials": "client"},
        {"credentials": "client", "providers": {"openai": [{"model": "gpt-4o"}]}},
        {"credentials": "wrapper", "unknown_paths": "deny"} | KEY,
        {"default_provider": "ollama"} | KEY,
    ],
)
def test_these_are_complete(fields: dict[str, Any]) -> None:
    parse(json.dumps(fields))


BAD_PATTERNS = [
    ("(", "missing )"),
    ("[", "missing ]"),
    ("*a", "no argument for repetition"),
    ("a{1001}", "repetition size"),
    ("(a{100}){100}", "repetition size"),
    ("(?=a)", "(?="),
    ("(?!a)", "(?!"),
    ("(?<=a)", "(?<"),
    ("(?<!a)", "(?<"),
    ("(?>a)", "(?>"),
    ("a++", "++"),
    (r"(a)\1", r"\1"),
    (r"(?P<n>a)(?P=n)", "(?P="),
    (r"\C", r"\C"),
    (r"\Qa\E\C", r"\C"),
    ("a\\", "trailing"),
]


@pytest.mark.parametrize(("pattern", "detail"), BAD_PATTERNS)
def test_a_pattern_that_is_not_re2_is_refused(
    pattern: str, detail: str, capfd: pytest.CaptureFixture[str]
) -> None:
    shown = json.dumps(pattern)
    error = refusal(**KEY, rules=[pattern])
    assert error.message.startswith(f"global rule 0: invalid rule regex {shown}: ")
    assert detail in error.message

    error = refusal(**KEY, model_regex=pattern)
    assert error.message.startswith(f"invalid model_regex {shown}: ")
    assert error.path == "$.model_regex"

    error = refusal(providers={"openai": [KEY | {"model_regex": pattern}]})
    assert error.message.startswith(f'provider "openai" policy 0: invalid model_regex {shown}: ')
    assert error.path == "$.providers.openai[0].model_regex"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "pattern",
    [
        r"\bsk-\w+\b",
        "foo(?i)bar",
        "(?U)a+",
        "[[:alpha:]]",
        r"\pL",
        r"\Q(\C\E",
        r"\\C",
        r"\Qabc",
        r"end\z",
        "a{1000}",
        "(?P<name>a)",
    ],
)
def test_re2_patterns_are_accepted(pattern: str) -> None:
    parse(json.dumps(KEY | {"rules": [pattern], "model_regex": pattern}))


@pytest.mark.parametrize("name", ["SSN", "Credit_Card", "jwt"])
def test_detector_names_are_read_in_any_case(name: str) -> None:
    parse(json.dumps(KEY | {"rules": [{"type": "pii", "detect": [name]}]}))


@pytest.mark.parametrize(
    "rule",
    [
        {"pattern": "x", "keywords": [""], "detect": ["passport"]},
        {"type": "keyword", "keywords": ["x"], "pattern": "("},
        {"type": "pii", "detect": ["ssn"], "pattern": "(", "keywords": [""]},
    ],
)
def test_fields_of_other_types_are_not_looked_at(rule: dict[str, Any]) -> None:
    parse(json.dumps(KEY | {"rules": [rule]}))


@pytest.mark.parametrize(
    ("window", "detail"),
    [
        ("7d", "must be a duration such as 60s"),
        ("1mo", "must be a duration such as 60s"),
        ("daily", "must be a duration such as 60s"),
        ("60", "must be a duration such as 60s"),
        ("1h30d", "must be a duration such as 60s"),
        ("0", "must be longer than zero"),
        ("0s", "must be longer than zero"),
        ("-1m", "must be longer than zero"),
    ],
)
def test_a_bad_window_is_refused(window: str, detail: str) -> None:
    error = refusal(**KEY, rate_limit={"rules": [{"requests": 1}, {"requests": 1, "window": window}]})
    assert error.message.startswith(f'rate_limit rule 1: invalid window "{window}"; {detail}')
    assert error.path == "$.rate_limit.rules[1].window"


@pytest.mark.parametrize("window", ["", "1m", "24h", "1h30m", "500ms"])
def test_a_good_window_is_accepted(window: str) -> None:
    parse(json.dumps(KEY | {"rate_limit": {"rules": [{"requests": 1, "window": window}]}}))


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("credentials", 'invalid credentials "x"; must be wrapper or client'),
        ("unknown_paths", 'invalid unknown_paths "x"; must be allow or deny'),
    ],
)
def test_a_word_out_of_the_list_is_refused(field: str, message: str) -> None:
    error = refusal(**KEY, **{field: "x"})
    assert (error.message, error.path) == (message, f"$.{field}")


def test_retries_are_bounded() -> None:
    error = refusal(**KEY, retry={"max_retries": 101})
    assert error.message == "invalid max_retries 101; must be at most 100"
    assert error.path == "$.retry.max_retries"
    parse(json.dumps(KEY | {"retry": {"max_retries": 100}}))


def test_provider_names_differ_in_more_than_case() -> None:
    error = refusal(providers={"OpenAI": [KEY], "openai": [KEY]})
    assert error.message == (
        'provider "openai" stands twice in providers; upper and lower case make no difference'
    )
    assert refusal(providers={"": [KEY]}).message == "a provider in providers has no name"


def test_messages_stay_on_one_line() -> None:
    assert refusal(**KEY, rules=[{"action": "a\nb\u2028c"}]).message.startswith(
        r'global rule 0: invalid rule action "a\nb\u2028c"'
    )
