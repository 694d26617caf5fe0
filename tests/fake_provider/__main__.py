"""python -m tests.fake_provider: the fake provider as a process; prints its ports as one line of JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path

from tests.fake_provider import FakeProvider


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fake_provider", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--tls", nargs=2, type=Path, metavar=("CERTFILE", "KEYFILE"))
    arguments = parser.parse_args()
    provider = FakeProvider(
        port=arguments.port,
        control_port=arguments.control_port,
        certificate=tuple(arguments.tls) if arguments.tls else None,
    )

    def say() -> None:
        ports = {"port": provider.port, "tls_port": provider.tls_port, "control_port": provider.control_port}
        print(json.dumps(ports), flush=True)

    with contextlib.suppress(KeyboardInterrupt):
        provider.run_forever(say)


main()
