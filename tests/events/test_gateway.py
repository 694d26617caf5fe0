"""What a running gateway tells its webhooks: each type of event, by the real thing that causes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.events.receiving import Receiver, receiver
from tests.fake_provider import FakeProvider
from tests.money.governed import Json, Token, create, update
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import OPENAI
from tests.proxy.test_frames import create as asking
from tests.proxy.test_frames import until_done
from tests.support.proxy import Proxy
from tokenomics_core.events.signature import verify, verify_at
from tokenomics_core.events.types import TYPES

POLICY: Json = OPENAI.policy
NAMED = {
    "agent_id": "a-1",
    "agent_type": "coder",
    "team": "core",
    "channel": "chat",
    "skill": "review",
    "environment": "staging",
}
AGENT = {f"X-OpenClaw-{name.replace('_', '-')}": value for name, value in NAMED.items()}
RULES = [
    {"type": "keyword", "name": "no", "keywords": ["forbidden"], "action": "fail"},
    {"type": "keyword", "name": "careful", "keywords": ["warned"], "action": "warn"},
    {"type": "keyword", "name": "curious", "keywords": ["logged"], "action": "log"},
    {"type": "pii", "name": "mails", "detect": ["email"], "action": "mask"},
]
PAST = "2020-01-01T00:00:00Z"
ANOMALY = {"enabled": True, "max_identical": 2, "max_usd": 1000}

Told = tuple[str, Json]


class Ear:
    """What a webhook hears, in its order, and of each event what a test says."""

    def __init__(self, target: Receiver) -> None:
        self.target = target
        self.heard = 0
        self.types: set[str] = set()

    def expect(self, *told: Told) -> list[Json]:
        """The next events are exactly these, with at least these members of data. Their data."""
        got = self.target.wait(self.heard + len(told))[self.heard :]
        events = [each.event for each in got]
        assert [each["type"] for each in events] == [type for type, _ in told]
        self.heard += len(told)
        self.types |= {each["type"] for each in events}
        for event, (_, members) in zip(events, told, strict=True):
            assert event["data"].items() >= members.items(), event
        return [each["data"] for each in events]


@pytest.fixture(scope="module")
def webhook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture(scope="module")
def gateway(make_proxy: StartProxy, webhook: Receiver) -> Iterator[Proxy]:
    hook = {"url": webhook.url, "signing_key": "a signing key", "secret": "a secret"}
    config = {"events": {"webhooks": [hook]}, "budgets": {"wait": 0.2}}
    with make_proxy(config) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def ear(webhook: Receiver, gateway: Proxy) -> Ear:
    made = Ear(webhook)
    made.expect(("server.start", {"http_port": gateway.http_port, "tls": True}))
    return made


@pytest.fixture
def ask(gateway: Proxy, fake_provider: FakeProvider) -> Iterator[Callable[..., int]]:
    """Asks with a token and gives the status."""
    opened: list[Caller] = []

    def send(token: Token, text: str = "hello", **options: Any) -> int:
        opened.append(Caller(gateway, token.key))
        return opened[-1].ask(text=text, **options).status

    yield send
    for one in opened:
        one.client.close()


@contextmanager
def socket(gateway: Proxy, token: Token, **head: str) -> Iterator[ClientConnection]:
    url = f"{gateway.http_url}/v1/responses".replace("http", "ws", 1)
    fields = {"Authorization": f"Bearer {token.key}", **head}
    with connect(url, additional_headers=fields, open_timeout=10, proxy=None) as connection:
        yield connection


def short(token: Token) -> Json:
    """As events of a token name it."""
    return {"token_hash": token.hash[:8], "token_prefix": token.hash[:16]}


def long(token: Token) -> Json:
    """As events of a request name its token."""
    return {"token_hash": token.hash[:16], "token_prefix": token.hash[:16]}


def test_tokens_that_the_command_line_changes(gateway: Proxy, ear: Ear) -> None:
    made = gateway.create_token(POLICY, expires="2031-01-01T00:00:00Z")
    token = Token(made["token"], made["hash"])
    ear.expect(("token.created", {**short(token), "expires_at": "2031-01-01T00:00:00Z"}))
    update(gateway, token.hash, {"max_tokens": 5})
    ear.expect(("token.updated", {**short(token), "expires_at": ""}))
    update(gateway, token.hash, {}, "--expires", "clear")
    ear.expect(("token.updated", {**short(token), "expires_at": "clear"}))
    assert gateway.cli("token", "delete", "--hash", token.hash).returncode == 0
    ear.expect(("token.deleted", short(token)))


def test_answered_requests(
    gateway: Proxy, ear: Ear, ask: Callable[..., int], fake_provider: FakeProvider
) -> None:
    token = create(gateway, POLICY)
    fake_provider.script([{}, {}, {"status": 404}])
    completed = "request.completed"
    assert ask(token, stream=True) == 200
    update_, done = ear.expect(
        ("budget.update", long(token)), (completed, {**long(token), "stream": True, "error": False})
    )
    assert update_["used"] == update_["input_tokens"] + update_["output_tokens"] > 0
    assert (done["status_code"], done["provider"]) == (200, "openai")
    assert float(done["cost_usd"]) > 0
    assert ask(token, headers=AGENT) == 200
    ear.expect(
        ("openclaw.agent.request", {**long(token), **NAMED, "status": 0, "model": "gpt-4o"}),
        ("budget.update", {"used": 2 * update_["used"]}),
        (completed, {"stream": False}),
        ("openclaw.agent.success", {**NAMED, "status": 200}),
    )
    assert ask(token, headers=AGENT) == 404
    ear.expect(
        ("openclaw.agent.request", NAMED),
        (completed, {"status_code": 404, "error": True}),
        ("openclaw.agent.error", {**NAMED, "status": 404, "error": "status 404"}),
    )


def test_refused_requests(gateway: Proxy, ear: Ear, ask: Callable[..., int]) -> None:
    """Each agent's request has its end, also one that never came as far as the policy."""
    denied = create(gateway, POLICY | {"model": "o3"})
    assert ask(denied, headers=AGENT) == 403
    ear.expect(
        ("openclaw.agent.request", NAMED),
        ("model.denied", {**long(denied), "model": "gpt-4o"}),
        ("openclaw.agent.error", {**NAMED, "status": 403}),
    )
    with Caller(gateway, denied.key) as caller:
        assert caller.send("POST", "/v1/chat/completions", b"{", headers=AGENT).status == 400
    ear.expect(("openclaw.agent.request", {"model": ""}), ("openclaw.agent.error", {"status": 400}))
    for _ in range(2):
        assert ask(Token("tkn_unknown", "")) == 401
        assert ask(Token("", "")) == 401
    # Told once a minute.
    ear.expect(
        ("auth.failed", {"code": "invalid_token", "remote_addr": "127.0.0.1"}),
        ("auth.failed", {"code": "missing_token"}),
    )


