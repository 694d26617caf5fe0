"""The gateway of a run: one that is named, one that runs, or one that starts and ends with runs."""

from __future__ import annotations

import http.client
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tokenomics_cli import gateway_process
from tokenomics_cli.command import Invocation
from tokenomics_cli.errors import CommandError
from tokenomics_cli.gateway_place import Place
from tokenomics_cli.gateway_probe import ask
from tokenomics_cli.gateway_users import Users
from tokenomics_cli.pid_file import starting

if TYPE_CHECKING:
    from tokenomics_core.providers import Catalogue

_SETTLING = 20.0


@dataclass(frozen=True)
class Way:
    """url: where the agent sends its requests. ours: it is a gateway of this data directory, whose tokens,
    ledger and CA are here."""

    url: str
    ours: bool


def named(invocation: Invocation, url: str) -> Way:
    """The gateway that the person named. Raises CommandError when what answers there is none."""
    url = url.rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise CommandError("the gateway's URL is written like http://localhost:8080; check --proxy-url")
    answer = ask(url, invocation.keys.hash_key, invocation.config.dir, timeout=5)
    if answer.who == "nobody":
        raise CommandError(f"nobody answers at {url}; start the gateway, or leave --proxy-url out")
    if answer.who == "a stranger":
        raise CommandError(f"what answers at {url} is no gateway, and gets no token; check --proxy-url")
    return Way(url, ours=answer.process is not None)


@contextmanager
def shared(invocation: Invocation, place: Place, *, keep: bool) -> Iterator[Way]:
    """The gateway of this data directory, for as long as the context lasts; it is started when none runs.

    The last run that leaves ends one that a run started. Should a run be killed, the gateway notices.
    """
    data_dir = invocation.config.dir
    users = Users(data_dir)
    with starting(data_dir):
        users.enter()
        gateway = gateway_process.find_or_start(
            invocation, place, while_used=not keep, anywhere=not place.asked
        )
        if keep:
            gateway_process.keep(gateway)
    if gateway.started_here and gateway.record.url != place.url:
        print(f"tokenomics: {place.url} is taken, so the gateway listens on {gateway.url}", file=sys.stderr)
    try:
        yield Way(gateway.url, ours=True)
    finally:
        with starting(data_dir):
            users.leave()
            _end_if_unused(invocation, gateway, users)


def _end_if_unused(invocation: Invocation, gateway: gateway_process.Gateway, users: Users) -> None:
    from tokenomics_cli.pid_file import read_record

    record = read_record(gateway.pid_file)
    if record is None or record.process != gateway.process or not record.while_used or users.any():
        return
    gateway_process.stop(gateway.process, invocation.config.server.drain_timeout)
    if gateway.child is not None:
        gateway.child.wait()


def settled(url: str, hash: str) -> bool:
    """Waits until all that the token has asked for is in the ledger; False when nobody could say so."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    connection = (
        http.client.HTTPSConnection(
            parts.hostname or "", port, timeout=_SETTLING, context=ssl._create_unverified_context()
        )
        if parts.scheme == "https"
        else http.client.HTTPConnection(parts.hostname or "", port, timeout=_SETTLING)
    )
    try:
        connection.request("GET", f"/api/settled/{hash}")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def keys_for(invocation: Invocation, catalogue: Catalogue, environ: Mapping[str, str]) -> Mapping[str, str]:
    """By provider, the variables with the keys that the gateway of this run has, or will have."""
    from tokenomics_core.providers.keys import keys_set

    found = gateway_process.find(invocation)
    if found is not None and found.record.keys is not None:
        return found.record.keys
    return keys_set(catalogue, environ)
