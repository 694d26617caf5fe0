"""The request log and the gateway's own messages, of a running gateway: where they go, in which form, what
bodies they hold, and what changes with SIGHUP."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.counters.redis_servers import RedisServer, redis_server
from tests.fake_provider import FakeProvider
from tests.money.governed import POLICY, create
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import FORMATS, OPENAI, Format
from tests.proxy.test_frames import create as frame
from tests.proxy.test_frames import socket, until_done
from tests.support.ports import free_ports
from tests.support.proxy import MitmdumpProxy, Proxy

Json = dict[str, Any]
MAIL = "alice.liddell@wonderland.example"
RESTORING = {"type": "pii", "detect": ["email"], "action": "mask", "style": "typed", "restore": True}
MASKING = {"type": "pii", "detect": ["email"], "action": "mask", "scope": "both"}
WARNING = {"name": "hello", "type": "regex", "pattern": "say hello", "action": "warn"}
BODIES = {"request_body": True, "response_body": True}


class Apart(Proxy):
    """Its standard output and its standard error, each in a file of its own.

    error: the descriptor that the latter goes to instead.
    """

    error = -1

    def launch(self, command: list[str]) -> None:
        with (self.folder / "stdout").open("ab") as out, self.output.open("ab") as said:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=said if self.error < 0 else self.error,
            )

    def lines(self, name: str) -> list[str]:
        """Of ``stdout``, ``stderr``, or a file in the data directory."""
        path = {"stdout": self.folder / "stdout", "stderr": self.output}.get(name, self.dir / name)
        return path.read_text().splitlines() if path.exists() else []


class ApartMitmdump(Apart, MitmdumpProxy):
    pass


def messages(lines: list[str], form: str) -> list[tuple[str, str]]:
    """Level and words of the gateway's own messages among the lines."""
    if form == "text":
        found = [re.match(r"[0-9T:.-]+Z ([A-Z]+) tokenomics[a-z_.]*: (.*)", line) for line in lines]
        return [(match[1], match[2]) for match in found if match]
    told = [json.loads(line) for line in lines if line.startswith('{"timestamp"')]
    return [(each["level"].upper(), each["message"]) for each in told if "logger" in each]


def requests(lines: list[str], form: str = "json") -> list[Any]:
    if form == "text":
        return [line for line in lines if " POST " in line]
    told = [json.loads(line) for line in lines if line.startswith('{"timestamp"')]
    return [each for each in told if "logger" not in each]


def logged(proxy: Proxy, caller: Caller, count: int = 1) -> list[Json]:
    """The lines of a caller's requests, once there are so many."""

    def read() -> list[Json]:
        lines = (proxy.dir / "tokenomics.log").read_text().splitlines()
        return [each for each in map(json.loads, lines) if each.get("user_agent") == caller.name]

    found = proxy.wait_for(read, lambda lines: len(lines) >= count)
    assert len(found) == count
    return found


# Where, and in which form.


@pytest.mark.long
@pytest.mark.parametrize("kind", [Apart, ApartMitmdump])
@pytest.mark.parametrize("form", ["json", "text", "tokengate"])
def test_requests_on_one_stream_and_messages_on_the_other(
    start_proxy: StartProxy, fake_provider: FakeProvider, kind: type[Apart], form: str
) -> None:
    config = {"logging": {"format": form, "disable_request": False, "file": {"enabled": False}}}
    proxy = start_proxy(config, kind=kind)
    with Caller(proxy, create(proxy, {**POLICY, "rules": [WARNING]}).key) as caller:
        assert caller.ask(text="say hello").status == 200
    assert proxy.stop() == 0
    assert len(requests(proxy.lines("stdout"), form)) == 1
    assert messages(proxy.lines("stdout"), form) == []
    assert requests(proxy.lines("stderr"), form) == []
    (told,) = [each for each in messages(proxy.lines("stderr"), form) if "[rule:warn]" in each[1]]
    assert told[0] == "WARNING" if form == "text" else "WARN"
    assert not (proxy.dir / "tokenomics.log").exists()


