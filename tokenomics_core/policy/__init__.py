"""Policies: what a wrapper token may do. One JSON object, read once, resolved per request.

`parse` reads and validates, `compile` makes it ready for requests, `CompiledPolicy.resolve` answers them.
"""

from tokenomics_core.policy.change import Change, apply_patch, describe_change, is_complete, merge_patch
from tokenomics_core.policy.document import PolicyError
from tokenomics_core.policy.features import needs
from tokenomics_core.policy.lint import warnings
from tokenomics_core.policy.parsing import parse, serialise
from tokenomics_core.policy.resolution import CompiledPolicy, ResolvedPolicy, compile
from tokenomics_core.policy.schema import (
    Anomaly,
    Budget,
    Memory,
    Policy,
    PromptMessage,
    ProviderPolicy,
    RateLimit,
    RateRule,
    Retry,
    Rule,
    SessionPart,
)
from tokenomics_core.policy.unknown import PolicyWarning
from tokenomics_core.policy.validation import PII_TYPES

__all__ = [
    "PII_TYPES",
    "Anomaly",
    "Budget",
    "Change",
    "CompiledPolicy",
    "Memory",
    "Policy",
    "PolicyError",
    "PolicyWarning",
    "PromptMessage",
    "ProviderPolicy",
    "RateLimit",
    "RateRule",
    "ResolvedPolicy",
    "Retry",
    "Rule",
    "SessionPart",
    "apply_patch",
    "compile",
    "describe_change",
    "is_complete",
    "merge_patch",
    "needs",
    "parse",
    "serialise",
    "warnings",
]
