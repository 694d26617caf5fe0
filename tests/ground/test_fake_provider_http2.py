"""The fake provider answers over HTTP/2 as it does over HTTP/1.1."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.fake_provider import FakeProvider
from tests.support.certificates import TestAuthority
from tests.support.clients import curl
from tests.support.raw_http import chat

Ask = Callable[..., CompletedProcess[bytes]]


@pytest.fixture
def ask(fake_provider: FakeProvider, authority: TestAuthority, tmp_path: Path) -> Ask:
    """Asks with curl over HTTP/2."""

    def run(model: str, *options: str, stream: bool = False, text: str = "hi") -> CompletedProcess[bytes]:
        body = json.dumps(chat(model, text, stream=stream))
        head = ["-H", "Authorization: Bearer sk-real", "-H", "Content-Type: application/json"]
        url = f"{fake_provider.tls_url}/v1/chat/completions"
        trust = ["--http2", "--cacert", str(authority.ca), "-w", "\n%{http_version} %{http_code}"]
        return curl(url, *trust, *head, *options, "-d", body, environ={}, folder=tmp_path)

    return run


def test_answers(ask: Ask, fake_provider: FakeProvider) -> None:
    done = ask("gpt-4o")
    assert b'"content":"pong: hi"' in done.stdout
    assert done.stdout.endswith(b"\n2 200")
    assert fake_provider.last.finished
    assert (fake_provider.last.http_version, fake_provider.last.key) == ("2", "sk-real")


def test_streams(ask: Ask) -> None:
    assert b"data: [DONE]" in ask("gpt-4o", stream=True).stdout


def test_waits_for_the_window(ask: Ask) -> None:
    assert len(ask("huge-body,megabytes=2").stdout) > 2 * 1024 * 1024


@pytest.mark.parametrize(
    "model",
    ["reset-before-headers", "close-before-headers", "die-mid-stream", "close-mid-stream", "hang-mid-stream"],
)
def test_breaks_off(ask: Ask, fake_provider: FakeProvider, model: str) -> None:
    done = ask(model, "--max-time", "1", stream=True)
    assert done.returncode != 0
    record = fake_provider.wait_ended()[0]
    assert not record.finished
    assert record.events == (3 if "stream" in model else 0)


@pytest.mark.parametrize("model", ["early-hints-103", "trailers", "slow-stream,delay=0.01", "set-cookie"])
def test_unusual_answers(ask: Ask, model: str) -> None:
    done = ask(model, stream=True)
    assert done.returncode == 0
    assert done.stdout.endswith(b"\n2 200")


def test_errors(ask: Ask) -> None:
    assert ask("fail-429").stdout.endswith(b"\n2 429")
