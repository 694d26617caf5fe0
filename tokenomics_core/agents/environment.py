"""agent_environment: all that a process needs so that its requests come to the gateway."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenomics_core.agents.profile import Profile, Via, ways_of
from tokenomics_core.agents.provider_variables import provider_variables
from tokenomics_core.agents.proxying import NO_PROXY, PROXIES, direct_hosts, proxy_variables
from tokenomics_core.certificates import trust_environment
from tokenomics_core.providers import Catalogue

_PRELOAD = Path(__file__).with_name("node_proxy.cjs")


class AgentError(Exception):
    """An agent cannot be set up as asked. The message is one line with a remedy."""


@dataclass(frozen=True, slots=True)
class AgentEnvironment:
    """What a process gets.

    variables: to set. unset: inherited ones to take away. arguments: inserted right after the command.
    notes: what a person should know, one line each; none holds the token.
    """

    variables: Mapping[str, str]
    unset: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def applied(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The whole environment of the process."""
        kept = {name: value for name, value in environ.items() if name not in self.unset}
        return {**kept, **self.variables}

    def masked(self, token: str) -> dict[str, str]:
        """The variables for people: the token shows its ends only."""
        return {name: mask(value, token) for name, value in self.variables.items()}


def mask(text: str, token: str) -> str:
    """The text with the token's middle taken out; a token too short to have one is hidden whole."""
    shown = f"{token[:4]}...{token[-4:]}" if len(token) > 16 else "***"
    return text.replace(token, shown) if token else text


def agent_environment(
    profile: Profile,
    *,
    via: Via | None = None,
    gateway_url: str,
    token: str,
    ca: Path | None,
    bundle: Path | None,
    environ: Mapping[str, str],
    catalogue: Catalogue,
    provider: str = "",
    base_url_env: str = "",
    key_env: str = "",
    own_login: bool = False,
) -> AgentEnvironment:
    """What a process needs to reach its provider through the gateway. Pure: nothing is read or written.

    via: None for the profile's own. gateway_url: ``scheme://host:port``, also with a path.
    ca: the gateway's CA, absolute; bundle: a file with it and all other authorities (`ensure_agent_bundle`).
        None for both when the gateway's CA is not known here; then nothing is said about trust.
    environ: what the process would inherit.
    provider: name in the catalogue, or ``all``; the profile's when empty.
    base_url_env, key_env: own names; both given, they stand for all others, and the URL gets no ``/v1``.
    own_login: the agent keeps the login it has. No key variable is touched, the token goes with the proxy.

    Raises AgentError for a way that the agent does not have.
    """
    ways = ways_of(via or profile.via)
    for way in ways:
        if way not in profile.ways:
            raise AgentError(f"{profile.name} cannot be led by {way}; use --via {' or '.join(profile.ways)}")
    # A base URL request carries no proxy login, so nothing would say whose it is.
    if own_login and ways != ("proxy",):
        raise AgentError("an agent that keeps its own login needs the proxy alone; use --via proxy")

    url = gateway_url.rstrip("/")
    fill = _Filler(url, token)
    base_urls, keys, notes = _names(profile, catalogue, provider, base_url_env, key_env, url, fill)
    variables: dict[str, str] = {}
    arguments: tuple[str, ...] = ()
    unset = [name for name in profile.unset if not own_login]

    if not own_login:
        variables |= dict.fromkeys(keys, token)
    if "base-url" in ways:
        variables |= base_urls
        if not (base_url_env and key_env):
            arguments = tuple(fill(word) for word in profile.arguments)
            variables |= _json_variable(profile, fill, environ)
            notes += [profile.base_url_note] if profile.base_url_note else []
        # With a proxy of the person's own, the way to the gateway is still direct.
        if "proxy" not in ways and any(environ.get(name) for name in PROXIES):
            value, told = direct_hosts(environ, url, catalogue, also_gateway=True)
            variables |= dict.fromkeys(NO_PROXY, value)
            notes += told
    else:
        # Left over from another shell, they would lead around the proxy.
        unset += [*base_urls, *([profile.json_variable] if _points_elsewhere(profile, environ) else [])]
    if "proxy" in ways:
        found = proxy_variables(
            url,
            token if own_login or profile.token_in_proxy_url else "",
            environ,
            catalogue,
            provider=provider or profile.provider,
            gateway_direct="base-url" in ways,
        )
        variables |= found.variables
        unset += found.unset
        notes += found.notes
        variables |= _defaults(profile.proxy_defaults, fill, environ)
        variables["NODE_USE_ENV_PROXY"] = "1"
        if profile.node_preload:
            variables["NODE_OPTIONS"] = _with_preload(environ.get("NODE_OPTIONS", ""))
    if "proxy" in ways or url.startswith("https:"):
        if ca is not None and bundle is not None:
            variables |= _trust(ca, bundle, environ)
        else:
            notes.append(
                "the gateway's CA is not here: start the gateway once, or copy its ca.crt to this machine"
            )

    gone = [name for name in dict.fromkeys(unset) if name in environ and name not in variables]
    return AgentEnvironment(dict(sorted(variables.items())), tuple(gone), arguments, tuple(notes))


