"""SIGTERM: what runs may finish, nothing new begins, and what must be cut is recorded."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.caller import Caller, Outcome
from tests.proxy.formats import OPENAI
from tests.support.proxy import Proxy

StartProxy = Callable[..., Proxy]


class Running:
    """A stream that is read in a thread of its own, until its end."""

    def __init__(self, caller: Caller, provider: FakeProvider) -> None:
        self._outcome: list[Outcome] = []
        self._thread = threading.Thread(target=self._run, args=[caller])
        self._thread.start()
        caller.proxy.wait_for(lambda: provider.records, lambda found: bool(found) and found[0].events > 2)

    def _run(self, caller: Caller) -> None:
        self._outcome.append(caller.ask(stream=True))

    def end(self) -> Outcome:
        self._thread.join(20)
        return self._outcome[0]


def refuses_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stream_finishes(
    start_proxy: StartProxy, fake_provider: FakeProvider, number: signal.Signals
) -> None:
    proxy = start_proxy()
    fake_provider.script([{"do": "slow-stream", "delay": 0.1, "tokens": 12}])
    with Caller(proxy, proxy.token(OPENAI.policy)) as caller:
        running = Running(caller, fake_provider)
        os.kill(proxy.pid, number)
        proxy.wait_for(lambda: refuses_connections(proxy.http_port), bool)
        assert proxy.alive
        assert running.end().body.endswith(OPENAI.ending)
    assert proxy.stop() == 0
    row = caller.row()
    assert (row["status"], row["error"], row["output_tokens"], row["estimated"]) == (200, None, 12, 0)


def test_stream_that_takes_too_long(start_proxy: StartProxy, fake_provider: FakeProvider) -> None:
    proxy = start_proxy({"server": {"drain_timeout": 0.5}})
    fake_provider.script([{"do": "slow-stream", "delay": 0.1, "tokens": 200}])
    with Caller(proxy, proxy.token(OPENAI.policy)) as caller:
        running = Running(caller, fake_provider)
        assert proxy.stop() == 0
        assert running.end().broken
    assert fake_provider.wait_ended()[0].left
    row = caller.row()
    assert (row["status"], row["error"], row["estimated"]) == (200, "the gateway stopped", 1)
    assert row["output_tokens"] >= 2


def test_nothing_runs(start_proxy: StartProxy, fake_provider: FakeProvider) -> None:
    """An idle client's open connection does not keep the gateway."""
    proxy = start_proxy()
    with Caller(proxy, proxy.token(OPENAI.policy)) as caller:
        assert caller.ask().status == 200
        stopped: list[Any] = []
        thread = threading.Thread(target=lambda: stopped.append(proxy.stop()))
        thread.start()
        thread.join(3)
        assert stopped == [0]
    assert len(caller.rows()) == 1
