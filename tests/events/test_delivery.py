"""One attempt, and when the next one is made, against a real server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.events.receiving import Answer, Clock, Receiver, receiver
from tests.support.certificates import TestAuthority
from tokenomics_core.config import Webhook
from tokenomics_core.events import Emitter, Event, token_created, token_deleted
from tokenomics_core.events.delivery import LONGEST_WAIT, Result, Sender, wait
from tokenomics_core.events.envelope import Envelope
from tokenomics_core.events.receiver import receivers
from tokenomics_core.events.signature import sign, verify, verify_at

HASH = "bba56f48ebdf2da3b43fd69610d07ff4f4b22b0398cae6fb94af3c3152e9252e"
ENVELOPE = Envelope("evt_" + "0" * 32, "token.deleted", "2026-03-01T09:00:00Z", {"token_hash": "ab12cd34"})
SECRETS = {"secret": "hush-hush", "signing_key": "spec-signing-key"}

Start = Callable[..., Any]


def numbered(number: int, type: str = "request.completed") -> Event:
    return Event(type, {"number": number})


@asynccontextmanager
async def emitting(
    folder: Path, *webhooks: Webhook, clock: Clock | None = None, budget: float = 5.0
) -> AsyncIterator[Emitter]:
    injected: dict[str, Any] = {}
    if clock is not None:
        injected = {"nanoseconds": clock.nanoseconds, "sleep": clock.sleep, "jitter": lambda: 0.0}
    emitter = Emitter(webhooks, folder, **injected)
    await emitter.start()
    try:
        yield emitter
    finally:
        await emitter.close(budget)


async def attempt(webhook: Webhook, **injected: Any) -> Result:
    sender = Sender(receivers([webhook])[0], **injected)
    try:
        return await sender.send(ENVELOPE)
    finally:
        await sender.close()


async def test_all_headers(target: Receiver) -> None:
    result = await attempt(target.hook(**SECRETS), now=lambda: 1_772_440_000.7)
    assert (result.outcome, result.status) == ("delivered", 200)
    (got,) = target.got
    assert got.path == "/hook"
    assert got.body == ENVELOPE.body()
    assert {
        name: got.headers[name] for name in got.headers if name.startswith(("X-", "Content-T", "User"))
    } == {
        "Content-Type": "application/json",
        "User-Agent": "Tokenomics-Webhook/1.0",
        "X-Event-ID": ENVELOPE.id,
        "X-Event-Type": "token.deleted",
        "X-Webhook-Secret": "hush-hush",
        "X-Webhook-Signature": sign("spec-signing-key", got.body),
        "X-Webhook-Timestamp": "1772440000",
        "X-Webhook-Timestamped-Signature": got.headers["X-Webhook-Timestamped-Signature"],
    }
    assert verify("spec-signing-key", got.body, got.headers["X-Webhook-Signature"])
    timed = got.headers["X-Webhook-Timestamped-Signature"]
    assert verify_at("spec-signing-key", got.body, timed, 1_772_440_001)
    assert timed.startswith("t=1772440000,")
    assert got.headers.get_all("Host") == [target.url.split("/")[2]]


async def test_what_is_not_configured_is_not_sent(target: Receiver) -> None:
    await attempt(target.hook())
    await attempt(target.hook(signing_key="k", timestamp_signature=False))
    plain, signed = target.got
    assert [name for name in plain.headers if name.startswith("X-Webhook")] == []
    assert [name for name in signed.headers if name.startswith("X-Webhook")] == ["X-Webhook-Signature"]


async def test_the_message_for_slack(target: Receiver) -> None:
    await attempt(target.hook(format="slack"))
    told = json.loads(target.got[0].body)
    assert told["text"].startswith(":wastebasket: A token was deleted")
    assert target.got[0].headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "delivered"),
        (204, "delivered"),
        (301, "again"),
        (307, "again"),
        (400, "refused"),
        (401, "refused"),
        (404, "refused"),
        (410, "refused"),
        (429, "again"),
        (500, "again"),
        (503, "again"),
    ],
)
async def test_statuses(target: Receiver, status: int, outcome: str) -> None:
    target.answers = [Answer(status, {"Location": "/elsewhere"} if status // 100 == 3 else {})]
    result = await attempt(target.hook())
    assert (result.outcome, result.status) == (outcome, status)
    assert len(target.got) == 1
    assert (result.error == "") is (outcome == "delivered")


async def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/?token=hush"
        result = await attempt(Webhook(url=url))
    assert (result.outcome, result.error) == ("again", "connection refused")


async def test_no_log_holds_what_opens_the_door(
    target: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = target.url.replace("http://", "http://user:hush1@") + "/hush2-hush2-hush2-hush2-hush2?token=hush3"
    target.answer = lambda got: Answer(200 if got.number else 404)
    hook = Webhook(url=url, secret="hush4", signing_key="hush5")
    async with emitting(tmp_path, hook) as emitter:
        emitter.emit(numbered(0), numbered(1))
        await target.expect(2)
    assert "was given up after 1 attempt:" in caplog.text
    assert "hush" not in caplog.text + repr(hook)
    assert target.got[1].path.endswith("?token=hush3")
    assert target.got[1].headers["Authorization"].startswith("Basic ")


async def test_no_answer_in_time(target: Receiver) -> None:
    gate = threading.Event()
    target.answers = [Answer(gate=gate)]
    result = await attempt(target.hook(timeout=0.2))
    gate.set()
    assert (result.outcome, result.error) == ("again", "no answer within 0.2 s")


@pytest.mark.parametrize("url", ["u", "ftp://h/", "http://", "http://h:99999/", "http://a b/", "//h/x"])
async def test_what_is_no_url_is_refused(url: str) -> None:
    assert (await attempt(Webhook(url=url))).outcome == "refused"


async def test_a_secret_that_is_no_header(target: Receiver) -> None:
    result = await attempt(target.hook(secret="two\nlines"))
    assert result.outcome == "refused"
    assert "two" not in result.error
    assert target.got == []


@pytest.mark.parametrize("timeout", [0, -3])
def test_no_time_out_is_ten_seconds(timeout: float) -> None:
    assert Webhook(url="u", timeout=timeout).timeout == 10


async def test_metadata_services_are_refused(target: Receiver) -> None:
    async def rebound(host: str, port: int) -> list[str]:
        return ["127.0.0.1", "169.254.169.254"]

    literal = await attempt(Webhook(url="http://169.254.169.254/latest/meta-data"))
    named = await attempt(Webhook(url=target.url.replace("127.0.0.1", "name.example")), resolve=rebound)
    private = await attempt(target.hook(deny_private=True))
    assert [each.outcome for each in (literal, named, private)] == ["refused"] * 3
    assert "allow_link_local" in literal.error
    assert "deny_private" in private.error
    assert target.got == []


async def test_a_name_is_looked_up_once_and_the_next_address_is_tried(target: Receiver) -> None:
    asked = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.2", "127.0.0.1"]

    url = target.url.replace("127.0.0.1", "name.example")
    result = await attempt(Webhook(url=url), resolve=resolve)
    assert result.outcome == "delivered"
    port = target.server.server_address[1]
    assert asked == [("name.example", port)]
    assert target.got[0].headers["Host"] == f"name.example:{port}"


async def test_no_lookup() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "hush")

    result = await attempt(Webhook(url="http://name.example/"), resolve=resolve)
    assert (result.outcome, result.error) == ("again", "its host cannot be looked up")


async def test_tls_is_checked_unless_told_otherwise(authority: TestAuthority) -> None:
    with receiver() as target:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.certificate, authority.key)
        target.server.socket = context.wrap_socket(target.server.socket, server_side=True)
        url = target.url.replace("http:", "https:")
        strict = await attempt(Webhook(url=url))
        lax = await attempt(Webhook(url=url, insecure=True))
        assert (strict.outcome, strict.error) == ("again", "its certificate is not trusted")
        assert lax.outcome == "delivered"
        assert len(target.got) == 1


async def test_proxies_of_the_environment_are_not_used(
    target: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await attempt(target.hook())).outcome == "delivered"


def test_waits() -> None:
    assert [wait(attempts, None, 0.0) for attempts in range(1, 10)] == [2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert wait(1, None, 0.999) < 3.0
    assert wait(1, None, 0.5) == 2.5
    assert wait(200, None, 0.999) == LONGEST_WAIT
    assert wait(1, 30.0, 0.5) == 30.0
    assert wait(1, 1.0, 0.0) == 2.0
    assert wait(1, 86_400.0, 0.0) == LONGEST_WAIT


async def test_the_schedule(target: Receiver, clock: Clock, tmp_path: Path) -> None:
    target.clock = clock.seconds
    target.answers = [Answer(500), Answer(500), Answer(200)]
    async with emitting(tmp_path, target.hook(), clock=clock) as emitter:
        emitter.emit(token_deleted(HASH))
        got = await target.expect(3)
    first = got[0].at
    assert [each.at - first for each in got] == pytest.approx([0, 2, 6], abs=0.01)
    assert len({each.headers["X-Event-ID"] for each in got}) == 1
    assert len({each.body for each in got}) == 1


async def test_three_attempts_are_all_and_then_the_next_event_follows(
    target: Receiver, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target.answer = lambda got: Answer(500 if got.number == 0 else 200)
    async with emitting(tmp_path, target.hook(secret="hush"), clock=clock) as emitter:
        emitter.emit(numbered(0), numbered(1))
        got = await target.expect(4)
    assert [each.number for each in got] == [0, 0, 0, 1]
    (line,) = [each.getMessage() for each in caplog.records if "given up" in each.getMessage()]
    assert "after 3 attempts: HTTP 500" in line
    assert "hush" not in caplog.text


async def test_more_attempts_on_demand(target: Receiver, clock: Clock, tmp_path: Path) -> None:
    target.clock = clock.seconds
    target.answers = [Answer(503)] * 4
    async with emitting(tmp_path, target.hook(attempts=5), clock=clock) as emitter:
        emitter.emit(numbered(0))
        got = await target.expect(5)
    assert [each.at - got[0].at for each in got] == pytest.approx([0, 2, 6, 14, 30], abs=0.01)


async def test_a_4xx_is_not_tried_again(target: Receiver, clock: Clock, tmp_path: Path) -> None:
    target.answer = lambda got: Answer(400 if got.number == 0 else 200)
    async with emitting(tmp_path, target.hook(), clock=clock) as emitter:
        emitter.emit(numbered(0), numbered(1))
        await target.expect(2)
    assert [each.number for each in target.got] == [0, 1]


@pytest.mark.parametrize(("asked", "waited"), [("30", 30), ("0", 2), ("100000", 300)])
async def test_retry_after(target: Receiver, clock: Clock, tmp_path: Path, asked: str, waited: float) -> None:
    target.clock = clock.seconds
    target.answers = [Answer(429, {"Retry-After": asked})]
    async with emitting(tmp_path, target.hook(), clock=clock) as emitter:
        emitter.emit(numbered(0))
        got = await target.expect(2)
    assert got[1].at - got[0].at == pytest.approx(waited, abs=0.01)


async def test_order_is_kept_through_failures(target: Receiver, clock: Clock, tmp_path: Path) -> None:
    tried: list[int] = []

    def answer(got: Any) -> Answer:
        tried.append(got.number)
        return Answer(500 if got.number % 3 == 0 and tried.count(got.number) < 3 else 200)

    target.answer = answer
    async with emitting(tmp_path, target.hook(), clock=clock) as emitter:
        emitter.emit(*(numbered(each) for each in range(12)))
        await target.expect(20)
    assert list(dict.fromkeys(tried)) == list(range(12))
    assert tried == sorted(tried)


async def test_fan_out_and_filters(tmp_path: Path) -> None:
    with receiver() as one, receiver() as two, receiver() as broken:
        broken.answer = lambda got: Answer(404)
        hooks = (broken.hook(), one.hook(events=["token.*"]), two.hook(full_token_hash=True))
        async with emitting(tmp_path, *hooks) as emitter:
            emitter.emit(token_created(HASH), numbered(1, "rule.violation"), token_deleted(HASH))
            await one.expect(2)
            await two.expect(3)
            await broken.expect(3)
        assert [each.event["type"] for each in one.got] == ["token.created", "token.deleted"]
        assert [each.event["type"] for each in two.got] == [
            "token.created",
            "rule.violation",
            "token.deleted",
        ]
        assert one.got[0].event["id"] == two.got[0].event["id"]
        assert HASH not in one.got[0].body.decode()
        assert two.got[0].event["data"]["token_hash_full"] == HASH


async def test_two_entries_with_one_url_are_two(target: Receiver, tmp_path: Path) -> None:
    async with emitting(tmp_path, target.hook(events=["a.*"]), target.hook(events=["b.*"])) as emitter:
        emitter.emit(numbered(1, "a.x"), numbered(2, "b.x"))
        await target.expect(2)
    assert sorted(each.number for each in target.got) == [1, 2]


async def test_closing_delivers_what_was_queued(target: Receiver, tmp_path: Path) -> None:
    async with emitting(tmp_path, target.hook()) as emitter:
        emitter.emit(*(numbered(each) for each in range(30)))
    assert [each.number for each in target.got] == list(range(30))


async def test_closing_takes_no_longer_than_it_may_and_loses_nothing(
    target: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()
    target.answer = lambda got: Answer(gate=gate)
    loop = asyncio.get_running_loop()
    async with emitting(tmp_path, target.hook(), budget=0.3) as emitter:
        emitter.emit(*(numbered(each) for each in range(3)))
        await target.expect(1)
        began = loop.time()
    assert loop.time() - began < 2.0
    assert "3 deliveries of events wait for the next start" in caplog.text
    gate.set()
    target.answer = lambda got: Answer()
    async with emitting(tmp_path, target.hook()):
        got = await target.expect(4)
    # The first one may have arrived: it comes again, with its own id.
    assert [each.number for each in got] == [0, 0, 1, 2]
    assert got[0].headers["X-Event-ID"] == got[1].headers["X-Event-ID"]


async def test_closing_does_not_wait_for_a_far_attempt(target: Receiver, tmp_path: Path) -> None:
    target.answer = lambda got: Answer(429, {"Retry-After": "200"})
    loop = asyncio.get_running_loop()
    async with emitting(tmp_path, target.hook()) as emitter:
        emitter.emit(numbered(1))
        await target.expect(1)
        await until(lambda: [each.attempts for each in emitter._outbox.deliveries()] == [1])
        began = loop.time()
    assert loop.time() - began < 1.5


async def test_what_is_over_the_queue_is_dropped_and_told(
    target: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()
    target.answer = lambda got: Answer(gate=gate)
    with receiver() as other:
        async with emitting(tmp_path, target.hook(max_queue=5), other.hook()) as emitter:
            emitter.emit(*(numbered(each) for each in range(8)))
            await other.expect(8)
            gate.set()
            await target.expect(5)
            assert emitter.dropped == 3
            (full,) = [each for each in emitter.queues() if each.dropped]
            assert full.dropped == 3
    assert [each.number for each in target.got] == [0, 1, 2, 3, 4]
    assert "3 events were dropped: the queue of webhook 1" in caplog.text


async def test_without_webhooks_nothing_is_made(tmp_path: Path) -> None:
    async with emitting(tmp_path) as emitter:
        emitter.emit(numbered(1))
        assert emitter.queues() == []
    assert os.listdir(tmp_path) == []


async def test_a_webhook_that_shows_its_secret_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with emitting(tmp_path, Webhook(url="http://a.example/x", secret="hush"), Webhook(url="u")):
        pass
    told = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(told) == 2
    assert "webhook 1 (http://a.example/x) sends its secret without TLS" in told[0]
    assert "webhook 2" in told[1]
    assert "hush" not in caplog.text


async def test_what_anybody_can_cause_is_told_once_in_a_while(target: Receiver, tmp_path: Path) -> None:
    now = 0.0
    emitter = Emitter([target.hook()], tmp_path, clock=lambda: now)
    await emitter.start()
    failed = Event("auth.failed", {"code": "invalid_token", "remote_addr": "10.0.0.1"})
    other = Event("auth.failed", {"code": "invalid_token", "remote_addr": "10.0.0.2"})
    for _ in range(5):
        emitter.emit(failed)
    emitter.emit(other)
    now = 61.0
    emitter.emit(failed)
    for number in range(100):
        emitter.emit(Event("auth.failed", {"code": "invalid_token", "remote_addr": str(number)}))
    expired = Event("token.expired", {"token_hash_full": HASH, "expired_at": "2026-01-01T00:00:00Z"})
    emitter.emit(expired, expired)
    now = 1e6
    emitter.emit(expired, numbered(1))
    await emitter.close()
    told = [each.event for each in target.got]
    data = [each["data"] for each in told if each["type"] == "auth.failed"]
    assert [each["remote_addr"] for each in data[:3]] == ["10.0.0.1", "10.0.0.2", "10.0.0.1"]
    assert ["suppressed" in each for each in data[:3]] == [False, False, True]
    assert data[2]["suppressed"] == 4
    assert len(data) == 2 + 60
    assert [each["type"] for each in told[len(data) :]] == ["token.expired", "request.completed"]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110, there is nothing to wait for
            await asyncio.sleep(0.01)


async def test_a_dead_worker_is_no_option(
    target: Receiver, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong in a turn, the next one is made."""
    failures = iter([RuntimeError("hush"), OSError("hush")])
    honest = Sender.send

    async def send(self: Sender, envelope: Envelope) -> Result:
        for failure in failures:
            raise failure
        return await honest(self, envelope)

    monkeypatch.setattr(Sender, "send", send)
    async with emitting(tmp_path, target.hook(), clock=clock) as emitter:
        emitter.emit(numbered(7))
        got = await target.expect(1)
    assert got[0].number == 7
