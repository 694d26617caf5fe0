"""Envelope: an event as it is sent, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tokenomics_core.events.types import FULL_HASH, Event

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Envelope:
    """id: ``evt_`` and 32 hex characters. timestamp: RFC 3339 in UTC. data: JSON values by name."""

    id: str
    type: str
    timestamp: str
    data: Mapping[str, Any]

    def body(self, *, full_token_hash: bool = False) -> bytes:
        """Compact JSON in UTF-8, the same at every call. full_token_hash: whether the whole hash is told."""
        data = self.told(full_token_hash=full_token_hash)
        envelope: dict[str, Any] = {"id": self.id, "type": self.type, "timestamp": self.timestamp}
        if data:
            envelope["data"] = {name: data[name] for name in sorted(data)}
        text = json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))
        # Half of a surrogate pair has no bytes.
        return text.encode("utf-8", "replace")

    def told(self, *, full_token_hash: bool) -> dict[str, Any]:
        """The data as a receiver gets it."""
        return {name: value for name, value in self.data.items() if full_token_hash or name != FULL_HASH}


def seal(event: Event, now: int, random: Callable[[int], bytes]) -> Envelope:
    """Gives an event its id and its time. now: nanoseconds since 1970. random: so many random bytes."""
    return Envelope("evt_" + random(16).hex(), event.type, timestamp(now), event.data)


def timestamp(now: int) -> str:
    """RFC 3339 in UTC, with as many digits of the second as say something, at most nine."""
    seconds, nanoseconds = divmod(now, _SECOND)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return f"{whole}{fraction}Z"
