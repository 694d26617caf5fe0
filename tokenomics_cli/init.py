"""tokenomics-cli init: the environment of an agent, printed for a shell or written into its configuration."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenomics_cli.command import Invocation, command, new_app, print_json
from tokenomics_cli.errors import CommandError
from tokenomics_cli.help_page import RARE, FittingCommand
from tokenomics_cli.place_flags import TLS_WORDS, HostFlag, PortFlag, TlsFlag
from tokenomics_cli.shells import SHELLS, script

if TYPE_CHECKING:
    from tokenomics_core.agents import AgentEnvironment, Profile, Profiles
    from tokenomics_core.config import Config

app = new_app("Print or write what an agent needs to use the gateway.")

_OUTPUTS = (*SHELLS, "dotenv", "json")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", hidden=True)]
TokenFlag = Annotated[
    str,
    typer.Option("--token", metavar="TOKEN", help="Wrapper token. Better: $TOKENOMICS_KEY, which ps hides."),
]
UrlFlag = Annotated[
    str, typer.Option("--proxy-url", metavar="URL", help="The gateway's URL; else $TOKENOMICS_PROXY_URL.")
]
CaFlag = Annotated[
    str, typer.Option("--ca", metavar="PATH", help="The CA of a gateway on another machine (its ca.crt).")
]
ProviderFlag = Annotated[
    str, typer.Option("--provider", metavar="NAME", help="Provider whose variables to set, or all.")
]
ViaFlag = Annotated[str, typer.Option("--via", metavar="WAY", help="base-url, proxy or both.")]
LoginFlag = Annotated[
    bool,
    typer.Option(
        "--own-login", help="The agent keeps the login it has (with --via proxy).", rich_help_panel=RARE
    ),
]
InsecureFlag = Annotated[
    bool,
    typer.Option(
        "--insecure", help="Node checks no certificates at all; trust the CA instead.", rich_help_panel=RARE
    ),
]
KeyNameFlag = Annotated[
    str, typer.Option("--env-key", metavar="NAME", help="Own variable for the token.", rich_help_panel=RARE)
]
UrlNameFlag = Annotated[
    str,
    typer.Option(
        "--env-base-url",
        metavar="NAME",
        help="Own variable for the URL (with --env-key).",
        rich_help_panel=RARE,
    ),
]
OutputFlag = Annotated[
    str, typer.Option("--output", metavar="FORM", help="shell, bash, zsh, fish, powershell, dotenv or json.")
]
DotenvFlag = Annotated[str, typer.Option("--dotenv", metavar="PATH", help="File for --output dotenv.")]
FileFlag = Annotated[
    str, typer.Option("--agent", metavar="NAME", help="Write this agent's own configuration files.")
]


class _InitCommand(FittingCommand):
    """Takes --tls=true and --tls=false, too, wherever they stand."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [TLS_WORDS.get(word, word) for word in args])


@command(app, "init", cls=_InitCommand)
def init(
    invocation: Invocation,
    name: AgentArgument = "",
    token: TokenFlag = "",
    proxy_url: UrlFlag = "",
    host: HostFlag = "",
    port: PortFlag = None,
    tls: TlsFlag = None,
    ca: CaFlag = "",
    provider: ProviderFlag = "",
    via: ViaFlag = "",
    own_login: LoginFlag = False,
    insecure: InsecureFlag = False,
    env_key: KeyNameFlag = "",
    env_base_url: UrlNameFlag = "",
    output: OutputFlag = "shell",
    dotenv: DotenvFlag = ".env",
    agent: FileFlag = "",
) -> None:
    """Print or write what an agent, such as codex, needs to use the gateway; without AGENT, what any program
    does. Nothing is started.

    \b
    eval "$(tokenomics-cli init)"
    tokenomics-cli init codex --via proxy --output fish | source
    tokenomics-cli init --output dotenv
    tokenomics-cli init --agent claude-code
    """
    from tokenomics_core.agents import load_profiles

    given = token or os.environ.get("TOKENOMICS_KEY", "")
    if not given:
        raise CommandError("no token provided: use --token flag or set $TOKENOMICS_KEY")
    if output not in _OUTPUTS:
        raise CommandError(f"unknown output format: {output} (supported: {', '.join(_OUTPUTS)})")
    for variable in (env_key, env_base_url):
        if variable and not _NAME.fullmatch(variable):
            raise CommandError(f"{variable!r} cannot be the name of a variable; use letters, digits and _")
    if bool(env_key) != bool(env_base_url):
        raise CommandError("--env-key and --env-base-url stand for all other names; give both, or none")
    if agent and name:
        raise CommandError("--agent already names the agent; leave the other name out")

    config = invocation.config
    profiles = load_profiles(Path.cwd(), Path.home(), config.dir)
    profile = _writable(profiles, agent) if agent else profiles.of_command(name or "generic", config.cli_maps)
    url = _gateway_url(config, proxy_url or os.environ.get("TOKENOMICS_PROXY_URL", ""), host, port, tls)
    found = _environment(
        config,
        profile,
        url,
        given,
        ca=_ca(config, url, ca),
        # A file is read when the agent runs already: too late for the variables of Node's CA and proxies.
        via=via or ("base-url" if agent and not own_login and "base-url" in profile.ways else ""),
        provider=provider,
        base_url_env=env_base_url,
        key_env=env_key,
        own_login=own_login,
    )
    variables = dict(found.variables)
    if insecure:
        variables["NODE_TLS_REJECT_UNAUTHORIZED"] = "0"

    if agent:
        _write_files(profile, variables, url, given)
    elif output == "dotenv":
        from tokenomics_cli import agent_files

        change = agent_files.plan_dotenv(dotenv, variables, Path.home())
        changed = agent_files.write(change, backup=False)
        _tell(f"Updated {dotenv}" if changed else f"{dotenv} is up to date")
        _list(variables, given)
    elif output == "json":
        print_json(dict(sorted(variables.items())))
    else:
        sys.stdout.write(script(output, variables, found.unset))
    _tell_rest(profile, found, given, elsewhere=agent or output in ("dotenv", "json"), files=bool(agent))


