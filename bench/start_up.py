"""How long people wait: for --help, for a token, for a gateway that answers.

The commands take turns, so that whatever else the machine does meets all of them alike. CPU is what the
process itself used, which other work hardly changes.

    .venv/bin/python bench/start_up.py --rounds 9
"""

from __future__ import annotations

import argparse
import http.client
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

CLI = str(Path(sys.executable).with_name("tokenomics-cli"))
POLICY = '{"base_key_env": "OPENAI_API_KEY"}'
READY = 60.0


class Took(NamedTuple):
    """Milliseconds. cpu: user and system, of the process and what it waited for."""

    wall: float
    cpu: float


def command(words: list[str], environ: dict[str, str]) -> Took:
    begun = time.perf_counter()
    child = subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{words} ended with {child.returncode}")
    return Took(wall * 1000, (used.ru_utime + used.ru_stime) * 1000)


def gateway(folder: Path, environ: dict[str, str]) -> Took:
    """From the call to the first answer of /health."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    own = environ | {"TOKENOMICS_SERVER_HTTP_PORT": str(port), "TOKENOMICS_SERVER_TLS_ENABLED": "false"}
    begun = time.perf_counter()
    child = subprocess.Popen(
        [CLI, "--dir", str(folder), "serve"],
        env=own,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not answers(port):
            if child.poll() is not None or time.perf_counter() - begun > READY:
                raise SystemExit("the gateway did not start")
            time.sleep(0.005)
        wall, cpu = time.perf_counter() - begun, used(child.pid)
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()
    return Took(wall * 1000, cpu)


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def used(pid: int) -> float:
    """CPU milliseconds until now, where the system tells (fields 14 and 15 of proc(5))."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="tokenomics-bench-") as name:
        folder = Path(name)
        environ = {
            name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ
        }
        environ["HOME"] = str(folder)
        data = ["--dir", str(folder / "data")]
        kinds: dict[str, Callable[[], Took]] = {
            "python -c pass": lambda: command([sys.executable, "-c", "pass"], environ),
            "--help": lambda: command([CLI, "--help"], environ),
            "run --help": lambda: command([CLI, "run", "--help"], environ),
            "token create": lambda: command([CLI, *data, "token", "create", "--policy", POLICY], environ),
            "serve, until ready": lambda: gateway(folder / "data", environ),
        }
        # Compiled modules, keys and CA are made once in a machine's life.
        for each in kinds.values():
            each()
        took: dict[str, list[Took]] = {kind: [] for kind in kinds}
        for _ in range(rounds):
            for kind, each in kinds.items():
                took[kind].append(each())
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(
        f"Medians of {rounds} rounds, {os.cpu_count()} cores, load {load:.1f},"
        f" Python {platform.python_version()}.\n"
    )
    print("| command            | wall ms | best ms | CPU ms |")
    print("|--------------------|---------|---------|--------|")
    for kind, all in took.items():
        wall, best = median(each.wall for each in all), min(each.wall for each in all)
        cpu = median(each.cpu for each in all)
        print(f"| {kind:18} | {wall:7.0f} | {best:7.0f} | {cpu:6.0f} |")


if __name__ == "__main__":
    main()
