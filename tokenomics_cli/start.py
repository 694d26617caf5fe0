"""`tokenomics-cli start`: the gateway in the background."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tokenomics_cli.command import Invocation, command, new_app
from tokenomics_cli.place_flags import HostFlag, PidFileFlag, PortFlag, TlsCommand, TlsFlag

app = new_app("Start the gateway in the background.")

LogFileFlag = Annotated[
    str, typer.Option("--log-file", metavar="PATH", help="Instead of gateway.log in the data directory.")
]


@command(app, "start", cls=TlsCommand)
def start(
    invocation: Invocation,
    host: HostFlag = "",
    port: PortFlag = None,
    tls: TlsFlag = None,
    pid_file: PidFileFlag = "",
    log_file: LogFileFlag = "",
) -> None:
    """Start the gateway in the background, and print its URL.

    One that runs already is found, and its URL printed. All else that is said goes to standard error.

    \b
    export TOKENOMICS_PROXY_URL=$(tokenomics-cli start)
    """
    from tokenomics_cli.gateway_place import place
    from tokenomics_cli.gateway_process import find_or_start, keep
    from tokenomics_cli.pid_file import starting
    from tokenomics_core.config import prepare_data_dir

    config = invocation.config
    prepare_data_dir(config)
    log = Path(log_file).expanduser().absolute() if log_file else None
    with starting(config.dir):
        where = place(config, host=host, port=port, tls=tls)
        gateway = find_or_start(invocation, where, named=pid_file, log=log)
        keep(gateway)
    if gateway.started_here:
        print(f"Proxy started: {gateway.url}", file=sys.stderr)
    else:
        print(f"Proxy already running: {gateway.url}. Use 'tokenomics-cli stop' to stop it.", file=sys.stderr)
    print(gateway.url)
