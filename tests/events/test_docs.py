"""docs/EVENTS.md says what the code does."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.support.environment import PROJECT
from tokenomics_core.config import Webhook
from tokenomics_core.events.signature import sign_at
from tokenomics_core.events.types import TYPES

PAGE = (PROJECT / "docs" / "EVENTS.md").read_text()


def test_the_check_of_the_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {}
    exec(PAGE.partition("```python\n")[2].partition("```")[0], found)
    genuine = found["genuine"]
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert genuine("key", b"body", sign_at("key", b"body", 700))
    assert not genuine("key", b"body", sign_at("key", b"body", 699))
    assert not genuine("key", b"other", sign_at("key", b"body", 1000))
    assert not genuine("other", b"body", sign_at("key", b"body", 1000))


def test_every_type_is_named() -> None:
    page = PAGE.replace(
        "`openclaw.agent.success`, `.error`", "`openclaw.agent.success`, `openclaw.agent.error`"
    )
    assert {type for type in TYPES if f"`{type}`" not in page} == set()


def test_every_field_of_a_webhook_is_named() -> None:
    assert {name for name in Webhook.model_fields if f"| `{name}` |" not in PAGE} == set()
