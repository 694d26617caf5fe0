"""`tokenomics-cli serve`: the gateway in the foreground, on a Master with only the addons that it needs."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenomics_cli.command import Invocation, command, new_app
from tokenomics_cli.errors import CommandError
from tokenomics_cli.gateway_place import base_url
from tokenomics_core.config import Config
from tokenomics_core.providers import Catalogue

if TYPE_CHECKING:
    from addons.services import Services
    from tokenomics_cli.gateway_presence import Presence

log = logging.getLogger("tokenomics")


app = new_app("Run the gateway in the foreground.")

# What `start` and `run` tell the gateway that they start.
PidFileFlag = Annotated[str, typer.Option("--pid-file", hidden=True)]
LogFileFlag = Annotated[str, typer.Option("--log-file", hidden=True)]
WhileUsedFlag = Annotated[bool, typer.Option("--while-used", hidden=True)]


@command(app, "serve")
def serve(
    invocation: Invocation,
    pid_file: PidFileFlag = "",
    log_file: LogFileFlag = "",
    while_used: WhileUsedFlag = False,
) -> int:
    """Run the gateway in the foreground until SIGINT or SIGTERM."""
    config = invocation.config
    tls = config.server.tls
    if tls.enabled and not tls.auto_gen and not (tls.cert_file and tls.key_file):
        raise CommandError(
            "TLS enabled but no cert files provided and auto_gen is disabled; "
            "set server.tls.cert_file and server.tls.key_file, or server.tls.enabled: false"
        )
    if not (config.server.http_port or config.server.https_port):
        raise CommandError("no listener; set server.http_port or server.https_port")
    _refuse_a_second(config)
    first = not (config.dir / "keys").exists()
    told = {"log": log_file, "while_used": while_used}
    return asyncio.run(_run(invocation, config, first, pid_file, told))


async def _run(
    invocation: Invocation, config: Config, first: bool, pid_file: str, told: dict[str, Any]
) -> int:
    from mitmproxy import options
    from mitmproxy.master import Master

    from addons import lean
    from addons.engine import Dispatch
    from addons.lifecycle import listeners
    from addons.services import start_services
    from addons.tokenomics import pipeline

    names = ("core", "disable_h2c", "errorcheck", "next_layer", "proxyserver", "tlsconfig")
    core, disable_h2c, errorcheck, next_layer, proxyserver, tlsconfig = lean.load(names)
    cwd, home = Path.cwd(), Path.home()
    services = start_services(config, os.environ, cwd, home, invocation.read_config)
    _warn_of_unknown_provider(config, services.catalogue)
    master = Master(options.Options())
    master.addons = Dispatch(master)
    master.addons.add(
        core.Core(),
        disable_h2c.DisableH2C(),
        proxyserver.Proxyserver(),
        next_layer.NextLayer(),
        tlsconfig.TlsConfig(),
        *pipeline(services),
        _presence(services, pid_file, told, master.shutdown),
        _Ready(config, first),
        errorcheck.ErrorCheck(),
    )
    master.options.update(mode=listeners(services))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, master.shutdown)
    try:
        await master.run()
    except SystemExit:
        # errorcheck has seen an error while starting; the log has said which.
        return 1
    return 0


def _presence(services: Services, named: str, told: dict[str, Any], shutdown: Callable[[], None]) -> Presence:
    from tokenomics_cli.gateway_presence import Presence
    from tokenomics_cli.pid_file import Record, pid_file
    from tokenomics_core.process import Process
    from tokenomics_core.providers.keys import keys_set

    config, own = services.config, Process.own()
    keys = keys_set(services.catalogue, services.environ)
    record = Record(own.pid, own.started, base_url(config), services.instance, keys=keys, **told)
    return Presence(record, pid_file(config.dir, named), config.dir, shutdown)


class _Ready:
    """Says once, when the listeners are open, what a person needs next."""

    def __init__(self, config: Config, first: bool) -> None:
        self.config = config
        self.first = first

    def running(self) -> None:
        config = self.config
        base = base_url(config)
        ca = config.server.tls.cert_dir / "ca.crt"
        lines = [
            f"Tokenomics is ready on {base}",
            "",
            f"  Base URL     {base}/v1   (OPENAI_BASE_URL; without /v1 for ANTHROPIC_BASE_URL)",
            f"  HTTPS_PROXY  {base}",
            f"  CA file      {ca}",
            f"  Data         {config.dir}",
            "",
            "A token for an agent, where this process has the real key in OPENAI_PAT:",
            f'  {_program()} token create --policy \'{{"base_key_env": "OPENAI_PAT"}}\'',
            "",
        ]
        if self.first:
            lines.insert(1, "First start: keys and a certificate authority were made in the data directory.")
        text = "\n".join(lines)
        # Nobody may read standard error; no request waits for that.
        say = lambda: print(text, file=sys.stderr, flush=True)  # noqa: E731
        threading.Thread(target=say, name="banner", daemon=True).start()


def _program() -> str:
    """How this program was called, where a person can call it the same way."""
    return sys.argv[0] if sys.argv[0].endswith("tokenomics-cli") else "tokenomics-cli"


def _warn_of_unknown_provider(config: Config, catalogue: Catalogue) -> None:
    name = config.default_provider
    if name and catalogue.get(name) is None:
        log.warning("default_provider %r is not in the catalogue and has no effect", name)


def _refuse_a_second(config: Config) -> None:
    """A second gateway on the same port would only fail later, with worse words."""
    url = base_url(config)
    trusting = ssl._create_unverified_context() if url.startswith("https") else None
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting)
    )
    try:
        with opener.open(url + "/ping", timeout=0.5) as answer:
            ours = answer.status == 200 and answer.headers.get("x-tokenomics-instance")
    except (OSError, urllib.error.URLError, ValueError):
        return
    if ours:
        raise CommandError(
            f"proxy already running at {url}. Use 'tokenomics stop' to stop it or "
            "'tokenomics run' to reuse the existing session"
        )
