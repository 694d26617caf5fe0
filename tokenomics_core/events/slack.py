"""An event as a message for people, in the shape that Slack takes. No text that an agent or a model wrote."""

from __future__ import annotations

import json
from typing import Any

from tokenomics_core.events.envelope import Envelope

_TITLES = {
    "auth.failed": ":no_entry: A request without a valid token",
    "budget.exceeded": ":money_with_wings: A budget is used up, a request was refused",
    "budget.threshold": ":chart_with_upwards_trend: A budget is being used up",
    "budget.update": "A budget was used",
    "model.denied": ":no_entry: A model was refused",
    "openclaw.agent.error": ":warning: An agent's request failed",
    "openclaw.agent.request": "An agent's request came in",
    "openclaw.agent.success": "An agent's request was answered",
    "rate.exceeded": ":hourglass: A rate limit refused a request",
    "request.completed": "A request was answered",
    "rule.mask": ":see_no_evil: Content was masked",
    "rule.match": "A rule matched",
    "rule.violation": ":no_entry: A rule blocked a request",
    "rule.warning": ":warning: A rule gave a warning",
    "server.start": ":rocket: The gateway has started",
    "session.anomaly": ":rotating_light: A session ran wild and was frozen",
    "session.frozen": ":snowflake: A frozen session asked again",
    "test.event": ":wave: Tokenomics can reach this channel",
    "token.created": ":key: A token was created",
    "token.deleted": ":wastebasket: A token was deleted",
    "token.expired": ":alarm_clock: An expired token was used",
    "token.updated": ":pencil2: A token was changed",
}

# What a rule says may quote a keyword, and what an error says, a model: both stay out.
_SHOWN = {
    "token_prefix": "Token",
    "model": "Model",
    "rule_name": "Rule",
    "budget": "Budget",
    "percent": "Percent",
    "used": "Used",
    "used_usd": "Used (USD)",
    "limit": "Limit",
    "limit_usd": "Limit (USD)",
    "status_code": "Status",
    "status": "Status",
    "input_tokens": "Input tokens",
    "output_tokens": "Output tokens",
    "cost_usd": "Cost (USD)",
    "session_id": "Session",
    "agent_id": "Agent",
    "team": "Team",
    "code": "Reason",
    "expires_at": "Expires",
    "expired_at": "Expired",
    "request_id": "Request",
}
_LONGEST = 120


def slack_body(envelope: Envelope) -> bytes:
    """JSON with ``text``, which notifications show, and ``blocks``."""
    title = _TITLES.get(envelope.type, _escaped(envelope.type))
    facts = [
        f"*{label}:* {_escaped(str(envelope.data[name]))}"
        for name, label in _SHOWN.items()
        if envelope.data.get(name) not in (None, "", 0)
    ]
    text = title + (f" ({', '.join(_plain(fact) for fact in facts[:3])})" if facts else "")
    blocks: list[dict[str, Any]] = [{"type": "section", "text": {"type": "mrkdwn", "text": f"*{title}*"}}]
    if facts:
        # Slack takes ten fields in a section.
        fields = [{"type": "mrkdwn", "text": fact} for fact in facts[:10]]
        blocks.append({"type": "section", "fields": fields})
    told = f"{envelope.type} at {envelope.timestamp}, {envelope.id}"
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": _escaped(told)}]})
    message = {"text": text, "blocks": blocks}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _escaped(text: str) -> str:
    # Links and mentions begin with a bracket; nothing that came from outside may be one.
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plain(fact: str) -> str:
    return fact.replace("*", "", 2)
