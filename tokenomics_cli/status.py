"""`tokenomics-cli status`: the gateway, what the environment of this shell says, and the tokens there are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from tokenomics_cli.command import Invocation, JsonFlag, command, new_app, print_json
from tokenomics_cli.errors import CommandError
from tokenomics_cli.place_flags import PidFileFlag

if TYPE_CHECKING:
    from tokenomics_core.providers import Provider

app = new_app("Show the gateway, the environment, and how many tokens there are.")


@command(app, "status")
def status(invocation: Invocation, pid_file: PidFileFlag = "", as_json: JsonFlag = False) -> None:
    """Show the gateway, the environment of this shell, and how many tokens there are.

    Keys and tokens are never shown. The exit code is 0 whatever is found.
    """
    from tokenomics_core.config import ConfigError

    told: dict[str, Any] = {"remote": _shown(os.environ.get("TOKENOMICS_PROXY_URL", "")) or None}
    token = os.environ.get("TOKENOMICS_KEY", "")
    told["token"] = masked(token) if token else None
    try:
        told["proxy"] = _proxy(invocation, pid_file)
        told["providers"] = [_provider(each) for each in _catalogue(invocation)]
    except ConfigError as error:
        told["error"] = str(error)
    else:
        told["tokens"] = _count(invocation)
    print_json(told) if as_json else _print(told)


def masked(token: str) -> str:
    """Enough to tell tokens apart, too little to use one."""
    return f"{token[:4]}...{token[-4:]}" if len(token) >= 16 else "..."


def _proxy(invocation: Invocation, named: str) -> dict[str, Any]:
    from tokenomics_cli.gateway_process import find
    from tokenomics_cli.pid_file import pid_file, read_record

    told: dict[str, Any] = {"status": "stopped", "data_dir": str(invocation.config.dir)}
    try:
        record = read_record(pid_file(invocation.config.dir, named))
        if record is None or not record.process.alive:
            return told
        told |= {"pid": record.pid, "url": record.url}
        found = find(invocation, named)
    except CommandError as error:
        return told | {"status": "unknown", "problem": str(error)}
    if found is not None:
        told |= {"status": "running", "instance": record.instance, "log": record.log or None}
        told |= {"while_used": record.while_used, "keys": record.keys}
    return told


def _catalogue(invocation: Invocation) -> list[Provider]:
    from pathlib import Path

    from tokenomics_core.providers import load_catalogue

    return list(load_catalogue(invocation.config, Path.cwd(), Path.home(), os.environ))


def _provider(provider: Provider) -> dict[str, Any]:
    from tokenomics_core.tokens import looks_like_token

    key, url = provider.api_key_env, provider.base_url_env
    value = os.environ.get(key, "") if key else ""
    state = "not set" if not value else "proxy token" if looks_like_token(value) else "set (direct key)"
    return {
        "name": provider.name,
        "key_env": key or None,
        "key": state if key else None,
        "url_env": url or None,
        "url": _shown(os.environ.get(url, "")) or None if url else None,
    }


def _count(invocation: Invocation) -> int | None:
    from tokenomics_core.tokens import KeyFileError, StoreError

    try:
        with invocation.existing_store() as store:
            return len(store.hashes("")) if store else 0
    except (StoreError, KeyFileError, OSError):
        return None


def _shown(url: str) -> str:
    """A URL without the name and password, or the token, that may stand in it."""
    try:
        parts = urlsplit(url)
        at = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, at, parts.path, "", ""))
    except ValueError:
        return "(not a URL)"


def _print(told: dict[str, Any]) -> None:
    proxy = told.get("proxy", {"status": "unknown"})
    print("Proxy")
    pid = f" (PID {proxy['pid']})" if "pid" in proxy else ""
    print(f"  Status:  {proxy['status']}{pid}")
    if "url" in proxy:
        print(f"  URL:     {proxy['url']}")
    if "problem" in proxy:
        print(f"  Problem: {proxy['problem']}")
    if "data_dir" in proxy:
        print(f"  Data:    {proxy['data_dir']}")
    if told["remote"]:
        print(f"  Remote:  {told['remote']}")
    if told["token"]:
        print(f"  Token:   {told['token']}")
    if "error" in told:
        print(f"\nConfig: error loading ({told['error']})")
        return
    print("\nEnvironment Variables")
    for each in told["providers"]:
        print(f"  {each['name']}")
        if each["key_env"]:
            print(f"    {each['key_env']:<24} {each['key']}")
        if each["url_env"]:
            print(f"    {each['url_env']:<24} {each['url'] or 'not set (will use provider default)'}")
    print("\nTokens")
    count = told["tokens"]
    if count is None:
        print("  (could not open database)")
    else:
        print(f"  {count} token{'' if count == 1 else 's'} in database")
