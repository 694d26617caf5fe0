"""What a policy says, as plain data for programs and as plain words for people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tokenomics_cli.token_text import counted
from tokenomics_cli.usage_text import amount

if TYPE_CHECKING:
    from tokenomics_core.policy import Policy, Rule

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

SHOWN = 8
"""Keywords or detectors of a rule that are shown to people."""


def explain(policy: Policy) -> dict[str, Any]:
    """The policy's words that have a meaning, and no value of a key."""
    from tokenomics_core.policy.schema import plain

    retry = policy.retry
    return {
        "credentials": policy.credentials,
        "key": _variable(policy.base_key_env),
        "upstream": _location(policy.upstream_url),
        "default_provider": policy.default_provider or None,
        "model": policy.model or None,
        "model_regex": policy.model_regex or None,
        "providers": list(_providers(policy)),
        "max_tokens": policy.max_tokens if policy.max_tokens > 0 else None,
        "rate_limit": plain(policy.rate_limit) if policy.rate_limit else None,
        "budgets": [
            {
                "limit": f"{budget.limit:f}",
                "unit": budget.unit,
                "period": budget.period,
                "timezone": budget.timezone,
                "scope": budget.scope,
                "action": budget.action,
                "name": budget.name or None,
            }
            for budget in policy.budgets
        ],
        "session_budget_usd": None if policy.session.budget_usd is None else f"{policy.session.budget_usd:f}",
        "session_required": policy.session.strict,
        "retries": retry.max_retries if retry and retry.max_retries > 0 else 0,
        "fallbacks": list(retry.fallbacks) if retry else [],
        "prompts": len(policy.prompts),
        "unknown_paths": policy.unknown_paths,
        "unknown_price": policy.unknown_price,
        "uninspected": policy.uninspected,
        "rules": list(_rules(policy)),
    }


def print_policy(told: dict[str, Any]) -> None:
    for title, words in _lines(told):
        print(f"{title:<11} {words}")
    rules = told["rules"]
    print(f"Rules:      {len(rules) or 'none'}")
    for rule in rules:
        print(f"  {_rule_line(rule)}")


def _variable(name: str) -> str | None:
    """What is no name of a variable may be a key."""
    return (name if _VARIABLE.fullmatch(name) else "(not a variable's name)") if name else None


def _location(url: str) -> str | None:
    """A URL without what may be secret in it."""
    from tokenomics_core.config.base_url import InvalidBaseUrl, parse_base_url

    if not url:
        return None
    try:
        parse_base_url(url)
    except InvalidBaseUrl:
        return "(not a base URL)"
    return url.partition("?")[0]


def _providers(policy: Policy) -> Iterator[dict[str, Any]]:
    from tokenomics_core.policy.document import step

    for name, entries in policy.providers.items():
        for index, entry in enumerate(entries):
            yield {
                "path": step(step("$.providers", name), index),
                "provider": name,
                "model": entry.model or None,
                "model_regex": entry.model_regex or None,
                "key": _variable(entry.base_key_env),
                "upstream": _location(entry.upstream_url),
                "max_tokens": entry.max_tokens if entry.max_tokens > 0 else None,
                "prompts": len(entry.prompts),
                "rules": len(entry.rules),
            }


def _rules(policy: Policy) -> Iterator[dict[str, Any]]:
    from tokenomics_core.policy.document import step

    for index, rule in enumerate(policy.rules):
        yield _rule(rule, index, f"$.rules[{index}]", None)
    for name, entries in policy.providers.items():
        for at, entry in enumerate(entries):
            path = step(step("$.providers", name), at)
            for number, rule in enumerate(entry.rules):
                # Merged behind the global ones: messages count them so.
                yield _rule(rule, len(policy.rules) + number, f"{path}.rules[{number}]", name)


def _rule(rule: Rule, index: int, path: str, provider: str | None) -> dict[str, Any]:
    return {
        "index": index,
        "path": path,
        "provider": provider,
        "name": rule.name or None,
        "type": rule.type,
        "finds": _finds(rule),
        "action": rule.action,
        "scope": rule.scope,
        "style": rule.style if rule.action == "mask" else None,
        "restore": rule.restore,
        "restore_secrets": rule.restore_secrets,
        "min_score": None if rule.min_score is None else float(rule.min_score),
        "threshold": None if rule.threshold is None else float(rule.threshold),
        "strict": rule.strict,
        "on_error": rule.on_error,
    }


def _finds(rule: Rule) -> list[str]:
    """The pattern, the keywords, or the detectors with their labels."""
    from tokenomics_core.guard.detectors import GROUPS, named

    if rule.type == "regex":
        return [rule.pattern]
    if rule.type == "keyword":
        return list(rule.keywords)
    if rule.type == "jailbreak":
        return []
    told = []
    for word in rule.detect:
        detectors = named(word)
        if word.lower() in GROUPS:
            told.append(f"{word.lower()} ({counted(len(detectors), 'detector')})")
        else:
            more = f" and {len(detectors) - 1} more" if len(detectors) > 1 else ""
            told.append(f"{word.lower()} ({detectors[0].label}{more})")
    return told


# For people.


