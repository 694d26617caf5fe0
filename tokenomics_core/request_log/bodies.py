"""Bodies: what was asked and answered, as a line of the log shows it."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from dataclasses import dataclass, replace

from tokenomics_core.charset import readable
from tokenomics_core.request_log.hiding import body_text, looked_at

BODY_LIMIT = 8192
"""Characters of a body that are logged."""

BODY_KEPT = looked_at(BODY_LIMIT)
"""Bytes, or characters, of a body that are worth keeping for it."""

# Content rules do not look into these, so text in them was not masked.
_OPAQUE = re.compile(
    r"(?:multipart|audio|image|video|font)/|application/(?:octet-stream|pdf|zip|gzip|x-tar|vnd\.)"
)


@dataclass(frozen=True, slots=True)
class Body:
    """One body. data: it, its beginning, or the text of a stream. kind: its media type, with or without
    parameters. size: bytes of all of it, where that is more than is here."""

    data: bytes | str = b""
    kind: str = ""
    size: int = 0

    def beginning(self) -> Body:
        """As much of it as a line can show, to wait for its writing."""
        kept = self.data[:BODY_KEPT]
        return replace(self, data=kept, size=max(self.size, len(self.data)))

    def text(self) -> str:
        """At most `BODY_LIMIT` characters and a mark where it was cut; of a file, its size alone."""
        if isinstance(self.data, bytes) and (self.data or self.size) and self._binary(self.data):
            return f"[binary, {max(self.size, len(self.data))} bytes]"
        if not self.data and self.size:
            return f"[not kept, {self.size} bytes]"
        return body_text(self.data, BODY_LIMIT)

    def _binary(self, data: bytes) -> bool:
        kind = self.kind.strip().lower()
        if _OPAQUE.match(kind) or b"\0" in data or not readable(kind):
            return True
        try:
            # A character may be cut at the end of a beginning.
            getincrementaldecoder("utf-8")().decode(data, final=self.size <= len(data))
        except UnicodeDecodeError:
            return True
        return False


@dataclass(frozen=True, slots=True)
class Bodies:
    """Both of one exchange. request: as it went upstream, after masking; nothing of what was refused before.

    response: masked, without the real key, with placeholders where the client got values back.
    """

    request: Body = Body()
    response: Body = Body()


NO_BODIES = Bodies()
