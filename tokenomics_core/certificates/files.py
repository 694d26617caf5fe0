"""Files of the certificate directory: written whole or not at all, by one process at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

if sys.platform != "win32":
    import fcntl

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

SECRET = 0o600
PUBLIC = 0o644


class CertificateError(Exception):
    """Certificates cannot be read or made; the message is one line with a remedy."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Makes the directory (0700) and keeps other processes from writing into it."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT, SECRET)
    except OSError as error:
        raise CertificateError(f"{directory}: {error.strerror}; choose another server.tls.cert_dir") from None
    try:
        if sys.platform != "win32":
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    except OSError as error:
        raise CertificateError(f"{error.filename or directory}: {error.strerror}") from None
    finally:
        os.close(handle)


def write(path: Path, content: bytes, mode: int) -> bool:
    """Puts the content in place at once, unless it is there already; True when it was written."""
    if path.is_file() and path.read_bytes() == content:
        if path.stat().st_mode & 0o777 & ~mode:
            path.chmod(mode)
        return False
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(handle)
    temporary.chmod(mode)
    temporary.replace(path)
    return True


def pem_of_key(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def pem_of_certificate(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def read_pair(certificate_file: Path, key_file: Path) -> tuple[x509.Certificate, Key] | None:
    """The first certificate and the key; None when a file is missing.

    Raises CertificateError when one cannot be read, or when the key is not the certificate's.
    """
    if not (certificate_file.is_file() and key_file.is_file()):
        return None
    try:
        certificate = x509.load_pem_x509_certificates(certificate_file.read_bytes())[0]
    except ValueError:
        raise CertificateError(f"{certificate_file}: is no PEM certificate") from None
    try:
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    except TypeError:
        raise CertificateError(f"{key_file}: is encrypted; store the key without a passphrase") from None
    except ValueError:
        raise CertificateError(f"{key_file}: is no PEM private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CertificateError(f"{key_file}: is neither an EC nor an RSA key")
    if key.public_key() != certificate.public_key():
        raise CertificateError(f"{key_file}: is not the key of {certificate_file}")
    return certificate, key
