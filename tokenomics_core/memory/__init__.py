"""Conversation memory: what was asked and answered, after masking, where policy and configuration want it."""

from __future__ import annotations

from tokenomics_core.memory.capture import Capture, restores, unrestored
from tokenomics_core.memory.communication import Communication
from tokenomics_core.memory.entry import LIMIT as CAPTURED
from tokenomics_core.memory.entry import Streamed
from tokenomics_core.memory.places import NOBODY, Settings, Writers, writers_for
from tokenomics_core.memory.record import Record, record_of
from tokenomics_core.memory.recorder import Recorder, most_kept
from tokenomics_core.memory.turn import Earlier, KeptTurn

__all__ = [
    "CAPTURED",
    "NOBODY",
    "Capture",
    "Communication",
    "Earlier",
    "KeptTurn",
    "Record",
    "Recorder",
    "Settings",
    "Streamed",
    "Writers",
    "most_kept",
    "record_of",
    "restores",
    "unrestored",
    "writers_for",
]
