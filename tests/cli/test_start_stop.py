from __future__ import annotations

import http.client
import json
import plistlib
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.gateways import Home, stranger
from tests.cli.program import Program
from tokenomics_cli.gateway_probe import ask
from tokenomics_core.process import Process

PYTHON = [sys.executable, "-c"]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    yield made
    made.end()


def cli(home: Home, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return home.run(*home.flags, *words, **environ)


def test_a_gateway_in_the_background(home: Home) -> None:
    done = cli(home, "start", OPENAI_API_KEY="sk-real")
    assert (done.returncode, done.stdout) == (0, f"{home.url}\n"), done.stderr
    assert done.stderr == f"Proxy started: {home.url}\n"
    record, process = home.record(), home.process()
    assert home.pid_file.stat().st_mode & 0o777 == 0o600
    assert (record["url"], record["keys"]) == (home.url, {"openai": "OPENAI_API_KEY"})

    again = cli(home, "start")
    assert (again.returncode, again.stdout) == (0, f"{home.url}\n")
    assert "already running" in again.stderr
    assert home.process() == process

    told = json.loads(cli(home, "status", "--json").stdout)["proxy"]
    assert (told["status"], told["pid"], told["url"]) == ("running", process.pid, home.url)
    assert "Tokenomics is ready on" in cli(home, "logs").stdout
    assert cli(home, "logs", "-n", "0").stdout == ""

    # A pid file that somebody deleted is no reason to start a second one, or to leave the first.
    home.pid_file.unlink()
    assert cli(home, "start").returncode == 0
    assert home.process() == process
    home.pid_file.unlink()
    stopped = cli(home, "stop")
    assert stopped.stderr == "Proxy stopped (recovered from stale or missing PID file)\n"
    assert not process.alive
    assert not home.pid_file.exists()
    assert "Proxy not running (no PID file at " in cli(home, "stop").stderr


def test_two_starts_at_once_make_one_gateway(home: Home) -> None:
    both = [home.start(*home.flags, "start") for _ in range(2)]
    said = [one.communicate(timeout=60) for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert {out for out, _ in said} == {f"{home.url}\n"}
    assert sorted(err.split(":")[0] for _, err in said) == ["Proxy already running", "Proxy started"]


def test_a_number_that_is_another_process_by_now_is_not_signalled(home: Home) -> None:
    home.data.mkdir()
    with subprocess.Popen([*PYTHON, "input()"], stdin=subprocess.PIPE) as bystander:
        other = {"pid": bystander.pid, "started": "1", "url": home.url, "instance": "x"}
        home.pid_file.write_text(json.dumps(other))
        assert "stopped" in cli(home, "status").stdout
        done = cli(home, "stop")
        assert (done.returncode, done.stderr) == (
            0,
            f"Proxy not running (PID {bystander.pid} is gone, or another process by now)\n",
        )
        assert bystander.poll() is None
        bystander.communicate(b"\n")
    assert bystander.returncode == 0


def test_a_port_that_a_stranger_has(home: Home) -> None:
    with stranger() as other:
        done = cli(home, "start", "--port", str(other.port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: port {other.port} is taken by a gateway of another data directory"
        f" (http://localhost:{other.port}); choose another one with --port\n"
    )
    assert not home.pid_file.exists()


def test_what_a_gateway_dies_of_is_told(home: Home, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        f"server: {{http_port: {home.port}, tls: {{enabled: true, auto_gen: false}}}}"
    )
    done = cli(home, "start")
    assert (done.returncode, done.stdout) == (1, "")
    first, log = done.stderr.splitlines()
    assert first.startswith("Error: the gateway did not start: TLS enabled but no cert files provided")
    assert log == f"  its log: {home.data / 'gateway.log'}"


def test_the_second_listener_finds_its_port_taken(home: Home, tmp_path: Path) -> None:
    with stranger() as other:
        (tmp_path / "config.yaml").write_text(f"server: {{http_port: {home.port}, https_port: {other.port}}}")
        done = cli(home, "start")
    assert done.returncode == 1
    assert f"did not start: port {other.port} is taken by another program; " in done.stderr
    assert not home.pid_file.exists()


def test_a_proof_holds_for_one_port_and_one_directory(home: Home, tmp_path: Path) -> None:
    from tokenomics_core.tokens.proof import CHALLENGE, PROOF, prove, proven

    assert cli(home, "start").returncode == 0
    key = (home.data / "keys" / "hash.key").read_bytes().strip()
    answer = ask(home.url, key, home.data)
    assert (answer.who, answer.process) == ("ours", home.process())
    assert ask(home.url, b"another key", home.data).who == "another gateway"
    assert ask(home.url, key, tmp_path).who == "another gateway"
    # What a program on another port passes on from the real gateway proves nothing.
    connection = http.client.HTTPConnection("127.0.0.1", home.port, timeout=5)
    connection.request("GET", "/health", headers={CHALLENGE: "ab" * 16})
    said = connection.getresponse().getheader(PROOF) or ""
    connection.close()
    assert proven(key, "ab" * 16, said, data_dir=home.data, port=home.port) == home.process()
    assert proven(key, "ab" * 16, said, data_dir=home.data, port=home.port + 1) is None
    assert proven(key, "cd" * 16, said, data_dir=home.data, port=home.port) is None
    assert prove(key, "tkn_x", data_dir=home.data, port=1, process=Process.own()) == ""


def test_flags_say_where_it_listens(home: Home) -> None:
    from tests.support.ports import free_ports

    [port] = free_ports(1)
    named = ["--pid-file", str(home.data / "my.pid")]
    done = cli(home, "start", "--port", str(port), "--tls=true", *named)
    told = json.loads(cli(home, "status", "--json", *named).stdout)
    stopped = cli(home, "stop", *named)
    assert (done.returncode, done.stdout) == (0, f"https://localhost:{port}\n"), done.stderr
    assert told["proxy"]["status"] == "running"
    assert stopped.stderr == f"Proxy stopped (PID {told['proxy']['pid']})\n"


@pytest.mark.parametrize("folder", ["plain", "with space", 'q"uote', "100%"])
def test_units_name_program_and_data(tmp_path: Path, folder: str) -> None:
    program = Program(tmp_path)
    data = str(tmp_path / folder)
    unit = program.run("--dir", data, "service", "print", "systemd").stdout
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    words = [word.replace("%%", "%") for word in shlex.split(line.removeprefix("ExecStart="))]
    assert words[1:] == ["--dir", data, "serve"]
    plist = plistlib.loads(program.run("--dir", data, "service", "print", "launchd").stdout.encode())
    script: Any = plist["ProgramArguments"][2]
    assert shlex.split(script)[-3:] == ["--dir", data, "serve"]
    assert plist["StandardErrorPath"] == data + "/gateway.log"


def test_status_without_anything(program: Program) -> None:
    done = program.run(
        "--dir",
        str(program.data),
        "status",
        OPENAI_API_KEY="sk-secret-value",
        ANTHROPIC_API_KEY="tkn_0f8fad5b-d9cb-469f-a165-70867728950e",
        OPENAI_BASE_URL="http://me:secret@localhost:1/v1",
        TOKENOMICS_KEY="tkn_0f8fad5b-d9cb-469f-a165-70867728950e",
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert ["Status:", "stopped"] in lines
    assert ["Token:", "tkn_...950e"] in lines
    assert ["OPENAI_API_KEY", "set (direct key)"] in lines
    assert ["ANTHROPIC_API_KEY", "proxy token"] in lines
    assert ["OPENAI_BASE_URL", "http://localhost:1/v1"] in lines
    assert ["0", "tokens in database"] in lines
    assert "secret" not in done.stdout
    assert not program.data.exists()
    broken = program.run("--config", "nowhere.yaml", "status")
    assert broken.returncode == 0
    assert "Config: error loading (" in broken.stdout
