"""mitmdump watches its script. Whatever happens to it, the port never stands open without its policy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.attacks import (
    POLICY,
    ask,
    assert_refused,
    chat_request,
    connect_request,
    request,
    tunnel,
)
from tests.support.assertions import assert_only_key
from tests.support.environment import BIN, PROJECT
from tests.support.proxy import Proxy


class ScriptCopy(Proxy):
    """mitmdump on a copy of the script."""

    @property
    def script(self) -> Path:
        return self.folder / "tokenomics.py"

    def serve_command(self) -> list[str]:
        shutil.copyfile(PROJECT / "addons" / "tokenomics.py", self.script)
        self.environ["TOKENOMICS_DIR"] = str(self.dir)
        mode = f"regular@127.0.0.1:{self.http_port}"
        return [str(BIN / "mitmdump"), "--mode", mode, "-s", str(self.script)]


def later(path: Path, text: str) -> None:
    """Writes the file so that the watcher sees a later time, whatever the file system's resolution."""
    after = path.stat().st_mtime + 10
    path.write_text(text)
    os.utime(path, (after, after))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "syntax error": (lambda path: later(path, "def broken(:\n"), "Loading script"),
    "saved again": (lambda path: later(path, path.read_text()), "Loading script"),
    "deleted": (lambda path: path.unlink(), "Removing script"),
}


@pytest.mark.long
@pytest.mark.parametrize("name", CHANGES)
def test_change_of_the_script(start_proxy: Any, fake_provider: FakeProvider, name: str) -> None:
    proxy: ScriptCopy = start_proxy(kind=ScriptCopy)
    token = proxy.token(POLICY)
    assert_governed(proxy, fake_provider, token)
    change, sign = CHANGES[name]
    seen = proxy.log().count(sign)
    change(proxy.script)
    proxy.wait_for(proxy.log, lambda log: log.count(sign) > seen)
    for _ in range(3):
        assert_governed(proxy, fake_provider, token)
    assert proxy.alive
    assert proxy.stop() == 0


def assert_governed(proxy: Proxy, provider: FakeProvider, token: str) -> None:
    """Answers to those who may, with the real key and a row; refusals to all others."""
    provider.reset()
    rows = len(proxy.rows(0))
    answer = ask(proxy, chat_request(token, "echo-key"))
    assert answer.status == 401
    assert proxy.keys["OPENAI_API_KEY"] not in answer.body.decode()
    with tunnel(proxy) as line:
        assert line.ask(request(token=token, host="api.openai.com")).status == 200
    assert_only_key(provider.records, proxy.keys["OPENAI_API_KEY"])
    assert len(provider.records) == 2
    assert_refused(ask(proxy, chat_request("tkn_unknown")), 401)
    assert_refused(ask(proxy, chat_request("")), 401)
    assert_refused(ask(proxy, request(path=f"http://127.0.0.1:{provider.port}/v1/models")), 403)
    assert_refused(ask(proxy, connect_request(f"127.0.0.1:{provider.port}")), 403)
    assert len(provider.records) == 2
    assert len(proxy.rows(rows + 2)) >= rows + 2
