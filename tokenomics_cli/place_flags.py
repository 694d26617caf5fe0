"""The flags that say where a gateway listens: --host, --port and --tls, also written --tls=false."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tokenomics_cli.help_page import RARE, FittingCommand

HostFlag = Annotated[
    str,
    typer.Option(
        "--host", metavar="NAME", help="Where it listens, instead of server.host.", rich_help_panel=RARE
    ),
]
PortFlag = Annotated[
    int | None,
    typer.Option(
        "--port",
        metavar="N",
        min=1,
        max=65535,
        help="Its port, instead of the configured one.",
        rich_help_panel=RARE,
    ),
]
TlsFlag = Annotated[
    bool | None,
    typer.Option(
        "--tls/--no-tls", help="HTTPS (port 8443), or plain HTTP (port 8080).", rich_help_panel=RARE
    ),
]
PidFileFlag = Annotated[
    str,
    typer.Option(
        "--pid-file",
        metavar="PATH",
        help="Instead of tokenomics.pid in the data directory.",
        rich_help_panel=RARE,
    ),
]

TLS_WORDS = {"--tls=true": "--tls", "--tls=1": "--tls", "--tls=false": "--no-tls", "--tls=0": "--no-tls"}


class TlsCommand(FittingCommand):
    """A command that takes --tls=true and --tls=false, too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        takes_value = {
            name
            for parameter in self.params
            if parameter.param_type_name == "option" and not getattr(parameter, "is_flag", False)
            for name in parameter.opts
        }
        words = list(args)
        at = 0
        while at < len(words) and words[at].startswith("-") and words[at] != "--":
            words[at] = TLS_WORDS.get(words[at], words[at])
            at += 2 if words[at] in takes_value else 1
        return super().parse_args(ctx, words)
