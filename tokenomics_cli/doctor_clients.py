"""Would each client on this machine be intercepted? It is started, and a listener of ours looks at its TLS.

A client gets the environment that `run` would give it, with a proxy on loopback and a token that nobody made.
curl, Python and Node are told a host that cannot exist. Agents are asked for one prompt, in a home of their
own without a login; one that goes past the proxy is on its way to its provider, with nothing to show there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tokenomics_cli.doctor_finding import Finding, bad, doubtful, ok
from tokenomics_core.agents.environment import agent_environment
from tokenomics_core.agents.profile import Profile, Profiles, Way
from tokenomics_core.certificates import CertificateError, ensure_agent_bundle, ensure_ca, read_ca
from tokenomics_core.certificates.probe import ProbeServer, Seen
from tokenomics_core.config import Config
from tokenomics_core.providers import Catalogue

HOST = "intercepted.tokenomics.invalid"
"""The reserved ending: no such host can exist."""

TOKEN = "tkn_00000000-0000-4000-8000-000000000000"

_PATIENCE = 25.0
"""Seconds for one client. An agent that was seen is ended at once."""

_LOOK = 0.2

_PYTHON = """
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=10).read()
"""
_NODE = """
fetch(process.argv[1]).then(a => a.text()).then(() => process.exit(0), () => process.exit(1));
"""

# What makes each of them ask once. The URL follows the words of the first three.
CLIENTS: dict[str, tuple[str, ...]] = {
    "curl": ("-sS", "--max-time", "10", "-o", os.devnull),
    "python3": ("-c", _PYTHON),
    "node": ("-e", _NODE),
}
AGENTS: dict[str, tuple[str, ...]] = {
    "claude": ("-p", "hi"),
    "codex": ("exec", "--skip-git-repo-check", "hi"),
    "gemini": ("--skip-trust", "-p", "hi"),
    "opencode": ("run", "-m", "anthropic/claude-sonnet-4-5", "hi"),
    "aider": ("--no-git", "--yes-always", "--model", "openai/gpt-4o-mini", "--message", "hi"),
}


@dataclass(frozen=True, slots=True)
class Shop:
    """What all tries share. folder: with the CA that signs. scratch: a directory that goes away."""

    folder: Path
    bundle: Path
    scratch: Path
    catalogue: Catalogue

    def provider(self, seen: Seen) -> bool:
        """Whether a provider's host was asked, and our certificate accepted. Agents ask others, too."""
        return seen.trusted and bool(self.catalogue.by_host(seen.host, 443, "https"))

    def environment(
        self, profile: Profile, way: Way, url: str, home: Path | None
    ) -> tuple[dict[str, str], list[str]]:
        """What `run` would give it, and the arguments that it would put before its own."""
        own = dict(os.environ) if home is None else _away_from_home(home)
        made = agent_environment(
            profile,
            via=way,
            gateway_url=url,
            token=TOKEN,
            ca=self.folder / "ca.crt",
            bundle=self.bundle,
            environ=own,
            catalogue=self.catalogue,
        )
        return made.applied(own), list(made.arguments)


