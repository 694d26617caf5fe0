"""What is accepted in a policy but hardly meant: unknown fields, and values without the intended effect."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from tokenomics_core.meter.periods import PERIODS
from tokenomics_core.policy.document import PolicyError, decode, quoted, step
from tokenomics_core.policy.schema import Budget, Policy, ProviderPolicy, Rule, read
from tokenomics_core.policy.unknown import PolicyWarning, unknown_fields
from tokenomics_core.policy.validation import PII_TYPES

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def warnings(text: str) -> list[PolicyWarning]:
    """Everything in the policy that has no effect or hardly the intended one: unknown fields, then values.

    Raises PolicyError when the text is no JSON object. Of a policy with wrong types only the unknown fields
    are reported.
    """
    document = decode(text)
    found = list(unknown_fields(document))
    try:
        policy = read(document)
    except PolicyError:
        return found
    return found + list(_odd(policy))


def _odd(policy: Policy) -> Iterator[PolicyWarning]:
    yield from _odd_part(policy, "$")
    for index, rule in enumerate(policy.rules):
        yield from _odd_rule(rule, f"$.rules[{index}]")
    for name, entries in policy.providers.items():
        for index, entry in enumerate(entries):
            path = step(step("$.providers", name), index)
            yield from _odd_part(entry, path)
            if entry.model and entry.model_regex:
                yield PolicyWarning(
                    f"{path}.model_regex",
                    f"model and model_regex both have to agree: at most {quoted(entry.model)} can be used",
                )
            for number, rule in enumerate(entry.rules):
                yield from _odd_rule(rule, f"{path}.rules[{number}]")
    if policy.rate_limit is not None:
        yield from _negative("$.rate_limit.max_parallel", policy.rate_limit.max_parallel)
        for index, limit in enumerate(policy.rate_limit.rules):
            path = f"$.rate_limit.rules[{index}]"
            yield from _negative(f"{path}.requests", limit.requests)
            yield from _negative(f"{path}.tokens", limit.tokens)
            if limit.requests <= 0 and limit.tokens <= 0:
                yield PolicyWarning(path, "limits nothing: neither requests nor tokens is set")
            if limit.strategy not in ("", "sliding", "fixed"):
                yield PolicyWarning(
                    f"{path}.strategy", f"unknown strategy {quoted(limit.strategy)} counts as sliding"
                )
    for index, budget in enumerate(policy.budgets):
        yield from _odd_budget(budget, f"$.budgets[{index}]")
    for field in ("max_requests", "max_identical", "max_usd"):
        yield from _negative(f"$.session.anomaly.{field}", getattr(policy.session.anomaly, field) or 0)
    if policy.retry is not None:
        yield from _negative("$.retry.max_retries", policy.retry.max_retries)
        for index, status in enumerate(policy.retry.retry_on):
            if not 400 <= status <= 599:
                yield PolicyWarning(f"$.retry.retry_on[{index}]", f"{status} is not the status of an error")


def _odd_part(part: Policy | ProviderPolicy, path: str) -> Iterator[PolicyWarning]:
    if part.base_key_env and not _VARIABLE.fullmatch(part.base_key_env):
        # The value is not repeated: it may be a key.
        yield PolicyWarning(
            f"{path}.base_key_env", "not the name of an environment variable; give the name, never the key"
        )
    yield from _negative(f"{path}.max_tokens", part.max_tokens)
    yield from _negative(f"{path}.timeout", part.timeout)
    for index, prompt in enumerate(part.prompts):
        if not prompt.role:
            yield PolicyWarning(
                f"{path}.prompts[{index}]", "a prompt without a role, which most providers refuse"
            )


def _odd_budget(budget: Budget, path: str) -> Iterator[PolicyWarning]:
    if budget.timezone != "UTC" and budget.period not in PERIODS:
        yield PolicyWarning(f"{path}.timezone", f"a period of {quoted(budget.period)} has no time zone")
    if budget.limit is not None:
        # Here, because all of the counters come with it.
        from tokenomics_core.counters.question import HIGHEST

        most = Decimal(HIGHEST).scaleb(-9) if budget.unit == "usd" else Decimal(HIGHEST)
        if budget.limit > most:
            yield PolicyWarning(f"{path}.limit", f"counts as {most}: no more can be counted")


def _odd_rule(rule: Rule, path: str) -> Iterator[PolicyWarning]:
    for field, owner in (("pattern", "regex"), ("keywords", "keyword"), ("detect", "pii")):
        if rule.type not in (owner, "jailbreak") and getattr(rule, field):
            yield PolicyWarning(f"{path}.{field}", f"a {rule.type} rule does not look at {field}")
    if rule.threshold is not None and rule.type != "jailbreak":
        yield PolicyWarning(f"{path}.threshold", f"a {rule.type} rule does not look at threshold")
    if rule.min_score is not None and rule.type != "pii":
        yield PolicyWarning(f"{path}.min_score", f"a {rule.type} rule does not look at min_score")
    if rule.strict and rule.type not in ("pii", "jailbreak"):
        yield PolicyWarning(f"{path}.strict", f"a {rule.type} rule does not look at strict")
    unknown = [name for name in rule.detect if name.lower() not in PII_TYPES]
    if rule.strict and rule.type == "pii" and unknown:
        yield PolicyWarning(f"{path}.strict", f"a strict rule finds nothing by {quoted(unknown[0])}")
    if rule.action != "mask" and rule.style != "redacted":
        yield PolicyWarning(f"{path}.style", f"the action {rule.action} masks nothing")


def _negative(path: str, value: int | Decimal) -> Iterator[PolicyWarning]:
    if value < 0:
        yield PolicyWarning(path, f"{value} is negative and counts as not set")
