"""What the characters of a secret say about it: how random they are, a checksum, what they decode to.

Every function takes the matched value and is linear in its length.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import re2

HEX = "0123456789abcdef"
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

_SAMPLE = 256
"""Characters that are enough to judge a longer value by."""

_STAND_INS = ("xxxx", "example", "your_", "your-", "yourkey", "placeholder", "****", "redacted", "....")


def entropy(text: str) -> float:
    """Bits per character by Shannon, of the first characters. 0 for the empty text."""
    text = text[:_SAMPLE]
    total = len(text)
    return -sum(n / total * math.log2(n / total) for n in Counter(text).values())


def mixed(text: str) -> bool:
    """At least two of: digits, small letters, capitals."""
    return (
        any(c.isdigit() for c in text) + any(c.islower() for c in text) + any(c.isupper() for c in text)
    ) >= 2


def random_looking(text: str) -> bool:
    """What follows a prefix was drawn at random: no stand-in, no words in one case, no repetition."""
    lower = text[:_SAMPLE].lower()
    return not any(word in lower for word in _STAND_INS) and mixed(text[:_SAMPLE]) and entropy(text) >= 2.8


def unbroken(text: str) -> bool:
    """Random, or at its end at least twenty letters without a hyphen: no words."""
    last = text.rpartition("-")[2]
    stand_in = any(word in text[:_SAMPLE].lower() for word in _STAND_INS)
    return random_looking(text) or (len(last) >= 20 and entropy(last) >= 2.8 and not stand_in)


def dense(text: str) -> bool:
    """For values without a prefix: capitals, small letters and digits, as in base64 of random bytes."""
    return (
        len(text) <= _SAMPLE
        and entropy(text) >= 3.7
        and any(c.isdigit() for c in text)
        and any(c.isupper() for c in text)
        and any(c.islower() for c in text)
    )


def hexadecimal(text: str) -> bool:
    """Random hex digits: some of them digits, some of them letters."""
    return entropy(text) >= 2.9 and any(c.isdigit() for c in text) and any(c.isalpha() for c in text)


def base62_crc32(text: str) -> bool:
    """GitHub's and npm's tokens: the last six characters are the CRC-32 of those behind the prefix."""
    body = text.rpartition("_")[2]
    value = 0
    for character in body[-6:]:
        digit = BASE62.find(character)
        if digit < 0:
            return False
        value = value * 62 + digit
    return len(body) > 6 and value == zlib.crc32(body[:-6].encode())


def bech32(text: str) -> bool:
    """The checksum of BIP 173."""
    prefix, one, body = text.lower().rpartition("1")
    values = [_BECH32.find(character) for character in body]
    if not one or min(values, default=-1) < 0:
        return False
    state = 1
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + values
    for value in expanded:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            if top >> bit & 1:
                state ^= generator
    return state == 1


def unbase64(text: str) -> bytes:
    """The bytes of base64 in either alphabet, padded or not; nothing where it is none."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def jwt_header(text: str) -> bool:
    """The part before the first dot is JSON that names its algorithm."""
    return "alg" in _json(unbase64(text[:8192].partition(".")[0]))


def json_inside(text: str) -> bool:
    """From the first ``eyJ`` on it is base64 of a JSON object, up to a character that is not base64."""
    body = text[max(0, text.find("eyJ")) :]
    end = next((at for at, c in enumerate(body) if not (c.isalnum() or c in "+/=")), len(body))
    return bool(_json(unbase64(body[:end])))


def decodes_to(*lengths: int) -> Callable[[str], bool]:
    """A check: base64 of that many bytes."""
    return lambda text: len(unbase64(text)) in lengths and entropy(text) >= 3.5


def has_length(lengths: Iterable[int], check: Callable[[str], bool] = dense) -> Callable[[str], bool]:
    """A check that also asks for one of these lengths.

    Patterns that begin with any letters take the whole run of them: to count them in the pattern costs the
    common pass a state for each number.
    """
    allowed = frozenset(lengths)
    return lambda text: len(text) in allowed and check(text)


def basic_credentials(text: str) -> bool:
    """Base64 of ``user:password``."""
    data = unbase64(text)
    return b":" in data and data.isascii() and data.decode("ascii", "replace").isprintable()


def discord_token(text: str) -> bool:
    """Its first part is the base64 of the bot's number."""
    return unbase64(text.partition(".")[0]).isdigit()


