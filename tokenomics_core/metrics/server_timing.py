"""Server-Timing: the layers' times as a header field, which browsers' and curl's users know to read."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NO_TOKEN = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")


def server_timing(timings: Mapping[str, float], elapsed: float | None = None) -> str:
    """``admission;dur=0.12, guardrails;dur=3.4``: milliseconds, in the order of timings.

    elapsed: milliseconds since the start. What the layers did not take of it is the provider's, ``upstream``;
    None where no provider was asked. The empty string for nothing at all: then there is no field.
    """
    if elapsed is not None:
        timings = {**timings, "upstream": elapsed - sum(timings.values())}
    return ", ".join(
        f"{_NO_TOKEN.sub('-', name) or '-'};dur={max(0.0, spent):.3f}".rstrip("0").rstrip(".")
        for name, spent in timings.items()
    )
