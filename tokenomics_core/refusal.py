"""Refusal: the one way in which Tokenomics says no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The budget that refused. unit: ``tokens``, or ``usd`` for billionths of a US dollar.

    used: with what others have reserved. asked: what the request needs at least.
    """

    unit: str
    used: int
    asked: int
    limit: int


class Refusal(Exception):
    """A request that Tokenomics does not let through.

    Raised by any step of the pipeline; the step's guard turns it into the client's own dialect.

    status: HTTP status of the answer, 400 to 599.
    code: our reason as a stable word, such as ``invalid_token`` or ``model_not_allowed``.
    message: one line for people; never holds a secret, nor a URL with a query.
    retry_after: seconds after which the same request may succeed; None where waiting does not help.
    retryable: False tells SDKs (``x-should-retry: false``) not to send the request again by themselves.
    extra: further facts for programs, as JSON values, such as ``budget_info``; the same rule as for message.
    exceeded: the numbers of a budget that refused, for the records.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        retryable: bool | None = None,
        extra: Mapping[str, Any] | None = None,
        exceeded: Exceeded | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.retryable = retryable
        self.extra = dict(extra or {})
        self.exceeded = exceeded
