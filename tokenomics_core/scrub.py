"""Takes a real key out of whatever comes back, also when it is cut over several pieces."""

from __future__ import annotations

REPLACEMENT = b"[REDACTED]"


def scrub(data: bytes, secret: bytes) -> bytes:
    """The data with every occurrence of the secret replaced."""
    return data.replace(secret, REPLACEMENT) if secret and secret in data else data


class StreamScrubber:
    """The same for a stream. Holds back only a tail that may be the beginning of the secret.

    replacement: what stands in the secret's place; one of the same length leaves the stream's as it was.
    """

    def __init__(self, secret: bytes, replacement: bytes = REPLACEMENT) -> None:
        self._secret = secret
        self._replacement = replacement
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        if not self._secret:
            return data
        # What stands in a secret's place is never the beginning of another.
        *before, tail = (self._held + data).split(self._secret)
        held = self._beginning_at_end(tail)
        self._held = tail[len(tail) - held :]
        return self._replacement.join([*before, tail[: len(tail) - held]])

    def close(self) -> bytes:
        held, self._held = self._held, b""
        return held

    def _beginning_at_end(self, data: bytes) -> int:
        """Length of the longest end of data that is a proper beginning of the secret."""
        start = max(0, len(data) - len(self._secret) + 1)
        at = data.find(self._secret[:1], start)
        while at >= 0:
            if self._secret.startswith(data[at:]):
                return len(data) - at
            at = data.find(self._secret[:1], at + 1)
        return 0