@pytest.mark.long
@pytest.mark.parametrize("kind", [Apart, ApartMitmdump])
def test_a_file_has_both_and_the_terminal_keeps_what_people_must_see(
    start_proxy: StartProxy, fake_provider: FakeProvider, kind: type[Apart]
) -> None:
    proxy = start_proxy({"logging": {"level": "debug", "file": {"level": "info"}}}, kind=kind)
    with Caller(proxy, create(proxy, {**POLICY, "rules": [WARNING, MASKING]}).key) as caller:
        assert caller.ask(text=f"say hello to {MAIL}").status == 200
    assert proxy.stop() == 0
    # Of mitmdump, what it says before it has read the script.
    assert [line for line in proxy.lines("stdout") if "Loading script" not in line] == []
    filed = proxy.lines("tokenomics.log")
    assert len(requests(filed)) == 1
    assert {"INFO", "WARN"} <= {level for level, _ in messages(filed, "json")}
    shown = messages(proxy.lines("stderr"), "json")
    assert any("[rule:warn]" in words for _, words in shown)
    assert {level for level, _ in shown} <= {"WARN", "ERROR"}
    # The debug log goes with the level.
    assert any("attempt 1 of 1" in line for line in proxy.lines("proxy.log"))


def test_the_level_of_the_file_is_its_own(start_proxy: StartProxy, fake_provider: FakeProvider) -> None:
    proxy = start_proxy({"logging": {"level": "error", "file": {"level": "warn"}}}, kind=Apart)
    with Caller(proxy, create(proxy, {**POLICY, "rules": [WARNING, MASKING]}).key) as caller:
        assert caller.ask(text=f"say hello to {MAIL}").status == 200
    assert proxy.stop() == 0
    filed = proxy.lines("tokenomics.log")
    assert requests(filed) == []
    assert {level for level, _ in messages(filed, "json")} == {"WARN"}
    assert messages(proxy.lines("stderr"), "json") == []


def test_a_terminal_that_nobody_reads_holds_up_nothing(
    make_proxy: StartProxy, fake_provider: FakeProvider
) -> None:
    proxy = make_proxy(
        {"logging": {"file": {"enabled": False}}},
        {"PYTHONUNBUFFERED": ""},
        kind=Apart,
    )
    assert isinstance(proxy, Apart)
    reading, proxy.error = os.pipe()
    try:
        proxy.start()
        said = b""
        while b"token create" not in said:
            said += os.read(reading, 65536)
        fill(proxy.error)
        with Caller(proxy, create(proxy, {**POLICY, "rules": [WARNING]}).key) as caller:
            for _ in range(30):
                assert caller.ask(text="say hello").status == 200
            assert proxy.wait_for(lambda: requests(proxy.lines("stdout")), lambda found: len(found) == 30)
    finally:
        os.close(reading)
        os.close(proxy.error)
        proxy.stop()


def fill(pipe: int) -> None:
    """Until the next write would have to wait."""
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x" * 4096)
    # The gateway has the same open file.
    os.set_blocking(pipe, True)


