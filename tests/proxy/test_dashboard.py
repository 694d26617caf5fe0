"""The dashboard's JSON routes: who may ask, what is answered, what is changed."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy.test import tflow, tutils

from addons.dashboard import PREFIX, Dashboard, Problem, choose, forged, logged_in, route
from tokenomics_core.config.schema import Admin, AdminAuth, Session
from tokenomics_core.counters.question import NANO, CountersUnavailable, Freeze, Window
from tokenomics_core.counters.sqlite import SqliteCounters
from tokenomics_core.ledger.resets import read_resets
from tokenomics_core.meter.dashboard import SessionView

A, B = "a" * 64, "b" * 64
NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
MILLISECONDS = int(NOW.timestamp() * 1000)
HOST = "localhost:8080"
JSON = {"content-type": "application/json"}
LOCKED = AdminAuth(username="admin", password="secret:ü")


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("auth", [AdminAuth(), AdminAuth(username="a"), AdminAuth(password="p")])
def test_without_a_login_everybody_is_in(auth: AdminAuth) -> None:
    assert logged_in("", auth)
    assert logged_in("Bearer x", auth)


@pytest.mark.parametrize(
    ("authorization", "right"),
    [
        (basic("admin:secret:ü"), True),
        (basic("admin:secret:ü").replace("Basic", "basic"), True),
        (basic("admin:secret"), False),
        (basic("admin:"), False),
        (basic(":"), False),
        (basic("Admin:secret:ü"), False),
        ("", False),
        ("Basic", False),
        ("Basic !!!", False),
        ("Bearer " + basic("admin:secret:ü")[6:], False),
    ],
)
def test_login(authorization: str, right: bool) -> None:
    assert logged_in(authorization, LOCKED) is right


@pytest.mark.parametrize(
    ("head", "accepted"),
    [
        (JSON, True),
        ({"content-type": "Application/JSON; charset=utf-8"}, True),
        ({"x-requested-with": "curl"}, True),
        (JSON | {"origin": "http://localhost:8080"}, True),
        (JSON | {"origin": "https://LOCALHOST:8080"}, True),
        (JSON | {"sec-fetch-site": "same-origin"}, True),
        (JSON | {"sec-fetch-site": "none"}, True),
        ({}, False),
        ({"content-type": "text/plain"}, False),
        ({"content-type": "application/x-www-form-urlencoded"}, False),
        ({"x-requested-with": ""}, False),
        (JSON | {"origin": "http://localhost"}, False),
        (JSON | {"origin": "http://evil.example"}, False),
        (JSON | {"origin": "http://localhost:8080.evil.example"}, False),
        (JSON | {"origin": "null"}, False),
        (JSON | {"origin": ""}, False),
        (JSON | {"sec-fetch-site": "cross-site"}, False),
        (JSON | {"sec-fetch-site": "same-site"}, False),
    ],
)
def test_forgery(head: dict[str, str], accepted: bool) -> None:
    assert (forged(head, HOST) == "") is accepted


@pytest.mark.parametrize(
    ("method", "rest", "expected"),
    [
        ("GET", "sessions", ("sessions", "")),
        ("GET", "stats", ("stats", "")),
        ("POST", "session/a%3Ab%2Fc/reset", ("reset", "a:b/c")),
        ("POST", "session/f%C3%BCr/unfreeze", ("unfreeze", "für")),
        ("POST", "sessions", 405),
        ("OPTIONS", "sessions", 405),
        ("GET", "session/a/reset", 405),
        ("DELETE", "session/a/reset", 405),
        ("POST", "session/a/b/reset", 404),
        ("POST", "session//reset", 404),
        ("POST", "session/a/freeze", 404),
        ("GET", "", 404),
        ("GET", "sessions/", 404),
    ],
)
def test_routes(method: str, rest: str, expected: tuple[str, str] | int) -> None:
    if isinstance(expected, tuple):
        assert route(method, PREFIX + rest) == expected
        return
    with pytest.raises(Problem) as raised:
        route(method, PREFIX + rest)
    assert raised.value.status == expected


def test_which_session_is_meant() -> None:
    views = [SessionView(A, "s"), SessionView(B, "s"), SessionView(A, "default"), SessionView(A, "")]
    assert choose(views, "s", B[:8]) == [views[1]]
    assert choose(views, "default", "") == views[2:]
    for name, token, status in (("s", "", 409), ("x", "", 404), ("s", "c", 404)):
        with pytest.raises(Problem) as raised:
            choose(views, name, token)
        assert raised.value.status == status


class Site:
    """The addon on counters of its own, without the steps around it."""

    def __init__(self, counters: SqliteCounters) -> None:
        self.counters = counters
        session = Session(default_budget_usd=10)
        self.config = SimpleNamespace(admin=Admin(), session=session, dir=counters.path.parent)
        opened = asyncio.Event()
        opened.set()
        self.services: Any = SimpleNamespace(
            config=self.config,
            counters=counters,
            opened=opened,
            now=lambda: NOW,
            store=SimpleNamespace(list=lambda: []),
        )

    async def ask(
        self, method: str, rest: str, head: dict[str, str] | None = None, *, handed_over: bool = True
    ) -> Any:
        fields = [(name.encode(), value.encode()) for name, value in {"host": HOST, **(head or {})}.items()]
        request = tutils.treq(
            method=method.encode(), path=(PREFIX + rest).encode(), headers=fields, host="localhost", port=8080
        )
        flow = tflow.tflow(req=request)
        if handed_over:
            flow.metadata["own_route"] = PREFIX
        await Dashboard(self.services).requestheaders(flow)
        return flow.response

    async def json(self, method: str, rest: str, head: dict[str, str] | None = None) -> tuple[int, Any]:
        response = await self.ask(method, rest, head)
        assert response.headers["content-type"] == "application/json"
        assert response.headers["cache-control"] == "no-store"
        assert not [name for name in response.headers if name.lower().startswith("access-control")]
        return response.status_code, json.loads(response.content)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    counters = SqliteCounters(tmp_path / "counters.db", "test")
    await counters.open()
    for token, id in ((A, "a:b"), (A, "twice"), (B, "twice")):
        key = f"session:{id}:usd:total"
        await counters.put(token, key, NANO, unit="usd", window=Window(), now=MILLISECONDS)
    await counters.freeze(Freeze(A, "session:a:b", MILLISECONDS + 1000, "loop"))
    yield Site(counters)
    await counters.close()


async def test_sessions_and_stats(site: Site) -> None:
    status, told = await site.json("GET", "sessions")
    assert (status, told["total_sessions"]) == (200, 3)
    assert told["sessions"][0] == {
        "session_id": "a:b",
        "token": A,
        "budget": 10.0,
        "spent": 1.0,
        "remaining": 9.0,
        "percentage_used": 10.0,
        "is_frozen": True,
        "freeze_reason": "loop",
        "requests_last_minute": 0,
    }
    status, told = await site.json("GET", "stats?x=1")
    assert (status, told) == (
        200,
        {
            "total_sessions": 3,
            "frozen_sessions": 1,
            "active_sessions": 2,
            "total_budget": 30.0,
            "total_spent": 3.0,
            "total_remaining": 27.0,
        },
    )
    head = await site.ask("HEAD", "stats")
    assert (head.status_code, head.content) == (200, b"")


async def test_reset_and_unfreeze(site: Site) -> None:
    assert await site.json("POST", "session/a%3Ab/unfreeze", JSON) == (
        200,
        {"success": True, "message": "Session a:b unfrozen"},
    )
    assert await site.counters.frozen(now=MILLISECONDS) == []
    assert await site.json("POST", "session/a%3Ab/reset", JSON) == (
        200,
        {"success": True, "message": "Session a:b reset"},
    )
    assert (await site.json("POST", "session/twice/reset", JSON))[0] == 409
    assert (await site.json("POST", f"session/twice/reset?token={B}", JSON))[0] == 200
    # The ledger knows, so that counters made anew come out the same.
    assert set(read_resets(site.config.dir / "ledger.db")) == {(A, "a:b"), (B, "twice")}
    left = (await site.json("GET", "sessions"))[1]["sessions"]
    assert [(each["token"], each["session_id"]) for each in left] == [(A, "twice")]
    assert (await site.json("POST", "session/gone/reset", JSON))[0] == 404


async def test_a_token_without_a_session_is_unfrozen_and_not_reset(site: Site) -> None:
    await site.counters.freeze(Freeze("c" * 64, "token", None, "loop"))
    assert (await site.json("POST", "session/default/reset", JSON))[0] == 409
    assert (await site.json("POST", "session/default/unfreeze", JSON))[0] == 200
    assert [freeze.token for freeze in await site.counters.frozen(now=MILLISECONDS)] == [A]


async def test_what_is_refused_changes_nothing(site: Site) -> None:
    foreign = JSON | {"origin": "http://evil.example"}
    assert (await site.json("POST", "session/a%3Ab/unfreeze", foreign))[0] == 403
    assert (await site.json("POST", "session/a%3Ab/unfreeze"))[0] == 403
    assert (await site.json("GET", "session/a%3Ab/unfreeze"))[0] == 405
    assert (await site.json("GET", "sessions", {"x-forwarded-for": "10.0.0.1"}))[0] == 403
    site.config.admin = Admin(auth=LOCKED)
    refused = await site.ask("POST", "session/a%3Ab/unfreeze", JSON)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == 'Basic realm="tokenomics-admin"'
    assert json.loads(refused.content) == {"error": "unauthorized"}
    assert len(await site.counters.frozen(now=MILLISECONDS)) == 1
    login = {"authorization": basic("admin:secret:ü")}
    assert (await site.json("POST", "session/a%3Ab/unfreeze", JSON | login))[0] == 200
    site.config.admin = Admin(enabled=False)
    assert (await site.json("GET", "sessions", login))[0] == 404


async def test_a_store_that_fails(site: Site) -> None:
    async def fails(*args: Any, **named: Any) -> Any:
        raise CountersUnavailable("Redis does not answer; start it")

    site.services.counters = SimpleNamespace(usage=fails)
    assert await site.json("GET", "stats") == (500, {"error": "Redis does not answer; start it"})


async def test_only_what_admission_handed_over_is_answered(site: Site) -> None:
    assert await site.ask("GET", "sessions", handed_over=False) is None