class _Filler:
    def __init__(self, url: str, token: str) -> None:
        self.values = {"{url}": url, "{token}": token}

    def __call__(self, text: str) -> str:
        for name, value in self.values.items():
            text = text.replace(name, value)
        return text

    def assignments(self, lines: Iterable[str]) -> dict[str, str]:
        return {name: self(value) for name, _, value in (line.partition("=") for line in lines)}

    def tree(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.tree(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.tree(inner) for inner in value]
        return self(value) if isinstance(value, str) else value


def filled(content: str, url: str, token: str) -> dict[str, Any]:
    """A profile's JSON with ``{url}`` and ``{token}`` filled in."""
    tree: dict[str, Any] = _Filler(url.rstrip("/"), token).tree(json.loads(content or "{}"))
    return tree


def _names(
    profile: Profile,
    catalogue: Catalogue,
    provider: str,
    base_url_env: str,
    key_env: str,
    url: str,
    fill: _Filler,
) -> tuple[dict[str, str], list[str], list[str]]:
    """Base URL variables with their values, key variables, notes."""
    if base_url_env and key_env:
        return {base_url_env: url}, [key_env], []
    base_urls = fill.assignments(profile.base_url)
    keys = list(profile.key)
    notes: list[str] = []
    has_own = bool(profile.base_url or profile.arguments or profile.json_variable)
    wanted = provider or profile.provider
    if wanted == profile.provider and has_own and not profile.mapped:
        return base_urls, keys, notes
    found = provider_variables(catalogue, wanted, url)
    if not found.known:
        notes.append(f"{wanted} is no provider of the catalogue; the variables of openai are set for it")
    return {**base_urls, **found.base_urls}, list(dict.fromkeys([*keys, *found.keys])), notes


def _json_variable(profile: Profile, fill: _Filler, environ: Mapping[str, str]) -> dict[str, str]:
    if not profile.json_variable:
        return {}
    try:
        below = json.loads(environ.get(profile.json_variable) or "{}")
    except ValueError:
        raise AgentError(f"{profile.json_variable} holds no JSON; correct it or unset it") from None
    return {profile.json_variable: json.dumps(merged(below, fill.tree(json.loads(profile.json_content))))}


def merged(below: Any, above: Any) -> Any:
    """Two JSON values, map by map; where they cannot be merged the upper one stays."""
    if isinstance(below, dict) and isinstance(above, dict):
        both = {key: merged(below[key], value) if key in below else value for key, value in above.items()}
        return {**below, **both}
    return above


def _points_elsewhere(profile: Profile, environ: Mapping[str, str]) -> bool:
    return bool(profile.json_variable) and "baseURL" in environ.get(profile.json_variable, "")


def _defaults(lines: list[str], fill: _Filler, environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in fill.assignments(lines).items() if not environ.get(name)}


def _trust(ca: Path, bundle: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Node and Deno add one file to what they trust: the bundle, where the person already gave them one."""
    variables = trust_environment(ca, bundle)
    for name, value in variables.items():
        if value == str(ca) and environ.get(name, value) != value:
            variables[name] = str(bundle)
    return variables


def _with_preload(options: str) -> str:
    quoted = str(_PRELOAD).replace("\\", "\\\\").replace('"', '\\"')
    wanted = f'--require "{quoted}"'
    return options if wanted in options else f"{options} {wanted}".strip()