def terraform_token(text: str) -> bool:
    """Fourteen characters stand before the mark."""
    return text.find(".atlasv1.") == 14 and random_looking(text)


def pypi_macaroon(text: str) -> bool:
    """The macaroon names where it comes from."""
    return b"pypi.org" in unbase64(text[5 : 5 + 24])


_NO_VALUES = (
    *_STAND_INS,
    "changeme",
    "change_me",
    "change-me",
    "replace",
    "dummy",
    "insert",
    "process.env",
    "os.environ",
    "getenv",
    "environ",
    "secrets.",
    "://",
    "${",
    "{{",
    "$(",
    "vault:",
    "arn:",
    "...",
)
_BEGINNINGS = (
    "=",
    "$",
    "%",
    "/",
    "./",
    "../",
    "~/",
    "<",
    "{",
    "[",
    "@",
    "!",
    "&",
    "#{",
    "\\",
    "file:",
    "env:",
    "env.",
    "self.",
)
_NAMES = re2.compile(r"[A-Za-z]*[a-z][A-Za-z]*[0-9]{0,2}(?:[._:/-]+(?:[A-Za-z]*|[vV]?[0-9]{1,4})[0-9]{0,2})*")
_WORDS = re2.compile(
    r"[A-Za-z]+[0-9]{0,2}(?:[._:/-]+(?:[A-Za-z]+[0-9]{0,2}|[vV]?[0-9]{1,4}))+"
    r"|[A-Za-z_]+|[0-9.,_%-]+[A-Za-z]{0,2}"
)
# Code: a member of something.
_DOTTED = re2.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+")
_SYMBOLS = frozenset("!@#$%^&*+=?~|")
_ORDINARY = frozenset(
    "password passwort passwd secret token pass pwd test user username admin root none null".split()
)


def _value(text: str) -> bool:
    """It may be a value: no stand-in, no reference to a place where the value is, no repetition."""
    head = text[:_SAMPLE]
    lower = head.lower()
    return (
        not head.startswith(_BEGINNINGS)
        and not any(word in lower for word in _NO_VALUES)
        and len(set(head)) >= 5
        and lower.rstrip("0123456789") not in _ORDINARY
    )


def _named(text: str) -> bool:
    """It may be the name of something in a program."""
    return bool(_NAMES.fullmatch(text) or _DOTTED.fullmatch(text))


def quoted(text: str) -> bool:
    """In quotes: eight characters with a digit or a symbol; no words, joined by dots or hyphens or alone."""
    return len(text) >= 8 and _value(text) and not _WORDS.fullmatch(text[:_SAMPLE]) and entropy(text) >= 2.5


def assigned(text: str) -> bool:
    """Without quotes it may be code: more must speak for a value than that it is no name."""
    text = text.rstrip(".")
    if not quoted(text) or not any(c.isdigit() for c in text) or not any(c.isalpha() for c in text):
        return False
    changes = sum(a.isdigit() != b.isdigit() for a, b in pairwise(text[:_SAMPLE]))
    return not _named(text[:_SAMPLE]) and (changes >= 3 or bool(_SYMBOLS & set(text)))


def environment(text: str) -> bool:
    """Of a variable of the environment in capitals: whatever is no stand-in, and no plain word or number."""
    return (
        _value(text)
        and not text.isdigit()
        and (any(c.isdigit() for c in text) or bool(_SYMBOLS & set(text)))
        and not ("." in text and _WORDS.fullmatch(text[:_SAMPLE]))
    )


def spoken(text: str) -> bool:
    """In a sentence: letters together with digits or symbols."""
    text = text.rstrip(".!?:")
    return (
        len(text) >= 6
        and _value(text)
        and any(c.isalpha() for c in text)
        and (any(c.isdigit() for c in text) or bool(_SYMBOLS & set(text)))
        and not _WORDS.fullmatch(text[:_SAMPLE])
        and not _DOTTED.fullmatch(text[:_SAMPLE])
    )


def login(text: str) -> bool:
    """``user:password`` with a password that is none of the usual stand-ins, and no number of a user."""
    user, _, password = text.partition(":")
    lower = password.lower()
    return (
        lower not in _ORDINARY
        and not password.startswith(("$", "%s", "%(", "{", "<", "*", "[", "..."))
        and not any(word in lower for word in _STAND_INS)
        and not ("${" in password or "{{" in password or lower == "pw")
        and (user != password)
        and not (password.isdigit() and (user.isdigit() or "." in user))
        and len(set(password)) > 1
    )
