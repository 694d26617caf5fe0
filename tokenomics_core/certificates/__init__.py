"""Certificates: the CA, the listener's certificate, and what clients need to trust them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tokenomics_core.certificates.authority import Authority, ensure_ca
from tokenomics_core.certificates.files import CertificateError
from tokenomics_core.certificates.server import (
    ServerCertificate,
    combine_own_certificate,
    ensure_server_certificate,
)
from tokenomics_core.certificates.trust import (
    TrustInstruction,
    ensure_agent_bundle,
    ensure_bundle,
    public_roots,
    trust_environment,
    trust_instructions,
)

__all__ = [
    "Authority",
    "CertificateError",
    "Certificates",
    "ServerCertificate",
    "TrustInstruction",
    "combine_own_certificate",
    "ensure_agent_bundle",
    "ensure_bundle",
    "ensure_ca",
    "ensure_certificates",
    "ensure_server_certificate",
    "public_roots",
    "trust_environment",
    "trust_instructions",
]


@dataclass(frozen=True, slots=True)
class Certificates:
    """The files of a certificate directory.

    ca_created and server_renewed: made just now. A new CA is one that nobody trusts yet.
    """

    directory: Path
    ca_certificate: Path
    ca_key: Path
    server_certificate: Path
    server_key: Path
    bundle: Path
    ca_expires: datetime
    server_expires: datetime
    ca_created: bool
    server_renewed: bool


def ensure_certificates(cert_dir: Path, hosts: Iterable[str], now: datetime) -> Certificates:
    """Everything that a TLS listener and its clients need, made or renewed where needed.

    hosts: names beyond localhost. now: aware. Raises CertificateError.
    """
    authority = ensure_ca(cert_dir, now)
    server = ensure_server_certificate(cert_dir, hosts, now)
    return Certificates(
        directory=cert_dir,
        ca_certificate=authority.certificate_file,
        ca_key=authority.key_file,
        server_certificate=server.certificate_file,
        server_key=server.key_file,
        bundle=ensure_bundle(cert_dir / "ca-bundle.pem", authority.certificate_file),
        ca_expires=authority.certificate.not_valid_after_utc,
        server_expires=server.expires,
        ca_created=authority.created,
        server_renewed=server.renewed,
    )
