"""The two secrets of the token store: from the environment, or made once and kept in the data directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tokenomics_core.private_files import place_once, tighten

if TYPE_CHECKING:
    from tokenomics_core.config import Config

_SIZE = 32


class KeyFileError(Exception):
    """A key file cannot be made or read; the message is one line and a remedy."""


@dataclass(frozen=True)
class Keys:
    """What hashes tokens and encrypts policies. Shown without the secrets.

    The sources say in words where a secret comes from, for messages.
    """

    hash_key: bytes = field(repr=False)
    encryption_secret: bytes = field(repr=False)
    hash_key_source: str = "the hash key"
    encryption_source: str = "the encryption secret"


def load_keys(config: Config, environ: Mapping[str, str], randomness: Callable[[int], bytes]) -> Keys:
    """Reads both secrets.

    A variable named in the configuration that is not empty is used as its UTF-8 bytes, undecoded. Otherwise
    the secret is the text of {dir}/keys/hash.key or encryption.key, which is made when missing: 32 random
    bytes in hex. So a key file's content may be moved into the variable at any time. Raises KeyFileError.
    """
    folder = Path(config.dir) / "keys"
    hash_key, hash_source = _secret(config.security.hash_key_env, environ, folder / "hash.key", randomness)
    secret, secret_source = _secret(
        config.security.encryption_key_env, environ, folder / "encryption.key", randomness
    )
    return Keys(hash_key, secret, hash_source, secret_source)


def _secret(
    variable: str, environ: Mapping[str, str], path: Path, randomness: Callable[[int], bytes]
) -> tuple[bytes, str]:
    value = environ.get(variable, "")
    if value:
        return value.encode(errors="surrogateescape"), f"${variable}"
    try:
        if not path.exists():
            place_once(path, randomness(_SIZE).hex().encode() + b"\n", randomness(8).hex())
        tighten(path.parent)
        tighten(path)
        secret = path.read_bytes().strip()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise KeyFileError(f"key file {path}: {reason}; make it readable, or set ${variable}") from None
    if len(secret) < _SIZE:
        raise KeyFileError(f"key file {path} is damaged; restore it from a backup, or set ${variable}")
    return secret, str(path)
