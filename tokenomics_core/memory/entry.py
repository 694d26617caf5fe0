"""Entries: one side of an exchange as the markdown that conversation files and Redis lists hold.

Only header fields that are known to be harmless are written. A body's text is written as it is, so it can
look like the heading of another entry: people read markdown, machines read the JSON lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from tokenomics_core.ledger import clean

LIMIT = 512 * 1024
"""Bytes of a body, of a stream's payloads and of its text that are written."""

Role = Literal["request", "response", "event"]

Headers = tuple[tuple[str, str], ...]
"""Names and values of header fields, as they came."""

# What else there is may hold a credential, or the name of a person.
_ALLOWED = frozenset(
    "accept accept-language anthropic-beta anthropic-processing-ms anthropic-version apim-request-id cf-ray "
    "content-encoding content-language content-type date mistral-correlation-id openai-beta openai-model "
    "openai-processing-ms openai-version request-id retry-after server user-agent via "
    "x-client-request-id x-envoy-upstream-service-time x-ms-region x-request-id x-should-retry "
    "x-stainless-arch x-stainless-async x-stainless-lang x-stainless-os x-stainless-package-version "
    "x-stainless-retry-count x-stainless-runtime x-stainless-runtime-version x-stainless-timeout "
    "x-tokenomics-repo x-tokenomics-session x-openclaw-agent-id x-openclaw-agent-type x-openclaw-channel "
    "x-openclaw-environment x-openclaw-skill x-openclaw-team".split()
)
_ALLOWED_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-")
_LONGEST_VALUE = 1024

_BINARY = ("image/", "audio/", "video/", "application/octet-stream")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_WRAPPER = re.compile(rb"tkn_[0-9a-fA-F]{8}-[0-9a-fA-F-]+")
_LINE_END = re.compile(rb"[\r\n]+")
_BREAKS = re.compile("[\r\n\t\u2028\u2029]+")
_LONGEST_NAME = 256


@dataclass(frozen=True, slots=True)
class Streamed:
    """What was kept of a streamed answer.

    payloads: the data of its events, in order. text: what the assistant said. calls: the tools it called,
    ``{"name", "arguments"}``. more: further events came. cut: further text came.
    """

    payloads: tuple[bytes, ...] = ()
    text: str = ""
    calls: tuple[dict[str, str], ...] = ()
    more: bool = False
    cut: bool = False

    @property
    def size(self) -> int:
        return sum(map(len, self.payloads)) + len(self.text)


@dataclass(frozen=True, slots=True)
class Side:
    """A request, or its answer. body: its beginning, or what was kept of a stream. size: of all of it.

    earlier: what the client sent before on the same connection, and the model reads with it.
    """

    at: datetime
    headers: Headers
    body: bytes | Streamed
    size: int = 0
    earlier: tuple[bytes, ...] = ()

    @property
    def content_type(self) -> str:
        return next((value for name, value in self.headers if name.lower() == "content-type"), "")


def heading(at: datetime, *columns: str) -> str:
    """``## <time> | <column> | ...``: the time to the second, each column on the one line."""
    stamp = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return "## " + " | ".join([stamp, *(_column(column) for column in columns)])


def entry(at: datetime, key: str, role: Role, model: str, content: str, token: str = "") -> bytes:
    """An entry of a file. key: who it belongs to: a session, or the beginning of a token's hash.

    token: that beginning, where the key is another; it is the last column of the heading.
    """
    columns = (key, role, model, token) if token else (key, role, model)
    return _encoded(f"{heading(at, *columns)}\n\n{content}\n\n---\n\n")


def pushed(at: datetime, role: Role, model: str, content: str) -> bytes:
    """An entry of a list in Redis, which is one token's already."""
    return _encoded(f"{heading(at, role, model)}\n\n{content}")


def content(side: Side, role: Role) -> str:
    """What stands under a heading."""
    kind = side.content_type
    lines = "".join(f"  {name}: {value}\n" for name, value in shown_headers(side.headers))
    if isinstance(side.body, Streamed):
        body = streamed_text(side.body)
    else:
        texts = [each for each in (*side.earlier, side.body) if each]
        body = body_text(b"\n".join(texts), kind, side.size + sum(len(each) + 1 for each in texts[:-1]))
    named = "Response-Headers" if role == "response" else "Request-Headers"
    return f"Content-Type: {_column(kind) or '(none)'}\n{named}:\n{lines}\nBody:\n{body}\n"


def shown_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The fields that may be written, by name. What looks like a credential in a value is hidden."""
    shown = []
    for name, value in headers:
        lower = name.lower()
        if lower in _ALLOWED or lower.startswith(_ALLOWED_PREFIXES):
            shown.append((_title(lower), clean.name(value, _LONGEST_VALUE)))
    return sorted(shown)


def body_text(body: bytes, content_type: str, size: int = 0) -> str:
    """A body for people: its text up to LIMIT, ``(empty)``, or ``[binary, N bytes]``.

    size: bytes of the whole body, where `body` is only its beginning.
    """
    size = max(size, len(body))
    if not size:
        return "(empty)"
    if not is_binary(content_type):
        kept = body[:LIMIT]
        text = decoded(kept if len(kept) == size else whole_characters(kept))
        if text:
            return sanitised(text)
    return f"[binary, {size} bytes]"


def is_binary(content_type: str) -> bool:
    """Whether a body of that type is no text for people."""
    return content_type.strip().lower().startswith(_BINARY)


def decoded(raw: bytes) -> str | None:
    """None for what is no UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def whole_characters(raw: bytes) -> bytes:
    """UTF-8 that was cut anywhere, without the beginning of a character at its end."""
    for back in range(1, min(4, len(raw)) + 1):
        byte = raw[-back]
        if byte & 0xC0 != 0x80:
            length = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return raw[:-back] if length > back else raw
    return raw


def sanitised(text: str) -> str:
    """Without control characters; line ends and tabs stay."""
    return _CONTROL.sub(" ", text)


def streamed_text(stream: Streamed) -> str:
    """What was kept of a stream, for people."""
    numbered = [b"%d. %s" % (number, _one_line(raw)) for number, raw in enumerate(stream.payloads, 1)]
    parts = ["[streaming sse]", "", "SSE events:", _lenient(b"\n".join(numbered)) or "(none captured)"]
    if stream.more:
        parts.append("[further events not kept in memory]")
    parts += ["", "Captured assistant text:", stream.text or "(none)"]
    if stream.cut:
        parts.append("[assistant content truncated for memory]")
    return sanitised("\n".join(parts))


def _one_line(payload: bytes) -> bytes:
    """A payload is JSON, whose line ends are white space."""
    return _LINE_END.sub(b" ", payload) if b"\n" in payload or b"\r" in payload else payload


def _lenient(raw: bytes) -> str:
    """Each byte that is no UTF-8 becomes a question mark."""
    text = decoded(raw)
    if text is not None:
        return text
    return raw.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()


def _encoded(text: str) -> bytes:
    # Half of a surrogate pair, which JSON can escape, becomes a question mark.
    return without_tokens(text.encode("utf-8", "replace"))


def without_tokens(raw: bytes) -> bytes:
    """Wrapper tokens are credentials, also where somebody wrote one into a text."""
    return _WRAPPER.sub(clean.HIDDEN.encode(), raw) if b"tkn_" in raw else raw


def _column(text: str) -> str:
    """A word on the line of a heading, which it neither ends nor divides."""
    return clean.name(sanitised(_BREAKS.sub(" ", text)).replace("|", "/"), _LONGEST_NAME)


def _title(name: str) -> str:
    return "-".join(word.capitalize() for word in name.split("-"))
