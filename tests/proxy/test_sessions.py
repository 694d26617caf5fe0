"""Sessions on a running gateway: their budgets, their freezes, and the routes that show both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import ANTHROPIC, GEMINI, OPENAI, Format
from tests.support.proxy import Proxy

CHANGE = {"content-type": "application/json"}
POLICY = {
    "base_key_env": "OPENAI_API_KEY",
    "default_provider": "openai",
    "providers": {
        "anthropic": [{"base_key_env": "ANTHROPIC_API_KEY", "model_regex": "claude"}],
        "google_gemini": [{"base_key_env": "GEMINI_API_KEY", "model_regex": "gemini"}],
    },
}
CONFIG: dict[str, Any] = {
    "admin": {"enabled": True, "auth": {"username": "admin", "password": "secret"}},
    "session": {"default_budget_usd": "1", "anomaly": {"enabled": True}},
}
LOGIN = ("admin", "secret")


@pytest.fixture
def gateway(start_proxy: StartProxy) -> Proxy:
    return start_proxy(CONFIG)


@pytest.fixture
def caller(gateway: Proxy) -> Iterator[Caller]:
    with Caller(gateway, gateway.token(POLICY)) as caller:
        yield caller


def in_session(id: str) -> dict[str, str]:
    return {"X-Session-ID": id}


def shown(gateway: Proxy) -> dict[str, Any]:
    url = f"{gateway.http_url}/api/dashboard/sessions"
    told = httpx.get(url, auth=LOGIN, trust_env=False).json()
    return {each["session_id"]: each for each in told["sessions"]}


def change(gateway: Proxy, path: str, **more: Any) -> httpx.Response:
    url = f"{gateway.http_url}/api/dashboard/session/{path}"
    return httpx.post(url, **({"auth": LOGIN, "headers": CHANGE} | more), trust_env=False)


def test_the_marks_of_a_session_stay_here(
    gateway: Proxy, caller: Caller, fake_provider: FakeProvider
) -> None:
    assert caller.ask(headers=in_session("team:a")).status == 200
    body = OPENAI.body(OPENAI.model, "hello", False)
    assert caller.send("POST", "/v1/chat/completions?a=1&session_id=b", body).status == 200
    assert caller.ask(text="other", headers={"session_id": "agent"}).status == 200
    assert [record.target for record in fake_provider.records] == [
        "/v1/chat/completions",
        "/v1/chat/completions?a=1",
        "/v1/chat/completions",
    ]
    sent = [{name.lower() for name, _ in record.headers} for record in fake_provider.records]
    assert ["x-session-id" in names for names in sent] == [False] * 3
    assert ["session_id" in names for names in sent] == [False, False, True]
    assert list(shown(gateway)) == ["agent", "b", "team:a"]


@pytest.mark.parametrize("format", [OPENAI, ANTHROPIC, GEMINI], ids=lambda format: format.name)
def test_a_spent_budget(gateway: Proxy, caller: Caller, format: Format, fake_provider: FakeProvider) -> None:
    assert gateway.cli("session", "set-budget", "small", "0").returncode == 0
    outcome = caller.ask(format, headers=in_session("small"))
    assert outcome.status == 429
    assert outcome.headers["x-should-retry"] == "false"
    said = json.dumps(outcome.json)
    assert "Budget exceeded. Remaining: $0.0000, Required: $0.0" in said
    assert "budget_info" in said
    assert fake_provider.records == []
    # Another session of the token has a budget of its own.
    assert caller.ask(format, headers=in_session("other")).status == 200


def test_a_loop_is_frozen_until_somebody_looks(gateway: Proxy, caller: Caller) -> None:
    statuses = [caller.ask(headers=in_session("a/b")).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    outcome = caller.ask(text="something else", headers=in_session("a/b"))
    assert (outcome.status, outcome.json["error"]["code"]) == (429, "session_frozen")
    assert outcome.json["error"]["anomaly_reason"].startswith("Session frozen: Loop detected")
    assert caller.ask(text="something else", headers=in_session("c")).status == 200
    assert shown(gateway)["a/b"]["is_frozen"] is True
    assert change(gateway, "a%2Fb/unfreeze").json() == {
        "success": True,
        "message": "Session a/b unfrozen",
    }
    assert caller.ask(headers=in_session("a/b")).status == 200
    assert change(gateway, "a%2Fb/reset").json()["success"] is True
    assert "a/b" not in shown(gateway)


def test_a_session_id_may_be_required(start_proxy: StartProxy) -> None:
    gateway = start_proxy({"session": {"strict": True}})
    with Caller(gateway, gateway.token(POLICY)) as caller:
        outcome = caller.ask()
        assert (outcome.status, outcome.json["error"]["code"]) == (400, "session_required")
        assert caller.ask(headers=in_session("<b>")).json["error"]["code"] == "invalid_session_id"
        assert caller.ask(headers=in_session("s")).status == 200


def test_the_routes_are_for_who_sits_here(gateway: Proxy, fake_provider: FakeProvider) -> None:
    url = f"{gateway.http_url}/api/dashboard/stats"
    statuses = [
        httpx.get(url, trust_env=False).status_code,
        httpx.get(url, auth=("admin", "wrong"), trust_env=False).status_code,
        httpx.get(url, auth=LOGIN, headers={"host": "evil.example"}, trust_env=False).status_code,
        httpx.get(url, auth=LOGIN, headers={"x-forwarded-for": "8.8.8.8"}, trust_env=False).status_code,
        httpx.options(url, auth=LOGIN, trust_env=False).status_code,
        httpx.get(url + "x", auth=LOGIN, trust_env=False).status_code,
        httpx.get(url, auth=LOGIN, trust_env=False).status_code,
    ]
    assert statuses == [401, 401, 403, 403, 405, 404, 200]
    assert change(gateway, "s/reset", headers={"content-type": "text/plain"}).status_code == 403
    foreign = CHANGE | {"origin": "http://evil.example"}
    assert change(gateway, "s/reset", headers=foreign).status_code == 403
    assert change(gateway, "s/reset", auth=None).status_code == 401
    assert change(gateway, "s/reset").status_code == 404
    # They are never anything for a provider.
    assert fake_provider.records == []
    assert gateway.rows(0) == []
