from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from tests import loopback_guard
from tests.cli.program import Program
from tests.support.environment import BIN
from tokenomics_cli.demo_provider import DemoProvider
from tokenomics_cli.demo_steps import STEPS

PORT = re.compile(r"http://127\.0\.0\.1:(\d+)")
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]m")


@pytest.fixture
def temporary(program: Program) -> Path:
    """The folder in which the program makes its temporary files."""
    folder = program.folder / "tmp"
    folder.mkdir()
    program.environ["TMPDIR"] = str(folder)
    return folder


def assert_nothing_left(program: Program, temporary: Path, output: str) -> None:
    assert list(temporary.iterdir()) == []
    assert not program.data.exists()
    assert list((program.folder / "home").iterdir()) == []
    ports = {int(port) for port in PORT.findall(output)}
    assert ports
    for port in ports:
        with closing(socket.socket()) as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, f"somebody still listens on {port}"
    assert loopback_guard.refusals(program.folder / "guard.log") == []


def test_every_step_goes_as_told(program: Program, temporary: Path) -> None:
    """Whatever the person has configured, and whatever keys there are: they are not used."""
    theirs = {
        "OPENAI_API_KEY": "sk-real-of-a-person",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
        "SSL_CERT_FILE": "/nowhere.pem",
        "TOKENOMICS_SERVER_HTTP_PORT": "1",
        "TOKENOMICS_DIR": str(program.data),
        "TOKENOMICS_HASH_KEY": "a key of a person",
    }
    (program.folder / "config.yaml").write_text("server: 5\n")
    done = program.run("demo", **theirs)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    for number, step in enumerate(STEPS, 1):
        assert f"\n{number}. {step.title}\n{step.run.__doc__}\n" in done.stdout
    assert "< 200 You said: Hello again.\n" in done.stdout
    assert '< 403 model_not_allowed: model "o3" does not match policy regex "^gpt-4o-mini"\n' in done.stdout
    assert f"All {len(STEPS)} steps went as told." in done.stdout
    assert "sk-real" not in done.stdout
    assert "\x1b" not in done.stdout
    assert_nothing_left(program, temporary, done.stdout)


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 1), (signal.SIGHUP, 1)], ids=str
)
def test_an_end_in_the_middle_leaves_nothing(
    program: Program, temporary: Path, number: signal.Signals, code: int
) -> None:
    process = program.start("demo")
    assert process.stdout is not None
    output = ""
    for line in process.stdout:
        output += line
        if line.startswith("1. "):
            process.send_signal(number)
            break
    rest, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert "went as told" not in rest
    assert_nothing_left(program, temporary, output)


def test_a_reader_that_leaves_early_ends_it(program: Program, temporary: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"'{BIN}/tokenomics-cli' demo | head -n 3"],
        env=program.environ,
        cwd=program.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (len(done.stdout.splitlines()), done.stderr) == (3, "")
    assert_nothing_left(program, temporary, done.stdout)


def test_a_step_that_goes_another_way_is_told(program: Program, temporary: Path) -> None:
    """The other steps are shown all the same."""
    broken = (
        "import sys, tokenomics_cli.demo_steps as demo\n"
        "def wrong(tour): demo.expect(False, 'the sky is green')\n"
        "def worse(tour): raise ZeroDivisionError('boom')\n"
        "first = demo.STEPS[0]\n"
        "demo.STEPS[:] = [demo.Step('Wrong', wrong), demo.Step('Worse', worse), first]\n"
        "from tokenomics_cli.app import main\n"
        "sys.exit(main(['demo']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", broken],
        env=program.environ,
        cwd=program.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "\nNot as told: the sky is green\n" in done.stdout
    assert "\nNot as told: ZeroDivisionError: boom\n" in done.stdout
    assert "< 200 You said: Hello.\n" in done.stdout
    assert done.stdout.endswith("2 of 3 steps did not go as told.\n")
    assert_nothing_left(program, temporary, done.stdout)


