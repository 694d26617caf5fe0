"""Plain HTTP by curl: every way in, HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.support.assertions import assert_only_key
from tests.support.clients import curl
from tests.support.proxy import Proxy

POLICY = {"base_key_env": "OPENAI_API_KEY", "default_provider": "openai"}
BODY = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hé"}]})


@pytest.fixture(scope="module")
def token(shared_proxy: Proxy) -> str:
    return shared_proxy.token(POLICY)


def arguments(proxy: Proxy, way: str) -> list[str]:
    """The address, and how to get there."""
    path = "/v1/chat/completions"
    trust = ["--cacert", str(proxy.ca)]
    match way:
        case "base":
            return [proxy.http_url + path]
        case "tls":
            return [proxy.https_url + path, *trust]
        case "tunnel":
            return [f"https://api.openai.com{path}", *trust, "-x", proxy.http_url]
    return [f"https://api.openai.com{path}", *trust, "-x", proxy.https_url, "--proxy-cacert", str(proxy.ca)]


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("way", ["base", "tls", "tunnel", "tls_tunnel"])
def test_every_way_in(
    proxy: Proxy, fake_provider: FakeProvider, token: str, tmp_path: Path, way: str, version: str
) -> None:
    protocol = [] if way == "base" else ["--http" + version]
    head = ["-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/json", "-d", BODY]
    done = curl(*arguments(proxy, way), *protocol, *head, environ={}, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "pong: hé"
    assert fake_provider.last.body == BODY.encode()
    assert_only_key(fake_provider.records, proxy.keys["OPENAI_API_KEY"])


@pytest.mark.parametrize(
    "credential",
    [
        ["-H", "Authorization: Bearer {token}"],
        ["-H", "Authorization: {token}"],
        ["-H", "x-api-key: {token}"],
        ["-H", "api-key: {token}"],
        ["-H", "x-goog-api-key: {token}"],
        ["--url-query", "key={token}"],
    ],
    ids=lambda value: value[1].split("{")[0],
)
def test_every_place_of_the_token(
    proxy: Proxy, fake_provider: FakeProvider, token: str, tmp_path: Path, credential: list[str]
) -> None:
    given = [part.replace("{token}", token) for part in credential]
    body = ["-H", "Content-Type: application/json", "-d", BODY]
    done = curl(*arguments(proxy, "base"), *given, *body, environ={}, folder=tmp_path)
    assert json.loads(done.stdout)["object"] == "chat.completion"
    assert_only_key(fake_provider.records, proxy.keys["OPENAI_API_KEY"])


def test_stream_arrives_as_it_is_sent(
    proxy: Proxy, fake_provider: FakeProvider, token: str, tmp_path: Path
) -> None:
    """What nothing changes passes byte for byte."""
    asked: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}, **json.loads(BODY)}
    head = ["-H", "Content-Type: application/json", "-d", json.dumps(asked)]
    url = f"{fake_provider.url}/v1/chat/completions"
    direct = curl(url, *head, "-H", "Authorization: Bearer sk-direct", environ={}, folder=tmp_path)
    fake_provider.reset()
    through = curl(
        *arguments(proxy, "base"), *head, "-H", f"Authorization: Bearer {token}", environ={}, folder=tmp_path
    )
    assert through.stdout == direct.stdout
    assert fake_provider.last.body == json.dumps(asked).encode()