def test_rules(gateway: Proxy, ear: Ear, ask: Callable[..., int]) -> None:
    token = create(gateway, POLICY | {"rules": RULES})
    about = {**long(token), "model": "gpt-4o"}
    answered = [("budget.update", long(token)), ("request.completed", long(token))]
    assert ask(token, "this is forbidden", headers=AGENT) == 403
    ear.expect(
        ("openclaw.agent.request", NAMED),
        (
            "rule.violation",
            {**about, **NAMED, "rule_name": "no", "message": 'matched keyword rule "no": forbidden'},
        ),
        ("openclaw.agent.error", {"status": 403}),
    )
    assert ask(token, "you are warned") == 200
    ear.expect(("rule.warning", {**about, "rule_name": "careful", "action": "warn"}), *answered)
    assert ask(token, "this is logged") == 200
    ear.expect(("rule.match", {**about, "rule_name": "curious", "action": "log"}), *answered)
    assert ask(token, "to alice@wonderland.example") == 200
    masked, *_ = ear.expect(("rule.mask", {**about, "rule_name": "mails"}), *answered)
    assert "alice" not in str(masked)


def test_limits(gateway: Proxy, ear: Ear, ask: Callable[..., int], fake_provider: FakeProvider) -> None:
    token = create(gateway, POLICY | {"max_tokens": 20})
    fake_provider.script([{"tokens": 12}])
    assert ask(token, max_tokens=12) == 200
    about = {**long(token), "used": 17, "limit": 20}
    ear.expect(
        ("budget.update", about),
        ("budget.threshold", {**about, "percent": 50, "unit": "tokens"}),
        ("budget.threshold", {**about, "percent": 80}),
        ("request.completed", long(token)),
    )
    assert ask(token, "other words", max_tokens=12) == 429
    (spent,) = ear.expect(("budget.exceeded", {**about, "unit": "tokens"}))
    assert spent["input"] > 3
    slow = create(gateway, POLICY | {"rate_limit": {"rules": [{"requests": 1, "window": "1h"}]}})
    assert [ask(slow, "one"), ask(slow, "two")] == [200, 429]
    *_, limited = ear.expect(
        ("budget.update", long(slow)), ("request.completed", long(slow)), ("rate.exceeded", long(slow))
    )
    assert "rate limit exceeded" in limited["error"]


