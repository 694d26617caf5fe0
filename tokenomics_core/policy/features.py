"""What a policy asks the pipeline to enforce."""

from __future__ import annotations

from tokenomics_core.policy.schema import Policy, ProviderPolicy, SessionPart


def needs(policy: Policy) -> frozenset[str]:
    """The enforcement a policy asks for, in its global part or in any entry: a subset of ``rules``,
    ``max_tokens``, ``rate_limit``, ``budgets``, ``session`` and ``memory``.

    Whoever cannot enforce one of them has to refuse the policy's requests rather than let them through.
    """
    parts: tuple[Policy | ProviderPolicy, ...] = (
        policy,
        *(entry for entries in policy.providers.values() for entry in entries),
    )
    limits = policy.rate_limit
    asked = {
        "rules": any(part.rules for part in parts),
        "max_tokens": any(part.max_tokens > 0 for part in parts),
        "rate_limit": limits is not None
        and (limits.max_parallel > 0 or any(rule.requests > 0 or rule.tokens > 0 for rule in limits.rules)),
        "budgets": bool(policy.budgets),
        "session": policy.session != SessionPart(),
        "memory": policy.memory.enabled is True,
    }
    return frozenset(name for name, wanted in asked.items() if wanted)