def _lines(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Models:", _models(told)
    if told["credentials"] == "client":
        yield "Key:", "the agent's own login"
    elif told["key"]:
        place = told["upstream"] or told["default_provider"] or "the default provider"
        yield "Key:", f"${told['key']}, for {place}"
    for number, entry in enumerate(told["providers"]):
        yield ("Providers:" if number == 0 else ""), _provider_line(entry)
    limits = list(_limits(told))
    for number, limit in enumerate(limits or ["none"]):
        yield ("Limits:" if number == 0 else ""), limit
    for number, budget in enumerate(told["budgets"]):
        yield ("Budgets:" if number == 0 else ""), _budget_line(budget)
    if told["retries"] or told["fallbacks"]:
        after = f"then {', '.join(told['fallbacks'])}" if told["fallbacks"] else ""
        yield "Retries:", ", ".join(filter(None, [counted(told["retries"], "retry", "retries"), after]))
    if told["prompts"]:
        yield "Prompts:", f"{counted(told['prompts'], 'message')} in front of the client's"
    if told["unknown_paths"] == "deny":
        yield "Paths:", "only those of a known format"
    if told["unknown_price"] != "refuse":
        yield "Prices:", f"an unknown one: {told['unknown_price']}"
    if told["uninspected"] == "allow":
        yield "Uninspected:", "passes, though rules cannot look into it"


def _models(told: dict[str, Any]) -> str:
    said = []
    if told["model"]:
        said.append(told["model"])
    if told["model_regex"]:
        said.append(f"matching {told['model_regex']}")
    if told["providers"]:
        return f"{' and '.join(said) or 'any'}; the first of these that matches:"
    return " and ".join(said) or "any"


def _provider_line(entry: dict[str, Any]) -> str:
    which = entry["model"] or ""
    if entry["model_regex"]:
        which += f"{' or ' if which else ''}matching {entry['model_regex']}"
    said = [
        f"{entry['provider']}: {which or 'any model'}",
        f"${entry['key']}" if entry["key"] else "",
        f"at {entry['upstream']}" if entry["upstream"] else "",
        f"{entry['max_tokens']:,} tokens" if entry["max_tokens"] else "",
        counted(entry["prompts"], "prompt") if entry["prompts"] else "",
        counted(entry["rules"], "rule") if entry["rules"] else "",
    ]
    return ", ".join(filter(None, said))


def _limits(told: dict[str, Any]) -> Iterator[str]:
    if told["max_tokens"]:
        yield f"{told['max_tokens']:,} tokens in all"
    limits = told["rate_limit"] or {}
    for rule in limits.get("rules", ()):
        for unit in ("requests", "tokens"):
            if rule.get(unit, 0) > 0:
                yield f"{rule[unit]:,} {unit} per {rule.get('window') or '1m'}, {_strategy(rule)}"
    if limits.get("max_parallel", 0) > 0:
        yield f"{limits['max_parallel']:,} requests at a time"
    if told["session_budget_usd"] is not None:
        yield f"{_dollars(told['session_budget_usd'])} per session"
    if told["session_required"]:
        yield "a session has to be named"


def _strategy(rule: dict[str, Any]) -> str:
    return "fixed" if rule.get("strategy") == "fixed" else "sliding"


def _budget_line(budget: dict[str, Any]) -> str:
    most = _dollars(budget["limit"]) if budget["unit"] == "usd" else f"{int(budget['limit']):,} tokens"
    period = "in all" if budget["period"] == "total" else f"per {budget['period']}"
    said = [
        f"{budget['name']}: {most} {period}" if budget["name"] else f"{most} {period}",
        budget["timezone"] if budget["timezone"] != "UTC" else "",
        f"for each {budget['scope']}" if budget["scope"] != "token" else "",
        "only warns" if budget["action"] == "warn" else "",
    ]
    return ", ".join(filter(None, said))


def _dollars(usd: str) -> str:
    from tokenomics_core.meter.lease import nano

    return amount(nano(Decimal(usd)), "usd")


def _rule_line(rule: dict[str, Any]) -> str:
    name = f'"{rule["name"]}" ' if rule["name"] else ""
    where = f" [{rule['provider']}]" if rule["provider"] else ""
    said = [
        f"{rule['action']} on {rule['scope'] if rule['scope'] != 'both' else 'input and output'}",
        rule["style"] if rule["style"] not in (None, "redacted") else "",
        "restored in the answer" if rule["restore"] else "",
        "secrets too" if rule["restore_secrets"] else "",
        f"min_score {rule['min_score']:g}" if rule["min_score"] is not None else "",
        f"threshold {rule['threshold']:g}" if rule["threshold"] is not None else "",
        "strict" if rule["strict"] else "",
        "passes when it cannot be checked" if rule["on_error"] == "warn" else "",
    ]
    finds = rule["type"] + _listed(rule["finds"])
    return f"{rule['index']}{where} {name}{finds}: {', '.join(filter(None, said))}"


def _listed(words: Sequence[str]) -> str:
    shown = ", ".join(one_line(word) for word in words[:SHOWN])
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return f" {shown}{more}" if words else ""


def one_line(text: str) -> str:
    """What cannot be printed is escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
