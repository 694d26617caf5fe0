"""The wrapper token: what it looks like, how one is made, and the hash under which it is kept."""

from __future__ import annotations

import hmac
import re
import uuid
from collections.abc import Callable

_SHAPE = re.compile(r"tkn_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def new_token(randomness: Callable[[int], bytes]) -> str:
    """A fresh token, ``tkn_`` and a version 4 UUID: 40 characters, 122 random bits.

    randomness: gives that many random bytes, such as ``os.urandom``.
    """
    return f"tkn_{uuid.UUID(bytes=randomness(16), version=4)}"


def looks_like_token(text: str) -> bool:
    """Whether the text has the shape of a wrapper token. Says nothing about whether it is a known one."""
    return _SHAPE.fullmatch(text) is not None


def hash_token(token: str, hash_key: bytes) -> str:
    """HMAC-SHA256 over the whole token, 64 lower-case hex characters. The only form that is ever stored."""
    return hmac.digest(hash_key, token.encode(), "sha256").hex()
