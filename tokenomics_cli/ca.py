"""tokenomics-cli ca: show, trust, untrust, export, renew."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenomics_cli.command import Invocation, JsonFlag, command, new_group, print_json
from tokenomics_cli.errors import CommandError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from tokenomics_core.certificates import TrustInstruction

app = new_group("The certificate authority: show, trust, export, renew.")

SystemFlag = Annotated[
    str,
    typer.Option(
        "--system", metavar="NAME", help="macos, debian, rhel or windows; this machine's without it."
    ),
]
YesFlag = Annotated[bool, typer.Option("--yes", "-y", help="Run the commands, instead of printing them.")]
SureFlag = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
FormatFlag = Annotated[str, typer.Option("--format", metavar="FORM", help="pem, der or bundle.")]
OutFlag = Annotated[str, typer.Option("--out", metavar="FILE", help="Write there instead of stdout.")]
AuthorityFlag = Annotated[
    bool, typer.Option("--authority", help="A new authority too. All clients have to trust it anew.")
]

_SYSTEMS = {"macos": "macOS", "debian": "Debian, Ubuntu", "rhel": "RHEL, Fedora", "windows": "Windows"}


@command(app, "show")
def show(invocation: Invocation, as_json: JsonFlag = False) -> None:
    """Show the authority, its files, and the variables by which one process trusts it."""
    from tokenomics_core.certificates import trust_environment

    certificate = _certificate(invocation)
    folder = _folder(invocation)
    ca, bundle = folder / "ca.crt", folder / "ca-bundle.pem"
    variables = trust_environment(ca, bundle)
    told = about(certificate)
    if as_json:
        print_json({**told, "certificate": str(ca), "bundle": str(bundle), "environment": variables})
        return
    print(f"Subject:     {told['subject']}")
    print(f"Fingerprint: {told['sha256']}")
    print(f"Valid:       {told['not_before']} to {told['not_after']} ({told['days_left']} days left)")
    print(f"Certificate: {ca}")
    print(f"Bundle:      {bundle}")
    print()
    print("For one process and its children:")
    for name, value in sorted(variables.items()):
        print(f"  export {name}={shlex.quote(value)}")


@command(app, "trust")
def trust(invocation: Invocation, system: SystemFlag = "", yes: YesFlag = False) -> int:
    """Print the commands that make this whole system trust the authority; --yes runs them.

    Mostly it is better to trust it for one process only: ca show prints the variables.

    \b
    tokenomics-cli ca trust --system debian
    """
    _certificate(invocation)
    instruction = _instruction(invocation, system)
    return _run_or_print(instruction.commands, yes, "this system trusts the authority now")


@command(app, "untrust")
def untrust(invocation: Invocation, system: SystemFlag = "", yes: YesFlag = False) -> int:
    """Print the commands that take the system's trust back; --yes runs them."""
    instruction = _instruction(invocation, system)
    return _run_or_print(instruction.undo, yes, "this system does not trust the authority any more")


