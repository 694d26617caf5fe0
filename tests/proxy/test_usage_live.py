"""The command line's view of what was used, beside a gateway that serves."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.caller import Caller
from tests.support.proxy import Proxy

POLICY = {
    "base_key_env": "OPENAI_API_KEY",
    "default_provider": "openai",
    "budgets": [
        {"limit": 1000, "period": "day"},
        {"limit": 1000, "period": "24h", "scope": "provider"},
        {"limit": 10**9, "unit": "tokens", "period": "month", "scope": "session"},
    ],
}


def run(proxy: Proxy, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        proxy.command(*words), env=proxy.environ, capture_output=True, text=True, timeout=60, check=False
    )


def usage(proxy: Proxy, token: str) -> dict[str, dict[str, Any]]:
    return {
        each["key"]: each for each in json.loads(run(proxy, "usage", token, "--sessions", "--json").stdout)
    }


@pytest.mark.long
def test_counters_and_ledger_agree_while_requests_are_served(
    make_proxy: Callable[..., Proxy], fake_provider: FakeProvider
) -> None:
    with make_proxy() as proxy:
        token = proxy.create_token(POLICY)

        def call(number: int) -> int:
            body = {
                "model": "gpt-4o",
                "messages": [{"role": "user", "content": "hello " * number}],
                "stream": bool(number % 2),
            }
            with Caller(proxy, token["token"]) as caller:
                head = {"X-Session-ID": f"run:{number % 3}", "authorization": f"Bearer {token['token']}"}
                return caller.client.post("/v1/chat/completions", json=body, headers=head).status_code

        with ThreadPoolExecutor(4) as pool:
            answers = [pool.submit(call, number) for number in range(40)]
            while not all(each.done() for each in answers):
                found = run(proxy, "ledger", "verify")
                assert (found.returncode, found.stderr) == (0, ""), found.stdout
            assert {each.result() for each in answers} == {200}
        assert (found := run(proxy, "ledger", "verify")).returncode == 0, found.stdout
        before = usage(proxy, token["hash"])
        assert before["tokens:total"]["spent"] > 0
        assert float(before["provider:openai:usd:rolling:86400000"]["spent"]) > 0
        assert before["usd:day"]["spent"] == before["usd:total"]["spent"]
        sessions = [each["spent"] for key, each in before.items() if key.endswith("tokens:month")]
        assert len(sessions) == 3
        assert sum(sessions) == before["tokens:total"]["spent"]
        assert {each["reserved"] for each in before.values()} == {0, "0.00"}

        # A running gateway takes up what a repair and a reset do.
        for change in (["ledger", "verify", "--repair"], ["token", "update", "--hash", token["hash"]]):
            extra = [] if change[0] == "ledger" else ["--reset-usage"]
            assert run(proxy, *change, *extra).returncode == 0
        assert usage(proxy, token["hash"])["tokens:total"]["spent"] == 0
        assert call(1) == 200
        assert usage(proxy, token["hash"])["tokens:total"]["spent"] > 0
        assert (found := run(proxy, "ledger", "verify")).returncode == 0, found.stdout
