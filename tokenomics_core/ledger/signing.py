"""The key that signs the heads of the ledger's chain: Ed25519, made once and kept in the data directory.

``keys/ledger_signing.key`` signs and stays where it is. ``keys/ledger_signing.pub`` verifies, and is for
whoever is to check the ledger: a copy of it that is kept elsewhere is what the check rests on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from tokenomics_core.private_files import place_once, tighten
from tokenomics_core.tokens.keys import KeyFileError

PRIVATE, PUBLIC = "ledger_signing.key", "ledger_signing.pub"


class Signer:
    """The signing key of a data directory. folder: where keys are. randomness: that many random bytes."""

    def __init__(self, folder: Path, randomness: Callable[[int], bytes]) -> None:
        self._private, self._public = folder / PRIVATE, folder / PUBLIC
        self._randomness = randomness
        self._key: Ed25519PrivateKey | None = None

    def check(self) -> None:
        """Reads the key if there is one. Raises KeyFileError."""
        if self._private.exists():
            self._load()

    def sign(self, message: bytes) -> str:
        """The signature as 128 hex digits. The key is made when there is none. Raises KeyFileError."""
        return (self._key or self._load()).sign(message).hex()

    def _load(self) -> Ed25519PrivateKey:
        try:
            if not self._private.exists():
                new = Ed25519PrivateKey.from_private_bytes(self._randomness(32))
                pem = new.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                place_once(self._private, pem, self._randomness(8).hex())
            tighten(self._private.parent)
            tighten(self._private)
            key = load_pem_private_key(self._private.read_bytes(), None)
            if not isinstance(key, Ed25519PrivateKey):
                raise ValueError
            public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            place_once(self._public, public, self._randomness(8).hex())
            same = self._public.read_bytes() == public
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise KeyFileError(f"key file {self._private}: {reason}; make it readable and writable") from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise KeyFileError(
                f"key file {self._private} is damaged; restore it from a backup, or move it and {PUBLIC} away"
                " for a new one"
            ) from None
        if not same:
            raise KeyFileError(
                f"{self._public} does not belong to {PRIVATE}; restore both from a backup, or delete it"
            )
        self._key = key
        return key


class PublicKey:
    """What verifies. Raises KeyFileError when the file holds no public Ed25519 key in PEM."""

    def __init__(self, path: Path) -> None:
        try:
            key = load_pem_public_key(path.read_bytes())
        except OSError as error:
            raise KeyFileError(f"public key {path}: {error.strerror}; check the path") from None
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise KeyFileError(f"{path} holds no public Ed25519 key in PEM; give the gateway's {PUBLIC}")
        self._key = key

    def verifies(self, signature: object, message: bytes) -> bool:
        try:
            self._key.verify(bytes.fromhex(str(signature)), message)
        except (InvalidSignature, ValueError):
            return False
        return True
