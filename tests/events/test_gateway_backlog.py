"""A receiver that is slow or gone: no request waits for it, nothing is lost, and the order holds."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest

from tests.events.receiving import Answer, Got, Receiver
from tests.fake_provider import FakeProvider
from tests.money.governed import create
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import OPENAI
from tests.proxy.test_figures_live import Samples
from tests.support.proxy import Proxy
from tokenomics_core.events.outbox import Outbox


def waiting(gateway: Proxy) -> int:
    with closing(Outbox(gateway.dir / "events.db")) as outbox:
        return sum(queue.pending for queue in outbox.queues())


def ids(got: list[Got]) -> list[str]:
    return [each.headers["X-Event-ID"] for each in got]


@pytest.mark.long
def test_a_gateway_that_is_killed_in_the_middle(
    start_proxy: StartProxy, fake_provider: FakeProvider, target: Receiver
) -> None:
    """The next one goes on where it was, and repeats no more than the one that was on its way."""
    gate = threading.Event()
    target.answer = lambda got: Answer(gate=gate if len(target.got) == 5 else None)
    gateway = start_proxy({"events": {"webhooks": [{"url": target.url, "events": ["request.*"]}]}})
    token = create(gateway, OPENAI.policy)
    with Caller(gateway, token.key) as caller:
        for number in range(20):
            assert caller.ask(text=f"request {number}").status == 200
        asked = [row["id"] for row in caller.rows(20)]
    target.wait(6)
    # Five have arrived, the sixth is under way, and all others are on disk.
    gateway.wait_for(lambda: waiting(gateway), lambda count: count == 15)
    gateway.kill()
    gate.set()
    gateway.restart()
    got = target.wait(21)
    assert [each.event["data"]["request_id"] for each in got] == [*asked[:6], *asked[5:]]
    assert ids(got)[5] == ids(got)[6]
    assert len(set(ids(got))) == 20
    gateway.wait_for(lambda: waiting(gateway), lambda count: count == 0)


@pytest.mark.long
def test_what_a_stop_leaves_is_delivered_after_the_next_start(
    start_proxy: StartProxy, fake_provider: FakeProvider, target: Receiver
) -> None:
    """It does not wait for a receiver that asks for more time than a stop has."""
    target.answers = [Answer(503, {"Retry-After": "300"})]
    gateway = start_proxy({"events": {"webhooks": [{"url": target.url, "events": ["request.*"]}]}})
    with Caller(gateway, create(gateway, OPENAI.policy).key) as caller:
        for number in range(5):
            assert caller.ask(text=f"request {number}").status == 200
        asked = [row["id"] for row in caller.rows(5)]
    target.wait(1)
    gateway.restart()
    assert "5 deliveries of events wait for the next start" in gateway.log()
    assert len(target.got) == 1
    # Its time has not come; somebody says that it has.
    (first,) = target.got
    done = gateway.cli("events", "retry", first.event["id"])
    assert done.stdout == "1 delivery will be made again.\n"
    got = target.wait(6)[1:]
    assert [each.event["data"]["request_id"] for each in got] == asked


@pytest.mark.long
def test_ten_thousand_events_wait_and_no_request_does(
    start_proxy: StartProxy, fake_provider: FakeProvider, target: Receiver
) -> None:
    """Two events a request. All requests are answered while the receiver holds the first event."""
    gate = threading.Event()
    target.answer = lambda got: Answer(gate=gate)
    hook = {"url": target.url, "timeout": 600, "events": ["request.completed", "budget.update"]}
    gateway = start_proxy({"events": {"webhooks": [hook]}, "logging": {"disable_request": True}})
    token = create(gateway, OPENAI.policy)
    body = OPENAI.body("gpt-4o", "hello", False)

    def ask(count: int) -> list[int]:
        head = {"Authorization": f"Bearer {token.key}"}
        with httpx.Client(base_url=gateway.http_url, headers=head, trust_env=False, timeout=60) as client:
            return [client.post("/v1/chat/completions", json=body).status_code for _ in range(count)]

    with ThreadPoolExecutor(4) as threads:
        statuses = [status for part in threads.map(ask, [1250] * 4) for status in part]
    assert statuses == [200] * 5000
    assert len(target.got) == 1
    gateway.wait_for(lambda: waiting(gateway), lambda count: count == 10_000, 30)
    found = Samples(gateway)
    assert found.total("tokenomics_webhook_deliveries", webhook="1", state="waiting") == 10_000
    assert found.total("tokenomics_dropped_total") == 0
    assert found.total("tokenomics_requests_in_flight") == 0
    with closing(Outbox(gateway.dir / "events.db")) as outbox:
        (key,) = (queue.webhook for queue in outbox.queues())
        order = [each.envelope.id for each in outbox.heads(key, 20_000)]
    gate.set()
    got = target.wait(10_000, 300)
    assert ids(got) == order
    totals: dict[str, list[int]] = {}
    for each in got:
        totals.setdefault(each.event["type"], []).append(each.event["data"]["input_tokens"])
    assert {type: len(found) for type, found in totals.items()} == {
        "budget.update": 5000,
        "request.completed": 5000,
    }
