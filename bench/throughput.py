"""Requests per second: directly to a provider, through a plain mitmdump, and through the gateway.

    python bench/throughput.py [--rounds N] [--seconds S] [--clients N]

Provider, load and what is measured are a process each, all on loopback and on free ports. The rounds are
interleaved, so that whatever else the machine does hits all of them alike. Prints medians; judges nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from load import measured
from rich import box
from rich.console import Console
from rich.table import Table

from tokenomics_cli.temporary_gateway import TemporaryGateway

HERE = Path(__file__).parent
CHAT = "/v1/chat/completions"
KEY_ENV = "BENCH_KEY"
POLICY = {"base_key_env": KEY_ENV, "model_regex": "^gpt-"}
TIMES = {"p50_ms": ".1f", "p99_ms": ".1f", "cpu_ms": ".2f"}
KINDS = {"JSON": False, "SSE": True}


class Way(NamedTuple):
    """One way to the provider; what a client needs to take it. pid: of the process that is measured, or 0."""

    name: str
    pid: int
    port: int
    url: str
    host: str
    token: str


def main() -> None:
    options = _options()
    # The folder goes last: what runs still writes into it.
    with tempfile.TemporaryDirectory(prefix="tokenomics-bench-") as folder, ExitStack() as running:
        provider = running.enter_context(_provider())
        pid, mitmdump = running.enter_context(_mitmdump(provider, Path(folder) / "mitmdump"))
        gateway, token = running.enter_context(_gateway(provider, Path(folder) / "gateway"))
        ways = [
            Way("direct", 0, provider, CHAT, f"127.0.0.1:{provider}", "sk-bench"),
            # mitmdump as a proxy takes the whole URL; its script decides where that goes.
            Way("mitmdump", pid, mitmdump, f"http://provider.invalid{CHAT}", "provider.invalid", "sk-bench"),
            Way("tokenomics", gateway.pid, gateway.port, CHAT, f"127.0.0.1:{gateway.port}", token),
        ]
        rounds = _measure(ways, options)
    _report(ways, rounds, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Requests per second with and without the gateway.")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each way (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement (2)")
    parser.add_argument("--clients", type=int, default=16, help="connections at once (16)")
    return parser.parse_args()


# What is measured.


@contextmanager
def _provider() -> Iterator[int]:
    with _process([sys.executable, str(HERE / "provider.py")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


@contextmanager
def _mitmdump(provider: int, folder: Path) -> Iterator[tuple[int, int]]:
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    program = str(Path(sys.executable).parent / "mitmdump")
    # All its defaults, but that it prints no line for each request.
    where = ["--listen-host", "127.0.0.1", "--listen-port", str(port), "--set", f"confdir={folder}"]
    command = [program, "--quiet", *where, "-s", str(HERE / "reroute.py")]
    with _process(command, BENCH_UPSTREAM_PORT=str(provider)) as process:
        _wait_for(process, port)
        yield process.pid, port


@contextmanager
def _gateway(provider: int, folder: Path) -> Iterator[tuple[TemporaryGateway, str]]:
    folder.mkdir()
    config = {
        "default_provider": "openai",
        "providers": {"openai": {"upstream_url": f"http://127.0.0.1:{provider}"}},
    }
    with TemporaryGateway(folder, config, {KEY_ENV: "sk-bench"}) as gateway:
        policy = json.dumps(POLICY)
        created = gateway.cli("token", "create", "--policy", policy, "--json")
        yield gateway, json.loads(created)["token"]


@contextmanager
def _process(command: list[str], stdout: int = subprocess.DEVNULL, **environ: str) -> Iterator[Any]:
    process = subprocess.Popen(command, env={**os.environ, **environ}, stdout=stdout)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"mitmdump did not start on port {port}")


# Measuring.


def _measure(ways: list[Way], options: argparse.Namespace) -> dict[tuple[str, str], list[dict[str, float]]]:
    """The results of each round, by way and kind."""
    rounds: dict[tuple[str, str], list[dict[str, float]]] = {}
    for number in range(options.rounds):
        for kind, stream in KINDS.items():
            # Another one begins each time: none always follows the same neighbour.
            for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
                _progress(f"round {number + 1} of {options.rounds}: {kind}, {way.name}")
                rounds.setdefault((way.name, kind), []).append(_load(way, stream, options))
    _progress("")
    return rounds


def _load(way: Way, stream: bool, options: argparse.Namespace) -> dict[str, float]:
    plan = {
        **way._asdict(),
        "stream": stream,
        "clients": options.clients,
        "seconds": options.seconds,
    }
    return measured(plan, way.pid)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


# Telling.


def _report(
    ways: list[Way], rounds: dict[tuple[str, str], list[dict[str, float]]], options: argparse.Namespace
) -> None:
    # Wide enough for the table, so that it is the same in a pipe.
    console = Console(highlight=False, width=100)
    table = Table(box=box.MARKDOWN)
    for column in ("answer", "way", "requests/s", "p50 ms", "p99 ms", "CPU ms", "x mitmdump", "x direct"):
        table.add_column(column, justify="left" if column in ("answer", "way") else "right", no_wrap=True)
    for kind in KINDS:
        for way in ways:
            mine = rounds[way.name, kind]
            speeds = [_per_second(one) for one in mine]
            times = {name: statistics.median(one[name] for one in mine) for name in TIMES}
            ratios = [_ratio(mine, rounds[other, kind]) for other in ("mitmdump", "direct")]
            numbers = [f"{statistics.median(speeds):.0f}"]
            numbers += [format(time, TIMES[name]) if time else "" for name, time in times.items()]
            numbers += [f"{one:.2f}" for one in ratios]
            table.add_row(kind, way.name, *numbers)
    console.print(
        f"Medians of {options.rounds} rounds of {options.seconds:g} s, {options.clients} clients with "
        f"keep-alive, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"mitmproxy {version('mitmproxy')}. SSE: 20 events.\n",
        soft_wrap=True,
    )
    console.print(table)


def _per_second(result: dict[str, float]) -> float:
    return result["requests"] / result["seconds"]


def _ratio(ours: list[dict[str, float]], others: list[dict[str, float]]) -> float:
    """Median of the ratios within each round: what slows the machine down for a while slows both."""
    return statistics.median(
        _per_second(our) / _per_second(other) for our, other in zip(ours, others, strict=True)
    )


if __name__ == "__main__":
    main()
