"""Throttle: events that anybody can cause at will are told once in a while, with how many were not."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass

from tokenomics_core.events.types import FULL_HASH, Event

_MINUTE = 60.0

# By type: the members of data that make two events the same, and the seconds until it is told again.
_ALIKE: dict[str, tuple[tuple[str, ...], float]] = {
    "auth.failed": (("remote_addr", "code"), _MINUTE),
    "session.frozen": ((FULL_HASH, "session_id"), _MINUTE),
    "token.expired": ((FULL_HASH, "expired_at"), math.inf),
}
MOST_A_MINUTE = 60
"""Events of one such type, however they differ."""

_REMEMBERED = 4096


@dataclass(slots=True)
class _Told:
    at: float
    suppressed: int = 0


class Throttle:
    """Every method may be called from any thread."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, ...], _Told] = OrderedDict()
        self._minutes: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def admit(self, event: Event, now: float) -> Event | None:
        """The event, with ``suppressed`` where some were left out before it; None to leave it out.

        now: monotonic seconds.
        """
        alike = _ALIKE.get(event.type)
        if alike is None:
            return event
        names, every = alike
        key = (event.type, *(str(event.data.get(name, "")) for name in names))
        with self._lock:
            told = self._told.get(key)
            if told is not None and now - told.at < every:
                told.suppressed += 1
                return None
            if not self._room(event.type, now):
                return None
            self._told[key] = _Told(now)
            self._told.move_to_end(key)
            if len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)
        if told is None or not told.suppressed:
            return event
        return Event(event.type, {**event.data, "suppressed": told.suppressed})

    def _room(self, type: str, now: float) -> bool:
        minute = int(now // _MINUTE)
        known, count = self._minutes.get(type, (minute, 0))
        count = count if known == minute else 0
        if count >= MOST_A_MINUTE:
            return False
        self._minutes[type] = (minute, count + 1)
        return True
