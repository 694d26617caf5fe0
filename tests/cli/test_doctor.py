from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.program import Program
from tests.counters.redis_servers import RedisServer
from tests.fake_provider import FakeProvider
from tests.support.ports import free_ports
from tests.support.proxy import Proxy
from tokenomics_cli.doctor_network import clock_against

KEY = "sk-real-0123456789abcdef"
POLICY = '{"base_key_env":"MY_KEY"}'

type Found = dict[str, dict[str, Any]]


class Doctor:
    """The doctor of one data directory, on ports of its own."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.path = program.folder / "config.yaml"
        self.http_port, self.https_port = free_ports(2)
        self.config()

    def config(self, **config: Any) -> None:
        server = {"http_port": self.http_port, "https_port": self.https_port, **config.pop("server", {})}
        self.path.write_text(yaml.safe_dump({"server": server, **config}))

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        data = ("--config", str(self.path), "--dir", str(self.program.data))
        return self.program.run(*data, "doctor", *words, **environ)

    def found(self, *words: str, code: int = 0, **environ: str) -> Found:
        """By check; of several of one name, the last."""
        done = self.run("--json", *words, **environ)
        assert (done.returncode, done.stderr) == (code, "")
        told = json.loads(done.stdout)
        assert told["failed"] == sum(each["state"] == "fail" for each in told["findings"])
        for each in told["findings"]:
            assert "\n" not in each["detail"]
            assert bool(each["remedy"]) == (each["state"] != "ok"), each
        return {each["check"]: each for each in told["findings"]}


@pytest.fixture
def doctor(program: Program) -> Doctor:
    return Doctor(program)


def test_before_the_first_start_nothing_fails_and_nothing_is_made(doctor: Doctor) -> None:
    done = doctor.run("--quick")
    assert (done.returncode, done.stderr) == (0, "")
    *lines, blank, summary = done.stdout.splitlines()
    assert all(re.match(r"(\[ok\]  |\[!!\]  |\[FAIL\]) \S.{17} \S", line) for line in lines), lines
    assert (blank, summary) == ("", "All checks passed with 1 warning(s)")
    assert f"[ok]   port {doctor.http_port}" in done.stdout
    assert not doctor.program.data.exists()


def test_a_gateway_that_runs(tmp_path: Path, fake_provider: FakeProvider) -> None:
    with Proxy(tmp_path, fake_provider.url) as proxy:
        proxy.token({"base_key_env": "OPENAI_API_KEY"})
        done = proxy.cli("doctor", "--quick", "--json")
        told = json.loads(done.stdout)
        found = {each["check"]: each for each in told["findings"]}
        assert [each for each in told["findings"] if each["state"] == "fail"] == []
        assert done.returncode == 0
        for port in (proxy.http_port, proxy.https_port):
            assert found[f"port {port}"]["detail"].startswith("our gateway, version ")
        assert found["gateway"]["detail"] == f"runs on http://localhost:{proxy.http_port}"
        assert found["token database"]["detail"].endswith(", 1 token(s)")
        assert found["provider keys"]["state"] == "ok"
        assert found["provider openai"]["detail"].startswith("answers (")
        assert re.search(r"ca\.crt, \d+ days old, 182\d days left$", found["ca"]["detail"])
        assert {"ledger.db", "counters.db", "hash key", "ca bundle", "clock"} <= set(found)
        for key in proxy.keys.values():
            assert key not in done.stdout
    # Each provider got its own key, and no other.
    for record in fake_provider.records:
        assert record.key in proxy.keys.values() or record.key == ""


def test_the_configuration(doctor: Doctor) -> None:
    doctor.config(storrage={"db_path": "x"})
    found = doctor.found("--quick", TOKENOMICS_SERVER_HTPP_PORT="1")
    assert found["config"]["state"] == "warn"
    lines = doctor.run("--quick", TOKENOMICS_SERVER_HTPP_PORT="1").stdout
    assert "unknown key storrage is ignored; did you mean storage?" in lines
    assert "TOKENOMICS_SERVER_HTPP_PORT" in lines
    doctor.path.write_text("server: [")
    found = doctor.found(code=1)
    assert list(found) == ["config"]
    assert found["config"]["state"] == "fail"
    doctor.path.unlink()
    assert doctor.found(code=1)["config"]["state"] == "fail"


def test_modes_of_files(doctor: Doctor) -> None:
    program = doctor.program
    program.ok("create", "--policy", POLICY)
    assert program.run("--dir", str(program.data), "ca", "renew", "--authority", "--yes").returncode == 0
    program.data.chmod(0o755)
    assert doctor.found("--quick", MY_KEY=KEY)["data directory"]["state"] == "warn"
    program.data.chmod(0o777)
    for name in ("keys/hash.key", "keys/encryption.key", "tokenomics.db", "certs/ca.key", "certs/server.key"):
        (program.data / name).chmod(0o644)
    done = doctor.run("--quick", MY_KEY=KEY)
    assert done.returncode == 1
    failed = [line.split()[1:3] for line in done.stdout.splitlines() if line.startswith("[FAIL]")]
    assert failed == [
        ["data", "directory"],
        ["hash", "key"],
        ["encryption", "key"],
        ["token", "database"],
        ["ca", "files"],
        ["ca", "files"],
    ]
    assert f"chmod 600 {program.data / 'certs' / 'ca.key'}" in done.stdout


def test_broken_stores(doctor: Doctor) -> None:
    program = doctor.program
    program.ok("create", "--policy", POLICY)
    (program.data / "ledger.db").write_bytes(b"no database" * 1000)
    assert doctor.found("--quick", code=1, MY_KEY=KEY)["ledger.db"]["detail"].endswith(
        "is no SQLite database, or damaged"
    )
    (program.data / "ledger.db").unlink()
    wrong = doctor.found("--quick", code=1, MY_KEY=KEY, TOKENOMICS_HASH_KEY="another")
    assert "were hashed with another key" in wrong["token database"]["detail"]
    (program.data / "keys" / "hash.key").rename(program.folder / "hash.key")
    lost = doctor.found("--quick", code=1, MY_KEY=KEY)["token database"]
    assert "hash.key is not" in lost["detail"]
    assert not (program.data / "keys" / "hash.key").exists()
    database = program.data / "tokenomics.db"
    database.write_bytes(database.read_bytes()[:4096] + os.urandom(8192))
    assert doctor.found("--quick", code=1)["token database"]["state"] == "fail"


def test_a_port_that_belongs_to_others(doctor: Doctor, fake_provider: FakeProvider) -> None:
    doctor.config(server={"http_port": fake_provider.port})
    found = doctor.found("--quick", code=1)
    assert found[f"port {fake_provider.port}"]["detail"].endswith("belongs to another program")
    assert found["gateway"]["detail"].startswith("does not run")
    doctor.config(server={"host": "0.0.0.0"})
    assert "tokens cross it readable" in doctor.found("--quick")["exposure"]["detail"]
    doctor.config(server={"http_port": 0, "tls": {"enabled": False}})
    assert doctor.found("--quick", code=1)["ports"]["state"] == "fail"


def test_keys_that_policies_need(doctor: Doctor) -> None:
    doctor.program.ok("create", "--policy", POLICY)
    doctor.program.ok(
        "create", "--policy", '{"providers":{"openai":[{"base_key_env":"OTHER_KEY","model_regex":"^gpt"}]}}'
    )
    found = doctor.found("--quick", code=1)["provider keys"]
    assert found["detail"] == "policies need $MY_KEY, $OTHER_KEY, not set in this environment"
    assert doctor.found("--quick", MY_KEY=KEY)["provider keys"]["state"] == "warn"
    assert doctor.found("--quick", MY_KEY=KEY, OTHER_KEY=KEY)["provider keys"]["state"] == "ok"


def test_providers_elsewhere_are_asked_only_online(doctor: Doctor, fake_provider: FakeProvider) -> None:
    # A name that cannot exist: who asks, fails.
    far = {"upstream_url": "https://far.invalid", "api_key_env": "MY_KEY"}
    near = {"upstream_url": fake_provider.url, "api_key_env": "MY_KEY"}
    doctor.config(providers={"far": far, "near": near})
    found = doctor.found("--quick", MY_KEY=KEY)
    assert found["provider near"]["state"] == "ok"
    assert "provider far" not in found
    assert found["providers"]["detail"] == "1 with a key were not asked; --online asks them"
    assert doctor.found("--quick", "--online", code=1, MY_KEY=KEY)["provider far"]["state"] == "fail"
    [asked] = {record.key for record in fake_provider.records}
    assert asked == KEY


def test_the_clock(doctor: Doctor) -> None:
    doctor.program.ok("create", "--policy", POLICY)
    later = time.time() + 86400
    os.utime(doctor.program.data / "tokenomics.db", (later, later))
    found = doctor.found("--quick", MY_KEY=KEY)
    assert found["clock"]["state"] == "warn"
    assert "tokenomics.db was written later" in found["clock"]["detail"]


def test_remote(doctor: Doctor) -> None:
    doctor.config(remote={"url": "http://127.0.0.1:1", "sync": 60})
    assert doctor.found("--quick")["remote sync"]["remedy"] == "set remote.api_key"
    doctor.config(remote={"url": "http://127.0.0.1:1", "api_key": "k" * 20})
    assert doctor.found("--quick")["remote sync"]["detail"] == "configured, once, at the start"


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    [port] = free_ports(1)
    server = RedisServer(tmp_path / "redis", port, "--requirepass", "secret-of-redis")
    server.start()
    try:
        yield server
    finally:
        server.kill()


def test_redis_is_really_asked(doctor: Doctor, redis_server: RedisServer) -> None:
    where = {"addr": f"127.0.0.1:{redis_server.port}", "password": "secret-of-redis", "timeout": 2}
    doctor.config(session={"backend": "redis", "redis": where})
    assert doctor.found("--quick")["redis"]["state"] == "ok"
    doctor.config(session={"backend": "redis", "redis": {**where, "password": "wrong-secret"}})
    done = doctor.run("--quick")
    assert done.returncode == 1
    assert "refuses the password" in done.stdout
    assert "wrong-secret" not in done.stdout + done.stderr
    redis_server.kill()
    doctor.config(session={"backend": "redis", "redis": where})
    assert "cannot be reached" in doctor.found("--quick", code=1)["redis"]["detail"]


# Clients.


@pytest.mark.parametrize("started", [False, True], ids=["before the first start", "with the CA"])
def test_real_clients_are_intercepted(doctor: Doctor, started: bool) -> None:
    program = doctor.program
    if started:
        assert program.run("--dir", str(program.data), "ca", "renew", "--authority", "--yes").returncode == 0
    found = doctor.found()
    for name in ("curl", "python3", "node"):
        assert found[f"client {name}"] == {
            "check": f"client {name}",
            "state": "ok",
            "detail": "trusts the CA; is intercepted through HTTPS_PROXY, and by base URL",
            "remedy": None,
        }
    assert program.data.exists() == started
    if started:
        assert sorted(path.name for path in (program.data / "certs").glob("agent-*")) == []


def test_a_client_that_trusts_nothing_or_knows_no_proxy(doctor: Doctor) -> None:
    shims = doctor.program.folder / "shims"
    path = {"PATH": f"{shims}:{doctor.program.environ['PATH']}"}
    _shim(shims / "curl", "unset CURL_CA_BUNDLE SSL_CERT_FILE\n" + _real("curl") + ' "$@"')
    _shim(
        shims / "node",
        "unset NODE_OPTIONS NODE_USE_ENV_PROXY HTTPS_PROXY https_proxy\n" + _real("node") + ' "$@"',
    )
    found = doctor.found(code=1, **path)
    assert found["client curl"]["state"] == "fail"
    assert found["client curl"]["detail"].startswith("does not trust the CA (")
    assert "SSL_CERT_FILE or CURL_CA_BUNDLE" in found["client curl"]["remedy"]
    assert found["client node"]["state"] == "warn"
    assert found["client node"]["detail"] == "trusts the CA, but goes past HTTPS_PROXY"
    assert found["client python3"]["state"] == "ok"


def test_agents_are_asked_in_a_home_of_their_own(doctor: Doctor) -> None:
    """Programs by the agents' names: what each does is done by curl."""
    shims = doctor.program.folder / "shims"
    path = {"PATH": f"{shims}:{doctor.program.environ['PATH']}"}
    asks = (
        _real("curl")
        + ' -s --max-time 10 -H "x-api-key: $ANTHROPIC_API_KEY" https://api.anthropic.com/v1/messages'
    )
    seen = doctor.program.folder / "seen"
    _shim(shims / "claude", f'echo "$HOME $*" > {seen}\n{asks}\nsleep 60')
    _shim(shims / "codex", f"unset CURL_CA_BUNDLE SSL_CERT_FILE\n{asks}")
    _shim(shims / "gemini", "exit 41")
    _shim(shims / "goose", "exit 1")
    began = time.monotonic()
    found = doctor.found(code=1, **path)
    assert found["agent claude"]["state"] == "ok"
    assert found["agent claude"]["detail"] == "is intercepted on its way to api.anthropic.com"
    home, words = seen.read_text().split(maxsplit=1)
    assert words == "-p hi\n"
    assert home != str(doctor.program.folder / "home")
    assert not Path(home).exists()
    assert found["agent codex"]["state"] == "fail"
    assert "api.anthropic.com" in found["agent codex"]["detail"]
    assert found["agent gemini"]["state"] == "warn"
    assert "not tried" in found["agent goose"]["detail"]
    # What was seen is ended, whatever it still had in mind.
    assert time.monotonic() - began < 55


def _real(program: str) -> str:
    done = subprocess.run(["sh", "-c", f"command -v {program}"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _shim(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("date", "failed"),
    [
        ("Sat, 21 Nov 2026 12:04:59 GMT", False),
        ("Sat, 21 Nov 2026 12:05:01 GMT", True),
        ("Sat, 21 Nov 2026 11:00:00 GMT", True),
        ("yesterday", False),
    ],
)
def test_the_clock_of_a_provider(date: str, failed: bool) -> None:
    found = list(clock_against([date], datetime(2026, 11, 21, 12, tzinfo=UTC)))
    assert [each.state for each in found] == (["fail"] if failed else [])
