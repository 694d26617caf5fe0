"""How clients come to trust the CA: a bundle, environment variables, and commands per system."""

from __future__ import annotations

import re
import shlex
import ssl
from dataclasses import dataclass
from pathlib import Path

from tokenomics_core.certificates.authority import COMMON_NAME
from tokenomics_core.certificates.files import PUBLIC, CertificateError, locked, write


@dataclass(frozen=True, slots=True)
class TrustInstruction:
    """system: for whom. commands: what to run there, in this order. undo: what takes the trust back."""

    system: str
    commands: tuple[str, ...]
    undo: tuple[str, ...] = ()


def public_roots() -> bytes:
    """The authorities that are trusted anyway, as PEM: certifi's, or else the system's."""
    try:
        import certifi
    except ImportError:
        path = ssl.get_default_verify_paths().cafile
    else:
        path = certifi.where()
    if path is None:
        raise CertificateError("no file with the system's authorities was found; install certifi")
    return Path(path).read_bytes()


def ensure_bundle(bundle: Path, certificate_file: Path, roots: bytes | None = None) -> Path:
    """Puts roots and the certificates of certificate_file into one PEM file (0644), unless they are there.

    Most clients replace their authorities by the file that they are given, so it must hold the public ones.
    roots: PEM; None for `public_roots`.
    """
    roots = public_roots() if roots is None else roots
    with locked(bundle.parent):
        own = certificate_file.read_bytes()
        if b"-----BEGIN CERTIFICATE-----" not in own:
            raise CertificateError(f"{certificate_file}: has no PEM certificate in it")
        write(bundle, roots.rstrip() + b"\n\n" + own, PUBLIC)
    return bundle


def trust_environment(ca_certificate: Path, bundle: Path) -> dict[str, str]:
    """Variables that make one process and its children trust the CA.

    Node and Deno add it to what they trust and get the CA alone; the others replace it and get the bundle.
    """
    return {
        "AWS_CA_BUNDLE": str(bundle),
        "CURL_CA_BUNDLE": str(bundle),
        "DENO_CERT": str(ca_certificate),
        "NODE_EXTRA_CA_CERTS": str(ca_certificate),
        "REQUESTS_CA_BUNDLE": str(bundle),
        "SSL_CERT_FILE": str(bundle),
    }


def trust_instructions(ca_certificate: Path) -> list[TrustInstruction]:
    """How to make a whole system trust the CA."""
    ca = shlex.quote(str(ca_certificate))
    keychain = "/Library/Keychains/System.keychain"
    debian = "/usr/local/share/ca-certificates/tokenomics-ca.crt"
    fedora = "/etc/pki/ca-trust/source/anchors/tokenomics-ca.crt"
    return [
        TrustInstruction(
            "macOS",
            (f"sudo security add-trusted-cert -d -r trustRoot -k {keychain} {ca}",),
            (f'sudo security delete-certificate -c "{COMMON_NAME}" {keychain}',),
        ),
        TrustInstruction(
            "Debian, Ubuntu",
            (f"sudo cp {ca} {debian}", "sudo update-ca-certificates"),
            (f"sudo rm -f {debian}", "sudo update-ca-certificates --fresh"),
        ),
        TrustInstruction(
            "RHEL, Fedora",
            (f"sudo cp {ca} {fedora}", "sudo update-ca-trust"),
            (f"sudo rm -f {fedora}", "sudo update-ca-trust"),
        ),
        TrustInstruction(
            "Windows",
            (f'certutil -addstore -f "Root" "{ca_certificate}"',),
            (f'certutil -delstore "Root" "{COMMON_NAME}"',),
        ),
    ]


def this_system(platform: str, os_release: str) -> str:
    """The system of an instruction for this machine; the empty string where none is known.

    platform: of `sys.platform`. os_release: the text of /etc/os-release.
    """
    if platform in ("darwin", "win32"):
        return {"darwin": "macOS", "win32": "Windows"}[platform]
    words = set(re.findall(r"^(?:ID|ID_LIKE)=(.*)$", os_release, re.MULTILINE))
    ids = {id for value in words for id in value.strip("\"'").split()}
    if ids & {"debian", "ubuntu"}:
        return "Debian, Ubuntu"
    return "RHEL, Fedora" if ids & {"rhel", "fedora", "centos"} else ""