def test_a_loop(gateway: Proxy, ear: Ear, ask: Callable[..., int]) -> None:
    token = create(gateway, POLICY | {"session": {"anomaly": ANOMALY}})
    head = {"X-Session-ID": "night-shift"}
    assert [ask(token, "again", headers=head) for _ in range(5)] == [200, 200, 429, 429, 429]
    answered = [("budget.update", long(token)), ("request.completed", {"session_id": "night-shift"})]
    ear.expect(
        *answered,
        *answered,
        ("session.anomaly", {**long(token), "session_id": "night-shift"}),
        ("session.frozen", {**long(token), "session_id": "night-shift"}),
    )


def test_an_expired_token(gateway: Proxy, ear: Ear, ask: Callable[..., int]) -> None:
    """Told once for each end, also when it comes in the middle of a connection."""
    token = create(gateway, POLICY)
    with socket(gateway, token, **AGENT) as connection:
        update(gateway, token.hash, {}, "--expires", PAST)
        ear.expect(("token.updated", {"expires_at": PAST}))
        connection.send(asking())
        assert until_done(connection)[-1]["error"]["code"] == "invalid_token"
    expired = {**short(token), "expired_at": PAST}
    ear.expect(
        ("openclaw.agent.request", {"model": "gpt-4o-mini"}),
        ("token.expired", expired),
        ("openclaw.agent.error", {"status": 401, "error": "invalid token"}),
    )
    assert [ask(token), ask(token)] == [401, 401]
    other = "2021-01-01T00:00:00Z"
    update(gateway, token.hash, {}, "--expires", other)
    assert ask(token) == 401
    ear.expect(("token.updated", {}), ("token.expired", {**short(token), "expired_at": other}))


def test_frames(gateway: Proxy, ear: Ear) -> None:
    """Each response asked for is a request; the upgrade is none."""
    token = create(gateway, POLICY | {"rules": RULES})
    answered = [("budget.update", {"model": "gpt-4o-mini"}), ("request.completed", {"stream": True})]
    with socket(gateway, token, **AGENT) as connection:
        connection.send(asking(text="you are warned"))
        assert until_done(connection)[-1]["type"] == "response.completed"
        ear.expect(
            ("openclaw.agent.request", {**long(token), **NAMED}),
            ("rule.warning", {"rule_name": "careful"}),
            *answered,
            ("openclaw.agent.success", NAMED),
        )
        connection.send(asking(text="this is forbidden"))
        assert until_done(connection)[-1]["error"]["code"] == "rule_violation"
        ear.expect(
            ("openclaw.agent.request", NAMED),
            ("rule.violation", {**NAMED, "rule_name": "no"}),
            ("openclaw.agent.error", {"status": 403}),
        )
        update(gateway, token.hash, {"model": "o3"})
        ear.expect(("token.updated", short(token)))
        connection.send(asking())
        assert until_done(connection)[-1]["error"]["code"] == "model_not_allowed"
        ear.expect(
            ("openclaw.agent.request", NAMED),
            ("model.denied", {"model": "gpt-4o-mini"}),
            ("openclaw.agent.error", {"status": 403}),
        )


def test_a_test_and_then_every_type_was_heard(gateway: Proxy, ear: Ear) -> None:
    """It stands last. All of it was signed, and nothing of it opens a door."""
    done = gateway.cli("events", "test")
    assert done.returncode == 0, done.stderr
    ear.expect(("test.event", {}))
    assert ear.types == set(TYPES)
    assert len(ear.target.got) == ear.heard
    for got in ear.target.got:
        at = int(got.headers["X-Webhook-Timestamp"])
        assert verify("a signing key", got.body, got.headers["X-Webhook-Signature"])
        assert verify_at("a signing key", got.body, got.headers["X-Webhook-Timestamped-Signature"], at)
        assert got.headers["X-Webhook-Secret"] == "a secret"
        assert got.headers["X-Event-ID"] == got.event["id"]
        assert b"tkn_" not in got.body
        assert not any(key.encode() in got.body for key in gateway.keys.values())
