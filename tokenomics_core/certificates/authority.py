"""The certificate authority: one for the TLS listener and for intercepted hosts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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

COMMON_NAME = "Tokenomics Root CA"
"""By this name systems list it."""

_VALID_FOR = timedelta(days=5 * 365)

# Clients with a slow clock would refuse a certificate that begins now.
BACKDATED = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """The CA and its files.

    certificate_file: ``ca.crt``, what clients are to trust. key_file: ``ca.key``.
    created: it was made just now, so nobody trusts it yet.
    """

    certificate: x509.Certificate
    key: Key
    certificate_file: Path
    key_file: Path
    created: bool


def ensure_ca(cert_dir: Path, now: datetime) -> Authority:
    """The CA in cert_dir: the one that is there while it is valid, a new one otherwise.

    cert_dir also gets ``mitmproxy-ca.pem`` and ``mitmproxy-ca-cert.pem`` of the same CA, so that it can be
    mitmproxy's ``confdir``. now: aware. Raises CertificateError, also where a CA is there that cannot be
    used: it is never overwritten.
    """
    with locked(cert_dir):
        pair = _existing(cert_dir)
        created = pair is None or pair[0].not_valid_after_utc <= now
        certificate, key = _new(now) if pair is None or created else pair
        _write_all(cert_dir, certificate, key)
    return Authority(certificate, key, cert_dir / "ca.crt", cert_dir / "ca.key", created)


def read_ca(cert_dir: Path) -> x509.Certificate | None:
    """The CA that is there, also an expired one; None for none. Nothing is made. Raises CertificateError."""
    try:
        pair = _existing(cert_dir)
    except OSError as error:
        raise CertificateError(f"{error.filename}: {error.strerror}; make it readable") from None
    return pair[0] if pair else None


def replace_ca(cert_dir: Path, now: datetime) -> tuple[Authority, Path]:
    """A new CA in place of the one that is there; gives the directory (0700) in which the old files are kept.

    Who trusted the old one has to trust the new one. now: aware. Raises CertificateError.
    """
    with locked(cert_dir):
        kept = cert_dir / f"replaced-{now:%Y%m%dT%H%M%SZ}"
        for name, mode in (("ca.crt", PUBLIC), ("ca.key", SECRET)):
            if (cert_dir / name).is_file():
                kept.mkdir(mode=0o700, exist_ok=True)
                write(kept / name, (cert_dir / name).read_bytes(), mode)
        certificate, key = _new(now)
        _write_all(cert_dir, certificate, key)
    return Authority(certificate, key, cert_dir / "ca.crt", cert_dir / "ca.key", True), kept


def _existing(cert_dir: Path) -> tuple[x509.Certificate, Key] | None:
    # Key and certificate of mitmproxy-ca.pem were put in place at once and before the others: after a crash
    # between two of the others they are the pair that belongs together.
    both = cert_dir / "mitmproxy-ca.pem"
    try:
        pair = read_pair(cert_dir / "ca.crt", cert_dir / "ca.key") or read_pair(both, both)
    except CertificateError as error:
        try:
            pair = read_pair(both, both)
        except CertificateError:
            pair = None
        if pair is None:
            raise CertificateError(f"{error}; move it away to have a new CA made") from None
    if pair and not _is_ca(pair[0]):
        raise CertificateError(f"{cert_dir / 'ca.crt'}: is no CA; move it away to have a new CA made")
    return pair


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _write_all(cert_dir: Path, certificate: x509.Certificate, key: Key) -> None:
    key_pem, certificate_pem = pem_of_key(key), pem_of_certificate(certificate)
    write(cert_dir / "mitmproxy-ca.pem", key_pem + certificate_pem, SECRET)
    write(cert_dir / "ca.key", key_pem, SECRET)
    write(cert_dir / "ca.crt", certificate_pem, PUBLIC)
    write(cert_dir / "mitmproxy-ca-cert.pem", certificate_pem, PUBLIC)


def _new(now: datetime) -> tuple[x509.Certificate, Key]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tokenomics CA"),
            x509.NameAttribute(NameOID.COMMON_NAME, COMMON_NAME),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + _VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key
