"""What the script in Redis replies, as the answers of question.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenomics_core.counters.question import Claim, Denied, Granted, Standing


def read_answer(reply: Sequence[Any], claims: Sequence[Claim]) -> Granted | Denied:
    """claims: of the question or extension that is answered."""
    if reply[0] == "granted":
        _, tokens, left, standings = reply
        return Granted(tokens, left, _standings(standings))
    _, why, retry_at, message, told, *limit = reply
    if not limit:
        return Denied(why, retry_at=retry_at, message=message, told=told)
    at, used, reserved, asked, waiting, standings = limit
    return Denied(
        why,
        claims[at].limit,
        used,
        reserved,
        asked,
        retry_at,
        waiting=bool(waiting),
        standings=_standings(standings),
    )


def _standings(replies: Sequence[Sequence[Any]]) -> tuple[Standing, ...]:
    return tuple(Standing(*each) for each in replies)
