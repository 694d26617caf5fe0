"""Dashboard: the sessions as JSON, on the gateway's own port, for who sits at this machine.

Admission has checked that the client is local and calls the gateway by its own name. What is left to keep out
is other users' programs (the admin login) and web pages: they cannot read an answer, for there are no CORS
headers, and cannot change anything, for what a form can send is not accepted.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson
from mitmproxy import http

from addons.answer import fields_of
from addons.guarded import guarded
from addons.services import Services, in_thread
from tokenomics_core.config.schema import AdminAuth
from tokenomics_core.counters.question import CountersUnavailable
from tokenomics_core.ledger import LedgerError
from tokenomics_core.ledger.resets import record_reset
from tokenomics_core.meter.dashboard import (
    SessionView,
    budgets_of,
    read_sessions,
    reset,
    sessions_json,
    stats_json,
    with_requests,
)
from tokenomics_core.tokens import StoreError

log = logging.getLogger("tokenomics")

PREFIX = "/api/dashboard/"
_FORWARDED = frozenset({"forwarded", "x-forwarded-for", "x-real-ip", "true-client-ip"})

_OPENING = 5.0
"""Seconds that the counters may take to open."""


class Problem(Exception):
    """Answered with this status and ``{"error": message}``."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


class Dashboard:
    def __init__(self, services: Services) -> None:
        self.services = services

    @guarded
    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        if flow.metadata.get("own_route") != PREFIX:
            return
        path, _, query = flow.request.path.partition("?")
        # The answer says all; a body is not waited for.
        flow.request.stream = False
        flow.request.headers.pop("expect", None)
        status, headers = 200, {"content-type": "application/json", "cache-control": "no-store"}
        try:
            body = await self._answer(flow, path, query)
        except Problem as problem:
            status, body = problem.status, {"error": str(problem)}
            headers |= problem.headers
        except (CountersUnavailable, LedgerError, StoreError) as error:
            log.error("dashboard: %s", error)
            status, body = 500, {"error": str(error)}
        raw = b"" if flow.request.method == "HEAD" else orjson.dumps(body)
        flow.response = http.Response.make(status, raw, headers | {"x-content-type-options": "nosniff"})

    async def _answer(self, flow: http.HTTPFlow, path: str, query: str) -> dict[str, Any]:
        admin = self.services.config.admin
        if not admin.enabled:
            raise Problem(404, "the admin side is switched off (admin.enabled)")
        head = fields_of(flow.request.headers)
        if not _FORWARDED.isdisjoint(head):
            raise Problem(
                403, "the dashboard is local-only; a proxy on this machine speaks for somebody else"
            )
        if not logged_in(head.get("authorization", ""), admin.auth):
            raise Problem(401, "unauthorized", {"www-authenticate": 'Basic realm="tokenomics-admin"'})
        method = "GET" if flow.request.method == "HEAD" else flow.request.method
        action, id = route(method, path)
        if method == "POST" and (why := forged(head, flow.request.host_header or "")):
            raise Problem(403, why)
        now = int(self.services.now().timestamp() * 1000)
        views = await self._sessions(now)
        if action == "sessions":
            counters = self.services.counters
            return sessions_json([await with_requests(counters, view, now) for view in views])
        if action == "stats":
            return stats_json(views)
        chosen = choose(views, id, parse_qs(query).get("token", [""])[0])
        if action == "reset":
            await self._reset(chosen, now)
            return {"success": True, "message": f"Session {id} reset"}
        for view in chosen:
            await self.services.counters.thaw(view.token, view.gate)
        return {"success": True, "message": f"Session {id} unfrozen"}

    async def _sessions(self, now: int) -> list[SessionView]:
        try:
            async with asyncio.timeout(_OPENING):
                await self.services.opened.wait()
        except TimeoutError:
            raise Problem(500, "the store of the counters is not open yet; try again in a moment") from None
        records = await in_thread(self.services.store.list)
        default = self.services.config.session.default_budget_usd
        return await read_sessions(self.services.counters, now, budgets_of(records, default))

    async def _reset(self, chosen: list[SessionView], now: int) -> None:
        named = [view for view in chosen if view.id]
        if not named:
            raise Problem(409, "this is a token without a session; its own budgets are reset at the token")
        for view in named:
            await reset(self.services.counters, view.token, view.id, now)
            ledger, at = self.services.config.dir / "ledger.db", self.services.now()
            await in_thread(partial(record_reset, ledger, view.token, view.id, at))


def logged_in(authorization: str, auth: AdminAuth) -> bool:
    """Whether a Basic login is right. Everybody is in when username or password is not set."""
    if not (auth.username and auth.password):
        return True
    scheme, _, rest = authorization.strip().partition(" ")
    try:
        given = base64.b64decode(rest.strip(), validate=True) if scheme.lower() == "basic" else b""
    except ValueError:
        given = b""
    # One comparison, so that its time says nothing of which of the two was wrong.
    return hmac.compare_digest(given, f"{auth.username}:{auth.password}".encode())


def forged(head: Mapping[str, str], host: str) -> str:
    """Why a change may come from a foreign web page; the empty string when it does not.

    host: as the client named the gateway, with its port.
    """
    if head.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "a change does not come from another site"
    if "origin" in head and urlsplit(head["origin"]).netloc.lower() != host.lower():
        return "a change does not come from another origin"
    kind = head.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not head.get("x-requested-with"):
        return "send Content-Type: application/json, or a header X-Requested-With"
    return ""


def route(method: str, path: str) -> tuple[str, str]:
    """What is asked for, and of which session. Raises Problem (404, 405)."""
    match path.removeprefix(PREFIX).split("/"):
        case ["sessions" | "stats" as action]:
            allowed, id = "GET", ""
        case ["session", part, "reset" | "unfreeze" as action] if part:
            allowed, id = "POST", unquote(part, errors="replace")
        case _:
            raise Problem(404, "not found")
    if method != allowed:
        raise Problem(405, f"only {allowed} is answered here", {"allow": allowed})
    return action, id


def choose(views: list[SessionView], name: str, token: str) -> list[SessionView]:
    """The sessions of one token that are shown under this name. token: the beginning of its hash, or nothing.

    Raises Problem: 404 for none, 409 where several tokens have such a session.
    """
    found = [view for view in views if view.name == name and view.token.startswith(token)]
    if not found:
        raise Problem(404, "session not found")
    if len({view.token for view in found}) > 1:
        raise Problem(409, "several tokens have a session of this name; say which with ?token=<hash>")
    return found
