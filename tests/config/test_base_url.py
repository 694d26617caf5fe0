"""Which texts are base URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.config import BaseUrl, InvalidBaseUrl, parse_base_url


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("https://api.openai.com", BaseUrl("https", "api.openai.com", 443, "")),
        ("https://api.openai.com/", BaseUrl("https", "api.openai.com", 443, "")),
        ("HTTPS://API.OpenAI.com./v1//", BaseUrl("https", "api.openai.com", 443, "/v1")),
        ("http://localhost:11434", BaseUrl("http", "localhost", 11434, "")),
        ("http://[::1]:8000/a%2Fb", BaseUrl("http", "::1", 8000, "/a%2Fb")),
        ("http://10.0.0.1", BaseUrl("http", "10.0.0.1", 80, "")),
        ("https://{resource}.x.com/{project}", BaseUrl("https", "{resource}.x.com", 443, "/{project}")),
    ],
)
def test_accepted(text: str, parts: BaseUrl) -> None:
    assert parse_base_url(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "api.openai.com",
        "//api.openai.com",
        "ftp://x",
        "file:///etc/passwd",
        "https://",
        "https:///v1",
        "https://.",
        "https://:443",
        "https://user@host",
        "https://user:pass@host",
        "https://@host",
        "https://good.com@evil.com",
        "https://host?x=1",
        "https://host?",
        "https://host/#f",
        "https://host#",
        "https://ho st",
        "https://host/a b",
        "https://host\n",
        "https://ho\tst",
        "https://ho\x00st",
        " https://host",
        "https://host\\@evil.com",
        "https://host:99999",
        "https://host:0",
        "https://host:x",
        "https://[::1",
        "https://[evil.com]",
        "https://h%6fst",
        "https://bücher.de",
        "https://ho;st",
        "https://{Re source}.x",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(InvalidBaseUrl) as caught:
        parse_base_url(text)
    assert text not in str(caught.value) or text == ""


@given(st.text(max_size=40) | st.from_regex(r"https?://[a-z@:/?#\[\]\\.{}%0-9 ]{0,30}", fullmatch=True))
def test_nothing_but_its_own_error(text: str) -> None:
    try:
        base = parse_base_url(text)
    except InvalidBaseUrl:
        return
    assert base.scheme in ("http", "https")
    assert base.host
    assert not set(base.host) & set("@/?#\\ ")
    assert 0 < base.port < 65536