def clients(config: Config, catalogue: Catalogue, profiles: Profiles, now: datetime) -> Iterator[Finding]:
    """One finding for each client and agent that is installed."""
    programs = [name for name in (*CLIENTS, *AGENTS) if shutil.which(name)]
    with tempfile.TemporaryDirectory(prefix="tokenomics-doctor-", ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        folder = config.server.tls.cert_dir
        try:
            # Before the first start there is no CA yet; one for this moment shows the same.
            if not _usable(folder):
                folder = scratch / "certs"
                ensure_ca(folder, now)
            bundle = ensure_agent_bundle(scratch, folder / "ca.crt", os.environ)
        except CertificateError:
            # Said already, where the CA is looked at.
            return
        shop = Shop(folder, bundle, scratch, catalogue)
        with ThreadPoolExecutor(2) as pool:
            yield from pool.map(lambda program: _try(shop, program, profiles.of_command(program)), programs)
    for profile in profiles:
        if {*CLIENTS, *AGENTS, "openai"} & set(profile.commands):
            continue
        if found := next(filter(shutil.which, profile.commands), ""):
            yield ok(
                f"agent {found}", "is installed; not tried: how to ask it for one prompt is not known here"
            )


def _usable(folder: Path) -> bool:
    return read_ca(folder) is not None and os.access(folder / "ca.key", os.R_OK)


def _try(shop: Shop, program: str, profile: Profile) -> Finding:
    with ProbeServer(shop.folder, lambda: datetime.now(UTC)) as server:
        proxy = f"http://127.0.0.1:{server.port}"
        if program in AGENTS:
            home = Path(tempfile.mkdtemp(dir=shop.scratch))
            way: Way = "proxy" if "proxy" in profile.ways else "base-url"
            environ, first = shop.environment(profile, way, proxy, home)
            _run(
                program,
                [*first, *AGENTS[program]],
                environ,
                home,
                lambda: server.wait(shop.provider, _LOOK),
            )
            return _judge_agent(program, shop, server.seen)
        for way, base, url in (
            ("base-url", f"https://localhost:{server.port}", f"https://localhost:{server.port}/v1/models"),
            ("proxy", proxy, f"https://{HOST}/v1/models"),
        ):
            environ, _ = shop.environment(profile, way, base, None)
            _run(program, [*CLIENTS[program], url], environ, shop.scratch, None)
        return _judge(program, profile, server.seen)


def _away_from_home(home: Path) -> dict[str, str]:
    """The shell's variables, without what leads an agent to a login or to settings of this person's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    return {**kept, "HOME": str(home), "USERPROFILE": str(home), "CI": "1"}


def _run(
    program: str, words: list[str], environ: Mapping[str, str], cwd: Path, enough: Callable[[], bool] | None
) -> None:
    """Until it ends, or until there is enough of it; enough waits a moment itself."""
    path = shutil.which(program)
    if path is None:
        return
    process = subprocess.Popen(
        [path, *words],
        cwd=cwd,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + _PATIENCE
    try:
        while process.poll() is None and time.monotonic() < deadline:
            if enough is not None and enough():
                break
            if enough is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The whole group, which is the client's own: agents start helpers."""
    with suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _judge(program: str, profile: Profile, seen: list[Seen]) -> Finding:
    check = f"client {program}"
    refused = [each.reason for each in seen if not each.trusted]
    direct = any(each.trusted and not each.host for each in seen)
    through = any(each.trusted and each.host for each in seen)
    if direct and through:
        return ok(check, "trusts the CA; is intercepted through HTTPS_PROXY, and by base URL")
    if refused and not (direct or through):
        names = " or ".join(profile.ca) or "the variables of ca show"
        return bad(
            check, f"does not trust the CA ({refused[0]})", f"see what overrides {names} for it; docs/TLS.md"
        )
    if direct:
        return doubtful(
            check, "trusts the CA, but goes past HTTPS_PROXY", "use its base URL (run --via base-url)"
        )
    if through:
        return doubtful(check, "is intercepted through HTTPS_PROXY, not by base URL", "use run --via proxy")
    return doubtful(check, "made no connection", f"see what {program} says when it is run by hand")


def _judge_agent(program: str, shop: Shop, seen: list[Seen]) -> Finding:
    check = f"agent {program}"
    hosts = sorted({each.host for each in seen if shop.provider(each)})
    others = sorted({each.host for each in seen if each.trusted and each.host})
    refused = [each for each in seen if not each.trusted]
    if hosts:
        return ok(check, f"is intercepted on its way to {', '.join(hosts)}")
    if refused:
        text = f"does not trust the CA on its way to {refused[0].host or 'the gateway'} ({refused[0].reason})"
        return bad(
            check, text, f"see what overrides its CA variables; tokenomics-cli init {program} shows them"
        )
    said = f"asked {', '.join(others[:3])} only" if others else "asked nothing"
    return doubtful(check, f"{said} through the proxy", f"use its base URL: run --via base-url {program}")
