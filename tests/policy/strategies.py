"""Valid policies, as JSON values."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tokenomics_core.policy import PII_TYPES

words = st.text('abcXYZ019-_. äß日"\\\n', max_size=8)
names = st.text("abcdefghij-_. ", min_size=1, max_size=6)
numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 3)
patterns = st.sampled_from(["", "^gpt-4", "o1$", r"(?i)claude|\d+", "[[:alpha:]]", "a{2,1000}"])
variables = st.sampled_from(["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "K"])


def _some(required: dict[str, Any], **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional={k: st.none() | v for k, v in optional.items()})


_common: dict[str, Any] = {
    "name": words,
    "action": st.sampled_from(["", "fail", "warn", "log", "mask"]),
    "scope": st.sampled_from(["", "input", "output", "both"]),
}
_keywords = st.lists(st.text("abc+.日", min_size=1, max_size=5), min_size=1, max_size=3)
_detectors = st.lists(st.sampled_from([*PII_TYPES, "SSN"]), min_size=1, max_size=3)
_rule = (
    _some({"pattern": patterns.filter(bool)}, **_common)
    | _some({"type": st.just("keyword"), "keywords": _keywords}, **_common)
    | _some({"type": st.just("pii"), "detect": _detectors}, **_common)
    | _some({"type": st.just("jailbreak")}, **_common)
)
_rules = st.lists(_rule, max_size=3) | st.lists(patterns.filter(bool), max_size=3)
_prompts = st.lists(_some({}, role=words, content=words), max_size=2)
_part: dict[str, Any] = {
    "upstream_url": words,
    "max_tokens": numbers,
    "model": words,
    "model_regex": patterns,
    "prompts": _prompts,
    "rules": _rules,
    "timeout": numbers,
    "added_by_somebody": words,
}
_entry = _some({"base_key_env": variables}, **_part)
_limit = _some(
    {}, requests=numbers, tokens=numbers, window=st.sampled_from(["", "1m", "1h30m"]), strategy=words
)

_amounts = st.sampled_from([1, 0.1, "0.1", "250.000000001", 10**15])
_budget = _some(
    {"limit": st.integers(1, 10**6) | st.sampled_from(["5", 5.0])},
    unit=st.sampled_from(["", "usd", "tokens"]),
    period=st.sampled_from(["", "total", "hour", "day", "month", "36h"]),
    scope=st.sampled_from(["", "token", "session", "provider"]),
    timezone=st.sampled_from(["", "UTC", "Europe/Berlin"]),
    action=st.sampled_from(["", "refuse", "warn"]),
    name=words,
    warn_at=st.integers(1, 100),
) | _some({"limit": _amounts}, period=st.sampled_from(["", "day"]))
_session = _some(
    {},
    budget_usd=_amounts,
    strict=st.booleans(),
    anomaly=_some(
        {},
        enabled=st.booleans(),
        max_requests=numbers,
        max_identical=numbers,
        max_usd=_amounts | st.just(-0.5),
        window=st.integers(1, 3600),
        memory=st.integers(1, 3600),
        freeze=st.integers(1, 3600),
    ),
)

policies = _some(
    {"base_key_env": variables},
    **_part,
    providers=st.dictionaries(names, st.none() | st.lists(_entry, max_size=2), max_size=3),
    default_provider=words,
    memory=_some({}, enabled=st.booleans(), file_path=words, redis=st.booleans(), max_size_mb=numbers),
    rate_limit=_some({}, rules=st.lists(_limit, max_size=2), max_parallel=numbers),
    budgets=st.lists(_budget, max_size=2),
    unknown_price=st.sampled_from(["", "refuse", "assume", "allow"]),
    session=_session,
    retry=_some(
        {},
        max_retries=st.integers(-2, 100),
        fallbacks=st.lists(words, max_size=2),
        retry_on=st.lists(st.integers(400, 599), max_size=3),
    ),
    metadata=st.dictionaries(words, st.none() | words, max_size=3),
    credentials=st.sampled_from(["", "wrapper", "client"]),
    unknown_paths=st.sampled_from(["", "allow", "deny"]),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0]) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=12,
)
json_objects = st.dictionaries(words, json_values, max_size=4)
