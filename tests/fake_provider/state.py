"""State: what the fake provider remembers from one request to the next, until it is reset."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import Any

from tests.fake_provider.records import Records

Step = dict[str, Any]


class State:
    """Shared by all connections of one provider.

    url: base URL of the provider itself, for redirects to it.
    seen: texts that were put into the prompt cache.
    responses: answers of the Responses API by id.
    counts: how often a model's misbehaviour has been shown.
    bugs: tracebacks of exceptions that this provider should not have raised.
    """

    def __init__(self) -> None:
        self.url = ""
        self.records = Records()
        self.seen: set[str] = set()
        self.responses: dict[str, dict[str, Any]] = {}
        self.counts: Counter[str] = Counter()
        self.bugs: list[str] = []
        self._lock = threading.Lock()
        self._steps: deque[Step] = deque()
        self._frame_steps: deque[Step] = deque()

    def script(self, steps: list[Step], *, frames: bool = False) -> None:
        """Queues one step for each of the next requests, or of the next WebSocket requests on frames.

        An empty step is a normal answer. ``count`` repeats a step.
        """
        queue = self._frame_steps if frames else self._steps
        with self._lock:
            for step in steps:
                queue.extend([step] * int(step.get("count", 1)))

    def next_step(self, *, frames: bool = False) -> Step | None:
        queue = self._frame_steps if frames else self._steps
        with self._lock:
            return queue.popleft() if queue else None

    def unused_steps(self) -> int:
        with self._lock:
            return len(self._steps) + len(self._frame_steps)

    def reset(self) -> None:
        with self._lock:
            self._steps.clear()
            self._frame_steps.clear()
        self.seen.clear()
        self.responses.clear()
        self.counts.clear()
        self.bugs.clear()
        self.records.clear()
