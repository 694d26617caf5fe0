"""A stream that must end when more of it has come than was reserved: what is here was billed, and counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.fake_provider import FakeProvider
from tests.money.books import Entry
from tests.proxy.caller import Caller
from tests.proxy.formats import OPENAI
from tests.support.proxy import Proxy

TOKENS = 150
"""Few enough for the provider to send them in one go."""

AT_ONCE = f"[tokens={TOKENS}][ignore_cap=1]"
SMALL = OPENAI.policy | {"max_tokens": 60}


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tls"])
def gateway(request: pytest.FixtureRequest, make_proxy: Callable[..., Proxy]) -> Iterator[Proxy]:
    with make_proxy({"budgets": {"slice": 16}}, upstream_tls=request.param) as proxy:
        yield proxy


def test_what_has_arrived_is_passed_on_and_counted(gateway: Proxy, fake_provider: FakeProvider) -> None:
    token = gateway.token(SMALL)
    with Caller(gateway, token) as caller:
        answer = caller.ask(text=AT_ONCE, stream=True)
        entry = Entry(fake_provider.wait_ended(1)[0], caller.row())
        assert not answer.broken
        assert answer.body.count(b" the") == TOKENS
        assert b"[DONE]" in answer.body
        assert b'"tokenomics"' not in answer.body
        assert not entry.estimated
        assert entry.counted("tokens") == entry.billed("tokens") > TOKENS
        assert entry.row["error"] is None
        # It is spent: the next one learns so, on the same connection.
        assert caller.ask(stream=True).status == 429


def test_a_connection_that_was_told_to_stop_is_not_used_again(
    gateway: Proxy, fake_provider: FakeProvider
) -> None:
    with Caller(gateway, gateway.token(SMALL)) as caller:
        caller.ask(text=AT_ONCE, stream=True)
        caller.token = gateway.token(OPENAI.policy)
        assert caller.ask(stream=True).status == 200
        first, second = fake_provider.wait_ended(2)
        assert first.connection != second.connection


def test_a_provider_that_is_still_at_it_is_told_at_once(gateway: Proxy, fake_provider: FakeProvider) -> None:
    token = gateway.token(SMALL)
    with Caller(gateway, token) as caller:
        answer = caller.ask(text=AT_ONCE + "[delay=0.01]", stream=True)
        entry = Entry(fake_provider.wait_ended(1)[0], caller.row())
        assert not answer.broken
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert b'"tokenomics"' in answer.body
        assert entry.estimated
        assert entry.row["error"].startswith("budget exceeded")
        assert entry.record.left
        assert 40 <= entry.billed("tokens") <= entry.counted("tokens") <= 100
