"""Who listens at a URL: nobody, a gateway of this data directory, another gateway, or a stranger."""

from __future__ import annotations

import http.client
import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from tokenomics_core.process import Process
from tokenomics_core.tokens.proof import CHALLENGE, PROOF, proven

Who = Literal["nobody", "ours", "another gateway", "a stranger"]

TIMEOUT = 5.0
INSTANCE = "x-tokenomics-instance"


@dataclass(frozen=True, slots=True)
class Answer:
    """instance, version: what a gateway says of itself. process: only of one that has proven to be ours."""

    who: Who
    instance: str = ""
    version: str = ""
    process: Process | None = None


def ask(url: str, hash_key: bytes, data_dir: Path, timeout: float = TIMEOUT) -> Answer:
    """Asks without giving anything away: no token, no cookie, no proxy in between.

    A certificate is not looked at: the proof says more than one would.
    """
    parts = urlsplit(url)
    host, tls = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    connection: http.client.HTTPConnection
    if tls:
        connection = http.client.HTTPSConnection(
            host, port, timeout=timeout, context=ssl._create_unverified_context()
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
    nonce = secrets.token_hex(16)
    try:
        try:
            connection.connect()
        except ssl.SSLError:
            return Answer("a stranger")
        except OSError:
            return Answer("nobody")
        connection.request("GET", "/health", headers={CHALLENGE: nonce})
        answer = connection.getresponse()
        instance = answer.getheader(INSTANCE) or ""
        proof = answer.getheader(PROOF) or ""
        version = answer.getheader("x-tokenomics-version") or ""
    except (OSError, http.client.HTTPException):
        return Answer("a stranger")
    finally:
        connection.close()
    process = proven(hash_key, nonce, proof, data_dir=data_dir, port=port)
    if process is not None:
        return Answer("ours", instance, version, process)
    return Answer("another gateway", instance, version) if instance else Answer("a stranger")
