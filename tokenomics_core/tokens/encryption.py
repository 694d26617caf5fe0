"""Policies at rest: sealed with AES-256-GCM, and bound to the record they belong to.

A sealed policy is one version byte, a nonce of 12 bytes, and the ciphertext with its tag. The key comes from
the encryption secret by HKDF-SHA256 with a salt that is random per database. What must not be edited behind
our back (whose record it is, when it was made, when it ends, whether it is switched off) is associated data:
change one of them in the file, or move a ciphertext to another row, and the record can no longer be opened.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION = b"\x01"
_NONCE = 12
_TAG = 16


class DecryptionError(Exception):
    """A sealed policy cannot be opened: another secret, or the record was changed. One line, no secret."""


class Cipher:
    """Seals and opens the policies of one database.

    secret: the encryption secret, best 32 random bytes: HKDF does not slow a guesser down.
    salt: the database's own.
    """

    def __init__(self, secret: bytes, salt: bytes, randomness: Callable[[int], bytes]) -> None:
        self.key_id = key_id(secret, salt)
        self._aead = AESGCM(_derive(secret, salt, b"tokenomics policy encryption", 32))
        self._randomness = randomness

    def seal(self, text: str, associated: bytes) -> bytes:
        nonce = self._randomness(_NONCE)
        return _VERSION + nonce + self._aead.encrypt(nonce, text.encode(), _VERSION + associated)

    def open(self, sealed: bytes, associated: bytes) -> str:
        """The text that `seal` was given with the same associated data; raises DecryptionError."""
        if sealed[:1] != _VERSION:
            raise DecryptionError("decrypt policy: unknown format version")
        nonce, ciphertext = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        if len(ciphertext) < _TAG:
            raise DecryptionError("decrypt policy: ciphertext too short")
        try:
            return self._aead.decrypt(nonce, ciphertext, _VERSION + associated).decode()
        except InvalidTag:
            raise DecryptionError(
                "decrypt policy: wrong encryption secret, or the record was altered"
            ) from None


def key_id(secret: bytes, salt: bytes) -> str:
    """16 hex characters that name a secret without giving it away; another salt gives another name."""
    return _derive(secret, salt, b"tokenomics key id", 8).hex()


def decrypt_legacy(encoded: str, secret: str) -> str:
    """Opens a policy that rickcrawford/tokenomics encrypted: base64 of nonce and ciphertext, nothing bound.

    Raises DecryptionError.
    """
    try:
        sealed = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise DecryptionError("decrypt policy: not base64") from None
    if len(sealed) < _NONCE + _TAG:
        raise DecryptionError("decrypt policy: ciphertext too short")
    key = hashlib.sha256(secret.encode()).digest()
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], None).decode()
    except (InvalidTag, UnicodeDecodeError):
        raise DecryptionError("decrypt policy: wrong encryption secret, or a damaged record") from None


def _derive(secret: bytes, salt: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=purpose).derive(secret)
