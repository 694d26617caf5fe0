"""Text from outside, made fit for a record: storable, of bounded length, and without a secret.

Nothing puts a secret into these texts on purpose. An agent may still paste its token into a path or a header,
and a library may word an error with the URL it failed on.
"""

from __future__ import annotations

import re

# A wrapper token, also one that was cut short, and the shapes of the providers' keys. The exchange's own
# id (tkn_ and 32 hex characters without a dash) is no secret and stays.
_SECRET = re.compile(
    r"tkn_[0-9a-fA-F]{8}-[0-9a-fA-F-]*"
    r"|(?<![A-Za-z0-9])(?:sk-[A-Za-z0-9_-]{16,}|(?:gsk|hf|r8)_[A-Za-z0-9]{16,}"
    r"|(?:xai|pplx|nvapi|fw)-[A-Za-z0-9_-]{16,}|AIza[A-Za-z0-9_-]{16,})"
)
_SHORTEST_SECRET = len("tkn_01234567-")
# "a bearer token is missing" holds no credential. Whatever is none of these words is taken for one.
_WORDS = "tokens?|auth|authentication|authorization|credentials?|headers?|schemes?|keys?|challenges?"
_CREDENTIAL = re.compile(
    rf"\b(bearer|basic)\s+(?!(?:{_WORDS})[).:!?]*(?:[\s,;\"']|$))[^\s,;\"']+", re.IGNORECASE
)
_QUERY = re.compile(r"(?<=[^\s?\"'])\?[^\s\"']+")
_LOGIN = re.compile(r"://[^\s/@\"']+@")

HIDDEN = "[hidden]"
LONGEST = 8192
"""Characters that are looked at; secrets are hidden before a text is cut to its limit."""

LARGEST = 2**63 - 1
"""SQLite's largest integer."""


def name(value: str, limit: int = 256) -> str:
    """A word that somebody else chose (a model, an id, a header), at most `limit` characters."""
    if value.isprintable():
        if len(value) <= limit and (len(value) < _SHORTEST_SECRET or not _SECRET.search(value)):
            return value
    else:
        # Control characters would reach a terminal; lone surrogates fit neither SQLite nor JSON.
        value = "".join(char if char.isprintable() else "\ufffd" for char in value[:LONGEST])
    return _SECRET.sub(HIDDEN, value[:LONGEST])[:limit]


def path(value: str) -> str:
    """A request path; a query is cut off."""
    return name(value.partition("?")[0], 2048)


def sentence(value: str) -> str:
    """One line for people: an error or a reason. Queries and logins of URLs go, and credentials."""
    if not value:
        return ""
    value = " ".join(value[:LONGEST].split())
    value = _LOGIN.sub("://", _QUERY.sub("", value))
    return name(_CREDENTIAL.sub(rf"\1 {HIDDEN}", value), 1024)


def count(value: int) -> int:
    """A number of something: not negative, and no larger than SQLite can hold."""
    return min(max(value, 0), LARGEST)
