"""The proxy variables: every program reads others of them, so all are set, in both cases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from tokenomics_core.providers import Catalogue

PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
NO_PROXY = ("NO_PROXY", "no_proxy")

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_USER = "tokenomics"


@dataclass(frozen=True, slots=True)
class ProxyVariables:
    variables: dict[str, str]
    unset: list[str]
    notes: list[str]


def proxy_variables(
    url: str,
    token: str,
    environ: Mapping[str, str],
    catalogue: Catalogue,
    *,
    provider: str,
    gateway_direct: bool,
) -> ProxyVariables:
    """HTTPS_PROXY, HTTP_PROXY and NO_PROXY.

    token: goes into the proxy's URL; empty for none. provider: the one the process is meant for; where it
    lives on this machine, loopback goes through the proxy too. gateway_direct: base URLs are set as well.
    """
    parts = urlsplit(url)
    user = f"{_USER}:{quote(token, safe='')}@" if token else ""
    proxy = f"{parts.scheme}://{user}{parts.netloc}"
    own = catalogue.get(provider)
    loopback = own is None or own.host not in _LOOPBACK
    value, notes = direct_hosts(environ, url, catalogue, loopback=loopback, also_gateway=gateway_direct)
    # A SOCKS proxy in ALL_PROXY breaks clients that cannot speak it, though the others are set.
    unset = [name for name in ("ALL_PROXY", "all_proxy") if environ.get(name)]
    others = {environ.get(name, "") for name in PROXIES} - {"", proxy}
    if any(urlsplit(each).netloc.rpartition("@")[2] != parts.netloc for each in others):
        notes.append("the proxy that was set before is not used by this process; the gateway takes its place")
    return ProxyVariables(
        {**dict.fromkeys(PROXIES[:4], proxy), **dict.fromkeys(NO_PROXY, value)}, unset, notes
    )


def direct_hosts(
    environ: Mapping[str, str],
    url: str,
    catalogue: Catalogue,
    *,
    loopback: bool = True,
    also_gateway: bool = False,
) -> tuple[str, list[str]]:
    """The value of NO_PROXY, and notes: the person's own entries, loopback, the gateway itself.

    An entry that lets a provider be reached directly is left out: it would lead around the gateway.
    """
    given = [entry for name in NO_PROXY for entry in re.split(r"[,\s]+", environ.get(name, "")) if entry]
    hosts = [re.sub(r"\{[a-z_]+\}", "x", each.host) for each in catalogue]
    hosts = [host for host in hosts if host and host not in _LOOPBACK]
    left_out = [entry for entry in given if any(_covers(entry, host) for host in hosts)]
    kept = [entry for entry in given if entry not in left_out]
    if loopback:
        kept += _LOOPBACK
    else:
        kept = [entry for entry in kept if entry not in _LOOPBACK]
    host = urlsplit(url).hostname
    if also_gateway and host:
        kept.append(host)
    notes = []
    if left_out:
        notes.append(f"left out of NO_PROXY, as they cover a provider: {', '.join(dict.fromkeys(left_out))}")
    return ",".join(dict.fromkeys(kept)), notes


def _covers(entry: str, host: str) -> bool:
    name = re.sub(r":\d+$", "", entry.lower()).removeprefix("*").removeprefix(".")
    return not name or host == name or host.endswith("." + name)
