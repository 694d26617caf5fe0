"""What webhooks cost a request: without one, with a receiver that answers, and with one that never does.

    python bench/webhooks.py [--rounds N] [--seconds S] [--clients N]

Three gateways, each a process, before one provider; all on loopback. The rounds are interleaved. Every
request makes two events. CPU ms is processor time of the gateway for each request, the deliveries that it
makes meanwhile included. Prints medians; judges nothing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from load import measured

from tokenomics_cli.temporary_gateway import TemporaryGateway

HERE = Path(__file__).parent
KEY_ENV = "BENCH_KEY"
POLICY = {"base_key_env": KEY_ENV, "model_regex": "^gpt-"}
WAYS = ("no webhook", "it answers", "it never answers")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="What webhooks cost a request.")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each way (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement (2)")
    parser.add_argument("--clients", type=int, default=4, help="connections at once (4)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tokenomics-bench-") as folder, ExitStack() as running:
        provider = running.enter_context(_provider())
        ways = {way: running.enter_context(_gateway(way, provider, Path(folder) / way)) for way in WAYS}
        results: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for number in range(options.rounds):
            for way in WAYS[number % len(WAYS) :] + WAYS[: number % len(WAYS)]:
                gateway, token = ways[way]
                results[way].append(_load(gateway, token, options))
        waiting = {way: _waiting(gateway) for way, (gateway, _) in ways.items()}
    print(f"Medians of {options.rounds} rounds of {options.seconds:g} s, {options.clients} clients.\n")
    print("| webhook          | requests/s | p50 ms | p99 ms | CPU ms | events that wait |")
    print("|------------------|------------|--------|--------|--------|------------------|")
    for way, found in results.items():
        middle = {name: statistics.median(each[name] for each in found) for name in found[0]}
        rate = middle["requests"] / middle["seconds"]
        times = f"{middle['p50_ms']:6.1f} | {middle['p99_ms']:6.1f} | {middle['cpu_ms']:6.2f}"
        print(f"| {way:16} | {rate:10.0f} | {times} | {waiting[way]:16,} |")


@contextmanager
def _provider() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, str(HERE / "provider.py")], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


@contextmanager
def _gateway(way: str, provider: int, folder: Path) -> Iterator[tuple[TemporaryGateway, str]]:
    folder.mkdir()
    config: dict[str, object] = {
        "default_provider": "openai",
        "providers": {"openai": {"upstream_url": f"http://127.0.0.1:{provider}"}},
    }
    with ExitStack() as running:
        if way != WAYS[0]:
            port = running.enter_context(_receiver(answers=way == WAYS[1]))
            hook = {"url": f"http://127.0.0.1:{port}", "timeout": 600, "max_queue": 1_000_000}
            config["events"] = {"webhooks": [hook]}
        gateway = running.enter_context(TemporaryGateway(folder, config, {KEY_ENV: "sk-bench"}))
        created = gateway.cli("token", "create", "--policy", json.dumps(POLICY), "--json")
        yield gateway, json.loads(created)["token"]


@contextmanager
def _receiver(*, answers: bool) -> Iterator[int]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_receive, args=(theirs, answers), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def _receive(told: Connection, answers: bool) -> None:
    """Reads whatever comes, and answers each request, or none."""

    def serve(line: socket.socket) -> None:
        data = b""
        while piece := line.recv(65536):
            data += piece
            head, end, body = data.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if end and len(body) >= length:
                data = body[length:]
                if answers:
                    line.sendall(ANSWER)

    with socket.create_server(("127.0.0.1", 0)) as server:
        told.send(server.getsockname()[1])
        while True:
            line, _ = server.accept()
            threading.Thread(target=serve, args=(line,), daemon=True).start()


def _load(gateway: TemporaryGateway, token: str, options: argparse.Namespace) -> dict[str, float]:
    port = gateway.port
    plan = {
        "port": port,
        "url": "/v1/chat/completions",
        "host": f"127.0.0.1:{port}",
        "token": token,
        "stream": False,
        "clients": options.clients,
        "seconds": options.seconds,
    }
    return measured(plan, gateway.pid)


def _waiting(gateway: TemporaryGateway) -> int:
    listed = json.loads(gateway.cli("events", "list", "--json", "--limit", "1"))
    return sum(int(each["pending"]) for each in listed["webhooks"])


if __name__ == "__main__":
    main()
