"""What a request head must look like before a key is put next to it.

A lenient parser in front of a strict one is how requests are smuggled and keys are quoted back in error
pages. So the head is judged here, once, by bytes; everything that RFC 9110 and 9112 call invalid, and every
ambiguity that two parsers could read differently, is refused before any other step runs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tokenomics_core.refusal import Refusal

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
VERSIONS = frozenset({"HTTP/1.0", "HTTP/1.1", "HTTP/2.0"})
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 128
MAX_PATH_BYTES = 16 * 1024

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search

# Visible ASCII less ", #, <, > and the backslash. A query may hold bytes beyond ASCII: some clients send text
# as it is, and nothing here is decided by it.
_PATH = re.compile(rb"/[!$-;=@-\[\]-~]*(?:\?[!$-;=?-\[\]-~\x80-\xff]*)?")

# A percent sign that encodes nothing, a control character, or an unreserved character (RFC 3986 2.3), which
# would be one path for a provider and another one for a rule.
_DISGUISED = re.compile(
    rb"(?i)%(?:(?![0-9a-f]{2})|[01].|2[de]|3[0-9]|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9aef])"
).search

# Two of these would let two parsers see two different requests.
_ONCE = frozenset(
    {
        b"host",
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"transfer-encoding",
        b"authorization",
        b"proxy-authorization",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"expect",
        b"upgrade",
    }
)


def check_head(method: str, path: bytes, version: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raises Refusal (400, 405, 414, 415, 417, 431) when the head is not one that may be sent on.

    path: request target in origin form, with its query. headers: raw names and values, in order.
    """
    if method not in METHODS:
        raise Refusal(405, "method_not_allowed", "this method is not forwarded")
    if version not in VERSIONS:
        raise Refusal(400, "bad_request", "this HTTP version is not spoken here")
    if len(path) > MAX_PATH_BYTES:
        raise Refusal(414, "uri_too_long", f"the request path is longer than {MAX_PATH_BYTES} bytes")
    if not _PATH.fullmatch(path):
        raise Refusal(400, "bad_request", "the request path is not valid")
    if _DISGUISED(path.partition(b"?")[0]):
        raise Refusal(400, "bad_request", "the request path has a percent sign where none belongs")
    check_fields(headers)


def check_fields(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """The part of `check_head` that also holds for CONNECT, which has no path."""
    if len(headers) > MAX_HEADERS:
        raise Refusal(431, "headers_too_large", f"more than {MAX_HEADERS} header fields")
    if sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD_BYTES:
        raise Refusal(431, "headers_too_large", f"header fields of more than {MAX_HEAD_BYTES} bytes")
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        lower = name.lower()
        if not _NAME(lower):
            raise Refusal(400, "bad_request", "a header name is not valid")
        if _BAD_VALUE(value):
            raise Refusal(400, "bad_request", f"the value of header {name.decode()} is not valid")
        if lower in fields and lower in _ONCE:
            raise Refusal(400, "bad_request", f"header {lower.decode()} stands more than once")
        fields[lower] = value
    if (coding := fields.get(b"transfer-encoding")) is not None:
        if coding.strip().lower() != b"chunked":
            raise Refusal(400, "bad_request", "no transfer coding but plain chunked is accepted")
        if b"content-length" in fields:
            raise Refusal(400, "bad_request", "Content-Length and Transfer-Encoding exclude each other")
    if (length := fields.get(b"content-length")) is not None and not (length.isdigit() and len(length) <= 15):
        raise Refusal(400, "bad_request", "Content-Length is not valid")
    if fields.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
        raise Refusal(415, "encoding_not_supported", "send the request body without content-encoding")
    if fields.get(b"expect", b"100-continue").strip().lower() != b"100-continue":
        raise Refusal(417, "expectation_failed", "no expectation but 100-continue is met")
    if fields.get(b"upgrade", b"websocket").strip().lower() not in (b"websocket", b"h2c"):
        raise Refusal(400, "bad_request", "no upgrade but websocket is forwarded")
