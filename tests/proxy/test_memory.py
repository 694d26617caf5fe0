"""Conversations on disk, of real traffic: masked, in every format, and only for whom it is wanted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.money.governed import POLICY, create
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import FORMATS, Format
from tests.proxy.test_frames import POLICY as ONE_PROVIDER
from tests.proxy.test_frames import create as asking
from tests.proxy.test_frames import socket, until_done
from tests.support.proxy import Proxy

Json = dict[str, Any]
MAIL = "alice.liddell@wonderland.example"
RESTORING = {"type": "pii", "detect": ["email"], "action": "mask", "style": "typed", "restore": True}
MASKING = {"type": "pii", "detect": ["email"], "action": "mask", "scope": "both"}
SYSTEM = {"role": "system", "content": "Answer in verse."}


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
    first = path.read_text().splitlines()[0].split(" | ")
    assert first[1:] == [path.stem.partition("_")[2], "request", FORMATS[0].model, hash[:16]]
    assert "loud words" in path.read_text()


# On a WebSocket.


def kept(proxy: Proxy) -> list[Json]:
    """The JSON lines, with the gateway stopped."""
    proxy.stop()
    return [json.loads(line) for path in (proxy.dir / "memory").glob("*.jsonl") for line in path.open()]


@pytest.mark.parametrize("rule", [RESTORING, MASKING], ids=["restored", "masked"])
def test_each_turn_of_a_websocket_is_kept(
    start_proxy: StartProxy, fake_provider: FakeProvider, rule: Json
) -> None:
    proxy = start_proxy({"ledger": {"memory": True, "memory_format": "both"}})
    policy = {**ONE_PROVIDER, "rules": [rule], "memory": {"enabled": True}, "prompts": [SYSTEM]}
    token = create(proxy, policy)
    with socket(proxy, token.key) as connection:
        for text in (f"first {MAIL} now", "second words"):
            connection.send(asking(text=text))
            said = json.dumps(until_done(connection))
            assert (MAIL in said) is (rule is RESTORING and MAIL in text)
    rows = [row for row in proxy.rows(3) if row["kind"] == "frame"]
    lines = kept(proxy)
    assert [line["id"] for line in lines] == [row["id"] for row in rows]
    masked = "<EMAIL_1>" if rule is RESTORING else "[REDACTED]"
    assert lines[0]["response"]["text"] == f"pong: first {masked} now"
    assert lines[0]["request"]["input"][0]["content"][0]["text"] == f"first {masked} now"
    assert lines[1]["response"]["text"] == "pong: second words"
    assert {(line["dialect"], line["path"], line["status"]) for line in lines} == {
        ("openai_responses", "/v1/responses", 200)
    }
    # As for HTTP, what the policy adds is not the client's.
    assert "instructions" not in lines[0]["request"]
    text = all_text(proxy.dir / "memory")
    assert MAIL not in text
    assert "wonderland" not in text
    assert text.count(" | request | gpt-4o-mini") == text.count(" | response | gpt-4o-mini") == 4
    assert f"Captured assistant text:\npong: first {masked} now" in text
    assert proxy.files_with(token.key) == []


def test_a_realtime_turn_is_kept_with_what_was_said_before(
    start_proxy: StartProxy, fake_provider: FakeProvider
) -> None:
    proxy = start_proxy({"ledger": {"memory": True, "memory_format": "both"}})
    token = create(proxy, {**ONE_PROVIDER, "rules": [RESTORING]})
    with socket(proxy, token.key, "/v1/realtime?model=gpt-realtime") as connection:
        for text in (f"mail {MAIL}", "and more"):
            item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
            connection.send(json.dumps({"type": "conversation.item.create", "item": item}))
            connection.send(json.dumps({"type": "response.create"}))
            until_done(connection)
    first, second = kept(proxy)
    assert [each["item"]["content"][0]["text"] for each in first["earlier"]] == ["mail <EMAIL_1>"]
    assert [each["item"]["content"][0]["text"] for each in second["earlier"]] == ["and more"]
    assert first["request"] == {"type": "response.create"}
    assert "<EMAIL_1>" in first["response"]["text"]
    text = all_text(proxy.dir / "memory")
    assert MAIL not in text
    assert 'Body:\n{"type":"conversation.item.create"' in text.replace(": ", ":").replace(", ", ",")


def test_a_websocket_of_who_says_no_is_not_kept(start_proxy: StartProxy, fake_provider: FakeProvider) -> None:
    proxy = start_proxy({"ledger": {"memory": True, "memory_format": "both"}})
    token = create(proxy, {**ONE_PROVIDER, "memory": {"enabled": False}})
    with socket(proxy, token.key) as connection:
        connection.send(asking(text="quiet"))
        until_done(connection)
    proxy.stop()
    assert not (proxy.dir / "memory").exists()


def test_an_answer_that_a_rule_ends_is_kept_up_to_there(
    start_proxy: StartProxy, fake_provider: FakeProvider
) -> None:
    proxy = start_proxy({"ledger": {"memory": True, "memory_format": "both"}})
    rule = {"type": "keyword", "keywords": ["forbidden"], "action": "fail", "scope": "output"}
    with socket(proxy, create(proxy, {**ONE_PROVIDER, "rules": [rule]}).key) as connection:
        connection.send(asking(text="so much then forb" + "idden words"))
        assert until_done(connection)[-1]["type"] in ("error", "response.failed")
    (line,) = kept(proxy)
    assert "words" in str(line["request"])
    assert "forbidden" not in str(line["response"])


# For machines.


def test_a_policy_is_replayed_on_the_bodies_that_were_kept(
    start_proxy: StartProxy, fake_provider: FakeProvider
) -> None:
    proxy = start_proxy({"ledger": {"memory": True, "memory_format": "jsonl"}})
    token = create(proxy, {**POLICY, "rules": [MASKING]})
    quiet = create(proxy, {**POLICY, "memory": {"enabled": False}})
    with Caller(proxy, token.key) as caller:
        for format in FORMATS:
            assert caller.ask(format, text=f"the unicorn of {MAIL}").status == 200
        assert caller.ask(text="a plain horse", stream=True).status == 200
    with Caller(proxy, quiet.key) as caller:
        assert caller.ask(text="a hidden unicorn").status == 200
    with socket(proxy, create(proxy, ONE_PROVIDER).key) as connection:
        connection.send(asking(text="another unicorn"))
        until_done(connection)
    proxy.rows(len(FORMATS) + 4)
    proxy.stop()
    (file,) = (proxy.dir / "memory").iterdir()
    assert file.suffix == ".jsonl"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert MAIL not in file.read_text()
    rule = {"type": "keyword", "keywords": ["unicorn"], "action": "fail"}
    policy = proxy.folder / "policy.json"
    policy.write_text(json.dumps({**POLICY, "rules": [rule]}))
    done = proxy.cli("policy", "replay", "--policy", str(policy), "--json", "--all")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["summary"]
    assert told["requests"] == len(FORMATS) + 3
    assert told["without_body"] == 1
    assert told["newly_refused"] == {"rule_violation": len(FORMATS) + 1}
