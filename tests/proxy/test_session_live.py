"""What a gateway leaves behind: its session file, the commits of its requests, and what it told webhooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.events.receiving import Receiver, receiver
from tests.fake_provider import FakeProvider
from tests.ledger.repository import Repository
from tests.money.governed import POLICY, create
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import OPENAI
from tests.support.proxy import Proxy

KEY = "signing-" + "key-of-tests"


def ask(gateway: Proxy, token: str, repo: Path, **headers: str) -> int:
    with Caller(gateway, token) as caller:
        return caller.ask(OPENAI, headers={"X-Tokenomics-Repo": str(repo), **headers}).status


def session_of(gateway: Proxy) -> dict[str, Any]:
    (file,) = (gateway.dir / "sessions").glob("*.json")
    assert file.stat().st_mode & 0o777 == 0o600
    read: dict[str, Any] = json.loads(file.read_text())
    return read


def test_a_commit_between_two_requests_moves_the_cost(
    start_proxy: StartProxy, fake_provider: FakeProvider, tmp_path: Path
) -> None:
    (tmp_path / "shop").mkdir()
    repository = Repository(tmp_path / "shop")
    repository.git("init", "-q", "-b", "main")
    first = repository.commit("first")
    gateway = start_proxy()
    token = create(gateway, POLICY)
    refused = create(gateway, {**POLICY, "model": "o3"})
    # The first question starts git; what came before it answers has no commit.
    assert ask(gateway, token.key, repository.top) == 200
    gateway.rows(1)
    assert ask(gateway, token.key, repository.top) == 200
    second = repository.commit("second")
    assert ask(gateway, token.key, repository.top) == 200
    repository.git("switch", "-c", "feature")
    assert ask(gateway, token.key, repository.top) == 200
    assert ask(gateway, refused.key, repository.top) == 403
    rows = gateway.rows(5)
    gateway.stop()
    told = session_of(gateway)
    assert [(row["commit_hash"], row["branch"]) for row in rows[1:4]] == [
        (first, "main"),
        (second, "main"),
        (second, "feature"),
    ]
    assert len(told["requests"]) == 5
    assert [entry["decision"] for entry in told["requests"]] == ["allowed"] * 4 + ["refused"]
    assert told["totals"]["input_tokens"] == sum(row["input_tokens"] for row in rows)
    assert told["totals"]["output_tokens"] == fake_provider.bill.output_tokens
    assert Decimal(told["totals"]["cost_usd"]) == sum(Decimal(row["cost_usd"] or 0) for row in rows)
    assert told["by_token"].keys() == {token.hash, refused.hash}


def test_a_killed_gateway_leaves_a_session_all_the_same(
    start_proxy: StartProxy, fake_provider: FakeProvider, tmp_path: Path
) -> None:
    gateway = start_proxy()
    token = create(gateway, POLICY)
    assert ask(gateway, token.key, tmp_path) == 200
    gateway.rows(1)
    gateway.kill()
    gateway.restart()
    sessions = Proxy.wait_for(
        lambda: [json.loads(file.read_text()) for file in (gateway.dir / "sessions").glob("*.json")],
        lambda found: len(found) == 2 and any(len(each["requests"]) == 1 for each in found),
    )
    assert sorted(len(each["requests"]) for each in sessions) == [0, 1]


@pytest.fixture
def target() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def test_webhooks_hear_of_it(
    start_proxy: StartProxy, fake_provider: FakeProvider, target: Receiver, tmp_path: Path
) -> None:
    webhook = {"url": target.url, "signing_key": KEY}
    gateway = start_proxy({"events": {"webhooks": [webhook]}})
    made = gateway.create_token(
        {
            **POLICY,
            "rules": [{"type": "keyword", "keywords": ["hello"], "action": "warn", "name": "greeting"}],
        },
        label="told",
    )
    assert ask(gateway, made["token"], tmp_path, **{"X-OpenClaw-Agent-Id": "a7"}) == 200
    assert ask(gateway, "tkn_00000000-0000-4000-8000-000000000000", tmp_path) == 401
    wanted = {"server.start", "token.created", "rule.warning", "request.completed", "auth.failed"}
    wanted |= {"openclaw.agent.request", "openclaw.agent.success"}
    events = Proxy.wait_for(
        lambda: [json.loads(each.body) for each in target.got],
        lambda found: wanted <= {event["type"] for event in found},
    )
    completed = next(event for event in events if event["type"] == "request.completed")
    assert completed["data"]["token_hash"] == made["hash"][:16]
    assert completed["data"]["output_tokens"] == fake_provider.bill.output_tokens
    assert all(made["token"] not in json.dumps(event) for event in events)
    assert all("X-Webhook-Signature" in each.headers for each in target.got)
