"""Charset: whether a content type promises text that is read here."""

from __future__ import annotations

import re

_CHARSET = re.compile(r"charset\s*=\s*\"?([^\";\s]*)")
_READ = frozenset(["utf-8", "utf8", "us-ascii", "ascii"])


def readable(content_type: str) -> bool:
    """False for text in another encoding than UTF-8, of which ASCII is a part."""
    charset = _CHARSET.search(content_type.lower())
    return charset is None or charset[1] in _READ
