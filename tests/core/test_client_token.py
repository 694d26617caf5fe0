"""The wrapper token: found wherever agents put it, and taken out again."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.client_token import (
    Credentials,
    find_credentials,
    proxy_token,
    strip_query,
    strip_subprotocol,
)
from tokenomics_core.tokens import looks_like_token

TOKEN = "tkn_0f8fad5b-d9cb-469f-a165-70867728950e"
OTHER = "tkn_7c9e6679-7425-40de-944b-e07fc1f90ae7"
KEY = "sk-ant-oat01-own-login"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


NOBODY = Credentials(None, False, False)
FOUND = Credentials(TOKEN, False, False)
FOREIGN = Credentials(None, True, False)


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ([], "", NOBODY),
        ([("accept", "*/*")], "alt=sse", NOBODY),
        ([("x-api-key", TOKEN)], "", FOUND),
        ([("X-API-Key", f"  {TOKEN} ")], "", FOUND),
        ([("Authorization", f"Bearer {TOKEN}")], "", FOUND),
        ([("authorization", f"bEARER   {TOKEN} ")], "", FOUND),
        ([("authorization", TOKEN)], "", FOUND),
        ([("api-key", TOKEN)], "", FOUND),
        ([("x-goog-api-key", TOKEN)], "", FOUND),
        ([("x-api-key", ""), ("authorization", f"Bearer {TOKEN}")], "", FOUND),
        ([("authorization", "Bearer ")], "", NOBODY),
        ([("authorization", "Bearer")], "", NOBODY),
        ([], f"key={TOKEN}", FOUND),
        ([], f"alt=sse&k%65y={quote(TOKEN).replace('tkn', '%74kn')}", FOUND),
        ([], "key=", NOBODY),
        ([], "key", NOBODY),
        ([], f"KEY={TOKEN}&monkey={TOKEN}", NOBODY),
        ([("sec-websocket-protocol", f"realtime, openai-insecure-api-key.{TOKEN}")], "", FOUND),
        (
            [
                ("sec-websocket-protocol", f"openai-insecure-api-key.{TOKEN}"),
                ("Sec-WebSocket-Protocol", "realtime"),
            ],
            "",
            FOUND,
        ),
        ([("sec-websocket-protocol", "realtime")], "", NOBODY),
        # A credential of another shape is seen, and never taken for a token.
        ([("x-api-key", KEY)], "", FOREIGN),
        ([("authorization", f"Bearer {KEY}")], "", FOREIGN),
        ([("authorization", f"Bearer {TOKEN} and more")], "", FOREIGN),
        ([("authorization", f"Bearer {TOKEN}\x00")], "", FOREIGN),
        ([("authorization", basic(f"{TOKEN}:"))], "", FOREIGN),
        ([("x-api-key", TOKEN.upper())], "", FOREIGN),
        ([("x-api-key", TOKEN[:-1])], "", FOREIGN),
        ([], f"key={KEY}", FOREIGN),
        ([("sec-websocket-protocol", f"openai-insecure-api-key.{KEY}")], "", FOREIGN),
        ([("x-api-key", KEY), ("authorization", f"Bearer {TOKEN}")], "", Credentials(TOKEN, True, False)),
        ([("x-api-key", TOKEN), ("authorization", f"Bearer {KEY}")], "", Credentials(TOKEN, True, False)),
        ([("x-api-key", TOKEN)], f"key={KEY}", Credentials(TOKEN, True, False)),
        # In their order.
        ([("authorization", OTHER), ("x-api-key", TOKEN)], f"key={OTHER}", FOUND),
        ([("x-goog-api-key", OTHER), ("api-key", TOKEN)], "", FOUND),
        ([("x-goog-api-key", TOKEN)], f"key={OTHER}", FOUND),
        # The name of another header is no reason to believe it.
        ([("x-openai-key", TOKEN), ("cookie", f"key={TOKEN}")], "", NOBODY),
    ],
)
def test_find_credentials(headers: Sequence[tuple[str, str]], query: str, expected: Credentials) -> None:
    assert find_credentials(headers, query) == expected
    assert expected.any == (expected.wrapper is not None or expected.other)


@pytest.mark.parametrize(
    ("headers", "proxy", "expected"),
    [
        ([], f"Bearer {TOKEN}", Credentials(TOKEN, False, True)),
        ([], "", NOBODY),
        ([], "Bearer nonsense", NOBODY),
        ([("authorization", f"Bearer {KEY}")], f"Bearer {TOKEN}", Credentials(TOKEN, True, True)),
        ([("authorization", f"Bearer {KEY}")], "", FOREIGN),
        # What comes with the request itself goes before.
        ([("x-api-key", TOKEN)], f"Bearer {OTHER}", FOUND),
    ],
)
def test_the_proxys_own_authorization_comes_last(
    headers: Sequence[tuple[str, str]], proxy: str, expected: Credentials
) -> None:
    assert find_credentials(headers, "", proxy) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", None),
        (f"Bearer {TOKEN}", TOKEN),
        (f"bearer  {TOKEN} ", TOKEN),
        (f"Bearer {KEY}", None),
        (TOKEN, None),
        (basic(f"{TOKEN}:"), TOKEN),
        (basic(TOKEN), TOKEN),
        (basic(f"{TOKEN}:x"), TOKEN),
        (basic(f"agent:{TOKEN}"), TOKEN),
        (basic(f"{OTHER}:{TOKEN}"), TOKEN),
        ("basic " + basic(f"agent:{TOKEN}")[6:], TOKEN),
        (basic("agent:password"), None),
        (basic(f"agent:x:{TOKEN}"), None),
        ("Basic", None),
        ("Basic !", None),
        ("Basic dGtu=x", None),
        ("Basic \xe4\xf6", None),
        ("Basic /w==", None),
        (f"Digest {TOKEN}", None),
    ],
)
def test_proxy_token(value: str, expected: str | None) -> None:
    assert proxy_token(value) == expected


@given(st.text())
def test_no_header_breaks_it(value: str) -> None:
    for scheme in ("", "Basic ", "Bearer "):
        found = proxy_token(scheme + value)
        assert found is None or looks_like_token(found)
        find_credentials([("authorization", scheme + value), ("sec-websocket-protocol", value)], value)


@pytest.mark.parametrize(
    ("query", "keep_key", "expected"),
    [
        ("", False, ""),
        ("key=a", False, ""),
        ("key=a", True, "key=a"),
        ("alt=sse&key=a", False, "alt=sse"),
        ("key=a&alt=sse", False, "alt=sse"),
        ("a=1&key=a&b=2&key=c", False, "a=1&b=2"),
        ("k%65y=a&x=%2B", False, "x=%2B"),
        ("key", False, ""),
        ("monkey=1&keys=2&KEY=3", False, "monkey=1&keys=2&KEY=3"),
        # What stays is not touched.
        ("a=b+c&&d&e=%41&f==", False, "a=b+c&&d&e=%41&f=="),
        ("a[]=1&a[]=2&b=;", False, "a[]=1&a[]=2&b=;"),
    ],
)
def test_strip_query(query: str, keep_key: bool, expected: str) -> None:
    assert strip_query(query, keep_key=keep_key) == expected


@given(st.text("key=&%65+;a", max_size=30))
def test_of_a_query_only_the_keys_are_taken(query: str) -> None:
    stripped = strip_query(query, keep_key=False)
    pairs = parse_qsl(query, keep_blank_values=True)
    assert parse_qsl(stripped, keep_blank_values=True) == [pair for pair in pairs if pair[0] != "key"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ""),
        ("realtime", "realtime"),
        (f"openai-insecure-api-key.{TOKEN}", ""),
        (f"realtime, openai-insecure-api-key.{TOKEN}, beta", "realtime, beta"),
        (f"realtime,openai-insecure-api-key.{TOKEN}", "realtime"),
        ("a,,b", "a, b"),
    ],
)
def test_strip_subprotocol(value: str, expected: str) -> None:
    assert strip_subprotocol(value) == expected
