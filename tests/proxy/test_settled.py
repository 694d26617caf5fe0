"""/api/settled/HASH: an answer when all that a token has asked for is in the ledger."""

from __future__ import annotations

import threading
from typing import Any

import httpx

from tests.fake_provider import FakeProvider
from tests.support.proxy import Proxy


def ask(proxy: Proxy, hash: str, **more: Any) -> httpx.Response:
    return httpx.get(f"{proxy.http_url}/api/settled/{hash}", timeout=30, **more)


def test_it_waits_for_what_is_under_way(proxy: Proxy, fake_provider: FakeProvider) -> None:
    made = proxy.create_token({"base_key_env": "OPENAI_API_KEY"})
    fake_provider.script([{"do": "slow-stream", "delay": 0.05, "tokens": 20}])
    body = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    began = threading.Event()

    def stream() -> None:
        url, head = f"{proxy.http_url}/v1/chat/completions", {"authorization": f"Bearer {made['token']}"}
        with httpx.stream("POST", url, json=body, headers=head, timeout=30) as answer:
            for _ in answer.iter_raw():
                began.set()

    client = threading.Thread(target=stream)
    client.start()
    assert began.wait(20)
    assert not [row for row in proxy.rows(0) if row["token_hash"] == made["hash"]]
    answer = ask(proxy, made["hash"])
    assert (answer.status_code, answer.json()) == (200, {"settled": True})
    assert len([row for row in proxy.rows(0) if row["token_hash"] == made["hash"]]) == 1
    client.join(20)
    assert ask(proxy, "0" * 64).json() == {"settled": True}


def test_it_is_for_this_machine_only(proxy: Proxy) -> None:
    answer = ask(proxy, "0" * 64, headers={"host": "evil.example"})
    assert (answer.status_code, "local-only" in answer.text) == (403, True)
