"""`tokenomics-cli demo`: a tour of the gateway without any key or network.

A provider of its own on loopback, a gateway of its own in a temporary directory, and a list of steps.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tokenomics_cli.command import Invocation, command, new_app
from tokenomics_cli.errors import CommandError

if TYPE_CHECKING:
    from tokenomics_cli.demo_provider import Seen
    from tokenomics_cli.demo_steps import Step, Tour

app = new_app("See the gateway at work, without a key and without a network.")

ProviderFlag = Annotated[
    int | None,
    typer.Option(
        "--provider",
        metavar="PORT",
        min=0,
        max=65535,
        help="Only run the demo's provider, on this port of 127.0.0.1 (0: a free one), until Ctrl-C.",
    ),
]


@command(app, "demo")
def demo(invocation: Invocation, provider: ProviderFlag = None) -> int:
    """See the gateway at work, without a key and without a network.

    It starts a small provider and a gateway on loopback, both of its own, and removes everything at the end.
    Your configuration, data and keys are not touched. The exit code is 0 when every step went as told.
    """
    _end_on_signals()
    if provider is not None:
        return _serve_provider(provider)
    with tempfile.TemporaryDirectory(prefix="tokenomics-demo-", ignore_cleanup_errors=True) as folder:
        return _run(Path(folder))


def _run(folder: Path) -> int:
    from rich.console import Console

    from tokenomics_cli.demo_provider import DemoProvider
    from tokenomics_cli.demo_steps import KEY_ENV, POLICY, STEPS, Tour
    from tokenomics_cli.temporary_gateway import TemporaryGateway

    console = Console(highlight=False)
    key = "sk-demo-" + secrets.token_hex(8)
    console.print("Starting a provider and a gateway on loopback ...", style="dim")
    with DemoProvider() as provider:
        config = {"providers": {"openai": {"upstream_url": provider.url}}}
        with TemporaryGateway(folder, config, {KEY_ENV: key}) as gateway:
            policy = json.dumps(POLICY)
            token = json.loads(gateway.cli("token", "create", "--policy", policy, "--json"))["token"]
            tour = Tour(console, gateway, provider, token, key)
            tour.tell(f"Provider  {provider.url}, in the place of {POLICY['default_provider']}")
            tour.tell(f"Gateway   {gateway.url}, with the real key {key} in ${KEY_ENV}")
            tour.tell(f"Policy    {policy}")
            tour.tell(f"Token     {token}, all that the agent gets")
            wrong = sum(not _went_as_told(tour, number, step) for number, step in enumerate(STEPS, 1))
    tour.tell("")
    if wrong:
        tour.tell(f"{wrong} of {len(STEPS)} steps did not go as told.", "bold red")
        return 1
    tour.tell(f"All {len(STEPS)} steps went as told. Everything the demo made is removed.", "bold green")
    return 0


def _went_as_told(tour: Tour, number: int, step: Step) -> bool:
    from tokenomics_cli.demo_steps import NotAsTold

    tour.tell(f"\n{number}. {step.title}", "bold")
    tour.tell(step.run.__doc__ or "", "dim")
    try:
        step.run(tour)
    except NotAsTold as difference:
        tour.tell(f"\nNot as told: {difference}", "bold red")
    except BrokenPipeError:
        raise
    except Exception as error:
        # The demo's own clients and parsers: no secret of anybody's can be in what they say.
        tour.tell(f"\nNot as told: {type(error).__name__}: {error}", "bold red")
    else:
        return True
    return False


def _serve_provider(port: int) -> int:
    from tokenomics_cli.demo_provider import DemoProvider

    def show(seen: Seen) -> None:
        # Whoever tries it with a real key should not find it in the terminal's history.
        key = f"{seen.key[:8]}..." if seen.key else "none"
        print(f"{seen.method} {seen.path} key {key}", flush=True)

    try:
        with DemoProvider(port, on_seen=show) as provider:
            print(f"The demo's provider listens on {provider.url}. Ctrl-C ends it.", flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        raise CommandError(f"port {port}: {os.strerror(error.errno or 0)}; give another one") from None
    return 0


def _end_on_signals() -> None:
    """Makes a request to end lead through everything that cleans up, as Ctrl-C does."""

    def end(number: int, frame: object) -> None:
        sys.exit(1)

    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)