def test_a_log_file_that_cannot_be_opened_is_one_line(make_proxy: StartProxy) -> None:
    proxy = make_proxy()
    proxy.http_port, proxy.https_port = free_ports(2)
    proxy._write_config()
    change(proxy, {"file": {"enabled": True, "path": str(proxy.folder)}})
    done = proxy.cli("serve")
    assert done.returncode == 1
    assert re.search(r"^Error: /.*: Is a directory; ", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr


# SIGHUP.


def change(proxy: Proxy, logging: Json) -> None:
    path = proxy.folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["logging"] = logging
    path.write_text(yaml.safe_dump(config))


def changed(proxy: Proxy, logging: Json, sign: str = "were reloaded") -> None:
    """The settings, taken over."""
    change(proxy, logging)
    before = proxy.log().count(sign)
    os.kill(proxy.pid, signal.SIGHUP)
    proxy.wait_for(proxy.log, lambda text: text.count(sign) > before)


@pytest.mark.long
@pytest.mark.parametrize("kind", [Apart, ApartMitmdump])
def test_sighup_changes_every_setting_at_once(
    start_proxy: StartProxy, fake_provider: FakeProvider, kind: type[Apart]
) -> None:
    proxy = start_proxy({"logging": {"disable_request": True, "file": {"enabled": False}}}, kind=kind)
    token = create(proxy, {**POLICY, "rules": [WARNING]})
    with Caller(proxy, token.key) as caller:
        assert caller.ask(text="say hello").status == 200
        off: Json = {"file": {"enabled": False}, "disable_request": False}
        changed(proxy, {**off, "format": "text", **BODIES, "hide_token_hash": True})
        assert caller.ask(text="say hello twice").status == 200
        (line,) = proxy.wait_for(lambda: requests(proxy.lines("stdout"), "text"), bool)
        assert "token_hash=**** " in line
        assert "say hello twice" in line
        assert "response_body=" in line
        assert proxy.wait_for(lambda: messages(proxy.lines("stderr"), "text"), bool)

        changed(
            proxy, {**off, "file": {"enabled": True, "path": str(proxy.dir / "other.log"), "level": "debug"}}
        )
        assert caller.ask(text="say hello again").status == 200
        (entry,) = proxy.wait_for(lambda: requests(proxy.lines("other.log")), bool)
        assert entry["token_hash"] == token.hash[:16]
        assert "request_body" not in entry
        assert len(requests(proxy.lines("stdout"), "text")) == 1

        # What cannot be opened changes nothing.
        changed(
            proxy,
            {"level": "error", "file": {"enabled": True, "path": "data"}},
            "not reloaded: logging.file.path",
        )
        assert caller.ask(text="say hello after all").status == 200
        proxy.wait_for(lambda: requests(proxy.lines("other.log")), lambda lines: len(lines) == 2)

        changed(proxy, {**off, "level": "debug"})
        assert caller.ask().status == 200
        proxy.wait_for(lambda: requests(proxy.lines("stdout")), bool)
        assert proxy.wait_for(lambda: proxy.lines("proxy.log"), bool)
    assert proxy.stop() == 0


# Bodies.


@pytest.fixture(scope="module")
def gateway(make_proxy: Callable[..., Proxy]) -> Iterator[Proxy]:
    with make_proxy({"logging": BODIES}) as proxy:
        yield proxy


@pytest.mark.parametrize("rule", [RESTORING, MASKING], ids=["restored", "masked"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_bodies_are_masked(
    gateway: Proxy, fake_provider: FakeProvider, format: Format, stream: bool, rule: Json
) -> None:
    """As they went to the provider, and as they came from it; also for whom memory is off."""
    with Caller(gateway, create(gateway, {**POLICY, "rules": [rule]}).key) as caller:
        outcome = caller.ask(format, text=f"say {MAIL} now", stream=stream)
        (line,) = logged(gateway, caller)
    assert outcome.status == 200
    placeholder = "<EMAIL_1>" if rule is RESTORING else "[REDACTED]"
    assert json.loads(line["request_body"]) == json.loads(fake_provider.last.body)
    assert placeholder in line["request_body"]
    assert f"say {placeholder} now" in line["response_body"]
    assert gateway.files_with(MAIL) == []
    if stream:
        # What was said in it, not how it came in pieces.
        assert line["response_body"] == f"pong: say {placeholder} now"


def test_what_was_refused_has_no_body(gateway: Proxy, fake_provider: FakeProvider) -> None:
    """It may hold the very thing for which it was refused."""
    rule = {"type": "pii", "detect": ["email"], "action": "fail"}
    with Caller(gateway, create(gateway, {**POLICY, "rules": [rule]}).key) as caller:
        assert caller.ask(text=f"say {MAIL} now").status == 403
        (line,) = logged(gateway, caller)
    assert not line.keys() & {"request_body", "response_body"}
    # Of an answer that was refused, what was asked.
    with Caller(gateway, create(gateway, {**POLICY, "rules": [{**rule, "scope": "output"}]}).key) as caller:
        fake_provider.script([{"text": f"it is {MAIL}"}])
        assert caller.ask(text="who is it").status == 403
        (line,) = logged(gateway, caller)
    assert "who is it" in line["request_body"]
    assert "response_body" not in line
    assert gateway.files_with(MAIL) == []


def test_errors_of_a_provider(gateway: Proxy, fake_provider: FakeProvider) -> None:
    """Without the key, and under the rules for output, though these do not hold for the client."""
    with Caller(
        gateway, create(gateway, {**POLICY, "rules": [{**MASKING, "scope": "output"}]}).key
    ) as caller:
        fake_provider.script([{"do": "echo-key", "status": 401}, {"status": 500, "message": f"ask {MAIL}"}])
        assert caller.ask().status == 401
        assert caller.ask().status == 500
        quoted, masked = logged(gateway, caller, 2)
    assert "[REDACTED]" in quoted["response_body"]
    assert "ask [REDACTED]" in masked["response_body"]
    assert gateway.files_with(gateway.keys["OPENAI_API_KEY"]) == []
    assert gateway.files_with(MAIL) == []


def test_files_are_sizes(gateway: Proxy, fake_provider: FakeProvider) -> None:
    with Caller(gateway, create(gateway, POLICY).key) as caller:
        said = {"model": "tts-1", "voice": "alloy", "input": "hello"}
        spoken = caller.send("POST", "/v1/audio/speech", said)
        assert spoken.status == 200
        form = (
            b"--b\r\ncontent-disposition: form-data; name=file; filename=a\r\n\r\nsecret words\r\n--b--\r\n"
        )
        head = {"content-type": "multipart/form-data; boundary=b"}
        assert caller.send("POST", "/v1/files", form, headers=head).status == 200
        speech, upload = logged(gateway, caller, 2)
    assert json.loads(speech["request_body"]) == said
    assert speech["response_body"] == f"[binary, {len(spoken.body)} bytes]"
    assert upload["request_body"] == f"[binary, {len(form)} bytes]"
    assert gateway.files_with("secret words") == []


def test_a_long_body_is_cut(gateway: Proxy, fake_provider: FakeProvider) -> None:
    with Caller(gateway, create(gateway, POLICY).key) as caller:
        for stream in (False, True):
            assert caller.ask(text="long" * 5_000, stream=stream).status == 200
        for line in logged(gateway, caller, 2):
            for side in ("request_body", "response_body"):
                assert line[side].endswith(" [cut]")
                assert len(line[side]) == 8192 + len(" [cut]")


def test_frames(gateway: Proxy, fake_provider: FakeProvider) -> None:
    """What was asked in a frame, after masking, and what was answered, before values came back."""
    token = create(gateway, {**OPENAI.policy, "rules": [RESTORING]})
    with socket(gateway, token.key) as connection:
        connection.send(frame(text=f"say {MAIL} now"))
        assert MAIL in json.dumps(until_done(connection))

    def of_frame() -> list[Json]:
        lines = (gateway.dir / "tokenomics.log").read_text().splitlines()
        return [each for each in map(json.loads, lines) if each.get("token_hash") == token.hash[:16]]

    lines = gateway.wait_for(of_frame, lambda found: len(found) == 2)
    (line,) = [line for line in lines if "request_body" in line]
    assert "say <EMAIL_1> now" in line["request_body"]
    assert "<EMAIL_1>" in line["response_body"]
    assert gateway.files_with(MAIL) == []


# Several gateways.


@pytest.mark.long
def test_two_gateways_share_a_file_and_lose_no_line(
    start_proxy: StartProxy, fake_provider: FakeProvider, tmp_path: Path
) -> None:
    """Each moves it aside when it is full."""
    file = {"enabled": True, "path": str(tmp_path / "shared.log"), "max_mb": 0.01, "keep": 100}
    proxies = [start_proxy({"logging": {"file": file}}) for _ in range(2)]
    ids = set()
    callers = [Caller(proxy, create(proxy, POLICY).key) for proxy in proxies]
    for _ in range(40):
        for caller in callers:
            ids.add(caller.ask().headers["x-client-request-id"])
    for caller in callers:
        caller.client.close()
    for proxy in proxies:
        assert proxy.stop() == 0
    files = sorted(tmp_path.glob("shared.log*"))
    assert len(files) > 3
    assert max(path.stat().st_size for path in files) <= 0.01 * 2**20
    entries = [entry for path in files for entry in requests(path.read_text().splitlines())]
    assert len(ids) == len(entries) == 80
    assert {entry["client_request_id"] for entry in entries} == ids


# Hiding, and secrets.


def test_hashes_are_hidden_everywhere(start_proxy: StartProxy, fake_provider: FakeProvider) -> None:
    budgets = [{"limit": 50, "unit": "tokens", "action": "warn", "warn_at": 10}]
    logging = {"hide_token_hash": True, "level": "debug", **BODIES, "file": {"level": "debug"}}
    proxy = start_proxy({"logging": logging})
    token = create(proxy, {**POLICY, "budgets": budgets, "rules": [WARNING]})
    with Caller(proxy, token.key) as caller:
        for _ in range(3):
            assert caller.ask(text=f"say hello to {token.hash} [tokens=20]").status == 200
        assert caller.ask(text="x", model="reset-before-headers").status == 502
    assert proxy.stop() == 0
    for name in ("tokenomics.log", "proxy.log"):
        text = (proxy.dir / name).read_text()
        assert "****" in text
        assert token.hash[:16] not in text
    assert token.hash[:16] not in proxy.output.read_text()
    assert "token ****: 10 % of the budget" in proxy.output.read_text()


@pytest.mark.parametrize("kind", [Apart, ApartMitmdump])
def test_no_secret_in_anything_that_a_gateway_writes_with_all_switched_on(
    start_proxy: StartProxy, fake_provider: FakeProvider, kind: type[Apart], tmp_path: Path
) -> None:
    names = ("hook", "signing", "admin", "login", "cookie", "redis")
    secrets = {name: f"{name}-{os.urandom(12).hex()}" for name in names}
    with redis_server(tmp_path / "redis", "--requirepass", secrets["redis"]) as redis:
        _use_everything(start_proxy, fake_provider, kind, secrets, redis)


def _use_everything(
    start_proxy: StartProxy,
    fake_provider: FakeProvider,
    kind: type[Apart],
    secrets: dict[str, str],
    redis: RedisServer,
) -> None:
    hooks = f"{fake_provider.url}/hooks?key={secrets['login']}"
    logging = {"level": "debug", "file": {"level": "debug"}, **BODIES}
    proxy = start_proxy(
        {
            "logging": logging,
            "ledger": {"memory": True, "memory_format": "both", "event_ledger": True},
            "session": {
                "backend": "redis",
                "redis": {"addr": f"127.0.0.1:{redis.port}", "password": secrets["redis"]},
            },
            "admin": {"enabled": True, "auth": {"username": "ops", "password": secrets["admin"]}},
            "events": {
                "webhooks": [{"url": hooks, "secret": secrets["hook"], "signing_key": secrets["signing"]}]
            },
        },
        {"HTTPS_PROXY": f"http://user:{secrets['login']}@127.0.0.1:1"},
        kind=kind,
    )
    kept = {"rules": [RESTORING], "memory": {"enabled": True}}
    token = create(proxy, {**POLICY, **kept, "retry": {"max_retries": 1}})
    strange = "tkn_0badc0de-0000-4000-8000-000000000000"
    cookies = {"Cookie": f"session={secrets['cookie']}", "User-Agent": f"agent {token.key}"}
    fake_provider.script([{"do": "echo-key"}] * 2 + [{"do": "echo-key", "status": 200}] * 2)
    with Caller(proxy, token.key) as caller:
        for stream in (False, True, False, True):
            caller.ask(text=f"say {MAIL} and {token.key}", stream=stream, headers=cookies)
        for model in ("fail-500", "reset-before-headers", "die-mid-stream", "error-in-stream", "no-ending"):
            caller.ask(model=model, stream=True)
        for format in FORMATS:
            caller.ask(format, text="hello", stream=True)
        for key in (token.key, strange):
            path = f"/v1beta/models/gemini-2.5-flash:generateContent?key={key}"
            httpx.post(proxy.http_url + path, json={"contents": []}, trust_env=False)
            httpx.get(f"{proxy.http_url}/v1/{key}/x?{key}={key}", headers={"x-api-key": key}, trust_env=False)
            login = f"{proxy.http_url}".replace("://", f"://x:{key}@")
            with httpx.Client(proxy=login, verify=False, trust_env=False) as through:
                through.post(
                    "http://api.openai.com/v1/chat/completions", json=OPENAI.body("gpt-4o", "hi", False)
                )
        httpx.get(f"{proxy.http_url}/api/dashboard/sessions", auth=("ops", secrets["admin"]), trust_env=False)
        httpx.get(f"{proxy.http_url}/metrics", trust_env=False)
        single = create(proxy, {**OPENAI.policy, **kept})
        with socket(proxy, single.key) as connection:
            connection.send(frame(text=f"say {MAIL} to {token.key}"))
            until_done(connection)
        # What it has to say of a Redis that is gone.
        redis.kill()
        assert caller.ask(text="hello").status == 503
        changed_level = proxy.cli("token", "update", "--hash", token.hash, "--policy", "{")
        assert token.key not in changed_level.stderr
    rows = proxy.rows(15)
    assert {row["status"] for row in rows} >= {200, 401, 502}
    assert proxy.stop() == 0
    own = {path for path in (proxy.dir / "keys").rglob("*") if path.is_file()}
    assert (proxy.dir / "proxy.log").stat().st_size > 0
    planted = [token.key, single.key, strange, *secrets.values(), *proxy.keys.values()]
    planted += [path.read_text().strip() for path in own]
    for secret in planted:
        where = {*proxy.files_with(secret), *_with(proxy.folder / "stdout", secret)} - own
        assert (secret, where) == (secret, set())
    for name in ("tokenomics.log", "proxy.log"):
        assert MAIL not in (proxy.dir / name).read_text()


def _with(path: Path, text: str) -> list[Path]:
    return [path] if text in path.read_text() else []
