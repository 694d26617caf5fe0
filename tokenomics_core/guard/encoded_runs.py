"""Runs of base64 and hexadecimal digits that decode to text.

A run begins where no letter or digit stands before it. One pass over the text finds those whose first bytes
could be text in UTF-8: identifiers, hashes and images are passed over there. What is read of a run is its
longest beginning that is text.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, unhexlify
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import re2

from tokenomics_core.guard.decoding import Rewritten, in_place

LONGEST = 1 << 20
"""Characters above which a run is not decoded."""

LINE = 60
"""Characters that a line of base64 has at least for the run to go on in the next line."""

_DEPTH = 2
_FIRST_WINDOW = 256

_STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_DIGITS = b"A-Za-z0-9+/_-"

# High halves of the bytes of UTF-8: of one that is a character, of one that follows, of the first of 2 to 4.
_HALVES = {"one": (0, 2, 3, 4, 5, 6, 7), "next": (8, 9, 10, 11), "2": (12, 13), "3": (14,), "4": (15,)}
_FOLLOWING = {"one": 0, "2": 1, "3": 2, "4": 3}


def _digits(values: list[int]) -> str:
    return "[" + "".join({62: "+\\-", 63: "/_"}.get(v, chr(_STANDARD[v])) for v in values) + "]"


def _four_digits(kinds: tuple[str, ...]) -> str:
    """Four digits of base64 whose three bytes are of these kinds."""
    first, second, third = (_HALVES[kind] for kind in kinds)
    return (
        _digits([v for v in range(64) if v >> 2 in first])
        + _digits([v for v in range(64) if v & 15 in second])
        + _digits([v for v in range(64) if any(v & 3 == half >> 2 for half in third)])
        + _digits([v for v in range(64) if any(v >> 4 == half & 3 for half in third)])
    )


def _digits_of_text(open_bytes: int, fours: int) -> str:
    """So many fours of digits that decode to UTF-8, when so many bytes of a character are still to come."""
    ways: dict[int, list[str]] = {}
    for kinds in product(_HALVES, repeat=3):
        left = open_bytes
        for kind in kinds:
            if (kind == "next") != (left > 0):
                break
            left = left - 1 if kind == "next" else _FOLLOWING[kind]
        else:
            ways.setdefault(left, []).append(_four_digits(kinds))
    after = {left: _digits_of_text(left, fours - 1) if fours > 1 else "" for left in ways}
    return "(?:" + "|".join(f"(?:{'|'.join(way)}){after[left]}" for left, way in ways.items()) + ")"


def _start_of_run() -> str:
    one = "(?:[2-7][0-9a-fA-F]|0[09aAdD])"
    more = "(?:[c-fC-F][0-9a-fA-F](?:[89abAB][0-9a-fA-F]){1,3})"
    hexadecimal = f"{one}{{8}}|{one}{{0,7}}{more}(?:{one}|{more}){{3}}"
    base64 = _digits_of_text(0, 3) + "[A-Za-z0-9+/_-]{2}"
    return f"(?:^|[^0-9A-Za-z])(?:(?:0[xX])?({hexadecimal})|({base64}))"


def _compiled(pattern: str) -> re.Pattern[bytes]:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    compiled: re.Pattern[bytes] = re2.compile(pattern.encode(), options)
    return compiled


_START = _compiled(_start_of_run())
# Possessive: they cannot backtrack.
_BASE64_RUN = re.compile(rb"(?:[%b]{%d,}+\r?\n(?=[%b]))*+[%b]*+={0,2}+" % (_DIGITS, LINE, _DIGITS, _DIGITS))
_HEX_RUN = re.compile(rb"[0-9a-fA-F]*+")
_URL_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Run:
    """text: one reading of what the characters from start to end decode to."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class _Form:
    """run: matches all of a run. `digits` digits give `octets` bytes. least: bytes that make a find."""

    run: re.Pattern[bytes]
    digits: int
    octets: int
    least: int
    decode: Callable[[bytes], bytes]


