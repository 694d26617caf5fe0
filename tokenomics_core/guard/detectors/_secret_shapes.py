"""How detectors of secrets are written down: keys told by a prefix, and keys told by their context."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import re2

from tokenomics_core.guard.detector import Detector, Shape
from tokenomics_core.guard.detectors._secret_checks import BASE62, HEX, dense, hexadecimal, random_looking

START = r"(?:\b|\\[nrt])"
"""Where a key begins: also right behind a line end that is written as an escape, as in tool arguments."""

AFTER = r"""[\s"'`=:>(,]"""
"""What stands before a value in which there may be more than letters and digits. It is not part of it."""

HEX32 = r"\b([0-9a-f]{32})\b"
HEX40 = r"\b([0-9a-f]{40})\b"
HEX64 = r"\b([0-9a-f]{64})\b"
ALNUM32 = r"\b([A-Za-z0-9]{32})\b"
ALNUM40 = r"\b([A-Za-z0-9]{40})\b"
RUN40 = AFTER + r"([A-Za-z0-9_-]{40,})"
UUID = r"\b([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b"

DIGESTS = (
    "commit",
    "sha1",
    "sha256",
    "sha512",
    "md5",
    "hash",
    "digest",
    "checksum",
    "etag",
    "integrity",
    "revision",
)
"""Words before a number that is written like a key and is none."""

URL_SAFE = BASE62 + "-_"


def sample(length: int, alphabet: str = BASE62) -> str:
    """Characters for examples, always the same. They look random, and open nothing."""
    stream = b"".join(hashlib.sha256(bytes([block])).digest() for block in range(length // 32 + 1))
    return "".join(alphabet[byte % len(alphabet)] for byte in stream[:length])


def key(
    name: str,
    label: str,
    pattern: str,
    example: str,
    *,
    check: Callable[[str], bool] = random_looking,
    valid: float = 0.95,
    invalid: float = 0.2,
    near: tuple[str, ...] = (),
    family: str = "api_key",
    clean: tuple[str, ...] = (),
) -> Detector:
    """A key that its prefix or its structure tells. pattern: without groups."""
    return Detector(
        name,
        label,
        "secret",
        (Shape(f"{START}({pattern})", check=check, valid=valid, invalid=invalid),),
        near=near,
        family=family,
        found=(
            f"use «{example}» for it",
            f'{{\\"value\\": \\"«{example}»\\"}}',
            f"first\\n«{example}»\\nlast",
            f"--option=«{example}»",
        ),
        clean=(f"the {label} goes here", f"it begins with {example[:9]} and so on", f"x{example}", *clean),
    )


def behind(words: tuple[str, ...], pattern: str) -> str:
    """The pattern, where one of the words stands shortly before it.

    So a text full of hashes without such a word does not get beyond the common pass of all patterns.
    """
    plain = (word.replace("_", " ").replace("-", " ").split(" ") for word in words)
    named = "|".join("[ _-]".join(map(re2.escape, parts)) for parts in plain)
    return rf"(?i:(?:\b|_)(?:{named}))(?:[^A-Za-z0-9][^\x00]{{0,40}}?)?{pattern}"


def context_key(
    name: str,
    label: str,
    pattern: str,
    near: tuple[str, ...],
    example: str = "",
    *,
    check: Callable[[str], bool] | None = None,
    score: float = 0.3,
    clean: tuple[str, ...] = (),
) -> Detector:
    """A key that looks like many other things. pattern: its group is the value. near: words that tell it."""
    if not example:
        example = {HEX32: sample(32, HEX), HEX40: sample(40, HEX), HEX64: sample(64, HEX)}.get(pattern, "")
        example = example or {ALNUM32: sample(32), ALNUM40: sample(40), RUN40: sample(40)}.get(pattern, "")
        example = example or "-".join(
            sample(32, HEX)[a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
        )
    if check is None:
        check = hexadecimal if pattern in (HEX32, HEX40, HEX64, UUID) else dense
    word = near[0]
    return Detector(
        name,
        label,
        "secret",
        (Shape(behind(near, pattern), check=check, valid=score),),
        near=near,
        unlike=DIGESTS,
        family="api_key",
        found=(
            f"{word.upper()}=«{example}»",
            f"my {word} key: «{example}»",
            f'{{\\"{word}_api_key\\": \\"«{example}»\\"}}',
        ),
        clean=(
            f"request {example} was served",
            f"{word} commit {example}",
            f"the {word} key goes here",
            *clean,
        ),
    )
