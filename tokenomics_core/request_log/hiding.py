"""Hiding: the last look at whatever goes into a log, so that no line holds a wrapper token or a key."""

from __future__ import annotations

import re
from typing import Any

import re2

from tokenomics_core.ledger import clean

_HASH = re.compile(r"\b[0-9a-f]{16}(?:[0-9a-f]{48})?\b")
# Sixteen letters: "basic authentication" is none.
_LOGIN = re2.compile(r"(?i)\b((?:bearer|basic)(?:\s+|%20|\+))[A-Za-z0-9._~+/=-]{16,}")
_MORE = 512

CUT = " [cut]"


def without_secrets(text: str) -> str:
    """The text with everything hidden that has the shape of a wrapper token, a provider's key or a login."""
    text = clean._SECRET.sub(clean.HIDDEN, text)
    lower = text.lower()
    if "bearer" in lower or "basic" in lower:
        text = _LOGIN.sub(_hidden_login, text)
    return text


def without_hashes(text: str) -> str:
    """The text with the hashes of tokens hidden."""
    return _HASH.sub("****", text)


def looked_at(limit: int) -> int:
    """Bytes, or characters, that `body_text` wants of a body: a character has four bytes at most."""
    return 4 * (limit + _MORE)


def body_text(body: bytes | str, limit: int) -> str:
    """A body as text of at most limit characters, and ``[cut]`` where there was more.

    Secrets are hidden first, so that none is left whole by being cut.
    """
    if isinstance(body, bytes):
        body = body[: looked_at(limit)].decode("utf-8", "replace")
    else:
        # A lone surrogate, which an answer can spell in JSON, fits no file.
        body = body[: looked_at(limit)].encode("utf-8", "replace").decode()
    # A little of what lies behind is looked at too, for a secret at the border.
    text = without_secrets(body[: limit + _MORE])
    return text if len(body) <= limit else text[:limit] + CUT


def without_hash(text: str, token_hash: str) -> str:
    """The text without this token's hash, whole or begun."""
    if not token_hash:
        return text
    return text.replace(token_hash, "****").replace(token_hash[:16], "****")


def _hidden_login(found: Any) -> str:
    return f"{found[1]}{clean.HIDDEN}"