def _environment(
    config: Config,
    profile: Profile,
    url: str,
    token: str,
    *,
    ca: Path | None,
    via: str,
    provider: str,
    own_login: bool,
    **names: str,
) -> AgentEnvironment:
    from typing import cast

    from tokenomics_core.agents import AgentError, Via, agent_environment
    from tokenomics_core.certificates import ensure_agent_bundle
    from tokenomics_core.providers import load_catalogue

    if via not in ("", "base-url", "proxy", "both"):
        raise CommandError(f"unknown way: {via} (supported: base-url, proxy, both)")
    way = cast(Via, via or ("proxy" if own_login else profile.via))
    bundle = None
    if ca is not None and (way != "base-url" or url.startswith("https:")):
        bundle = ensure_agent_bundle(config.server.tls.cert_dir, ca, os.environ)
    try:
        return agent_environment(
            profile,
            via=way,
            gateway_url=url,
            token=token,
            ca=ca,
            bundle=bundle,
            environ=os.environ,
            catalogue=load_catalogue(config, Path.cwd(), Path.home(), os.environ),
            provider=provider,
            own_login=own_login,
            **names,
        )
    except AgentError as error:
        raise CommandError(str(error)) from None


def _gateway_url(config: Config, given: str, host: str, port: int | None, tls: bool | None) -> str:
    from tokenomics_cli.gateway_place import place
    from tokenomics_core.config import InvalidBaseUrl, parse_base_url

    if not given:
        return place(config, host=host, port=port, tls=tls).url
    try:
        parse_base_url(given)
    except InvalidBaseUrl as error:
        raise CommandError(f"the gateway's URL {error}; write one such as http://localhost:8080") from None
    return given.rstrip("/")


def _ca(config: Config, url: str, given: str) -> Path | None:
    """The CA that the gateway at this URL uses, if it is known on this machine."""
    from urllib.parse import urlsplit

    if given:
        path = Path(given).expanduser().absolute()
        if not path.is_file():
            raise CommandError(f"there is no CA file {path}; copy the gateway's ca.crt there")
        return path
    here = {"localhost", "127.0.0.1", "::1", config.server.host, *config.server.tls.hosts}
    path = config.server.tls.cert_dir / "ca.crt"
    return path if urlsplit(url).hostname in here and path.is_file() else None


def _writable(profiles: Profiles, name: str) -> Profile:
    found = profiles.get(name)
    if found is None or not found.files:
        known = ["claude-code" if each.name == "claude" else each.name for each in profiles if each.files]
        raise CommandError(f"unknown agent: {name} (supported: {', '.join(known)})")
    return found


def _write_files(profile: Profile, variables: dict[str, str], url: str, token: str) -> None:
    from tokenomics_cli import agent_files

    changes = [agent_files.plan(file, variables, url, token, Path.home()) for file in profile.files]
    holds_token = False
    for file, change in zip(profile.files, changes, strict=True):
        changed = agent_files.write(change, backup=True)
        backup = f" (the old one is {change.path.name}.bak)" if changed and change.old is not None else ""
        _tell(f"Updated {change.path}{backup}" if changed else f"{change.path} is up to date")
        holds_token |= file.format == "dotenv" or bool(file.variables)
    if holds_token:
        _list(variables, token)
        _tell("They hold the token: keep them out of repositories.")
    else:
        _tell(f"The token does not stand there: set ${profile.file_key} to it where {profile.name} runs.")
    _tell("Start the gateway with: tokenomics-cli start")


def _list(variables: dict[str, str], token: str) -> None:
    from tokenomics_core.agents import mask

    for name, value in variables.items():
        _tell(f"  {name}={mask(value, token)}")


def _tell_rest(
    profile: Profile, found: AgentEnvironment, token: str, *, elsewhere: object, files: bool
) -> None:
    """What variables alone cannot do."""
    from tokenomics_core.agents import mask

    for note in found.notes:
        if files and note == profile.base_url_note:
            continue
        _tell(f"Note: {mask(note, token)}")
    if found.arguments and not files:
        words = " ".join(f"'{word}'" if re.search(r"[^\w./:=-]", word) else word for word in found.arguments)
        _tell(f"Note: variables do not lead {profile.name} here; start it as: {profile.commands[0]} {words}")
    if found.unset and elsewhere:
        _tell(f"Note: these are set here and would lead around the gateway: {', '.join(found.unset)}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