def _from_base64(digits: bytes) -> bytes:
    digits = digits.translate(_URL_TO_STANDARD)
    # One digit alone holds no byte.
    digits = digits[:-1] if len(digits) % 4 == 1 else digits
    return a2b_base64(digits + b"=" * (-len(digits) % 4))


def _from_hex(digits: bytes) -> bytes:
    return unhexlify(digits[: len(digits) // 2 * 2])


_BASE64 = _Form(_BASE64_RUN, 4, 3, 10, _from_base64)
_HEX = _Form(_HEX_RUN, 2, 1, 8, _from_hex)


def encoded_runs(text: str, reading: Rewritten | None) -> list[Run]:
    """What the runs in a text decode to, in the order in which they stand. `reading`: the text read in place.

    Runs are looked for in both. What a run decodes to is read in place too, and for runs in it, once.
    """
    found = _all_runs(text, reading, _DEPTH)
    return sorted(found, key=lambda run: (run.start, run.end, run.text)) if found else []


def _all_runs(text: str, reading: Rewritten | None, depth: int) -> set[Run]:
    found = {Run(start, end, inner) for start, end, inner in _readings(text, depth)}
    if reading:
        found.update(
            Run(*reading.span(start, end), inner) for start, end, inner in _readings(reading.text, depth)
        )
    return found


def _readings(text: str, depth: int) -> list[tuple[int, int, str]]:
    readings = []
    for start, end, decoded in _decoded(text):
        readings.append((start, end, decoded))
        otherwise = in_place(decoded)
        if otherwise:
            readings.append((start, end, otherwise.text))
        if depth > 1:
            inner = _all_runs(decoded, otherwise, depth - 1)
            readings += [(start, end, deeper) for deeper in {run.text for run in inner}]
    return readings


def _decoded(text: str) -> list[tuple[int, int, str]]:
    # One byte for each character, so that places are the same.
    data = text.encode("ascii", "replace")
    found: list[tuple[int, int, str]] = []
    at = 0
    ends = {_BASE64: 0, _HEX: 0}
    while match := _START.search(data, at):
        forms = (_HEX, _BASE64) if match.start(1) >= 0 else (_BASE64,)
        start = at = max(match.start(1), match.start(2))
        for form in forms:
            if ends[form] <= start:
                whole = form.run.match(data, start)
                ends[form] = whole.end() if whole else start
            end = ends[form]
            if end - start > LONGEST:
                at = max(at, end)
                continue
            text_of_run, taken = _beginning_that_is_text(data, start, end, form)
            if text_of_run:
                found.append((start, taken, text_of_run))
            at = max(at, taken)
        at = max(at, start + 1)
    return found


def _beginning_that_is_text(data: bytes, start: int, end: int, form: _Form) -> tuple[str, int]:
    """The text, empty where it is none worth a look, and where in the data it ends."""
    window = _FIRST_WINDOW
    while True:
        # A longer and longer beginning is tried, so that a run that soon is no text costs little.
        stop = min(end, start + window)
        digits = data[start:stop].translate(None, b"\r\n=")
        if stop < end:
            digits = digits[: len(digits) // form.digits * form.digits]
        decoded = form.decode(digits)
        text, used = _text(decoded)
        if stop == end or used < len(decoded) - 3:
            break
        window *= 8
    taken = end
    if used < len(decoded):
        taken = _after_digits(data, start, end, -(-used * form.digits // form.octets))
    plain = text.replace("\0", "")
    seen = used >= form.least and len(_CONTROL.findall(plain)) * 8 <= len(plain)
    return (plain if seen else ""), taken


def _text(data: bytes) -> tuple[str, int]:
    try:
        return data.decode(), len(data)
    except UnicodeDecodeError as error:
        return data[: error.start].decode(), error.start


def _after_digits(data: bytes, start: int, end: int, count: int) -> int:
    """Where so many digits of a run end, when line ends do not count."""
    while True:
        line_end = data.find(b"\n", start, min(end, start + count + 2))
        if line_end < 0:
            return start + count
        line = data[start:line_end].rstrip(b"\r")
        if len(line) >= count:
            return start + count
        count -= len(line)
        start = line_end + 1
