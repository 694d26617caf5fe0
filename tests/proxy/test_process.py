"""The proxy as a process: it starts, serves, keeps its secrets, and stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fake_provider import FakeProvider
from tests.support.assertions import assert_only_key
from tests.support.clients import curl
from tests.support.proxy import MitmdumpProxy, Proxy
from tests.support.raw_http import chat

POLICY = {"base_key_env": "OPENAI_API_KEY", "default_provider": "openai"}


def ask(proxy: Proxy, token: str, **body: Any) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=10) as client:
        return client.post(
            f"{proxy.http_url}/v1/chat/completions",
            json=chat(**body),
            headers={"Authorization": f"Bearer {token}"},
        )


def test_serves_and_stops(start_proxy: Any, fake_provider: FakeProvider) -> None:
    proxy = start_proxy()
    answer = ask(proxy, proxy.token(POLICY), text="hello")
    assert answer.json()["choices"][0]["message"]["content"] == "pong: hello"
    assert proxy.stop() == 0
    assert not proxy.alive


def test_mitmdump_runs_the_same_pipeline(start_proxy: Any, fake_provider: FakeProvider) -> None:
    proxy = start_proxy(kind=MitmdumpProxy)
    token = proxy.token(POLICY)
    assert ask(proxy, token).status_code == 200
    assert ask(proxy, "tkn_unknown").status_code == 401
    assert_only_key(fake_provider.records, proxy.keys["OPENAI_API_KEY"])
    assert proxy.stop() == 0


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_provider_behind_tls(
    start_proxy: Any, fake_provider: FakeProvider, tmp_path: Path, version: str
) -> None:
    """A client that speaks HTTP/2 is answered by a provider that does as well."""
    proxy = start_proxy(upstream_tls=True)
    url = f"{proxy.https_url}/v1/models"
    token = f"Authorization: Bearer {proxy.token(POLICY)}"
    options = ["--cacert", str(proxy.ca), f"--http{version}", "-H", token]
    done = curl(url, *options, environ={}, folder=tmp_path)
    assert b'"object":"list"' in done.stdout
    assert fake_provider.last.tls
    assert_only_key(fake_provider.records, proxy.keys["OPENAI_API_KEY"])


def test_provider_with_an_unknown_authority(
    start_proxy: Any, fake_provider: FakeProvider, tmp_path: Path
) -> None:
    """The key does not go to a provider that cannot prove its name."""
    proxy = start_proxy({"server": {"upstream_ca": ""}}, upstream_tls=True)
    assert ask(proxy, proxy.token(POLICY)).status_code == 502
    assert fake_provider.records == []


def test_token_works_at_once_and_stops_at_once(proxy: Proxy) -> None:
    created = proxy.create_token(POLICY)
    assert ask(proxy, created["token"]).status_code == 200
    proxy.cli("token", "delete", "--hash", created["hash"])
    assert ask(proxy, created["token"]).status_code == 401


def test_secrets_are_written_nowhere(proxy: Proxy) -> None:
    """Neither real keys nor wrapper tokens, whatever the outcome of a request."""
    token = proxy.token(POLICY)
    for model in ("gpt-4o", "fail-500", "echo-key", "reset-before-headers"):
        ask(proxy, token, model=model)
    ask(proxy, "tkn_that_nobody_knows")
    proxy.rows(4)
    assert proxy.files_with(token) == []
    assert proxy.files_with("tkn_that_nobody_knows") == []
    for key in proxy.keys.values():
        assert proxy.files_with(key) == []
