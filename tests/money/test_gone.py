"""Gateways that were killed and do not come back, and journals that are lost: nothing stays reserved."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from addons.lifecycle import Lifecycle
from addons.session import Session
from tests.fake_provider import FakeProvider
from tests.money.files import Json, counted, delete_entries, entries, leases, rows, spoil_entries
from tests.money.governed import POLICY
from tests.proxy.conftest import StartProxy
from tests.support.memory_counters import MemoryCounters
from tests.support.proxy import Proxy
from tokenomics_core.counters import CountersUnavailable
from tokenomics_core.ledger import LedgerError

LEASE = 1.5
CONFIG: Json = {"budgets": {"lease": LEASE, "slice": 16, "wait": 0.2}}
LIMIT = 100_000
OPEN: dict[str, Json] = {
    # 16 tokens a slice: it is extended soon, and goes on for half a minute.
    "stream": {"stream": True, "text": "[tokens=3000][delay=0.01] please", "step": {}},
    "JSON": {"stream": False, "text": "please", "step": {"first_byte": 30}},
}


def send(
    proxy: Proxy, token: str, text: str = "hello", *, stream: bool = False
) -> http.client.HTTPConnection:
    """A connection with a request on it whose answer is still to be read."""
    body = {
        "model": "gpt-4o",
        "stream": stream,
        "max_tokens": 4000,
        "messages": [{"role": "user", "content": text}],
    }
    connection = http.client.HTTPConnection("127.0.0.1", proxy.http_port, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    return connection


def ask(proxy: Proxy, token: str) -> int:
    """The status of one short request, after its end."""
    connection = send(proxy, token)
    try:
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


@contextmanager
def killed_with_one_open(proxy: Proxy, provider: FakeProvider, token: str, kind: str) -> Iterator[Json]:
    """Kills the gateway while a request is under way. Its entry in the journal."""
    before = {entry["id"] for entry in entries(proxy)}
    provider.script([OPEN[kind]["step"]])
    connection = send(proxy, token, OPEN[kind]["text"], stream=OPEN[kind]["stream"])

    def mine() -> list[Json]:
        return [
            entry
            for entry in entries(proxy)
            if entry["id"] not in before and (kind == "JSON" or json.loads(entry["progress"]))
        ]

    proxy.wait_for(mine, lambda found: len(found) == 1)
    provider.wait(lambda records: any(record.received for record in records))
    proxy.kill()
    # As it was at the end: a stream may have been extended once more.
    (entry,) = mine()
    connection.close()
    yield entry


def total(entry: Json, column: str) -> int:
    return int(dict(json.loads(entry[column])).get("tokens:total", 0))


@pytest.fixture
def beside(start_proxy: StartProxy, make_proxy: StartProxy) -> Iterator[tuple[Proxy, Proxy]]:
    """Two gateways on one data directory."""
    first, second = start_proxy(CONFIG), make_proxy(CONFIG)
    second.dir = first.dir
    with second:
        yield first, second


@pytest.mark.long
@pytest.mark.parametrize("kind", OPEN)
def test_another_gateway_settles_for_one_that_is_gone(
    beside: tuple[Proxy, Proxy], fake_provider: FakeProvider, kind: str
) -> None:
    first, second = beside
    created = first.create_token(POLICY | {"max_tokens": LIMIT})
    token = created["hash"]
    fake_provider.script([{}])
    with_second = send(second, created["token"], "[tokens=400][delay=0.01] please", stream=True)
    fake_provider.wait(lambda records: len(records) == 1)
    with killed_with_one_open(first, fake_provider, created["token"], kind) as entry:
        recovered = second.wait_for(lambda: rows(second, token), lambda found: len(found) >= 1, 2 * LEASE)[0]
        assert (recovered["id"], recovered["recovered"]) == (entry["id"], 1)
        assert recovered["input_tokens"] + recovered["output_tokens"] == total(entry, "reserved")
        # Its neighbour's own stream goes on, and is not taken for a dead one's.
        answer = with_second.getresponse()
        assert answer.read().rstrip().endswith(b"data: [DONE]")
        with_second.close()
    own = second.wait_for(lambda: rows(second, token), lambda found: len(found) >= 2)[1]
    assert (own["recovered"], own["estimated"], own["output_tokens"]) == (0, 0, 400)
    second.wait_for(lambda: entries(second), lambda found: not found)
    assert leases(second) == []
    used = sum(row["input_tokens"] + row["output_tokens"] for row in rows(second, token))
    assert counted(second)["tokens:total"] == (used, 0)
    assert len(rows(second, token)) == 2


@pytest.mark.long
@pytest.mark.parametrize("kind", OPEN)
def test_a_lease_without_a_journal_is_charged_when_it_expires(
    start_proxy: StartProxy, fake_provider: FakeProvider, kind: str
) -> None:
    proxy = start_proxy(CONFIG)
    created = proxy.create_token(POLICY | {"max_tokens": LIMIT})
    token = created["hash"]
    with killed_with_one_open(proxy, fake_provider, created["token"], kind) as entry:
        delete_entries(proxy)
    assert counted(proxy)["tokens:total"] == (0, total(entry, "reserved"))
    proxy.restart()

    def after_a_request() -> tuple[int, int]:
        assert ask(proxy, created["token"]) == 200
        return counted(proxy)["tokens:total"]

    proxy.wait_for(after_a_request, lambda found: found[1] == 0, 3 * LEASE)
    settled = proxy.wait_for(lambda: rows(proxy, token), lambda _: not entries(proxy))
    used = sum(row["input_tokens"] + row["output_tokens"] for row in settled)
    assert counted(proxy)["tokens:total"] == (used + total(entry, "reserved"), 0)
    assert all(lease["charged"] for lease in leases(proxy))
    assert not any(row["recovered"] for row in settled)


@pytest.mark.long
def test_an_intent_that_cannot_be_read_stops_no_start(
    start_proxy: StartProxy, fake_provider: FakeProvider
) -> None:
    proxy = start_proxy(CONFIG)
    created = proxy.create_token(POLICY | {"max_tokens": LIMIT})
    with killed_with_one_open(proxy, fake_provider, created["token"], "stream") as entry:
        spoil_entries(proxy)
    proxy.restart()
    assert ask(proxy, created["token"]) == 200
    written = proxy.wait_for(lambda: rows(proxy, created["hash"]), lambda found: len(found) == 2)
    assert [row["recovered"] for row in written] == [1, 0]
    assert (written[0]["id"], written[0]["output_tokens"]) == (entry["id"], total(entry, "reserved"))
    assert f"the journal's entry of {entry['id']} cannot be read" in proxy.log()


@pytest.mark.parametrize("error", [LedgerError("cannot be read"), CountersUnavailable("it is down")])
async def test_a_recovery_that_fails_at_the_start_keeps_nobody_waiting(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def recover() -> None:
        raise error

    services: Any = SimpleNamespace(
        instance="a",
        owners=SimpleNamespace(claim=lambda word: None),
        counters=MemoryCounters(),
        recover=recover,
        opened=asyncio.Event(),
    )
    await Lifecycle(services, Session(services))._open_counters()
    assert services.opened.is_set()
    (said,) = caplog.records
    # mitmproxy would end the gateway at an error.
    assert said.levelname == "WARNING"
    assert said.getMessage().startswith(("LedgerError", "it is down"))
