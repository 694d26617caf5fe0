"""Would each client on this machine be intercepted? It is started, and a listener of ours looks at its TLS.

Nothing leaves the machine: the client is told a proxy on loopback and a host that does not exist.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tokenomics_cli.doctor_finding import Finding, bad, doubtful, ok
from tokenomics_core.certificates import ensure_bundle, ensure_ca, read_ca, trust_environment
from tokenomics_core.certificates.probe import ProbeServer, Seen
from tokenomics_core.config import Config

HOST = "intercepted.tokenomics.invalid"
"""The reserved ending: no such host can exist."""

_PATIENCE = 20.0
_LOOPBACK = "127.0.0.1,localhost,::1"
_PROXY_NAMES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "NODE_USE_ENV_PROXY")

_PYTHON = """
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=10).read()
"""
_NODE = """
fetch(process.argv[1]).then(a => a.text()).then(() => process.exit(0), () => process.exit(1));
"""


@dataclass(frozen=True, slots=True)
class Client:
    """program: as it is found in PATH. words: its arguments; the URL follows them. variable: in which it
    looks for its CA."""

    program: str
    words: tuple[str, ...]
    variable: str


CLIENTS = (
    Client("curl", ("-sS", "--max-time", "10", "-o", os.devnull), "CURL_CA_BUNDLE"),
    Client("python3", ("-c", _PYTHON), "SSL_CERT_FILE"),
    Client("node", ("-e", _NODE), "NODE_EXTRA_CA_CERTS"),
)


def clients(config: Config, now: datetime) -> Iterator[Finding]:
    """Each one that is installed, by both ways, with the variables that a run sets."""
    installed = [client for client in CLIENTS if shutil.which(client.program)]
    if not installed:
        return
    with tempfile.TemporaryDirectory(prefix="tokenomics-doctor-") as scratch:
        folder = config.server.tls.cert_dir
        # Before the first start there is no CA yet; one for this moment shows the same.
        folder = folder if _has_ca(folder) else Path(scratch)
        bundle = folder / "ca-bundle.pem"
        if not bundle.is_file():
            folder_ca = ensure_ca(folder, now).certificate_file
            bundle = ensure_bundle(Path(scratch) / "bundle.pem", folder_ca)
        trusting = trust_environment(folder / "ca.crt", bundle)
        with ThreadPoolExecutor(2) as pool:
            yield from pool.map(lambda client: _try(client, folder, trusting), installed)


def _has_ca(folder: Path) -> bool:
    return (
        (folder / "ca.key").is_file()
        and os.access(folder / "ca.key", os.R_OK)
        and read_ca(folder) is not None
    )


def _try(client: Client, folder: Path, trusting: Mapping[str, str]) -> Finding:
    with ProbeServer(folder, lambda: datetime.now(UTC)) as server:
        proxy = f"http://127.0.0.1:{server.port}"
        _run(client, f"https://localhost:{server.port}/v1/models", environment(trusting, ""))
        _run(client, f"https://{HOST}/v1/models", environment(trusting, proxy))
        return _judge(client, server.seen)


def _run(client: Client, url: str, environ: Mapping[str, str]) -> None:
    program = shutil.which(client.program)
    if program is None:
        return
    process = subprocess.Popen(
        [program, *client.words, url],
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def environment(trusting: Mapping[str, str], proxy: str) -> dict[str, str]:
    """The shell's own variables, and over them those of a run. proxy: its URL, or empty for none."""
    names = {name for each in _PROXY_NAMES for name in (each, each.lower())}
    kept = {name: value for name, value in os.environ.items() if name not in names}
    if not proxy:
        return {**kept, **trusting, "NO_PROXY": "*", "no_proxy": "*"}
    proxies = {name: proxy for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")}
    no = {"NO_PROXY": _LOOPBACK, "no_proxy": _LOOPBACK, "NODE_USE_ENV_PROXY": "1"}
    return {**kept, **trusting, **proxies, **no}


def _judge(client: Client, seen: list[Seen]) -> Finding:
    check = f"client {client.program}"
    refused = [each.reason for each in seen if not each.trusted]
    direct = any(each.trusted and not each.host for each in seen)
    through = any(each.trusted and each.host for each in seen)
    if direct and through:
        return ok(check, "trusts the CA; is intercepted through HTTPS_PROXY, and by base URL")
    if refused and not (direct or through):
        remedy = f"see that nothing in this shell overrides {client.variable}; docs/TLS.md"
        return bad(check, f"does not trust the CA ({refused[0]})", remedy)
    if direct:
        return doubtful(
            check,
            "trusts the CA, but goes past HTTPS_PROXY",
            "give it the base URL (run --via base-url); Node needs version 24, or a preload module",
        )
    if through:
        return doubtful(check, "is intercepted through HTTPS_PROXY, not by base URL", "run --via proxy")
    return doubtful(check, "made no connection", f"see what {client.program} says when it is run by hand")
