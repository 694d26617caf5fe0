"""SIGHUP takes over providers and log settings; a broken file changes nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.fake_provider import FakeProvider
from tests.support.proxy import Proxy
from tests.support.raw_http import chat

POLICY = {"base_key_env": "OPENAI_API_KEY", "default_provider": "fresh"}


def ask(proxy: Proxy, token: str) -> int:
    answer = httpx.post(
        f"{proxy.http_url}/v1/chat/completions",
        json=chat(),
        headers={"x-api-key": token},
        trust_env=False,
        timeout=10,
    )
    return answer.status_code


def config_file(proxy: Proxy) -> Path:
    return Path(proxy.folder) / "config.yaml"


def test_a_new_provider_is_there_after_sighup(start_proxy: Any, fake_provider: FakeProvider) -> None:
    proxy = start_proxy()
    token = proxy.token(POLICY)
    config = yaml.safe_load(config_file(proxy).read_text())
    config["providers"]["fresh"] = {"upstream_url": fake_provider.url + "/base"}
    config_file(proxy).write_text(yaml.safe_dump(config))
    os.kill(proxy.pid, signal.SIGHUP)
    proxy.wait_for(proxy.log, lambda text: "were reloaded" in text)
    assert ask(proxy, token) == 200
    assert fake_provider.last.path.startswith("/base/v1/")

    config_file(proxy).write_text("providers: [")
    os.kill(proxy.pid, signal.SIGHUP)
    proxy.wait_for(proxy.log, lambda text: "not reloaded" in text)
    assert ask(proxy, token) == 200
