"""What the Go original finds and leaves, value by value; and what is found beyond it."""

from __future__ import annotations

import pytest
import re2

from tokenomics_core.guard.detector import DEFAULT_SCORE
from tokenomics_core.guard.detectors import named
from tokenomics_core.guard.score import score

MASK = "[REDACTED]"


def masked(name: str, text: str, *, strict: bool = False) -> str:
    """strict: only what the original finds."""
    spans = []
    for detector in named(name):
        for shape in detector.shapes:
            if strict and not shape.reference:
                continue
            pattern = re2.compile(shape.pattern)
            for match in pattern.finditer(text):
                start, end = match.span(pattern.groups)
                if shape.reference or score(detector, shape, text, start, end) >= DEFAULT_SCORE:
                    spans.append((start, end))
    result, done = "", 0
    for start, end in sorted(spans):
        if start >= done:
            result += text[done:start] + MASK
        done = max(done, end)
    return result + text[done:]


PEM = "PRIVATE KEY-----"
KEY_ID = "IOSFODNN7EXAMPLE"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"

SAME = [
    ("ssn", "123-45-6789", MASK),
    ("ssn", "000-00-0000", MASK),
    ("ssn", "1123-45-67899", None),
    ("ssn", "123 45 6789", None),
    ("ssn", "123456789", None),
    ("credit_card", "4111111111111111", MASK),
    ("credit_card", "378282246310005", MASK),
    ("credit_card", "6011111111111117", MASK),
    ("credit_card", "5555555555554444", MASK),
    ("credit_card", "4111111111111112", MASK),
    ("credit_card", "411111111111", MASK),
    ("credit_card", "4" + "1" * 25, MASK),
    ("email", "a@b.co", MASK),
    ("email", "x@y.com.", MASK + "."),
    ("email", "a@b.c", None),
    ("email", "info@müller.de", None),
    ("email", "info@bücher.example", None),
    ("phone", "555-123-4567", MASK),
    ("phone", "5551234567", MASK),
    ("phone", "1700000000", MASK),
    ("phone", "(555) 123-4567", "(" + MASK),
    ("phone", "+1-555-123-4567", "+" + MASK),
    ("phone", "1234567890123", None),
    ("phone", "+44 20 7946 0958", None),
    ("ip_address", "192.168.1.1", MASK),
    ("ip_address", "01.02.03.004", MASK),
    ("ip_address", "1.2.3.4.5", MASK + ".5"),
    ("ip_address", "999.999.999.999", None),
    ("ip_address", "v1.2.3.4", None),
    ("ip_address", "::1", None),
    ("aws_key", "AKIA" + KEY_ID, MASK),
    ("aws_key", "ASIA" + KEY_ID, MASK),
    ("aws_key", "AKIA" + KEY_ID + "X", None),
    ("api_key", "sk-" + "1234567890abcdefghijklmn", MASK),
    ("api_key", "key-" + "1" * 20, MASK),
    ("connection_string", "postgres://" + "u:p@h/db", MASK),
    ("connection_string", "redis://" + ":p@h:6379/", MASK + "/"),
    ("github_token", "ghp_" + LETTERS, MASK),
]
"""Detector, text, what the original makes of it; None where it leaves it."""

BEYOND = [
    ("credit_card", "4532-1234-5678-9012"),
    ("credit_card", "4111 1111 1111 1111"),
    ("credit_card", "30569309025904"),
    ("credit_card", "3530111333300000"),
    ("credit_card", "2221000000000009"),
    ("api_key", "sk-proj-" + "Ab3dEf6hIj9lMn2pQr5t" * 2),
    ("api_key", "sk-ant-api03-" + "Ab3dEf6hIj9lMn2pQr5t" * 4 + "Ab3dEf6hIj9lM" + "-" + "Xy7zAbAA"),
    ("api_key", "SK-" + "1234567890abcdefghijklmn"),
    ("api_key", "tkn_" + "550e8400-e29b-41d4-a716-446655440000"),
    ("connection_string", "postgresql://" + "u:p@h/db"),
    ("connection_string", "mongodb+srv://" + "u:p@h/db"),
    ("connection_string", "rediss://" + ":p@h:6379/0"),
    ("connection_string", "POSTGRES://" + "u:p@h/db"),
    ("github_token", "ghu_" + LETTERS),
    ("github_token", "github_pat_" + "11ABCDEFG0" + LETTERS[:12] + "_" + LETTERS + LETTERS[:23]),
]
"""What the original leaves and these detectors find as a whole."""

KEY_KINDS = ["RSA ", "EC ", "DSA ", ""]
NEW_KEY_KINDS = ["OPENSSH ", "ENCRYPTED "]
KEY_BODY = "\nMIIEowIBAAKCAQEAz5Xv" + "QUJD" * 12 + "\n" + "REVG" * 12 + "\n"


@pytest.mark.parametrize(("name", "text", "expected"), SAME)
def test_the_original_and_these_detectors_agree(name: str, text: str, expected: str | None) -> None:
    wanted = text if expected is None else expected
    assert masked(name, text, strict=True) == wanted
    assert masked(name, text) == wanted


@pytest.mark.parametrize(("name", "text"), BEYOND)
def test_more_is_found_than_the_original_does(name: str, text: str) -> None:
    assert masked(name, text, strict=True) == text
    assert masked(name, f"it is {text}, that's it") == f"it is {MASK}, that's it"


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_the_head_of_a_private_key_is_what_the_original_finds(kind: str) -> None:
    head = f"-----BEGIN {kind}{PEM}"
    assert masked("private_key", head, strict=True) == MASK
    assert masked("private_key", head) == MASK


@pytest.mark.parametrize("kind", KEY_KINDS + NEW_KEY_KINDS)
def test_a_private_key_goes_as_a_whole(kind: str) -> None:
    block = f"-----BEGIN {kind}{PEM}{KEY_BODY}-----END {kind}{PEM}"
    assert masked("private_key", f"my key:\n{block}\nkeep it") == f"my key:\n{MASK}\nkeep it"
