"""Signatures of a delivery: of the body alone, and of the body with the time of sending.

How a receiver checks the second one: take ``t`` and ``v1`` out of X-Webhook-Timestamped-Signature, refuse a
``t`` more than five minutes off, compare ``v1`` with the HMAC of ``<t>.<body>``, and refuse an event id that
came before.
"""

from __future__ import annotations

import hashlib
import hmac
import re

WINDOW = 300
"""Seconds that the time of sending may differ from the receiver's clock."""

_TIMESTAMPED = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")


def sign(key: str, body: bytes) -> str:
    """``sha256=`` and the hex HMAC-SHA256 of the body."""
    return "sha256=" + _hmac(key, body)


def sign_at(key: str, body: bytes, at: int) -> str:
    """``t=<at>,v1=<hex>``, the HMAC-SHA256 of ``<at>.<body>``. at: whole seconds since 1970."""
    return f"t={at},v1={_hmac(key, b'%d.%s' % (at, body))}"


def verify(key: str, body: bytes, signature: str) -> bool:
    """Whether the signature is that of the body."""
    return hmac.compare_digest(sign(key, body).encode(), signature.encode("utf-8", "replace"))


def verify_at(key: str, body: bytes, signature: str, now: float, window: float = WINDOW) -> bool:
    """Whether the signature is that of the body and of a time close to now (seconds since 1970)."""
    found = _TIMESTAMPED.fullmatch(signature)
    if found is None or abs(now - int(found[1])) > window:
        return False
    return hmac.compare_digest(sign_at(key, body, int(found[1])), signature)


def _hmac(key: str, data: bytes) -> str:
    return hmac.new(key.encode(), data, hashlib.sha256).hexdigest()
