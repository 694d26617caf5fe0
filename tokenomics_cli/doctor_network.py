"""What doctor finds by asking: ports, the gateway that runs, Redis, the providers, the central server.

Beyond this machine nobody is asked unless `online` says so.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from tokenomics_cli.doctor_finding import Finding, bad, doubtful, ok, split
from tokenomics_cli.gateway_place import listeners
from tokenomics_cli.gateway_probe import ask
from tokenomics_cli.gateway_process import running
from tokenomics_core import __version__
from tokenomics_core.certificates import CertificateError
from tokenomics_core.config import Config
from tokenomics_core.providers import Catalogue, Provider
from tokenomics_core.providers.probe import Tried, key_state, loopback, trust, try_provider
from tokenomics_core.tokens import TokenRecord

_SKEW = timedelta(minutes=5)
_NAMED = 5
"""So many missing keys are named one by one."""


def ports(config: Config, hash_key: Callable[[], bytes]) -> tuple[list[Finding], bool]:
    """What is at the configured ports, and whether a gateway of this data directory runs."""
    urls = listeners(config)
    if not urls:
        return [bad("ports", "no port is configured", "set server.http_port or server.https_port")], False
    runs = running(config, hash_key)
    found = [_port(url, config, hash_key if runs else None) for url in urls]
    if config.server.http_port and config.server.host not in ("127.0.0.1", "::1", "localhost"):
        found.append(
            doubtful(
                "exposure",
                f"the plain port {config.server.http_port} is open to the network: tokens cross it readable",
                "set server.http_port: 0, and give others the TLS port",
            )
        )
    found.append(ok("gateway", f"runs on {runs[0]}" if runs else f"does not run on {urls[0]}"))
    return found, runs is not None


def _port(url: str, config: Config, hash_key: Callable[[], bytes] | None) -> Finding:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 0
    check = f"port {port}"
    answer = ask(url, hash_key() if hash_key else b"", config.dir)
    if answer.who == "ours" and answer.version == __version__:
        return ok(check, f"our gateway, version {answer.version}")
    if answer.who == "ours":
        text = f"our gateway, of version {answer.version}; this program is {__version__}"
        return doubtful(check, text, "start it again with this version")
    remedy = "stop that one, or set server.http_port and https_port to free ports"
    if answer.who == "another gateway":
        return bad(check, f"{host}:{port} belongs to a gateway of another data directory", remedy)
    if answer.who == "a stranger":
        return bad(check, f"{host}:{port} belongs to another program", remedy)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        return bad(check, f"cannot be opened: {error.strerror}", "choose another port or server.host")
    return ok(check, "free")


def provider_keys(catalogue: Catalogue, records: list[TokenRecord], runs: bool) -> Finding:
    """Keys that a policy names count, and keys that the catalogue names."""
    wanted = {record_key for record in records for record_key in _keys_of(record)}
    states = {each.name: key_state(each, os.environ) for each in catalogue}
    missing = sorted(variable for variable in wanted if not os.environ.get(variable, "").strip())
    there = (len(wanted) - len(missing)) + sum(state == "set" for state in states.values())
    where = "in this shell; the gateway has an environment of its own" if runs else "in this environment"
    if missing:
        names = ", ".join(f"${name}" for name in missing[:_NAMED]) + (
            ", ..." if len(missing) > _NAMED else ""
        )
        text = f"policies need {names}, not set {where}"
        remedy = "export them where the gateway starts"
        return (
            doubtful("provider keys", text, remedy) if runs or there else bad("provider keys", text, remedy)
        )
    if not there:
        text = f"no provider's key is set {where}"
        return doubtful("provider keys", text, "export one, such as OPENAI_API_KEY, where the gateway starts")
    count = sum(state == "missing" for state in states.values())
    text = (
        f"{len(states) - count} providers configured, {count} missing API keys; policies have all they need"
    )
    return ok("provider keys", text)


def _keys_of(record: TokenRecord) -> set[str]:
    try:
        policy = record.policy.policy
    except ValueError:
        return set()
    except Exception as error:
        if type(error).__name__ != "PolicyError":
            raise
        return set()
    named = {entry.base_key_env for entries in policy.providers.values() for entry in entries}
    return {name for name in (policy.base_key_env, *named) if name}


def providers(config: Config, catalogue: Catalogue, now: datetime, *, online: bool) -> Iterator[Finding]:
    """Those on this machine, and with online all that have a key."""
    try:
        context = trust(config.server.upstream_ca)
    except (OSError, CertificateError):
        yield bad("upstream_ca", f"{config.server.upstream_ca} cannot be read as PEM", "correct the path")
        return
    near = [each for each in catalogue if loopback(each)]
    far = [each for each in catalogue if key_state(each, os.environ) == "set" and not loopback(each)]
    chosen = near + (far if online else [])

    def one(provider: Provider) -> Tried:
        return try_provider(provider, os.environ, context)

    dates: list[str] = []
    with ThreadPoolExecutor(8) as pool:
        for provider, tried in zip(chosen, pool.map(one, chosen), strict=True):
            dates += [tried.date] if tried.date and provider in far else []
            built_in = provider.name not in config.providers
            if built_in and provider in near and "nothing listens" in tried.detail:
                continue
            yield _tried(provider, tried)
    if not online and far:
        yield ok("providers", f"{len(far)} with a key were not asked; --online asks them")
    yield from clock_against(dates, now)


def _tried(provider: Provider, tried: Tried) -> Finding:
    check = f"provider {provider.name}"
    if tried.result == "FAIL":
        return bad(check, tried.detail, f"check providers.{provider.name} and the network")
    if tried.result == "AUTH":
        name = f"${provider.api_key_env}" if provider.api_key_env else "a key"
        return doubtful(check, tried.detail, f"check {name}")
    if tried.result == "SKIP":
        return split(check, "warn", tried.detail)
    return ok(check, f"answers ({tried.detail})")


def clock_against(dates: list[str], now: datetime) -> Iterator[Finding]:
    """dates: what providers' Date fields say."""
    for date in dates[:1]:
        try:
            said = parsedate_to_datetime(date)
        except ValueError:
            continue
        said = said if said.tzinfo else said.replace(tzinfo=UTC)
        # Asking took a moment, too.
        if abs(said - now) > _SKEW:
            yield bad("clock", f"differs by {abs(said - now)} from a provider's", "set it; use NTP")


def redis(config: Config) -> Iterator[Finding]:
    if config.session.backend != "redis":
        return
    from tokenomics_core.counters.question import CountersUnavailable
    from tokenomics_core.counters.redis_client import RedisClient

    settings = config.session.redis

    async def ask() -> None:
        client = RedisClient(settings)
        try:
            await client.ping()
        finally:
            await client.close()

    try:
        asyncio.run(ask())
    except CountersUnavailable as error:
        yield split("redis", "fail", str(error))
    else:
        yield ok("redis", f"{settings.addr} answers")


def remote(config: Config) -> Iterator[Finding]:
    if not config.remote.url:
        return
    interval = f"every {config.remote.sync} s" if config.remote.sync else "once, at the start"
    if not config.remote.api_key:
        yield doubtful("remote sync", f"configured, {interval}, without an api_key", "set remote.api_key")
    else:
        yield ok("remote sync", f"configured, {interval}")
