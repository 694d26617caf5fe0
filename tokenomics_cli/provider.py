"""tokenomics-cli provider: list, test, models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenomics_cli import completing
from tokenomics_cli.command import Invocation, JsonFlag, command, new_group, print_json, warn
from tokenomics_cli.errors import CommandError

if TYPE_CHECKING:
    from tokenomics_core.providers import Catalogue, Provider
    from tokenomics_core.providers.probe import Tried

app = new_group("List the providers, try them, list their models.")

OutputFlag = Annotated[str, typer.Option("--output", metavar="FORM", help="table or json.")]
NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Only these providers.", autocompletion=completing.providers),
]
NameArgument = Annotated[
    str, typer.Argument(metavar="[NAME]", help="Only this provider.", autocompletion=completing.providers)
]
InsecureFlag = Annotated[
    bool, typer.Option("--insecure", help="Do not check certificates. Whoever is in between gets the key.")
]

_AT_ONCE = 8
_COLUMNS = (("NAME", 16), ("UPSTREAM", 40), ("AUTH", 8), ("API KEY ENV", 28), ("KEY?", 6), ("MODELS", 6))


@command(app, "list")
def list_providers(invocation: Invocation, output: OutputFlag = "table", as_json: JsonFlag = False) -> None:
    """List the providers: where they are, and whether this environment has their key."""
    if output not in ("table", "json"):
        raise CommandError(f"unknown output format: {output}; write table or json")
    providers = list(_catalogue(invocation))
    if as_json or output == "json":
        print_json([_json(each) for each in providers])
        return
    if not providers:
        print("No providers configured.")
        print("Add some below providers: in config.yaml, or in providers.yaml.")
        return
    _print_row([title for title, _ in _COLUMNS])
    _print_row(["-" * width for _, width in _COLUMNS])
    for each in providers:
        url = each.upstream_url
        _print_row(
            [
                each.name,
                url if len(url) <= 40 else url[:37] + "...",
                each.auth_scheme,
                each.api_key_env,
                "n/a" if not each.api_key_env else "yes" if _key_set(each) else "no",
                str(len(each.models)),
            ]
        )


@command(app, "test")
def try_providers(
    invocation: Invocation,
    names: NamesArgument = None,
    insecure: InsecureFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Ask each provider for its models, with its own key, and say whether it answers.

    OK: it answers. AUTH: it wants another key. FAIL: it is not reached. SKIP: there is nothing to try: no
    key, a URL with a {name} not filled in, or, unless it is named, nothing that runs on this machine.

    \b
    tokenomics-cli provider test openai anthropic
    """
    from tokenomics_core.certificates import CertificateError
    from tokenomics_core.providers.probe import trust

    catalogue = _catalogue(invocation)
    wanted = sorted({name.lower() for name in names or catalogue.names()})
    try:
        context = trust(invocation.config.server.upstream_ca, insecure=insecure)
    except (OSError, CertificateError):
        raise CommandError("server.upstream_ca cannot be read as PEM; correct the path") from None
    if insecure:
        warn("certificates are not checked (--insecure); whoever is in between gets the keys")

    def one(name: str) -> tuple[str, Tried | None]:
        provider = catalogue.get(name)
        return name, None if provider is None else _try(provider, context, named=bool(names))

    told: list[dict[str, Any]] = []
    failed = False
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for name, tried in pool.map(one, wanted):
            if tried is None:
                told.append({"name": name, "result": "UNKNOWN", "detail": "not in config"})
            else:
                failed = failed or tried.result in ("FAIL", "AUTH")
                told.append(
                    {
                        "name": name,
                        "result": tried.result,
                        "detail": tried.detail,
                        "status": tried.status or None,
                        "milliseconds": tried.milliseconds if tried.status else None,
                    }
                )
            if not as_json:
                print(_line(told[-1]), flush=True)
    if as_json:
        print_json(told)
    if failed:
        raise CommandError(
            "one or more providers failed connectivity test; AUTH: set its key variable, "
            "FAIL: check its upstream_url and the network"
        )


@command(app, "models")
def models(invocation: Invocation, name: NameArgument = "", as_json: JsonFlag = False) -> None:
    """List the models that the catalogue knows. Others are not refused for that."""
    catalogue = _catalogue(invocation)
    if name:
        provider = catalogue.get(name)
        if provider is None:
            raise CommandError(f'provider "{name}" not found in config; provider list shows those that are')
        if as_json:
            print_json(provider.models)
        else:
            print("\n".join(provider.models) or f"{provider.name}: no models configured")
        return
    if as_json:
        print_json({each.name: each.models for each in catalogue})
        return
    for each in catalogue:
        print(f"{each.name}:" if each.models else f"{each.name}: (none)")
        for model in each.models:
            print(f"  {model}")


def _try(provider: Provider, context: Any, *, named: bool) -> Tried:
    from tokenomics_core.providers.probe import Tried, key_state, loopback, try_provider

    if not named and key_state(provider, os.environ) == "missing":
        return Tried("SKIP", f"${provider.api_key_env} is not set")
    tried = try_provider(provider, os.environ, context)
    if not named and tried.result == "FAIL" and "nothing listens" in tried.detail and loopback(provider):
        return Tried("SKIP", "nothing runs there on this machine")
    return tried


def _line(told: dict[str, Any]) -> str:
    if told["result"] == "UNKNOWN":
        return f"{told['name']:<16}  UNKNOWN (not in config)"
    return f"{told['name']:<16}  {told['result']:<4}  {told['detail']}"


def _print_row(cells: list[str]) -> None:
    padded: Iterator[str] = (cell.ljust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True))
    print(" ".join(padded).rstrip())


def _json(provider: Provider) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": provider.name,
        "upstream_url": provider.upstream_url,
        "auth_scheme": provider.auth_scheme,
        "api_key_env": provider.api_key_env,
        "key_set": _key_set(provider),
    }
    if provider.chat_path:
        told["chat_path"] = provider.chat_path
    return told | {"model_count": len(provider.models)}


def _key_set(provider: Provider) -> bool:
    return bool(provider.api_key_env and os.environ.get(provider.api_key_env, "").strip())


def _catalogue(invocation: Invocation) -> Catalogue:
    from tokenomics_core.providers import load_catalogue

    return load_catalogue(invocation.config, Path.cwd(), Path(os.path.expanduser("~")), os.environ)
