"""Conversations on disk, of real traffic: masked, in every format, and only for whom it is wanted."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.counters.redis_servers import redis_server
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


@pytest.mark.long
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


# Where a policy wants it.


def test_a_full_file_is_set_aside_and_packed(start_proxy: StartProxy, fake_provider: FakeProvider) -> None:
    proxy = start_proxy()
    memory = {"enabled": True, "file_name": "{token_hash}/log.md", "max_size_mb": 1, "compress_old": True}
    token = create(proxy, {**POLICY, "memory": memory})
    with Caller(proxy, token.key) as caller:
        for number in range(8):
            assert caller.ask(text=f"[tokens=1] number {number} " + "x" * 400_000).status == 200
    proxy.stop()
    folder = proxy.dir / "memory" / token.hash[:16]
    plain, *packed = sorted(folder.iterdir(), key=lambda path: path.suffix == ".gz")
    # Each holds as many as fit into a mebibyte: two of them.
    assert plain.name == "log.md"
    assert len(packed) == 3
    name = re.compile(r"log\.[0-9]{8}-[0-9]{6}(-[0-9])?\.md\.gz")
    assert all(name.fullmatch(path.name) for path in packed)
    assert {path.stat().st_mode & 0o777 for path in (plain, *packed)} == {0o600}
    text = plain.read_text() + "".join(gzip.decompress(path.read_bytes()).decode() for path in packed)
    assert [text.count(f"number {number} x") for number in range(8)] == [1] * 8
    assert plain.stat().st_size <= 2**20


def test_what_a_policy_says_of_its_files(
    start_proxy: StartProxy, fake_provider: FakeProvider, tmp_path: Path
) -> None:
    proxy = start_proxy()
    memories: dict[str, Json] = {
        "default": {},
        "single": {"file_path": str(tmp_path / "all.md")},
        "pattern": {"file_path": str(tmp_path / "deep"), "file_name": "{date}/a/{session_id}.md"},
        "home": {"file_path": "~/notes", "file_name": "../../{token_hash}.md"},
        "blocked": {"file_path": str(proxy.folder / "config.yaml"), "file_name": "x.md"},
        "redis": {"redis": True},
    }
    hashes = {}
    for name, memory in memories.items():
        token = create(proxy, {**POLICY, "memory": {"enabled": True, **memory}})
        hashes[name] = token.hash[:16]
        with Caller(proxy, token.key) as caller:
            assert caller.ask(text=f"I am {name}").status == 200
    date = proxy.rows(len(memories))[0]["started_at"][:10]
    proxy.stop()
    files = {
        "default": proxy.dir / "memory" / f"{hashes['default']}.md",
        "single": tmp_path / "all.md",
        "pattern": tmp_path / "deep" / date / "a" / f"{hashes['pattern']}.md",
        "home": proxy.folder / "home" / "notes" / f"{hashes['home']}.md",
        "redis": proxy.dir / "memory" / f"{hashes['redis']}.md",
    }
    for name, path in files.items():
        assert f"I am {name}" in path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_text().startswith("## ")
        assert path.read_text().split("\n")[0].endswith(f" | {hashes[name]} | request | gpt-4o")
    assert (tmp_path / "deep" / date / "a").stat().st_mode & 0o777 == 0o700
    # What cannot be had is said, once each, and fails nobody.
    log = proxy.log()
    assert "config.yaml/x.md cannot be written: Not a directory" in log
    assert "wants redis, but session.backend is not redis" in log


def test_of_an_error_the_request_alone(start_proxy: StartProxy, fake_provider: FakeProvider) -> None:
    proxy = start_proxy()
    token = create(proxy, {**POLICY, "memory": {"enabled": True}})
    with Caller(proxy, token.key) as caller:
        fake_provider.script([{"status": 400}])
        assert caller.ask(text="a wrong question", stream=True).status == 400
    proxy.stop()
    text = (proxy.dir / "memory" / f"{token.hash[:16]}.md").read_text()
    assert (text.count("\n---\n"), "a wrong question" in text) == (1, True)


def test_lists_in_redis(start_proxy: StartProxy, fake_provider: FakeProvider, tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        session = {"backend": "redis", "redis": {"addr": f"127.0.0.1:{server.port}"}}
        proxy = start_proxy({"session": session})
        both = {"enabled": True, "redis": True, "file_name": "{token_hash}.md"}
        alone = create(proxy, {**POLICY, "rules": [RESTORING], "memory": {"enabled": True, "redis": True}})
        twice = create(proxy, {**ONE_PROVIDER, "memory": both})
        with Caller(proxy, alone.key) as caller:
            assert MAIL in caller.ask(text=f"say {MAIL}").body.decode()
            assert caller.ask(text="and stream", stream=True).status == 200
        with socket(proxy, twice.key) as connection:
            connection.send(asking(text="over a socket"))
            until_done(connection)
        proxy.stop()
        with server.client() as client:
            lists = {
                token.hash: client.lrange(f"tokenomics:memory:{token.hash}", 0, -1)
                for token in (alone, twice)
            }
            assert client.ttl(f"tokenomics:memory:{alone.hash}") == -1
    roles = [entry.split("\n")[0].split(" | ")[1:] for entry in lists[alone.hash]]
    assert roles == [["request", "gpt-4o"], ["response", "gpt-4o"]] * 2
    assert "<EMAIL_1>" in lists[alone.hash][0]
    assert "wonderland" not in str(lists)
    assert not any("\n---\n" in entry for entry in lists[alone.hash])
    assert "Captured assistant text:\npong: over a socket" in lists[twice.hash][1]
    assert [path.name for path in (proxy.dir / "memory").iterdir()] == [f"{twice.hash[:16]}.md"]
