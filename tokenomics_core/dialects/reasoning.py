"""Which requests make a model think: tokens that are billed as output and do not all show in the answer.

Vendors name their models as they like. What is in doubt counts as thinking: room kept free does less harm
than a bill that nobody saw coming.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tokenomics_core.dialects.usage import mapping, text

_OPENAI = re.compile(r"(?:^|[^a-z0-9])(?:o[1-9]|gpt-?(?:[5-9]|oss)|codex)(?![a-z])")
_GEMINI = re.compile(r"gemini-(?:2\.[5-9]|[3-9]|(?:pro|flash|flash-lite)-latest)")
_OTHERS = re.compile(
    r"reason|thinking|deepseek-r\d|grok-(?:3-mini|[4-9]|code)|qwq|qwen-?3|magistral|deep-research"
)
_OFF = ("none", "disabled", False)


def takes_completion_tokens(model: str) -> bool:
    """Whether a chat request to this model caps its output by ``max_completion_tokens`` alone."""
    return _OPENAI.search(model.lower()) is not None


def may_reason(value: dict[str, Any], model: str) -> bool:
    """A request in one of OpenAI's formats, by what it says of reasoning and by the models it names."""
    reasoning = mapping(value.get("reasoning"))
    effort = value.get("reasoning_effort") or reasoning.get("effort")
    if effort is not None:
        return effort not in _OFF
    if reasoning:
        return reasoning.get("enabled") not in _OFF
    for switch in (mapping(value.get("thinking")).get("type"), value.get("enable_thinking")):
        if switch is not None:
            return switch not in _OFF
    names = (model.lower(), text(value.get("model")).lower())
    return any(pattern.search(name) for pattern in (_OPENAI, _GEMINI, _OTHERS) for name in names)


def gemini_thinks(configs: Sequence[dict[str, Any]], model: str) -> bool:
    """A request to Gemini, by its generation configs: a thinking budget of 0 turns it off."""
    for config in configs:
        thinking = config.get("thinkingConfig") or config.get("thinking_config")
        budgets = [mapping(thinking).get(name) for name in ("thinkingBudget", "thinking_budget")]
        if 0 in [budget for budget in budgets if type(budget) is int]:
            return False
        if any(budget is not None for budget in budgets):
            return True
    return _GEMINI.search(model.lower()) is not None
