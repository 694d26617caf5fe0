"""What a policy says for a request: its global part, with at most one provider entry merged onto it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tokenomics_core.policy.document import PolicyError, quoted
from tokenomics_core.policy.features import needs
from tokenomics_core.policy.regex import Pattern, compile_pattern, found
from tokenomics_core.policy.schema import (
    Budget,
    Memory,
    Policy,
    PromptMessage,
    ProviderPolicy,
    RateLimit,
    Retry,
    Rule,
    SessionPart,
)

if TYPE_CHECKING:
    from tokenomics_core.dialects.base import Prompt

RETRY_ON = (429, 500, 502, 503)
"""Statuses that count as failure when a policy names none."""


@dataclass(frozen=True, slots=True)
class ResolvedPolicy:
    """What a policy says for one request.

    provider_name: the provider whose entry was merged, as the policy spells it; the empty string for none.
    base_key_env: NAME of the variable that holds the key.
    max_tokens: 0 is no limit. timeout: seconds, 0 is unset.
    retry: complete, with no retries when the policy names none.
    unknown_price: ``refuse``, ``assume`` or ``allow``. session: None is what the configuration says.
    key_from_global, url_from_global: base_key_env and upstream_url are set, and by the global part. A key may
        only be sent to the host it is meant for, so whoever joins the two must know where each comes from.
    """

    provider_name: str
    base_key_env: str
    upstream_url: str
    key_from_global: bool
    url_from_global: bool
    default_provider: str
    max_tokens: int
    model: str
    timeout: int
    prompts: tuple[Prompt, ...]
    rules: tuple[Rule, ...]
    retry: Retry
    rate_limit: RateLimit | None
    budgets: tuple[Budget, ...]
    unknown_price: str
    session: SessionPart
    memory: Memory
    metadata: dict[str, str]
    model_pattern: Pattern | None = field(default=None, compare=False)

    def check_model(self, model: str) -> str | None:
        """None when the model may be used, else why not. A request without a model has the empty string."""
        if self.model and model != self.model:
            return f"model {quoted(model)} not allowed; policy requires {quoted(self.model)}"
        if self.model_pattern is not None and not found(self.model_pattern, model):
            return f"model {quoted(model)} does not match policy regex {quoted(self.model_pattern.pattern)}"
        return None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A provider entry ready for matching, and what the whole policy becomes with it."""

    model: str
    pattern: Pattern | None
    resolved: ResolvedPolicy

    def matches(self, model: str) -> bool:
        if not self.model and self.pattern is None:
            return True
        if self.model and model == self.model:
            return True
        return self.pattern is not None and found(self.pattern, model)


class CompiledPolicy:
    """A policy with its patterns compiled and every merge done, so that resolving costs a few comparisons."""

    def __init__(self, policy: Policy) -> None:
        """Raises PolicyError when a model_regex is not RE2 syntax."""
        self.policy = policy
        self.needs = needs(policy)
        """What it asks a gateway to enforce, see `features`."""

        self._global = _global_part(policy)
        self._entries: list[_Entry] = []
        self._first: dict[str, ResolvedPolicy] = {}
        for name, entries in policy.providers.items():
            for entry in entries:
                pattern = _compiled(entry.model_regex)
                resolved = _merged(self._global, name, entry, pattern)
                self._entries.append(_Entry(entry.model, pattern, resolved))
                self._first.setdefault(name.casefold(), resolved)

    @property
    def entries(self) -> tuple[ResolvedPolicy, ...]:
        """What each provider entry gives, in the order of the document."""
        return tuple(entry.resolved for entry in self._entries)

    def resolve(self, model: str, provider: str = "") -> ResolvedPolicy:
        """For a request that names a model: the first entry that matches, in the order of the document.

        provider: where the request can only go to one provider, its name in any case; other entries are
            passed over then. No match gives the global part alone.
        """
        only = provider.casefold()
        for entry in self._entries:
            if (not only or entry.resolved.provider_name.casefold() == only) and entry.matches(model):
                return entry.resolved
        return self._global

    def resolve_provider(self, name: str) -> ResolvedPolicy:
        """For a provider by name, in any case: its first entry; the global part when it has none."""
        return self._first.get(name.casefold(), self._global)

    def resolve_global(self) -> ResolvedPolicy:
        """For a request without a model: the global part alone."""
        return self._global


def compile(policy: Policy) -> CompiledPolicy:
    """The policy made ready for requests; raises PolicyError when a model_regex is not RE2 syntax."""
    return CompiledPolicy(policy)


def _global_part(policy: Policy) -> ResolvedPolicy:
    retry = policy.retry or Retry()
    return ResolvedPolicy(
        provider_name="",
        base_key_env=policy.base_key_env,
        upstream_url=policy.upstream_url,
        key_from_global=bool(policy.base_key_env),
        url_from_global=bool(policy.upstream_url),
        default_provider=policy.default_provider,
        max_tokens=max(0, policy.max_tokens),
        model=policy.model,
        timeout=max(0, policy.timeout),
        prompts=_prompts(policy.prompts),
        rules=policy.rules,
        retry=retry.model_copy(
            update={"max_retries": max(0, retry.max_retries), "retry_on": retry.retry_on or RETRY_ON}
        ),
        rate_limit=policy.rate_limit,
        budgets=policy.budgets,
        unknown_price=policy.unknown_price,
        session=_session(policy.session),
        memory=policy.memory,
        metadata=policy.metadata,
        model_pattern=_compiled(policy.model_regex),
    )


def _merged(
    base: ResolvedPolicy, name: str, entry: ProviderPolicy, pattern: Pattern | None
) -> ResolvedPolicy:
    if pattern is None and not entry.model:
        pattern = base.model_pattern
    return ResolvedPolicy(
        provider_name=name,
        # Never the global key: that one belongs to the global upstream.
        base_key_env=entry.base_key_env,
        upstream_url=entry.upstream_url or base.upstream_url,
        key_from_global=False,
        url_from_global=base.url_from_global and not entry.upstream_url,
        default_provider=base.default_provider,
        max_tokens=entry.max_tokens if entry.max_tokens > 0 else base.max_tokens,
        model=entry.model or base.model,
        timeout=entry.timeout if entry.timeout > 0 else base.timeout,
        prompts=_prompts(entry.prompts) + base.prompts,
        rules=base.rules + entry.rules,
        retry=base.retry,
        rate_limit=base.rate_limit,
        budgets=base.budgets,
        unknown_price=base.unknown_price,
        session=base.session,
        memory=base.memory,
        metadata=base.metadata,
        model_pattern=pattern,
    )


def _session(session: SessionPart) -> SessionPart:
    """With negative thresholds as not set."""
    anomaly = session.anomaly
    unset = {
        name: None
        for name in ("max_requests", "max_identical", "max_usd")
        if (getattr(anomaly, name) or 0) < 0
    }
    return session.model_copy(update={"anomaly": anomaly.model_copy(update=unset)}) if unset else session


def _prompts(messages: tuple[PromptMessage, ...]) -> tuple[Prompt, ...]:
    # Here, because all wire formats come with it, and a policy that is only checked needs none.
    from tokenomics_core.dialects.base import Prompt

    return tuple(Prompt(message.role, message.content) for message in messages)


def _compiled(pattern: str) -> Pattern | None:
    if not pattern:
        return None
    try:
        return compile_pattern(pattern)
    except ValueError as error:
        raise PolicyError(f"invalid model_regex {quoted(pattern)}: {error}") from None
