"""Receivers: the webhooks of the configuration, each with the name that its queue has on disk."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tokenomics_core.config import Webhook
from tokenomics_core.events.filtering import wants

_LONGEST_SEGMENT = 24
_LOOPBACK = ("localhost", "::1")


@dataclass(frozen=True, slots=True)
class Receiver:
    """key: names its queue; it stays the same as long as the URL does. number: its place, from 1.

    shown: the URL as people see it, without what may be a secret.
    """

    key: str
    number: int
    shown: str
    webhook: Webhook = field(repr=False)

    def wants(self, type: str) -> bool:
        return wants(self.webhook.events, type)

    @property
    def warning(self) -> str:
        """What its owner should know; the empty string for nothing. One line, without a secret."""
        problem = url_problem(self.webhook.url)
        if problem:
            return f"webhook {self.number} ({self.shown}) gets nothing: {problem}"
        parts = urlsplit(self.webhook.url)
        host = parts.hostname or ""
        local = host in _LOOPBACK or host.startswith("127.")
        if parts.scheme == "http" and not local and (self.webhook.secret or parts.password):
            return (
                f"webhook {self.number} ({self.shown}) sends its secret without TLS;"
                " use https, or signing_key alone"
            )
        return ""


def receivers(webhooks: Iterable[Webhook]) -> tuple[Receiver, ...]:
    """The receivers in the order of the configuration."""
    seen: Counter[str] = Counter()
    found: list[Receiver] = []
    for number, webhook in enumerate(webhooks, 1):
        seen[webhook.url] += 1
        # Two entries with one URL are two receivers: their filters differ.
        word = f"{webhook.url}\n{seen[webhook.url]}".encode()
        key = hashlib.sha256(word).hexdigest()[:16]
        found.append(Receiver(key, number, shown(webhook.url, webhook.format), webhook))
    return tuple(found)


def shown(url: str, format: str = "json") -> str:
    """A URL without login and query, and without the parts of a path that open a door by themselves."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "(not a URL)"
    if not parts.scheme or not host:
        return "(not a URL)"
    host = f"[{host}]" if ":" in host else host
    segments = parts.path.split("/")
    if format == "slack":
        segments = ["", "…"]
    path = "/".join("…" if len(segment) > _LONGEST_SEGMENT else segment for segment in segments)
    text = f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}"
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)[:200]


def url_problem(url: str) -> str:
    """Why nothing can be sent to a URL; the empty string when it is one."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018, which raises when it is no number
    except ValueError:
        return "its url is not valid"
    if any(sign.isspace() or not sign.isprintable() for sign in url):
        return "its url has a blank in it"
    if parts.scheme not in ("http", "https"):
        return "its url does not begin with http:// or https://"
    return "" if parts.hostname else "its url names no host"
