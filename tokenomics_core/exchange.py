"""Exchange: one client request and all that becomes known of it.

Every step of the pipeline reads and fills it; nothing else is handed from step to step. It is plain data:
an exchange can be built in a test without a proxy. A WebSocket connection is one exchange for its upgrade
and one more for each response that is asked for in its frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenomics_core.dialects.base import Answer, Dialect
    from tokenomics_core.guard.vault import Vault
    from tokenomics_core.json_body import JsonBody
    from tokenomics_core.ledger.git_context import GitContext
    from tokenomics_core.meter.lease import Lease
    from tokenomics_core.policy import CompiledPolicy, ResolvedPolicy
    from tokenomics_core.providers import Provider, Target
    from tokenomics_core.refusal import Refusal
    from tokenomics_core.tokens import TokenRecord


class Ingress(Enum):
    """The way by which a request came in."""

    BASE_URL = "base_url"
    """Sent to the proxy as if it were the provider."""

    TUNNEL = "tunnel"
    """Sent to the provider's host through CONNECT, and intercepted."""

    FORWARD = "forward"
    """Sent to a plain HTTP provider with an absolute-form request line."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to send the request upstream. The key itself is read in the last step and never stored here.

    number: 0 for the first try of the first model.
    model: the model this attempt asks for. timeout: seconds until the first byte of the answer.
    """

    number: int
    model: str
    provider: Provider | None
    provider_name: str
    policy: ResolvedPolicy
    target: Target
    key_env: str
    timeout: float


@dataclass(slots=True)
class Failure:
    """An attempt that did not give the answer: a status that is retried, or an error (status 0).

    began, ended: seconds of the exchange's clock; None where nobody measured.
    """

    attempt: Attempt
    status: int
    reason: str
    began: float | None = None
    ended: float | None = None


@dataclass(slots=True)
class Exchange:
    """id: ``req_`` and 32 hex characters; it goes upstream as X-Client-Request-Id and names the row."""

    id: str
    started: datetime
    clock: float
    """Seconds of a monotonic clock at the start."""

    ingress: Ingress
    method: str
    path: str
    """Path without the query."""

    query: str
    """Query without the question mark and without any wrapper token."""

    dialect: Dialect
    host: str = ""
    """The provider's host that the client aimed at (TUNNEL and FORWARD); the empty string for BASE_URL."""

    port: int = 0
    """The port of that host."""

    remote_addr: str = ""
    user_agent: str = ""
    agent: dict[str, str] = field(default_factory=dict)
    """What the agent says of itself (X-OpenClaw-* headers), by metadata key."""

    traceparent: str = ""
    tracestate: str = ""
    """The client's trace, as its header fields say it; it stays on this machine."""

    announced: bool = False
    """Webhooks have heard that this agent asks."""

    # identity
    token: TokenRecord | None = None
    policy: CompiledPolicy | None = None
    client_credentials: bool = False
    """The agent keeps its own login: its own credential goes upstream, the wrapper token only governs."""

    # routing
    body: JsonBody | None = None
    model: str = ""
    stream: bool = False
    hide_usage: bool = False
    upload: bool = False
    """The body streams through and is not looked into (files, audio)."""

    attempts: list[Attempt] = field(default_factory=list)
    retry_on: frozenset[int] = frozenset()
    """Statuses after which the next attempt is made."""

    session: str = ""
    """The session that the request belongs to; the empty string where nobody named one."""

    # guardrails
    inspected: bool = False
    """The content rules have seen it; without it nothing is sent."""

    bodies: dict[int, JsonBody] = field(default_factory=dict)
    """By the id of an attempt's rules: the body for attempts whose rules are not those of the first."""

    vault: Vault | None = None
    """What the answer's placeholders stand for; None where nothing comes back."""

    rule_matches: list[dict[str, Any]] = field(default_factory=list)
    """``{name, action, message}`` of each rule that matched, request and answer; no matched text."""

    # budget
    lease: Lease | None = None
    """What the counters granted; without it nothing is sent."""

    output_cap: int | None = None
    """Tokens to which the request's own output cap is lowered; None leaves it."""

    cleared: bool = False
    """Set by the last step before the engine; without it nothing is sent."""

    # engine
    current: int = 0
    """Index of the attempt that was sent last."""

    sent: bool = False
    """An attempt was given to the network at least once."""

    attempt_began: float | None = None
    attempt_ended: float | None = None
    """Seconds of the same clock: when that attempt began, and when all of its answer had come."""

    failures: list[Failure] = field(default_factory=list)

    stop: bool = False
    """Set while an answer streams: the engine ends it after the bytes just given, and closes the upstream."""

    # metering
    metered: bool = False
    """Set once the answer's head was judged; without it nothing of the answer reaches the client."""

    answer: Answer | None = None
    upstream_status: int = 0
    upstream_headers: dict[str, str] = field(default_factory=dict)
    """Those of the provider's answer that ledger and logs name, by lower-case name."""

    request_bytes: int = 0
    response_bytes: int = 0

    # outcome
    status: int = 0
    refusal: Refusal | None = None
    error: str = ""
    recorded: bool = False
    cost: Decimal | None = None
    """USD, once it is recorded; None where no price is known."""

    # context
    git: GitContext | None = None
    """The repository that the agent works in; None where there is none, or nobody has looked yet."""

    first_byte: float | None = None
    """Seconds of the same clock when the first byte of the provider's answer came; None before."""

    timings: dict[str, float] = field(default_factory=dict)
    """Milliseconds spent in each layer, by its name; only those that were measured."""

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that was sent last."""
        return self.attempts[self.current] if self.attempts else None

    def body_for(self, attempt: Attempt) -> JsonBody | None:
        """The body as that attempt's rules want it."""
        return self.bodies.get(id(attempt.policy.rules), self.body)

    @property
    def metadata(self) -> dict[str, str]:
        """The agent's words overlaid by the policy's tags, which win."""
        return {**self.agent, **(self.policy.policy.metadata if self.policy else {})}
