"""Conversations on disk, of real traffic: masked, in every format, and only for whom it is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.money.governed import POLICY, create
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import FORMATS, Format

Json = dict[str, Any]
MAIL = "alice.liddell@wonderland.example"
RESTORING = {"type": "pii", "detect": ["email"], "action": "mask", "style": "typed", "restore": True}
MASKING = {"type": "pii", "detect": ["email"], "action": "mask", "scope": "both"}


def memory_of(
    policy: Json, format: Format, start_proxy: StartProxy, stream: bool, text: str
) -> tuple[Path, str]:
    """The folder after one exchange, with the gateway stopped."""
    proxy = start_proxy({"ledger": {"memory": True}})
    token = create(proxy, {**POLICY, **policy})
    with Caller(proxy, token.key) as caller:
        outcome = caller.ask(format, text=text, stream=stream)
    assert outcome.status == 200
    proxy.stop()
    assert proxy.files_with(token.key) == []
    return proxy.dir / "memory", token.hash


def all_text(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("rule", [RESTORING, MASKING], ids=["restored", "masked"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_what_is_masked_is_not_in_memory(
    start_proxy: StartProxy, fake_provider: FakeProvider, format: Format, stream: bool, rule: Json
) -> None:
    policy = {"rules": [rule], "memory": {"enabled": True}}
    folder, hash = memory_of(policy, format, start_proxy, stream, f"say {MAIL} now")
    text = all_text(folder)
    assert len(list(folder.iterdir())) == 2
    assert (folder / f"{hash[:16]}.md").read_text().count("\n## ") == 1
    assert MAIL not in text
    assert "wonderland" not in text
    assert ("<EMAIL_1>" if rule is RESTORING else "[REDACTED]") in text
    if stream:
        assert "Captured assistant text:\npong: say" in text or "SSE events:\n1. " in text


def test_who_says_no_is_not_recorded(start_proxy: StartProxy, fake_provider: FakeProvider) -> None:
    folder, _ = memory_of({"memory": {"enabled": False}}, FORMATS[0], start_proxy, False, "quiet")
    assert not folder.exists()


def test_who_says_nothing_is_in_the_ledgers_file(
    start_proxy: StartProxy, fake_provider: FakeProvider
) -> None:
    folder, hash = memory_of({}, FORMATS[0], start_proxy, True, "loud words")
    (path,) = folder.iterdir()
    assert f"\nToken: {hash[:16]}\n" in path.read_text()
    assert "loud words" in path.read_text()
