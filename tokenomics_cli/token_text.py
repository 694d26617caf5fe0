"""How a token's record reads, for people and as JSON."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenomics_core.policy import Policy
    from tokenomics_core.tokens import TokenRecord


def summary(record: TokenRecord, now: datetime) -> dict[str, Any]:
    """The record for JSON, without its policy."""
    from tokenomics_core.tokens import format_timestamp

    status = "disabled" if record.disabled else "expired" if record.expired(now) else "active"
    return {
        "hash": record.hash,
        "label": record.label or None,
        "status": status,
        "created_at": format_timestamp(record.created_at),
        "expires_at": record.expires_text or None,
        "last_used_at": format_timestamp(record.last_used_at) if record.last_used_at else None,
    }


def print_head(record: TokenRecord) -> None:
    from tokenomics_core.tokens import format_timestamp

    print(f"Hash:       {record.hash}")
    print(f"Created:    {format_timestamp(record.created_at)}")


def print_state(record: TokenRecord) -> None:
    from tokenomics_core.tokens import format_timestamp

    if record.label:
        print(f"Label:      {record.label}")
    if record.disabled:
        print("State:      disabled")
    if record.last_used_at:
        print(f"Last Used:  {format_timestamp(record.last_used_at)}")


def print_policy(record: TokenRecord) -> None:
    from tokenomics_core.policy import PolicyError, parse

    try:
        policy: Policy = parse(record.policy_text)
    except PolicyError as error:
        print(f"Policy:     not valid any more: {error}")
        return
    print(f"Key Env:    {policy.base_key_env}")
    if policy.upstream_url:
        print(f"Upstream:   {policy.upstream_url}")
    if policy.model:
        print(f"Model:      {policy.model}")
    if policy.model_regex:
        print(f"Model Regex: {policy.model_regex}")
    if policy.max_tokens > 0:
        print(f"Max Tokens: {policy.max_tokens}")
    print(f"Prompts:    {len(policy.prompts)}")
    print(f"Rules:      {len(policy.rules)}")


def value(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def shown(text: str | None) -> str:
    return "(not set)" if text is None else text


def counted(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
