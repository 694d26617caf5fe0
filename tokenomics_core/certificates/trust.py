"""How clients come to trust the CA: a bundle, environment variables, and commands per system."""

from __future__ import annotations

import hashlib
import re
import shlex
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenomics_core.certificates.files import PUBLIC, CertificateError, locked, write

_PEM = re.compile(
    rb"-----BEGIN (?:TRUSTED )?CERTIFICATE-----\n.*?-----END (?:TRUSTED )?CERTIFICATE-----\n?", re.DOTALL
)

# Where systems keep all their authorities in one file.
_SYSTEM_FILES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
    Path("/etc/ssl/cert.pem"),
)

_BUNDLES = (
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "CODEX_CA_CERTIFICATE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)
_ADDED = ("DENO_CERT", "NODE_EXTRA_CA_CERTS")
_OWN_FILES = frozenset(_BUNDLES + _ADDED)


@dataclass(frozen=True, slots=True)
class TrustInstruction:
    """system: for whom. commands: what to run there, in this order."""

    system: str
    commands: tuple[str, ...]


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


def ensure_agent_bundle(cert_dir: Path, ca_certificate: Path, environ: Mapping[str, str]) -> Path:
    """A bundle for a process that runs in environ: what it would trust anyway, and the CA.

    What it would trust are the public authorities, the system's, and those in the files that the person's own
    variables name: a company's CA must not be lost. The file's name follows from what is in it, so processes
    that trust different things do not share one. Raises CertificateError.
    """
    found: dict[bytes, None] = dict.fromkeys(_certificates(public_roots()))
    named = [Path(environ[name]).expanduser() for name in sorted(_OWN_FILES) if environ.get(name)]
    for path in (*_SYSTEM_FILES, *named):
        try:
            found |= dict.fromkeys(_certificates(path.read_bytes()))
        except OSError:
            # What cannot be read is not trusted now either.
            continue
    own = _certificates(ca_certificate.read_bytes())
    roots = b"\n".join(certificate for certificate in found if certificate not in own)
    digest = hashlib.sha256(roots + b"".join(own)).hexdigest()[:12]
    return ensure_bundle(cert_dir / f"agent-bundle-{digest}.pem", ca_certificate, roots)


def _certificates(pem: bytes) -> list[bytes]:
    return _PEM.findall(pem.replace(b"\r", b""))


def trust_environment(ca_certificate: Path, bundle: Path) -> dict[str, str]:
    """Variables that make one process and its children trust the CA.

    Node and Deno add it to what they trust and get the CA alone; the others replace it and get the bundle.
    """
    return dict.fromkeys(_ADDED, str(ca_certificate)) | dict.fromkeys(_BUNDLES, str(bundle))


def trust_instructions(ca_certificate: Path) -> list[TrustInstruction]:
    """How to make a whole system trust the CA."""
    ca = shlex.quote(str(ca_certificate))
    keychain = "/Library/Keychains/System.keychain"
    return [
        TrustInstruction("macOS", (f"sudo security add-trusted-cert -d -r trustRoot -k {keychain} {ca}",)),
        TrustInstruction(
            "Debian, Ubuntu",
            (
                f"sudo cp {ca} /usr/local/share/ca-certificates/tokenomics-ca.crt",
                "sudo update-ca-certificates",
            ),
        ),
        TrustInstruction(
            "RHEL, Fedora",
            (
                f"sudo cp {ca} /etc/pki/ca-trust/source/anchors/tokenomics-ca.crt",
                "sudo update-ca-trust",
            ),
        ),
        TrustInstruction("Windows", (f'certutil -addstore -f "Root" "{ca_certificate}"',)),
    ]
