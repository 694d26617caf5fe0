"""The certificate of the TLS listener, and one that the operator brings."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tokenomics_core.certificates.authority import BACKDATED, Authority, ensure_ca
from tokenomics_core.certificates.files import (
    PUBLIC,
    SECRET,
    CertificateError,
    Key,
    locked,
    pem_of_certificate,
    pem_of_key,
    read_pair,
    write,
)

_ALWAYS = ("localhost", "127.0.0.1", "::1")
_VALID_FOR = timedelta(days=365)
_RENEW_BEFORE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """renewed: it was issued just now, and a listener that has the old one should take it up."""

    certificate_file: Path
    key_file: Path
    expires: datetime
    renewed: bool


def ensure_server_certificate(
    cert_dir: Path, hosts: Iterable[str], now: datetime, *, anew: bool = False
) -> ServerCertificate:
    """``server.crt`` and ``server.key`` for localhost and hosts, signed by the CA in cert_dir.

    Issued anew when less than 30 days are left, when hosts changed, when key or CA do not fit, and
    when anew says so. hosts: names, ``*.`` wildcards and IP addresses. now: aware. Raises CertificateError.
    """
    names = _names(hosts)
    authority = ensure_ca(cert_dir, now)
    certificate_file, key_file = cert_dir / "server.crt", cert_dir / "server.key"
    with locked(cert_dir):
        certificate = _current(certificate_file, key_file)
        renewed = anew or certificate is None or not _serves(certificate, authority, names, now)
        if certificate is None or renewed:
            certificate, key = _issue(authority, names, now)
            write(key_file, pem_of_key(key), SECRET)
            write(certificate_file, pem_of_certificate(certificate), PUBLIC)
        else:
            write(key_file, key_file.read_bytes(), SECRET)
    return ServerCertificate(certificate_file, key_file, certificate.not_valid_after_utc, renewed)


def combine_own_certificate(cert_file: Path, key_file: Path, cert_dir: Path) -> Path:
    """Checks the operator's own pair and puts it into one PEM file in cert_dir (0600), key first.

    Raises CertificateError.
    """
    try:
        if read_pair(cert_file, key_file) is None:
            missing = key_file if cert_file.is_file() else cert_file
            raise CertificateError(f"{missing}: no such file")
        content = key_file.read_bytes().rstrip() + b"\n" + cert_file.read_bytes()
    except (CertificateError, OSError) as error:
        raise CertificateError(f"load TLS cert: {error}; check server.tls.cert_file and key_file") from None
    combined = cert_dir / "own.pem"
    with locked(cert_dir):
        write(combined, content, SECRET)
    return combined


def issue(cert_dir: Path, host: str, now: datetime) -> bytes:
    """Key and certificate for one host, as an intercepted one is shown: PEM, signed by the CA that is there.

    Raises CertificateError.
    """
    certificate, key = _issue(ensure_ca(cert_dir, now), [_name(host)], now)
    return pem_of_key(key) + pem_of_certificate(certificate)


def _current(certificate_file: Path, key_file: Path) -> x509.Certificate | None:
    try:
        pair = read_pair(certificate_file, key_file)
    except CertificateError:
        # A leaf can always be issued again.
        return None
    return pair[0] if pair else None


def _serves(
    certificate: x509.Certificate, authority: Authority, names: list[x509.GeneralName], now: datetime
) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
        present = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, TypeError, ValueError, x509.ExtensionNotFound):
        return False
    return set(present) == set(names) and certificate.not_valid_after_utc - now >= _RENEW_BEFORE


def _names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    return [_name(host) for host in dict.fromkeys([*_ALWAYS, *(host.strip().lower() for host in hosts)])]


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        if not host or any(character in host for character in "/:@ "):
            raise ValueError
        wildcard, _, rest = host.rpartition("*.")
        name = wildcard + ("*." if rest != host else "") + rest.encode("idna").decode()
        return x509.DNSName(name)
    except (UnicodeError, ValueError):
        raise CertificateError(
            f"server.tls.hosts: {host!r} is neither a host name nor an IP address"
        ) from None


def _issue(
    authority: Authority, names: list[x509.GeneralName], now: datetime
) -> tuple[x509.Certificate, Key]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tokenomics"),
            x509.NameAttribute(NameOID.COMMON_NAME, "localhost"),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(min(now + _VALID_FOR, authority.certificate.not_valid_after_utc))
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(_authority_key_identifier(authority.certificate), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return certificate, key


def _authority_key_identifier(ca: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        own = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        public_key = ca.public_key()
        assert isinstance(public_key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