def test_a_gateway_that_does_not_start_is_told(program: Program, temporary: Path) -> None:
    broken = (
        "import sys, tokenomics_cli.temporary_gateway as temporary\n"
        "temporary._free_port = lambda: 99999\n"
        "from tokenomics_cli.app import main\n"
        "sys.exit(main(['demo']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", broken],
        env=program.environ,
        cwd=program.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the gateway did not start; it said:\n  ")
    assert "server.http_port" in done.stderr
    assert list(temporary.iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_is_for_terminals_that_want_it(
    program: Program, temporary: Path, environ: dict[str, str], coloured: bool
) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [BIN / "tokenomics-cli", "demo"],
        env=program.environ | {"TERM": "xterm-256color"} | environ,
        cwd=program.folder,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    output = b""
    try:
        while data := os.read(ours, 65536):
            output += data
    except OSError:
        # How Linux says that the terminal's other side is closed.
        pass
    os.close(ours)
    assert process.wait(30) == 0
    assert bool(COLOUR.search(output.decode())) is coloured


# The provider.


def test_provider_alone(program: Program) -> None:
    """It says where it is, and what comes, without the key's secret part."""
    process = program.start("demo", "--provider", "0")
    assert process.stdout is not None
    first = process.stdout.readline()
    (port,) = PORT.findall(first)
    body = {"model": "m", "messages": [{"role": "user", "content": "a b c"}]}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        head = {"authorization": "Bearer sk-12345678901234567890"}
        answer = client.post("/v1/chat/completions", json=body, headers=head)
        assert answer.json()["choices"][0]["message"]["content"] == "You said: a b c"
        taken = program.run("demo", "--provider", port)
    assert (taken.returncode, taken.stderr) == (
        1,
        f"Error: port {port}: Address already in use; give another one\n",
    )
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert rest == "POST /v1/chat/completions key sk-12345...\n"


@contextmanager
def connected() -> Iterator[tuple[DemoProvider, httpx.Client]]:
    with (
        DemoProvider(pause=0) as provider,
        httpx.Client(base_url=provider.url, trust_env=False) as client,
    ):
        yield provider, client


CHAT = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "é ü"}]},
    ],
}
MESSAGE = {"model": "m", "system": "be brief", "max_tokens": 5, "messages": [CHAT["messages"][1]]}


def test_provider_speaks_openai() -> None:
    with connected() as (provider, client):
        whole = client.post("/v1/chat/completions", json=CHAT).json()
        assert whole["choices"][0]["message"]["content"] == "You said: é ü"
        assert whole["usage"] == {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8}
        for options in ({}, {"stream_options": {"include_usage": True}}):
            body = CHAT | {"stream": True} | options
            text = client.post("/v1/chat/completions", json=body).text
            *events, end = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
            chunks = [json.loads(event) for event in events]
            pieces = [choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]]
            assert ("".join(pieces), end) == ("You said: é ü", "[DONE]")
            assert [chunk["usage"] for chunk in chunks if "usage" in chunk] == [whole["usage"]] * len(options)
        assert [seen.path for seen in provider.seen] == ["/v1/chat/completions"] * 3


def test_provider_speaks_anthropic() -> None:
    with connected() as (provider, client):
        whole = client.post("/v1/messages", json=MESSAGE, headers={"x-api-key": "sk-ant"}).json()
        assert whole["content"] == [{"type": "text", "text": "You said: é ü"}]
        assert whole["usage"] == {"input_tokens": 4, "output_tokens": 4}
        text = client.post("/v1/messages", json=MESSAGE | {"stream": True}).text
        events = [json.loads(event.partition("data: ")[2]) for event in text.split("\n\n") if event]
        assert "".join(event["delta"].get("text", "") for event in events if "delta" in event) == (
            "You said: é ü"
        )
        assert [event["type"] for event in events][-2:] == ["message_delta", "message_stop"]
        assert events[-2]["usage"] == whole["usage"]
        assert [seen.key for seen in provider.seen] == ["sk-ant", ""]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/chat/completions", b"", 404),
        ("POST", "/v1/embeddings", b"{}", 404),
        ("POST", "/v1/chat/completions", b"{", 400),
        ("POST", "/v1/chat/completions", b"[]", 400),
        ("POST", "/v1/chat/completions", b'{"messages": []}', 400),
        ("POST", "/v1/chat/completions", b'{"messages": [{"content": "no model"}]}', 400),
        ("POST", "/v1/messages", b'{"messages": [{"content": 5}]}', 400),
    ],
)
def test_provider_refuses_what_it_does_not_know(method: str, path: str, body: bytes, status: int) -> None:
    with connected() as (_, client):
        answer = client.request(method, path, content=body)
        assert answer.status_code == status
        assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "nonsense", [b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n"]
)
def test_provider_closes_on_nonsense(nonsense: bytes) -> None:
    with connected() as (provider, client):
        with socket.create_connection(("127.0.0.1", provider.port), timeout=5) as connection:
            connection.sendall(nonsense)
            assert connection.recv(100) == b""
        assert client.get("/").status_code == 404