@command(app, "export")
def export(invocation: Invocation, format: FormatFlag = "pem", out: OutFlag = "") -> None:
    """Write the authority's certificate, never its key.

    bundle is the public authorities and this one, for clients that replace their own list by it.

    \b
    tokenomics-cli ca export --format der --out tokenomics.cer
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    from tokenomics_core.certificates import public_roots

    certificate = _certificate(invocation)
    pem = certificate.public_bytes(Encoding.PEM)
    forms = {
        "pem": lambda: pem,
        "der": lambda: certificate.public_bytes(Encoding.DER),
        "bundle": lambda: public_roots().rstrip() + b"\n\n" + pem,
    }
    if format not in forms:
        raise CommandError(f'unknown format "{format}"; write pem, der or bundle')
    content = forms[format]()
    if out:
        Path(out).expanduser().write_bytes(content)
    elif format == "der" and sys.stdout.isatty():
        raise CommandError("DER is binary and not for a terminal; name a file with --out")
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


@command(app, "renew")
def renew(
    invocation: Invocation, authority: AuthorityFlag = False, yes: SureFlag = False, as_json: JsonFlag = False
) -> None:
    """Issue the gateway's own certificate again. A running gateway takes it up by itself.

    With --authority there is a new authority, too; the old one is kept in a folder beside it.
    """
    from tokenomics_core.certificates import ensure_bundle, ensure_server_certificate, replace_ca

    folder, now = _folder(invocation), datetime.now(UTC)
    kept = None
    if authority:
        if not yes and not _confirmed():
            raise CommandError("nothing was renewed; answer y, or give --yes")
        made, kept = replace_ca(folder, now)
        ensure_bundle(folder / "ca-bundle.pem", made.certificate_file)
    else:
        _certificate(invocation)
    server = ensure_server_certificate(folder, invocation.config.server.tls.hosts, now, anew=True)
    told: dict[str, Any] = {
        "server_certificate": str(server.certificate_file),
        "server_expires": _time(server.expires),
        "authority_renewed": authority,
        "old_authority": None if kept is None else str(kept),
    }
    if as_json:
        print_json(told)
        return
    print(f"Server certificate: valid to {told['server_expires']}")
    if kept is not None:
        print(f"Authority:          new; the old one is in {kept}")
        print("All clients have to trust the new one: restart them, and run ca trust where a system did.")


def about(certificate: Certificate, now: datetime | None = None) -> dict[str, Any]:
    """A certificate for people and for JSON."""
    from cryptography.hazmat.primitives.hashes import SHA256

    left = certificate.not_valid_after_utc - (now or datetime.now(UTC))
    return {
        "subject": certificate.subject.rfc4514_string(),
        "sha256": certificate.fingerprint(SHA256()).hex(":").upper(),
        "not_before": _time(certificate.not_valid_before_utc),
        "not_after": _time(certificate.not_valid_after_utc),
        "days_left": left.days,
    }


def _folder(invocation: Invocation) -> Path:
    return invocation.config.server.tls.cert_dir


def _certificate(invocation: Invocation) -> Certificate:
    from tokenomics_core.certificates import read_ca

    found = read_ca(_folder(invocation))
    if found is None:
        raise CommandError(f"there is no authority in {_folder(invocation)} yet; the first start makes it")
    return found


def _instruction(invocation: Invocation, system: str) -> TrustInstruction:
    from tokenomics_core.certificates import this_system, trust_instructions

    if system and system.lower() not in _SYSTEMS:
        raise CommandError(f'unknown system "{system}"; write one of {", ".join(_SYSTEMS)}')
    release = Path("/etc/os-release")
    text = release.read_text(errors="replace") if release.is_file() else ""
    wanted = _SYSTEMS[system.lower()] if system else this_system(sys.platform, text)
    for each in trust_instructions(_folder(invocation) / "ca.crt"):
        if each.system == wanted:
            return each
    raise CommandError("what this system does for trust is not known here; name one with --system")


def _run_or_print(commands: tuple[str, ...], yes: bool, done: str) -> int:
    """Each command as a person would type it; with root's rights they need no sudo."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    for line in commands:
        words = shlex.split(line)
        if yes and root and words[0] == "sudo":
            words, line = words[1:], line.removeprefix("sudo ")
        print(line, flush=True)
        if not yes:
            continue
        program = shutil.which(words[0])
        if program is None:
            raise CommandError(f"{words[0]} is not installed here; install it, or choose another --system")
        # What it says is said beside our own output, which a program may read.
        code = subprocess.run([program, *words[1:]], stdout=sys.stderr, check=False).returncode
        if code:
            raise CommandError(f"{words[0]} ended with {code}; see what it said above, and run it by hand")
    print(done if yes else "Nothing was changed; --yes runs these commands.", file=sys.stderr)
    return 0


def _confirmed() -> bool:
    question = "Clients that trust the authority have to trust the new one. Go on? [y/N]: "
    print(question, end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print(file=sys.stderr)
    return answer.strip().lower() in ("y", "yes")


def _time(moment: datetime) -> str:
    from tokenomics_core.tokens import format_timestamp

    return format_timestamp(moment)
