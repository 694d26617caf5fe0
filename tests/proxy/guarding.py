"""Helpers for tests of content rules: values, policies, requests byte by byte, and what got through."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from tests.fake_provider import FakeProvider
from tests.money.governed import POLICY, Json, Token
from tests.proxy.caller import Caller
from tests.proxy.formats import OPENAI
from tests.support.proxy import Proxy

MAIL = "alice.liddell@wonderland.example"
TEXT = f"to {MAIL}"
CARD = "4111 1111 1111 1111"
VALUES = (MAIL, "alice.liddell", "wonderland.example", CARD, "4111111111111111")


def pii(*detect: str, **fields: Any) -> Json:
    return {"type": "pii", "detect": list(detect), "action": "mask", **fields}


ONE_PROVIDER = {"base_key_env": "OPENAI_API_KEY", "default_provider": "openai"}
"""What a WebSocket needs: where it goes must not depend on the model."""


def ruled(*rules: Json, **more: Any) -> Json:
    return {**POLICY, "rules": list(rules), **more}


def post(
    gateway: Proxy, token: Token, path: str, content: bytes, kind: str = "application/json", **head: str
) -> tuple[int, Any]:
    """Status and body of a request whose bytes are taken as they are."""
    headers = {**OPENAI.head(token.key), "content-type": kind, **head}
    with Caller(gateway, token.key) as caller:
        answer = caller.client.post(path, content=content, headers=headers)
    try:
        return answer.status_code, answer.json()
    except ValueError:
        return answer.status_code, answer.text


def passed(provider: FakeProvider) -> list[str]:
    """What of the values has reached the provider, whatever it looks like there."""
    seen = []
    for record in provider.records:
        whole = record.body + record.target.encode() + "".join(record.frames).encode()
        for _ in range(2):
            seen += [value for value in VALUES if value.encode() in whole]
            with suppress(ValueError):
                whole = json.dumps(json.loads(whole), ensure_ascii=False).encode()
    return seen


def chat(text: str, **members: Any) -> bytes:
    return json.dumps(OPENAI.body(OPENAI.model, text, False) | members).encode()
