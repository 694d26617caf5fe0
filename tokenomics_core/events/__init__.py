"""Events: what happened, told to webhooks, surely and without holding anybody up."""

from tokenomics_core.events.database import FILE, OutboxError
from tokenomics_core.events.emitter import Emitter, leave
from tokenomics_core.events.rows import events_of
from tokenomics_core.events.types import (
    TYPES,
    Event,
    agent_request,
    auth_failed,
    budget_threshold,
    server_start,
    token_created,
    token_deleted,
    token_expired,
    token_updated,
)

__all__ = [
    "FILE",
    "TYPES",
    "Emitter",
    "Event",
    "OutboxError",
    "agent_request",
    "auth_failed",
    "budget_threshold",
    "events_of",
    "leave",
    "server_start",
    "token_created",
    "token_deleted",
    "token_expired",
    "token_updated",
]
