"""Outgoing: the body that an attempt sends: with what the policy adds, and what the gateway needs in it."""

from __future__ import annotations

from tokenomics_core.exchange import Attempt, Exchange
from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal


def outgoing_body(exchange: Exchange, attempt: Attempt) -> JsonBody | None:
    """The attempt's model, a lowered output cap, the policy's prompts, and what asks for usage.

    The given body itself where nothing changes; None where the request has no JSON object. Says in the
    exchange whether the usage was asked for here, and must be hidden. Raises Refusal.
    """
    dialect = exchange.dialect
    given = exchange.body_for(attempt)
    exchange.hide_usage = False
    if given is None:
        if attempt.policy.prompts and not dialect.unknown:
            raise Refusal(403, "prompts_not_supported", "the policy injects prompts, which need a JSON body")
        return None
    body, cap = given, exchange.output_cap
    other_model = attempt.model != exchange.model
    asks = exchange.stream and (attempt.provider is None or attempt.provider.stream_usage)
    if other_model or cap is not None or attempt.policy.prompts or asks:
        body = given.copy()
    if cap is not None:
        dialect.set_output_cap(body, attempt.model, cap)
    if other_model:
        dialect.set_model(exchange.path, body, attempt.model)
    if attempt.policy.prompts:
        dialect.add_prompts(body, attempt.policy.prompts)
    if asks:
        exchange.hide_usage = dialect.ask_for_usage(body)
    return body
