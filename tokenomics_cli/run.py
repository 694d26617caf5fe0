"""`tokenomics-cli run`: a command whose requests go through the gateway, from beginning to end."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer

from tokenomics_cli.command import Invocation, command, new_app
from tokenomics_cli.help_page import RARE
from tokenomics_cli.place_flags import HostFlag, PortFlag, TlsCommand, TlsFlag

app = new_app("Run a command whose requests go through the gateway.")


class ViaWord(StrEnum):
    base_url = "base-url"
    proxy = "proxy"
    both = "both"


WordsArgument = Annotated[list[str] | None, typer.Argument(metavar="COMMAND [ARGS]", hidden=True)]
ViaFlag = Annotated[
    ViaWord | None,
    typer.Option("--via", metavar="WAY", help="base-url, proxy or both; else what works best for it."),
]
BudgetFlag = Annotated[
    str, typer.Option("--budget", metavar="USD", help="What this run may cost, such as 2.50.")
]
ModelFlag = Annotated[str, typer.Option("--model", metavar="NAME", help="The only model that is allowed.")]
PolicyFlag = Annotated[
    str,
    typer.Option(
        "--policy",
        metavar="JSON|@FILE",
        help="Of this run, laid over the default.",
    ),
]
SessionFlag = Annotated[str, typer.Option("--session", metavar="NAME", help="The session of its requests.")]
ProviderFlag = Annotated[
    str,
    typer.Option(
        "--provider", metavar="NAME", help="The provider that the command is meant for.", rich_help_panel=RARE
    ),
]
TokenFlag = Annotated[
    str,
    typer.Option("--token", metavar="TOKEN", help="An existing one; safer in $TOKENOMICS_KEY."),
]
UrlFlag = Annotated[
    str,
    typer.Option(
        "--proxy-url",
        metavar="URL",
        help="A gateway that runs elsewhere; default $TOKENOMICS_PROXY_URL.",
        rich_help_panel=RARE,
    ),
]
EnvKeyFlag = Annotated[
    str,
    typer.Option(
        "--env-key",
        metavar="NAME",
        help="With --env-base-url: the variable that gets the token.",
        rich_help_panel=RARE,
    ),
]
EnvUrlFlag = Annotated[
    str,
    typer.Option(
        "--env-base-url",
        metavar="NAME",
        help="With --env-key: the variable that gets the gateway's URL.",
        rich_help_panel=RARE,
    ),
]
LoginFlag = Annotated[
    bool,
    typer.Option("--own-login", help="The agent keeps its login; implies --via proxy.", rich_help_panel=RARE),
]
InsecureFlag = Annotated[
    bool,
    typer.Option("--insecure", help="Node checks no certificates at all.", rich_help_panel=RARE),
]
PrintFlag = Annotated[bool, typer.Option("--print-env", help="Show on stderr what the command is given.")]
DryFlag = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]
KeepFlag = Annotated[bool, typer.Option("--keep", help="Leave the gateway running afterwards.")]
KeepKeysFlag = Annotated[
    bool,
    typer.Option(
        "--keep-keys", help="Leave the real keys of other providers in the environment.", rich_help_panel=RARE
    ),
]


@command(app, "run", cls=TlsCommand, context_settings={"allow_interspersed_args": False})
def run(
    invocation: Invocation,
    words: WordsArgument = None,
    via: ViaFlag = None,
    budget: BudgetFlag = "",
    model: ModelFlag = "",
    policy: PolicyFlag = "",
    session: SessionFlag = "",
    provider: ProviderFlag = "",
    token: TokenFlag = "",
    proxy_url: UrlFlag = "",
    host: HostFlag = "",
    port: PortFlag = None,
    tls: TlsFlag = None,
    env_key: EnvKeyFlag = "",
    env_base_url: EnvUrlFlag = "",
    own_login: LoginFlag = False,
    insecure: InsecureFlag = False,
    keep: KeepFlag = False,
    keep_keys: KeepKeysFlag = False,
    print_env: PrintFlag = False,
    dry_run: DryFlag = False,
) -> int:
    """Run a command through the gateway, and say what its requests came to.

    A gateway is found or started and a token made for it; both are gone afterwards. The exit code is the
    command's, or 128 and a signal's number.

    \b
    tokenomics-cli run --budget 2.50 --session nightly codex exec "fix the tests"
    tokenomics-cli run --via proxy -- python agent.py --verbose
    """
    from tokenomics_cli.run_steps import Asked, carry_out, describe

    asked = Asked(
        words=tuple(words or ()),
        via=via.value if via else None,
        token=token or os.environ.get("TOKENOMICS_KEY", ""),
        proxy_url=proxy_url or os.environ.get("TOKENOMICS_PROXY_URL", ""),
        provider=provider,
        policy=policy,
        budget=budget,
        model=model,
        session=session,
        env_key=env_key,
        env_base_url=env_base_url,
        host=host,
        port=port,
        tls=tls,
        own_login=own_login,
        insecure=insecure,
        keep=keep,
        keep_keys=keep_keys,
        print_env=print_env,
    )
    return describe(invocation, asked) if dry_run else carry_out(invocation, asked)
