"""Proof that the one who listens on a port is a gateway of this data directory.

Whoever is about to hand a token over sends a number used once. Only a process that has the hash key of the
same data directory can answer it, and the answer holds for that port alone, so it cannot be passed on.
"""

from __future__ import annotations

import hmac
import os
import re
from pathlib import Path

from tokenomics_core.process import Process

CHALLENGE = "x-tokenomics-challenge"
"""Header of the question, on ``GET /health``: 32 to 64 lower-case hex characters."""

PROOF = "x-tokenomics-proof"
"""Header of the answer: the process's number, its start, and the MAC, with semicolons in between."""

_NONCE = re.compile(r"[0-9a-f]{32,64}")
_ANSWER = re.compile(r"(\d{1,10});([^;]{0,60});([0-9a-f]{64})")


def prove(hash_key: bytes, nonce: str, *, data_dir: Path, port: int, process: Process) -> str:
    """The answer's value; the empty string for a number that is none."""
    if not _NONCE.fullmatch(nonce):
        return ""
    return f"{process.pid};{process.started};{_mac(hash_key, nonce, data_dir, port, process)}"


def proven(hash_key: bytes, nonce: str, answer: str, *, data_dir: Path, port: int) -> Process | None:
    """The process that answered; None when it is no gateway of this directory on this port."""
    parts = _ANSWER.fullmatch(answer)
    if parts is None:
        return None
    process = Process(int(parts[1]), parts[2])
    mac = _mac(hash_key, nonce, data_dir, port, process)
    return process if hmac.compare_digest(mac, parts[3]) else None


def _mac(hash_key: bytes, nonce: str, data_dir: Path, port: int, process: Process) -> str:
    # No wrapper token has this shape, so no answer is the hash of one.
    said = ("tokenomics gateway", nonce, os.path.realpath(data_dir), str(port), str(process.pid))
    return hmac.digest(hash_key, "\0".join((*said, process.started)).encode(), "sha256").hex()
