"""Anomaly: what is watched of a session to find an agent that ran wild.

The watching itself is a part of the one question to the counters (`counters.state.watch`), so that many
gateways see one session.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import orjson

from tokenomics_core.config.schema import Anomaly as ConfigAnomaly
from tokenomics_core.counters.question import NANO, Watch
from tokenomics_core.json_body import JsonBody
from tokenomics_core.meter.lease import nano
from tokenomics_core.policy import Anomaly as PolicyAnomaly

UNRELATED = frozenset(
    {
        "client_metadata",
        "metadata",
        "prompt_cache_key",
        "safety_identifier",
        "stream",
        "stream_options",
        "user",
    }
)
"""Members of a body that change who asks and how the answer comes, and never the answer."""


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """The thresholds of one request, in the units of `Watch`."""

    max_requests: int = 100
    max_repeats: int = 3
    max_spend: int = NANO
    window: int = 60_000
    memory: int = 300_000
    freeze: int = 300_000


def settings(policy: PolicyAnomaly, config: ConfigAnomaly) -> WatchSettings | None:
    """What a policy says goes over what the configuration says, field by field. None when not enabled."""

    def said(name: str) -> Any:
        value = getattr(policy, name)
        return getattr(config, name) if value is None else value

    if not said("enabled"):
        return None
    return WatchSettings(
        max_requests=said("max_requests"),
        max_repeats=said("max_identical"),
        max_spend=nano(said("max_usd")),
        window=round(said("window") * 1000),
        memory=round(said("memory") * 1000),
        freeze=round(said("freeze") * 1000),
    )


def fingerprint(dialect_name: str, path: str, body: JsonBody | None) -> str:
    """The same for two requests that ask for the same answer; the empty string where there is no body.

    Members are sorted and white space does not count: a client that writes the same in another order asks for
    the same. Whether the answer is streamed does not count either.
    """
    if body is None:
        return ""
    asked = {name: value for name, value in body.value.items() if name not in UNRELATED}
    try:
        told = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # Integers over 64 bits, or more levels than orjson writes.
        told = json.dumps(asked, sort_keys=True).encode()
    # Gemini has model and streaming in the path.
    place = f"{dialect_name} {path.replace(':streamGenerateContent', ':generateContent')} "
    return hashlib.blake2b(place.encode() + told, digest_size=16).hexdigest()


def watch_of(settings: WatchSettings, gate: str, fingerprint: str, model: str, cost: int) -> Watch:
    """gate: key of the freeze that closes the session. cost: estimated, in billionths of a US dollar.

    Requests without a fingerprint (files, lists) are counted, and never taken for a loop.
    """
    return Watch(
        session=gate,
        fingerprint=fingerprint,
        model=model,
        cost=cost,
        max_requests=settings.max_requests,
        max_repeats=settings.max_repeats if fingerprint else 0,
        max_spend=settings.max_spend,
        window=settings.window,
        memory=settings.memory,
        freeze=settings.freeze,
    )
