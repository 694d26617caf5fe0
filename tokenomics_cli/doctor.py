"""tokenomics-cli doctor: looks at everything that an installation needs, and says what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tokenomics_cli.command import Invocation, JsonFlag, command, new_app, print_json

if TYPE_CHECKING:
    from tokenomics_cli.doctor_finding import Finding
    from tokenomics_core.config import Config
    from tokenomics_core.providers import Catalogue

app = new_app("Check the whole installation; each finding with its remedy.")

OnlineFlag = Annotated[
    bool, typer.Option("--online", help="Also ask providers on the network, each with its own key.")
]
QuickFlag = Annotated[bool, typer.Option("--quick", help="Start no client to see whether it is intercepted.")]

_MARKS = {"ok": "[ok]  ", "warn": "[!!]  ", "fail": "[FAIL]"}


@command(app, "doctor")
def doctor(
    invocation: Invocation, online: OnlineFlag = False, quick: QuickFlag = False, as_json: JsonFlag = False
) -> int:
    """Check the whole installation. Exits with 1 when something fails; a warning does not count.

    Clients and agents that are installed are started with the variables that run sets, against a listener
    on this machine, to see whether they would be intercepted; --quick starts none. Providers elsewhere are
    asked with --online only.

    \b
    tokenomics-cli doctor
    tokenomics-cli doctor --online --json
    """
    found: list[Finding] = []
    for finding in _findings(invocation, online, quick):
        found.append(finding)
        if not as_json:
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            print(f"{_MARKS[finding.state]} {finding.check:<18} {finding.detail}{remedy}", flush=True)
    failed = sum(each.state == "fail" for each in found)
    warned = sum(each.state == "warn" for each in found)
    if as_json:
        listed = [
            {"check": each.check, "state": each.state, "detail": each.detail, "remedy": each.remedy or None}
            for each in found
        ]
        print_json({"findings": listed, "failed": failed, "warnings": warned})
    else:
        print()
        print(_summary(failed, warned))
    return 1 if failed else 0


def _findings(invocation: Invocation, online: bool, quick: bool) -> Iterator[Finding]:
    from tokenomics_cli import doctor_files, doctor_network
    from tokenomics_cli.doctor_finding import split
    from tokenomics_core.config import ConfigError
    from tokenomics_core.providers import load_catalogue

    try:
        config = _config(invocation)
    except ConfigError as error:
        yield split("config", "fail", str(error))
        return
    now = datetime.now(UTC)
    yield from _about_config(config)
    yield from doctor_files.directory(config)
    if config.dir.exists() and not os.access(config.dir, os.R_OK | os.X_OK):
        return
    yield from doctor_files.keys(config)
    told, records = doctor_files.store(config)
    yield from told
    yield from doctor_files.databases(config)
    yield from doctor_files.certificates(config, now)
    yield from doctor_files.clock(config, now)
    told, runs = doctor_network.ports(config, lambda: invocation.keys.hash_key)
    yield from told
    try:
        catalogue = load_catalogue(config, Path.cwd(), Path.home(), os.environ)
    except ConfigError as error:
        yield split("providers", "fail", str(error))
    else:
        yield doctor_network.provider_keys(catalogue, records, runs)
        yield from doctor_network.providers(config, catalogue, now, online=online)
        if not quick:
            yield from _clients(config, catalogue, now)
    yield from doctor_network.redis(config)
    yield from doctor_network.remote(config)


def _clients(config: Config, catalogue: Catalogue, now: datetime) -> Iterator[Finding]:
    from tokenomics_cli.doctor_clients import clients
    from tokenomics_cli.doctor_finding import split
    from tokenomics_core.agents.profile import load_profiles
    from tokenomics_core.config import ConfigError

    try:
        profiles = load_profiles(Path.cwd(), Path.home(), config.dir)
    except ConfigError as error:
        yield split("agents", "fail", str(error))
    else:
        yield from clients(config, catalogue, profiles, now)


def _config(invocation: Invocation) -> Config:
    """Not as other commands read it, which tell of its warnings themselves."""
    from tokenomics_core.config import load_config

    flags = invocation.flags
    return load_config(
        path=flags.get("config"),
        dir=flags.get("dir"),
        db=flags.get("db"),
        environ=os.environ,
        cwd=Path.cwd(),
        home=Path.home(),
    )


def _about_config(config: Config) -> Iterator[Finding]:
    from tokenomics_cli.doctor_finding import doubtful, ok

    where = f"found {config.source}" if config.source else "no file; defaults and variables are in use"
    yield ok("config", where)
    for warning in config.warnings:
        detail, _, hint = warning.partition("; ")
        yield doubtful(
            "config", detail, hint or "take it out, or correct its name; see docs/CONFIGURATION.md"
        )


def _summary(failed: int, warned: int) -> str:
    if failed:
        return f"{failed} check(s) failed, {warned} warning(s)"
    return f"All checks passed with {warned} warning(s)" if warned else "All checks passed"
